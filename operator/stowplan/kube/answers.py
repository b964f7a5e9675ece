"""Reads one HTTP/1.1 answer from bytes that are cut anywhere. Pure; used by ``http`` and ``streams``.

Strict: whatever is not plainly one answer is :class:`Garbled`. Then the connection is cut, and the caller is told that
nobody knows what became of the request. Rules: RFC 9112 (message framing in section 6).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

MOST_HEAD: Final = 1 << 16
"""Bytes of a status line with its headers, or of a line of the chunked encoding, at most."""
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\x00-\x08\x0a-\x1f\x7f]*)\r\n")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")


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

    @property
    def status(self) -> int:
        """The status once the headers are complete; 0 before."""
        return self._status

    @property
    def waiting(self) -> int:
        """Pieces of the body that have come and were not taken."""
        return len(self._pieces)

    def take(self) -> bytes:
        """What has come of the body and was not taken before; the answer will have the rest."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

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
        line, _, rest = head.partition(b"\r\n")
        first = _STATUS_LINE.fullmatch(line)
        if first is None:
            raise Garbled("it does not speak HTTP/1.1")
        headers = _headers(rest + b"\r\n") if rest else {}
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


def _headers(lines: bytes) -> dict[bytes, bytes]:
    """Header lines, each with its end; as many at once as there are. Raises Garbled."""
    fields = _FIELD.findall(lines)
    if sum(len(name) + len(value) + 3 for name, value in fields) != len(lines):  # something between them is none
        raise Garbled("a header cannot be understood")
    headers = {name.lower(): value.strip(b" \t") for name, value in fields}
    if len(headers) == len(fields):
        return headers
    several: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        several.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return {name: b", ".join(values) for name, values in several.items()}
