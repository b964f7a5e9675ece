"""What is sent again and what is not, and how failures read: against a real HTTP server that fails on purpose."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp.web
import msgspec
import pytest

from stowplan.errors import ApiError, ApiUnreachable, Conflict, Gone, NotFound
from stowplan.kube import config, session
from stowplan.kube.session import Status, error_of

Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (200, {}, b'{"fine": true}')


class Token:
    """Credentials that are fresh once."""

    def __init__(self, *values: str) -> None:
        self.values = list(values)

    def header(self) -> str:
        return self.values[0]

    async def refused(self) -> bool:
        if len(self.values) > 1:
            self.values.pop(0)
            return True
        return False


class Server:
    """Answers with the next of ``answers``, the last one for ever, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [OK]
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.observed: list[tuple[str, str, int | None]] = []
        self.credentials: config.Credentials = config.Anonymous()
        self.url = ""

    async def handle(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        self.requests.append((request.method, str(request.rel_url)))
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.read())
        status, headers, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status == 0:  # the connection breaks
            assert request.transport is not None
            request.transport.abort()
        return aiohttp.web.Response(status=status or 200, headers=headers, body=body)

    def api(self, *, attempts: int = 4, seconds: float = 5.0, qps: float = 0.0) -> session.Api:
        cluster = config.Cluster(server=self.url, tls=None, credentials=self.credentials)
        return session.Api(cluster, attempts=attempts, timeout=seconds, qps=qps, observe=self.observe)

    def observe(self, method: str, resource: str, code: int | None, seconds: float, /) -> None:
        assert seconds >= 0
        self.observed.append((method, resource, code))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    one = Server()
    application = aiohttp.web.Application()
    application.router.add_route("*", "/{path:.*}", one.handle)
    runner = aiohttp.web.AppRunner(application, access_log=None)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = site.name
    yield one
    await runner.cleanup()


def failure(code: int, reason: str = "", message: str = "", **headers: str) -> Answer:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return code, headers, json.dumps(body).encode()


async def send(api: session.Api, method: str) -> None:
    match method:
        case "GET":
            await api.get("/x", msgspec.Raw)
        case "PUT":
            await api.put("/x", {}, msgspec.Raw)
        case "POST":
            await api.post("/x", {}, msgspec.Raw)
        case "PATCH":
            await api.patch("/x", {}, msgspec.Raw)
        case "DELETE":
            await api.delete("/x")
        case _:
            await api.delete("/x", uid="u1")


@pytest.mark.parametrize(
    ("method", "answer", "sent"),
    [
        pytest.param("GET", failure(500), 2, id="GET after a server error"),
        pytest.param("GET", (0, {}, b""), 2, id="GET after a lost connection"),
        pytest.param("PUT", failure(500), 2, id="PUT after a server error: guarded by its version"),
        pytest.param("DELETE with uid", failure(500), 2, id="DELETE of that very object"),
        pytest.param("DELETE", failure(500), 1, id="DELETE of whatever has the name"),
        pytest.param("POST", failure(500), 1, id="POST after a server error"),
        pytest.param("POST", (0, {}, b""), 1, id="POST after a lost connection"),
        pytest.param("PATCH", failure(500), 1, id="PATCH after a server error"),
        pytest.param("POST", failure(429), 1, id="POST turned away without a time"),
        pytest.param("POST", failure(429, **{"Retry-After": "0"}), 2, id="POST turned away for now"),
        pytest.param("POST", failure(503, **{"Retry-After": "0"}), 2, id="POST to a server that starts"),
        pytest.param("GET", failure(429), 2, id="GET turned away without a time"),
        pytest.param("GET", failure(404), 1, id="GET of nothing"),
        pytest.param("GET", failure(403), 1, id="GET that is forbidden"),
    ],
)
async def test_what_is_sent_again(server: Server, method: str, answer: Answer, sent: int) -> None:
    server.answers = [answer, OK]
    async with server.api() as api:
        try:
            await send(api, method)
            succeeded = True
        except (ApiError, ApiUnreachable):
            succeeded = False

    assert (len(server.requests), succeeded) == (sent, sent == 2)


async def test_after_some_attempts_the_failure_is_told(server: Server) -> None:
    server.answers = [failure(500, "InternalError", "etcd is away")]
    async with server.api(attempts=3) as api:
        with pytest.raises(ApiError, match="etcd is away"):
            await api.get("/x", msgspec.Raw)

    assert len(server.requests) == 3


async def test_time_to_wait_is_the_servers(server: Server) -> None:
    server.answers = [failure(429, **{"Retry-After": "1"}), OK]
    loop = asyncio.get_running_loop()
    async with server.api() as api:
        started = loop.time()
        await api.post("/x", {}, msgspec.Raw)

    assert loop.time() - started >= 1.0


async def test_refused_credential_is_renewed_once_and_the_request_sent_again(server: Server) -> None:
    server.credentials = Token("Bearer old", "Bearer new", "Bearer newest")
    server.answers = [failure(401), OK]
    async with server.api() as api:
        await api.post("/x", {}, msgspec.Raw)

    assert [headers["Authorization"] for headers in server.headers] == ["Bearer old", "Bearer new"]


async def test_credential_that_stays_refused_is_an_error(server: Server) -> None:
    server.credentials = Token("Bearer old", "Bearer new", "Bearer newest")
    server.answers = [failure(401, "Unauthorized", "Unauthorized")]
    async with server.api() as api:
        with pytest.raises(ApiError, match="Unauthorized") as caught:
            await api.post("/x", {}, msgspec.Raw)

    assert caught.value.status == 401
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param(404, NotFound, id="not found"),
        pytest.param(409, Conflict, id="conflict"),
        pytest.param(410, Gone, id="gone"),
        pytest.param(422, ApiError, id="invalid"),
    ],
)
def test_failures_have_types_and_one_line(code: int, kind: type[ApiError]) -> None:
    error = error_of(Status(message="first line\n  second  line", reason="Because", code=code))

    assert type(error) is kind
    assert (str(error), error.status, error.reason) == ("first line second line", code, "Because")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param((502, {}, b"<html>\nBad Gateway"), "<html> Bad Gateway", id="a proxy's page"),
        pytest.param((403, {}, b""), "HTTP 403", id="nothing"),
        pytest.param((404, {}, b"404 page not found\n"), "404 page not found", id="no such API"),
    ],
)
async def test_failures_that_are_no_status_read_well_too(server: Server, answer: Answer, text: str) -> None:
    server.answers = [answer]
    async with server.api() as api:
        with pytest.raises(ApiError) as caught:
            await api.post("/x", {}, msgspec.Raw)

    assert str(caught.value) == text


async def test_answer_that_is_no_json_is_an_error(server: Server) -> None:
    server.answers = [(200, {}, b"<html>log in</html>")]
    async with server.api() as api:
        with pytest.raises(ApiError, match="cannot be understood"):
            await api.get("/x", dict[str, str])


async def test_silent_server_is_unreachable_within_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes the connection, nobody reads
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        cluster = config.Cluster(server=url, tls=None, credentials=config.Anonymous())
        async with session.Api(cluster, timeout=0.2, attempts=1) as api:
            with pytest.raises(ApiUnreachable, match=r"cannot be reached: no answer within 0\.2 s"):
                await api.get("/x", msgspec.Raw)


async def test_dead_server_is_unreachable_in_one_line(unused_tcp_port_factory: Callable[[], int]) -> None:
    server = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    async with session.Api(config.Cluster(server=server, tls=None, credentials=config.Anonymous())) as api:
        with pytest.raises(ApiUnreachable) as caught:
            await api.get("/x", msgspec.Raw)

    assert str(caught.value) == f"the API server {server} cannot be reached: Connection refused"


async def test_query_and_body_are_encoded(server: Server) -> None:
    async with server.api() as api:
        await api.get("/x", msgspec.Raw, params={"fieldSelector": "a!=b,c=d"})
        await api.delete("/x", uid="u1", grace_seconds=0, propagation="Background")

    assert server.requests == [("GET", "/x?fieldSelector=a%21%3Db%2Cc%3Dd"), ("DELETE", "/x")]
    assert json.loads(server.bodies[1]) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u1"},
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
    }


async def test_client_side_limit_spreads_requests(server: Server) -> None:
    loop = asyncio.get_running_loop()
    async with server.api(qps=20) as api:
        started = loop.time()
        await asyncio.gather(*[api.get("/x", msgspec.Raw) for _ in range(30)])

    assert loop.time() - started >= 0.45


async def test_each_sending_is_observed_with_its_resource_and_its_answer(server: Server) -> None:
    server.answers = [failure(500), (0, {}, b""), OK]
    pods = "/api/v1/namespaces/prod/pods"
    async with server.api() as api:
        await api.get(pods, msgspec.Raw, params={"limit": "5"})
        async with api.stream(pods, params={"watch": "1"}, idle=5) as chunks:
            assert server.observed[-1] == ("GET", "pods", 200)
            assert b"".join([chunk async for chunk in chunks]) == OK[2]
        server.answers = [(201, {}, b"{}")]
        await api.post(f"{pods}/db-0/binding", {}, msgspec.Raw)
        server.answers = [failure(410)]
        with pytest.raises(Gone):
            async with api.stream(pods, params={"watch": "1"}, idle=5):
                pass

    assert server.observed == [
        ("GET", "pods", 500),
        ("GET", "pods", None),
        ("GET", "pods", 200),
        ("GET", "pods", 200),
        ("POST", "pods/binding", 201),
        ("GET", "pods", 410),
    ]


async def test_watch_that_finds_no_server_is_observed_once(unused_tcp_port_factory: Callable[[], int]) -> None:
    server = Server()
    server.url = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    async with server.api() as api:
        with pytest.raises(ApiUnreachable):
            async with api.stream("/api/v1/nodes", params={"watch": "1"}, idle=5):
                pass

    assert server.observed == [("GET", "nodes", None)]


async def test_requests_and_watches_go_through_the_proxy_where_there_is_one(server: Server) -> None:
    server.answers = [failure(429, **{"Retry-After": "0"}), OK, (200, {}, b"watched"), failure(410)]
    cluster = config.Cluster(server="http://api.example.com", tls=None, credentials=Token("Bearer t"), proxy=server.url)
    async with session.Api(cluster) as api:
        assert await api.post("/x", {"a": 1}, dict[str, bool]) == {"fine": True}
        async with api.stream("/pods", params={"watch": "1"}, idle=5) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == b"watched"
        with pytest.raises(Gone):
            async with api.stream("/pods", params={"watch": "1"}, idle=5):
                pass

    assert [url.removeprefix("http://api.example.com") for _, url in server.requests[1:3]] == ["/x", "/pods?watch=1"]
    assert {headers["Host"] for headers in server.headers} == {"api.example.com"}
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer t"}
    assert server.bodies[:2] == [b'{"a":1}'] * 2


async def test_proxy_that_is_not_there_is_unreachable_in_one_line(unused_tcp_port_factory: Callable[[], int]) -> None:
    proxy = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    cluster = config.Cluster(server="http://api.example.com", tls=None, credentials=config.Anonymous(), proxy=proxy)
    async with session.Api(cluster, attempts=1) as api:
        with pytest.raises(ApiUnreachable) as caught:
            await api.get("/x", msgspec.Raw)

    assert str(caught.value) == "the API server http://api.example.com cannot be reached: Connection refused"
