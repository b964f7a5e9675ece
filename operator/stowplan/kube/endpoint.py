"""A server: how to connect to it and what a request to it looks like. Used by ``http`` and ``streams``."""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

P = TypeVar("P", bound=asyncio.Protocol)

CLOSE: Final = 0.5
"""Seconds for an orderly end of connections."""

_TARGET: Final = re.compile(r"/[!-~]*")
_VALUE: Final = re.compile(r"[ -~\t]*")


class Endpoint:
    """A server: how to connect to it, and what requests to it look like.

    Args:
        server: base URL, without a slash at its end.
        tls: for ``https``.
        server_name: name to verify in the certificate, where it is not the host.
        headers: sent with every request.
    """

    def __init__(
        self, server: str, *, tls: ssl.SSLContext | None, server_name: str | None, headers: Mapping[str, str]
    ) -> None:
        url = urllib.parse.urlsplit(server)
        secure = url.scheme == "https"
        self._host = url.hostname or ""
        self._port = url.port or (443 if secure else 80)
        self._prefix = url.path
        self._tls = (tls or ssl.create_default_context()) if secure else None
        self._server_name = (server_name or self._host) if secure else None
        self._common = _fields([("Host", url.netloc.rpartition("@")[2]), *headers.items()])

    def message(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """A request.

        Args:
            method: for example ``POST``; not ``HEAD``.
            target: path below the server's URL, with the query; quoted where it must be.
            headers: besides those of every request and the length.
            body: what to send; None for nothing.

        Raises:
            ValueError: the target or a header cannot be sent as it is.
        """
        if not _TARGET.fullmatch(target):
            raise ValueError(f"{target!r} is no path that can be asked for")
        length = f"Content-Length: {len(body)}\r\n" if body is not None else ""
        line = f"{method} {self._prefix}{target} HTTP/1.1\r\n"
        head = f"{line}{self._common}{_known_fields(tuple(headers.items()))}{length}\r\n".encode("ascii")
        return head + body if body else head

    async def connect(self, protocol: Callable[[], P]) -> P:
        """Open a connection. Raises OSError."""
        _, connection = await asyncio.get_running_loop().create_connection(
            protocol, self._host, self._port, ssl=self._tls, server_hostname=self._server_name
        )
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
