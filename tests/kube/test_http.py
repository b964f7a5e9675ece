"""Answers are read exactly, however they are cut, and no answer ever meets another request."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import ParamSpec

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from tests.controlplane.plane import ControlPlane

from stowplan.kube import config, http
from stowplan.kube.http import Answer, Garbled, Parser

P = ParamSpec("P")

SIZED = b"HTTP/1.1 201 Created\r\nAudit-Id: 1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nhel\r\nA;name=value\r\nlo, world!\r\n0\r\nEnd: 1\r\n\r\n"
)
EMPTY = b"HTTP/1.1 204 No Content\r\nDate: today\r\n\r\n"
AFTER_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED
CLOSING = b"HTTP/1.1 200 OK\r\ncontent-length:2\r\nConnection: Close\r\n\r\nok"
OLD = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"


def parse(*pieces: bytes) -> Answer | None:
    parser = Parser()
    for piece in pieces[:-1]:
        parser.feed(piece)
    return parser.feed(pieces[-1])


@pytest.mark.parametrize(
    ("data", "status", "body", "kept"),
    [
        pytest.param(SIZED, 201, b"hello", True, id="length"),
        pytest.param(CHUNKED, 200, b"hello, world!", True, id="chunks, extensions and trailers"),
        pytest.param(EMPTY, 204, b"", True, id="no content"),
        pytest.param(AFTER_CONTINUE, 201, b"hello", True, id="an interim answer first"),
        pytest.param(CLOSING, 200, b"ok", False, id="the last on its connection"),
        pytest.param(OLD, 200, b"ok", False, id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, b"", True, id="no reason, nothing"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"", True, id="not even a space"),
    ],
)
def test_answer_is_the_same_however_it_is_cut(data: bytes, status: int, body: bytes, kept: bool) -> None:
    whole = parse(data)

    assert whole is not None
    assert (whole.status, whole.body, whole.kept) == (status, body, kept)
    for cut in range(1, len(data)):
        assert parse(data[:cut], data[cut:]) == whole
    assert parse(*(bytes([byte]) for byte in data)) == whole


@pytest.mark.parametrize("data", [SIZED, CHUNKED, EMPTY, AFTER_CONTINUE])
def test_answer_is_complete_with_its_last_byte_only(data: bytes) -> None:
    for end in range(len(data)):
        parser = Parser()
        assert parser.feed(data[:end]) is None
        assert parser.end() is None


def test_answer_without_a_length_lasts_until_the_connection_ends() -> None:
    parser = Parser()

    assert parser.feed(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>") is None
    assert parser.feed(b"</html>") is None
    answer = parser.end()
    assert answer is not None
    assert (answer.status, answer.body, answer.kept) == (502, b"<html></html>", False)


def test_headers_are_found_whatever_their_case_and_spaces() -> None:
    answer = parse(b"HTTP/1.1 429 Slow\r\nRETRY-after:\t 7 \r\nA: 1\r\na: 2\r\nX:\r\nContent-Length: 0\r\n\r\n")

    assert answer is not None
    assert answer.headers == {b"retry-after": b"7", b"a": b"1, 2", b"x": b"", b"content-length": b"0"}


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x03\x01\x02\r\n\r\n", id="TLS"),
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", id="another version"),
        pytest.param(b"HTTP/1.1 99 Odd\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", id="another protocol"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", id="two lengths"),
        pytest.param(HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", id="length and chunks"),
        pytest.param(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", id="compressed"),
        pytest.param(HEAD + b"Content-Length : 5\r\n\r\n", id="space before the colon"),
        pytest.param(HEAD + b"A: 1\r\n folded: 2\r\n\r\n", id="folded header"),
        pytest.param(HEAD + b"no colon\r\n\r\n", id="no header at all"),
        pytest.param(HEAD + b"A: \x00\r\n\r\n", id="a null byte"),
        pytest.param(HEAD + b"A: 1\nB: 2\r\n\r\n", id="bare newline"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", id="chunk size is no number"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", id="negative chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", id="chunk longer than it says"),
        pytest.param(SIZED + b"HTTP", id="more than was asked for"),
        pytest.param(HEAD + b"A: " + b"x" * http.MOST_HEAD, id="headers without end"),
    ],
)
def test_what_is_not_plainly_one_answer_is_refused(data: bytes) -> None:
    with pytest.raises(Garbled):
        parse(data)
    with pytest.raises(Garbled):
        parse(*(bytes([byte]) for byte in data[:4000]), data[4000:])


@given(st.binary(max_size=300).flatmap(lambda noise: st.sampled_from([noise, HEAD + noise, HEAD + b"\r\n" + noise])))
def test_noise_is_refused_or_waited_out_but_never_an_error(noise: bytes) -> None:
    parser = Parser()
    with contextlib.suppress(Garbled):
        parser.feed(noise)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=10), st.data())
def test_chunks_of_any_size_cut_anywhere_make_the_body(chunks: list[bytes], data: st.DataObject) -> None:
    stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    stream += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(1, len(stream) - 1), max_size=10)))
    answer = parse(*(stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)))

    assert answer is not None
    assert answer.body == b"".join(chunks)


# ---------------------------------------------------------------- connections


def on_both_loops(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Runs it on asyncio's loop and on uvloop's, whose transports differ."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(asyncio.wait_for(test(*args, **kwargs), 20))

    return run


class Server:
    """Answers each request with its own path, after the pause named by the test."""

    def __init__(self) -> None:
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = asyncio.Event()
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                path = head.split()[1]
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                self.asked.set()
                await self.answering.wait()
                self.at_once -= 1
                if path == b"/cut":
                    break
                closing = b"Connection: close\r\n" if path == b"/last" else b""
                length = b"" if path == b"/until-closed" else b"Content-Length: %d\r\n" % len(path)
                writer.write(b"HTTP/1.1 200 OK\r\n" + closing + length + b"\r\n" + path)
                await writer.drain()
                if path in {b"/last", b"/until-closed"}:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def served(*, connections: int = 5) -> AsyncIterator[tuple[Server, http.Pool]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    address = listening.sockets[0].getsockname()
    pool = http.Pool(
        f"http://127.0.0.1:{address[1]}", tls=None, server_name=None, headers={"A": "b"}, connections=connections
    )
    try:
        yield server, pool
    finally:
        await pool.close()
        server.answering.set()
        listening.close()


async def get(pool: http.Pool, path: str, seconds: float = 5.0) -> bytes:
    return (await pool.send("GET", path, headers={}, body=None, seconds=seconds)).body


@on_both_loops
async def test_connection_is_used_again() -> None:
    async with served() as (server, pool):
        assert [await get(pool, f"/{n}") for n in range(10)] == [b"/%d" % n for n in range(10)]
        assert server.connections == 1
        assert server.heads[0].startswith(b"GET /0 HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nA: b\r\n" in server.heads[0]


@on_both_loops
async def test_requests_at_once_get_their_own_answers_over_a_bounded_number_of_connections() -> None:
    async with served(connections=5) as (server, pool):
        server.answering.clear()
        answers = asyncio.gather(*[get(pool, f"/{n}") for n in range(200)])
        while server.at_once < 5:
            server.asked.clear()
            await server.asked.wait()
        server.answering.set()

        assert await answers == [b"/%d" % n for n in range(200)]
        assert (server.connections, server.most_at_once) == (5, 5)


@on_both_loops
async def test_answer_of_a_request_that_was_given_up_meets_no_other() -> None:
    async with served() as (server, pool):
        assert await get(pool, "/first") == b"/first"
        server.answering.clear()
        server.asked.clear()
        given_up = asyncio.ensure_future(get(pool, "/given-up"))
        await server.asked.wait()
        given_up.cancel()
        await asyncio.wait({given_up})
        server.answering.set()

        assert [await get(pool, f"/{n}") for n in range(3)] == [b"/0", b"/1", b"/2"]


@on_both_loops
async def test_silence_is_a_timeout_and_costs_the_connection() -> None:
    async with served() as (server, pool):
        server.answering.clear()
        with pytest.raises(TimeoutError):
            await get(pool, "/x", seconds=0.05)
        server.answering.set()

        assert await get(pool, "/y") == b"/y"
        assert server.connections == 2


@on_both_loops
async def test_cut_connection_is_an_error_and_the_next_request_has_another() -> None:
    async with served() as (_, pool):
        with pytest.raises(ConnectionResetError):
            await get(pool, "/cut")

        assert await get(pool, "/next") == b"/next"


@on_both_loops
async def test_connection_that_the_server_closes_is_not_used_again() -> None:
    async with served() as (server, pool):
        assert await get(pool, "/last") == b"/last"
        assert await get(pool, "/until-closed") == b"/until-closed"
        assert await get(pool, "/next") == b"/next"
        assert server.connections == 3


@on_both_loops
async def test_connection_that_rested_too_long_is_not_used_again() -> None:
    now = 0.0
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    pool = http.Pool(url, tls=None, server_name=None, headers={}, connections=5, clock=lambda: now)
    await get(pool, "/a")
    now = http.KEEP / 2
    await get(pool, "/b")
    assert server.connections == 1
    now = 2 * http.KEEP
    await get(pool, "/c")
    assert server.connections == 2
    await pool.close()
    listening.close()


@on_both_loops
async def test_closing_ends_a_request_that_waits() -> None:
    async with served() as (server, pool):
        server.answering.clear()
        waiting = asyncio.ensure_future(get(pool, "/x"))
        await server.asked.wait()
        await pool.close()

        with pytest.raises(ConnectionResetError):
            await waiting


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "a", "/ä"])
@on_both_loops
async def test_path_that_would_be_more_than_a_path_is_not_sent(target: str) -> None:
    async with served() as (server, pool):
        with pytest.raises(ValueError, match="is no path"):
            await get(pool, target)
        assert server.connections == 0


@on_both_loops
async def test_header_that_would_be_more_than_a_header_is_not_sent() -> None:
    async with served() as (server, pool):
        with pytest.raises(ValueError, match="Authorization"):
            await pool.send("GET", "/", headers={"Authorization": "x\r\nY: z"}, body=None, seconds=5)
        assert server.connections == 0


def test_path_of_the_server_comes_before_every_target() -> None:
    @on_both_loops
    async def run() -> None:
        server = Server()
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/k8s/clusters/c-1"
        pool = http.Pool(url, tls=None, server_name=None, headers={}, connections=5)
        assert await get(pool, "/api?x=1") == b"/k8s/clusters/c-1/api?x=1"
        await pool.close()
        listening.close()

    run()


@pytest.mark.e2e
def test_api_server_is_asked_over_tls_and_must_prove_itself(control_plane: ControlPlane, tmp_path: Path) -> None:
    @on_both_loops
    async def run() -> None:
        cluster = await config.load(kubeconfig=str(control_plane.kubeconfig))
        headers = {"Authorization": cluster.credentials.header() or ""}
        pool = http.Pool(cluster.server, tls=cluster.tls, server_name=None, headers=headers, connections=5)
        answers = await asyncio.gather(*[get(pool, "/version") for _ in range(20)])
        assert len(set(answers)) == 1
        assert b"gitVersion" in answers[0]
        await pool.close()
        for tls, name in ((None, None), (cluster.tls, "another.example.com")):
            stranger = http.Pool(cluster.server, tls=tls, server_name=name, headers=headers, connections=5)
            with pytest.raises(SSLCertVerificationError):
                await get(stranger, "/version")
            await stranger.close()

    run()
