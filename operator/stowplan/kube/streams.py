"""A long answer as it arrives: the transport of watches. ``session.Api.stream`` opens one for each.

What has come is kept until the reader takes it, and then taken together: a reader that is busy elsewhere pays once for
many events.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final, cast

from stowplan.kube.answers import Garbled, Parser
from stowplan.kube.endpoint import CLOSE, Endpoint

CONNECT: Final = 30.0
"""Seconds until the headers of the answer must have come."""
MOST: Final = 4096
"""Pieces that may wait for the reader; with more, the server is not read until they are taken."""


class Stream(asyncio.Protocol):
    """One request and its answer, on a connection of its own.

    Args:
        idle: seconds of silence after which the connection counts as lost.
    """

    def __init__(self, idle: float) -> None:
        self._idle = idle
        self._parser = Parser()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._complete = False
        self._paused = False
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask(self, message: bytes) -> int:
        """Send the request; the status of the answer. Raises like ``chunks``."""
        assert self._transport is not None
        self._transport.write(message)
        while not self._parser.status:
            await self._more()
        return self._parser.status

    async def chunks(self) -> AsyncIterator[bytes]:
        """What has come, until the answer is complete.

        Raises:
            TimeoutError: nothing came for too long.
            OSError: the connection was lost.
            Garbled: the answer cannot be understood.
        """
        while True:
            if self._parser.waiting:
                data = self._parser.take()
                if self._paused and self._transport is not None:
                    self._paused = False
                    self._transport.resume_reading()
                yield data
            elif self._complete:
                return
            else:
                await self._more()

    async def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()
            await asyncio.wait({self.gone}, timeout=CLOSE)
        if self._transport is not None:
            self._transport.abort()
            await self.gone

    async def _more(self) -> None:
        """Waits until something has happened."""
        if self._error is not None:
            raise self._error
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        silence = loop.call_later(self._idle, self._fail, TimeoutError())
        try:
            await self._waiter
        finally:
            silence.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    # ------------------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not derived from it

    def data_received(self, data: bytes) -> None:
        """A part of the answer."""
        try:
            self._complete = self._parser.feed(data) is not None
        except Garbled as error:
            self._fail(error)
            return
        if self._parser.waiting > MOST and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by whomever."""
        self._transport = None
        if not self._complete and exc is None and self._parser.end() is not None:
            self._complete = True
        if not self._complete:
            self._error = self._error or exc or ConnectionResetError("the connection was closed")
        self.gone.set_result(None)
        self._wake()


@contextlib.asynccontextmanager
async def opened(
    endpoint: Endpoint, target: str, *, headers: Mapping[str, str], idle: float
) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
    """GET something long: the status, and the body as it comes.

    Args:
        endpoint: whom to ask.
        target: path and query.
        headers: additional ones.
        idle: seconds of silence after which the connection counts as lost.

    Raises:
        ValueError: the target or a header cannot be sent as it is.
        TimeoutError, OSError, Garbled: as from ``Stream.chunks``.
    """
    message = endpoint.message("GET", target, headers, None)
    async with asyncio.timeout(CONNECT):
        stream = await endpoint.connect(lambda: Stream(idle))
    try:
        async with asyncio.timeout(CONNECT):
            status = await stream.ask(message)
        yield status, stream.chunks()
    finally:
        await stream.close()
