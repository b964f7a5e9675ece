"""A TCP forwarder in front of the API server that can be cut, closed and made to swallow answers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import urllib.parse
from typing import Self

from stowplan.kube import config


class Proxy:
    """Forwards bytes; use as ``async with Proxy(cluster) as wire`` and talk to ``wire.cluster``.

    It accepts by itself: ``asyncio.Server`` forgets the sockets that it has accepted but not yet told of when it is
    closed, and every test that cuts connections would leave one now and then.

    Attributes:
        mute: answers are read and thrown away: the request gets through, its outcome does not.
    """

    def __init__(self, cluster: config.Cluster) -> None:
        target = urllib.parse.urlsplit(cluster.server)
        self._target = (target.hostname or "", target.port or 443)
        self._upstream = cluster
        self._listener: socket.socket | None = None
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
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def close(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await self.cut()

    async def cut(self) -> None:
        """Cut all connections; new ones are accepted."""
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # a transport that was aborted closes its socket in the next turn of the loop

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it went away before we came to it
            client, _ = listener.accept()
            client.setblocking(False)
            task = asyncio.create_task(self._serve(client))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
            task.add_done_callback(lambda _: client.close())  # also of a task that was cut before its first step

    async def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(sock=client)
            try:
                await self._forward(reader, writer)
            finally:
                writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._copy(reader, upstream_writer, answers=False))
                tasks.create_task(self._copy(upstream_reader, writer, answers=True))
        finally:
            upstream_writer.transport.abort()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                if not (answers and self.mute):
                    target.write(data)
                    await target.drain()
        target.transport.abort()
