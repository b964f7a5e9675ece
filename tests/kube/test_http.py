"""No answer ever meets another request, and nothing is sent that would be more than one request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ssl import SSLCertVerificationError

import pytest
from tests.controlplane.plane import ControlPlane
from tests.kube import wires
from tests.kube.wires import Server, on_both_loops

from stowplan.kube import config, http
from stowplan.kube.endpoint import Endpoint


@contextlib.asynccontextmanager
async def served(*, connections: int = 5) -> AsyncIterator[tuple[Server, http.Pool]]:
    server = Server()
    async with wires.listening(server.serve) as endpoint:
        pool = http.Pool(endpoint, connections=connections)
        try:
            yield server, pool
        finally:
            await pool.close()


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
    async with wires.listening(server.serve) as endpoint:
        pool = http.Pool(endpoint, connections=5, clock=lambda: now)
        await get(pool, "/a")
        now = http.KEEP / 2
        await get(pool, "/b")
        assert server.connections == 1
        now = 2 * http.KEEP
        await get(pool, "/c")
        assert server.connections == 2
        await pool.close()


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
        async with wires.listening(server.serve, "/k8s/clusters/c-1") as endpoint:
            pool = http.Pool(endpoint, connections=5)
            assert await get(pool, "/api?x=1") == b"/k8s/clusters/c-1/api?x=1"
            await pool.close()

    run()


@pytest.mark.e2e
def test_api_server_is_asked_over_tls_and_must_prove_itself(control_plane: ControlPlane) -> None:
    @on_both_loops
    async def run() -> None:
        cluster = await config.load(kubeconfig=str(control_plane.kubeconfig))
        headers = {"Authorization": cluster.credentials.header() or ""}
        right = Endpoint(cluster.server, tls=cluster.tls, server_name=None, headers=headers)
        pool = http.Pool(right, connections=5)
        answers = await asyncio.gather(*[get(pool, "/version") for _ in range(20)])
        assert len(set(answers)) == 1
        assert b"gitVersion" in answers[0]
        await pool.close()
        for tls, name in ((None, None), (cluster.tls, "another.example.com")):
            wrong = Endpoint(cluster.server, tls=tls, server_name=name, headers=headers)
            stranger = http.Pool(wrong, connections=5)
            with pytest.raises(SSLCertVerificationError):
                await get(stranger, "/version")
            await stranger.close()

    run()
