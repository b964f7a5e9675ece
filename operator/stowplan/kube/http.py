"""HTTP/1.1 over connections that are kept: one request at a time on each, whole answers back.

``session.Api`` sends every request but its watches (``streams``) through a :class:`Pool`, unless there is a proxy
(``proxied``). Why not aiohttp everywhere: a bind and its event are one small request each, thousands of times, and its
client takes most of the CPU time of a pod (measured: 200 microseconds a request, here 75). What it does besides is not
needed: redirects, cookies, compression, forms, tracing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, cast

from stowplan.kube import streams
from stowplan.kube.answers import Answer, Garbled, Parser
from stowplan.kube.endpoint import CLOSE, Endpoint

KEEP: Final = 60.0
"""Seconds after which a resting connection is not used any more. The API server closes it after 90: we are earlier, so
that no request meets the end."""


class _Connection(asyncio.Protocol):
    """One connection; nothing is sent while an answer is awaited."""

    def __init__(self, ended: Callable[[_Connection], None]) -> None:
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._parser = Parser()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.rests_since = 0.0
        self.gone: asyncio.Future[None] = self._loop.create_future()

    def ask(self, message: bytes, seconds: float) -> asyncio.Future[Answer]:
        """Send a request; the answer comes once. Raises ConnectionResetError and TimeoutError through it."""
        assert self._transport is not None
        self._parser = Parser()
        self._waiter = waiter = self._loop.create_future()
        self._timer = self._loop.call_later(seconds, self._tell, TimeoutError())
        self._transport.write(message)
        return waiter

    def close(self) -> None:
        """End it in order."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def usable(self) -> bool:
        """Whether it is open."""
        return self._transport is not None and not self._transport.is_closing()

    # ------------------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not derived from it

    def data_received(self, data: bytes) -> None:
        """A part of an answer; nobody has asked for anything else."""
        waiter = self._waiter
        if waiter is None:
            self.abort()
            return
        try:
            answer = self._parser.feed(data)
        except Garbled as error:
            self._tell(error)
            self.abort()
            return
        if answer is not None:
            self._tell(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by whomever."""
        answer = self._parser.end() if exc is None else None
        self._tell(answer or exc or ConnectionResetError("the connection was closed"))
        self._transport = None
        self.gone.set_result(None)
        self._ended(self)

    def _tell(self, result: Answer | Exception) -> None:
        waiter, self._waiter = self._waiter, None
        if self._timer is not None:
            self._timer.cancel()
        if waiter is None or waiter.done():  # cancelled
            return
        if isinstance(result, Exception):
            waiter.set_exception(result)
        else:
            waiter.set_result(result)


class Pool:
    """Connections to one server.

    Args:
        endpoint: the server.
        connections: open at most; more requests wait for their turn.
        clock: seconds, monotonic.
    """

    def __init__(self, endpoint: Endpoint, *, connections: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._turns = asyncio.Semaphore(connections)
        self._clock = clock
        self._open: set[_Connection] = set()
        self._resting: list[_Connection] = []  # the one that was used last is taken first

    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, seconds: float
    ) -> Answer:
        """Send a request once.

        Args:
            method: as for ``Endpoint.message``; likewise the next three.
            target: path and query.
            headers: additional ones.
            body: what to send; None for nothing.
            seconds: for all of it.

        Raises:
            ValueError: the target or a header cannot be sent as it is.
            TimeoutError: no answer in time.
            OSError: no connection, or it was lost.
            Garbled: the answer cannot be understood.
        """
        message = self._endpoint.message(method, target, headers, body)
        connection = None if self._turns.locked() else self._rested()
        if connection is None:
            connection, seconds = await self._turn(seconds)
        else:
            await self._turns.acquire()  # there is one: nothing is waited for, and no timeout needed
        try:
            answer = await connection.ask(message, seconds)
        except BaseException:  # above all cancellation: a late answer must not meet another request
            connection.abort()
            raise
        finally:
            self._turns.release()
        if answer.kept:
            connection.rests_since = self._clock()
            self._resting.append(connection)
        else:
            connection.close()
        return answer

    def opened(
        self, target: str, *, headers: Mapping[str, str], idle: float
    ) -> contextlib.AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]:
        """Open a long answer, as ``streams.opened``; on a connection of its own."""
        return streams.opened(self._endpoint, target, headers=headers, idle=idle)

    async def close(self) -> None:
        """Close all connections, those in use too."""
        still_open = {connection.gone for connection in self._open}
        for connection in self._open:
            connection.close()
        if still_open:
            _, still_open = await asyncio.wait(still_open, timeout=CLOSE)
        for connection in self._open:
            connection.abort()
        if still_open:
            await asyncio.wait(still_open)

    async def _turn(self, seconds: float) -> tuple[_Connection, float]:
        """A connection, once it is our turn, and what is left of the seconds by then."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        async with asyncio.timeout_at(until):
            await self._turns.acquire()
            try:
                return self._rested() or await self._connect(), until - loop.time()
            except BaseException:
                self._turns.release()
                raise

    def _rested(self) -> _Connection | None:
        """A connection that is open and has not rested too long; those that have are closed."""
        stale = self._clock() - KEEP
        while self._resting and self._resting[0].rests_since < stale:
            self._resting.pop(0).close()
        while self._resting:
            connection = self._resting.pop()
            if connection.usable:
                return connection
        return None

    async def _connect(self) -> _Connection:
        connection = await self._endpoint.connect(lambda: _Connection(self._open.discard))
        self._open.add(connection)
        return connection
