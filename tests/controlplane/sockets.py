"""The sockets of an aiohttp session, to wait for until the last one is closed.

aiohttp does not wait for a connection that it has cast off (that of a watch which was broken off) while TLS says
goodbye on it. When the event loop is gone by then, Python tells of it in whatever test runs next.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import aiohttp


class Sockets:
    """Makes the sockets of a session: `TCPConnector(socket_factory=sockets.make)`."""

    def __init__(self) -> None:
        self._made: list[socket.socket] = []

    def make(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for an address."""
        family, kind, protocol, _, _ = address
        self._made.append(socket.socket(family, kind, protocol))
        return self._made[-1]

    async def gone(self) -> None:
        """Return when none is left; the session has been closed."""
        for each in self._made:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        while any(each.fileno() != -1 for each in self._made):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
