"""A TCP forwarder in front of the API server that can be cut, closed and made to swallow answers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import urllib.parse
from typing import Self

from stowplan.kube import config


class Proxy:
    """Forwards bytes; use as ``async with Proxy(cluster) as wire`` and talk to ``wire.cluster``.

    Attributes:
        mute: answers are read and thrown away: the request gets through, its outcome does not.
    """

    def __init__(self, cluster: config.Cluster) -> None:
        target = urllib.parse.urlsplit(cluster.server)
        self._target = (target.hostname or "", target.port or 443)
        self._upstream = cluster
        self._server: asyncio.Server | None = None
        self._port = 0
        self._connections: set[asyncio.Task[None]] = set()
        self.mute = False

    @property
    def cluster(self) -> config.Cluster:
        return dataclasses.replace(self._upstream, server=f"https://127.0.0.1:{self._port}")

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Accept connections, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Cut all connections; new ones are accepted."""
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._copy(reader, upstream_writer, answers=False))
                    tasks.create_task(self._copy(upstream_reader, writer, answers=True))
            finally:
                upstream_writer.transport.abort()
                writer.transport.abort()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                if not (answers and self.mute):
                    target.write(data)
                    await target.drain()
        target.transport.abort()
