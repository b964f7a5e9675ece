"""A small HTTP server that does as it is told, and a way to run a test on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import ParamSpec

import uvloop

from stowplan.kube.endpoint import Endpoint

P = ParamSpec("P")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[object, object, None]]


def endpoint(listening: asyncio.Server, path: str = "") -> Endpoint:
    """Where a server listens."""
    address = listening.sockets[0].getsockname()
    return Endpoint(f"http://127.0.0.1:{address[1]}{path}", tls=None, server_name=None, headers={"A": "b"})


@contextlib.asynccontextmanager
async def listening(serve: Handler, path: str = "") -> AsyncIterator[Endpoint]:
    """A server for a while; its connections end with it, as `asyncio.Server` does not see to."""
    handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers[asyncio.create_task(serve(reader, writer))] = writer

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield endpoint(server, path)
    finally:
        server.close()
        for each in handlers:
            each.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        for writer in handlers.values():
            writer.transport.abort()
        await asyncio.sleep(0)  # a transport that was aborted closes its socket in the next turn of the loop


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
