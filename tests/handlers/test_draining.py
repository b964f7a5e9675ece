"""What a member answers when it is asked to drain."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from stowplan.handlers import draining


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        pytest.param(200, "done", "", id="200 is yes"),
        pytest.param(204, "", "", id="so is 204"),
        pytest.param(202, "", "answers 202 Accepted", id="202 is not yet"),
        pytest.param(503, "3 shards\nleft", "answers 503 Service Unavailable: 3 shards left", id="an error is no"),
        pytest.param(307, "", "answers 307 Temporary Redirect", id="nobody is sent elsewhere"),
    ],
)
async def test_an_answer(status: int, text: str, said: str) -> None:
    async def leave(request: web.Request) -> web.Response:
        assert await request.read() == b""
        assert "Authorization" not in request.headers
        return web.Response(status=status, text=text, headers={"Location": "http://127.0.0.1:1/"})

    application = web.Application()
    application.router.add_post("/leave", leave)
    async with TestServer(application) as server:
        url = str(server.make_url("/leave"))
        assert await draining.ask(url) == (f"{url} {said}" if said else "")


async def test_nobody_there(unused_tcp_port: int) -> None:
    said = await draining.ask(f"http://127.0.0.1:{unused_tcp_port}/")
    assert said.startswith(f"http://127.0.0.1:{unused_tcp_port}/: Cannot connect")


async def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = asyncio.Event()

    async def think(request: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    monkeypatch.setattr(draining, "SECONDS", 0.05)
    application = web.Application()
    application.router.add_post("/", think)
    async with TestServer(application) as server:
        url = str(server.make_url("/"))
        assert await draining.ask(url) == f"{url} gave no answer within 0.05 s"
        over.set()
