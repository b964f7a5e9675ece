"""HTTP/1.1 over connections that are kept: one request at a time on each, whole answers back.

``session.Api`` sends every request but its watches through a :class:`Pool`. Why not aiohttp, which serves the watches:
a bind and its event are one small request each, thousands of times, and there its client takes most of the CPU time
of a pod (measured: 170 microseconds a request, here 60). What it does besides is not needed: redirects, cookies,
compression, streaming, forms, tracing.

:class:`Parser` is strict: whatever is not plainly one complete answer is :class:`Garbled`, the connection is cut, and
the caller is told that nobody knows what became of the request. Rules: RFC 9112 (message framing in section 6).
"""

from __future__ import annotations

import asyncio
import enum
import functools
import re
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, cast

MOST_HEAD: Final = 1 << 16
"""Bytes of a status line with its headers, or of a line of the chunked encoding, at most."""
KEEP: Final = 60.0
"""Seconds after which a resting connection is not used any more. The API server closes it after 90: we are earlier, so
that no request meets the end."""

CLOSE: Final = 0.5
"""Seconds for an orderly end of all connections."""

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_TARGET: Final = re.compile(r"/[!-~]*")
_VALUE: Final = re.compile(r"[ -~\t]*")


class Garbled(Exception):  # noqa: N818 - named like its siblings in ``errors``
    """What came is no answer that can be relied on."""


class Answer(NamedTuple):
    """A complete answer.

    Attributes:
        headers: by name in lower case; of several of one name the values, joined by commas.
        kept: whether the connection may carry another request.
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    kept: bool


class _Next(enum.Enum):
    """What the parser waits for."""

    HEAD = enum.auto()
    SIZED = enum.auto()
    UNTIL_CLOSED = enum.auto()
    CHUNK_SIZE = enum.auto()
    CHUNK = enum.auto()
    CHUNK_END = enum.auto()
    TRAILER = enum.auto()
    NOTHING = enum.auto()


class Parser:
    """Takes the bytes of one answer, cut anywhere."""

    __slots__ = ("_headers", "_kept", "_left", "_next", "_pieces", "_rest", "_status")

    def __init__(self) -> None:
        self._next = _Next.HEAD
        self._rest = b""
        self._left = 0  # bytes of the body, or of the chunk, that have not come yet
        self._pieces: list[bytes] = []
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._kept = False

    def feed(self, data: bytes) -> Answer | None:
        """Take more bytes: the answer once it is complete.

        Raises:
            Garbled: this is no answer, or more than one.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        while at < len(data):
            match self._next:
                case _Next.SIZED | _Next.CHUNK:
                    piece = data[at : at + self._left]
                    self._pieces.append(piece)
                    at += len(piece)
                    self._left -= len(piece)
                    if not self._left:
                        self._next = _Next.CHUNK_END if self._next is _Next.CHUNK else _Next.NOTHING
                case _Next.UNTIL_CLOSED:
                    self._pieces.append(data[at:])
                    break
                case _Next.NOTHING:
                    raise Garbled("more was sent than asked for")
                case waiting:
                    mark = b"\r\n\r\n" if waiting is _Next.HEAD else b"\r\n"
                    end = data.find(mark, at)
                    if end - at > MOST_HEAD or (end < 0 and len(data) - at > MOST_HEAD):
                        raise Garbled("its headers have no end")
                    if end < 0:
                        self._rest = data[at:]
                        break
                    self._take(data[at:end])
                    at = end + len(mark)
        return self._answer() if self._next is _Next.NOTHING else None

    def end(self) -> Answer | None:
        """The connection was closed in order: the answer, where that is how its end is told."""
        return self._answer() if self._next is _Next.UNTIL_CLOSED else None

    def _answer(self) -> Answer:
        return Answer(self._status, self._headers, b"".join(self._pieces), self._kept)

    def _take(self, text: bytes) -> None:
        """A head, or a line of the chunked encoding, without its end."""
        match self._next:
            case _Next.HEAD:
                self._take_head(text)
            case _Next.CHUNK_SIZE:
                size = _SIZE.fullmatch(text)
                if size is None:
                    raise Garbled("a chunk has no size")
                self._left = int(size[1], 16)
                self._next = _Next.CHUNK if self._left else _Next.TRAILER
            case _Next.CHUNK_END:
                if text:
                    raise Garbled("a chunk is longer than it says")
                self._next = _Next.CHUNK_SIZE
            case _:
                if not text:
                    self._next = _Next.NOTHING

    def _take_head(self, head: bytes) -> None:
        line, *fields = head.split(b"\r\n")
        first = _STATUS_LINE.fullmatch(line)
        if first is None:
            raise Garbled("it does not speak HTTP/1.1")
        headers: dict[bytes, bytes] = {}
        for field in fields:
            found = _FIELD.fullmatch(field)
            if found is None:
                raise Garbled("a header cannot be understood")
            name, value = found[1].lower(), found[2]
            headers[name] = headers[name] + b", " + value if name in headers else value
        status = int(first[2])
        if 100 <= status < 200:
            if status == 101:
                raise Garbled("it changed the protocol")
            return  # the answer itself is still to come
        self._status, self._headers = status, headers
        self._next = self._framing(status, headers)
        closes = b"close" in headers.get(b"connection", b"").lower()
        self._kept = first[1] == b"1" and not closes and self._next is not _Next.UNTIL_CLOSED

    def _framing(self, status: int, headers: Mapping[bytes, bytes]) -> _Next:
        """How the end of the body is told."""
        encoding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
        if encoding is not None:
            if encoding.lower() != b"chunked" or length is not None:
                raise Garbled("the length of the answer is ambiguous")
            return _Next.CHUNK_SIZE
        if status in {204, 304}:
            return _Next.NOTHING
        if length is None:
            return _Next.UNTIL_CLOSED
        if not (length.isdigit() and len(length) <= 15):
            raise Garbled("the length of the answer is no number")
        self._left = int(length)
        return _Next.SIZED if self._left else _Next.NOTHING


class _Connection(asyncio.Protocol):
    """One connection; nothing is sent while an answer is awaited."""

    def __init__(self, ended: Callable[[_Connection], None]) -> None:
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._parser = Parser()
        self._waiter: asyncio.Future[Answer] | None = None
        self.rests_since = 0.0
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ask(self, message: bytes) -> asyncio.Future[Answer]:
        """Send a request; the answer comes once. Raises ConnectionResetError through it."""
        assert self._transport is not None
        self._parser = Parser()
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        return self._waiter

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
        if waiter is None or waiter.done():  # cancelled
            return
        if isinstance(result, Exception):
            waiter.set_exception(result)
        else:
            waiter.set_result(result)


class Pool:
    """Connections to one server.

    Args:
        server: base URL, without a slash at its end.
        tls: for ``https``.
        server_name: name to verify in the certificate, where it is not the host.
        headers: sent with every request.
        connections: open at most; more requests wait for their turn.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        server: str,
        *,
        tls: ssl.SSLContext | None,
        server_name: str | None,
        headers: Mapping[str, str],
        connections: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        url = urllib.parse.urlsplit(server)
        secure = url.scheme == "https"
        self._host = url.hostname or ""
        self._port = url.port or (443 if secure else 80)
        self._prefix = url.path
        self._tls = (tls or ssl.create_default_context()) if secure else None
        self._server_name = (server_name or self._host) if secure else None
        self._common = _fields([("Host", url.netloc.rpartition("@")[2]), *headers.items()])
        self._turns = asyncio.Semaphore(connections)
        self._clock = clock
        self._open: set[_Connection] = set()
        self._resting: list[_Connection] = []  # the one that was used last is taken first

    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, seconds: float
    ) -> Answer:
        """Send a request once.

        Args:
            method: for example ``POST``; not ``HEAD``.
            target: path below the server's URL, with the query; quoted where it must be.
            headers: besides those of every request and the length.
            body: what to send; None for nothing.
            seconds: for all of it.

        Raises:
            ValueError: the target or a header cannot be sent as it is.
            TimeoutError: no answer in time.
            OSError: no connection, or it was lost.
            Garbled: the answer cannot be understood.
        """
        if not _TARGET.fullmatch(target):
            raise ValueError(f"{target!r} is no path that can be asked for")
        length = f"Content-Length: {len(body)}\r\n" if body is not None else ""
        line = f"{method} {self._prefix}{target} HTTP/1.1\r\n"
        head = f"{line}{self._common}{_known_fields(tuple(headers.items()))}{length}\r\n".encode("ascii")
        async with asyncio.timeout(seconds), self._turns:
            connection = self._rested() or await self._connect()
            try:
                answer = await connection.ask(head + body if body else head)
            except (
                BaseException
            ):  # above all cancellation: the answer may still come, and must not meet another request
                connection.abort()
                raise
        if answer.kept:
            connection.rests_since = self._clock()
            self._resting.append(connection)
        else:
            connection.close()
        return answer

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
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self._open.discard),
            self._host,
            self._port,
            ssl=self._tls,
            server_hostname=self._server_name,
        )
        self._open.add(connection)
        return connection


def _fields(headers: Iterable[tuple[str, str]]) -> str:
    """Header lines. Raises ValueError for a value that would end its line."""
    lines = ""
    for name, value in headers:
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the header {name} cannot be sent as it is")
        lines += f"{name}: {value}\r\n"
    return lines


_known_fields = functools.lru_cache(maxsize=8)(_fields)
"""The headers of a request are the same as those of the one before, until the token is renewed."""
