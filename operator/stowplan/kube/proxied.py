"""Requests and watches through a proxy: what a kubeconfig's ``proxy-url`` asks for.

``session.Api`` uses this, in place of ``http`` and ``streams``, where there is a proxy. Rare and never in a cluster, so
aiohttp does it: it knows how to talk to proxies, and its cost matters to nobody there.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping

import aiohttp
import yarl

from stowplan.kube import config, http
from stowplan.kube.answers import Answer

CONNECT = 30.0


class Session:
    """Connections through the proxy of a cluster.

    Args:
        cluster: where and who.
        headers: sent with every request.
        connections: open at most.
    """

    def __init__(self, cluster: config.Cluster, *, headers: Mapping[str, str], connections: int) -> None:
        self._cluster = cluster
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=cluster.tls or True, keepalive_timeout=http.KEEP),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            read_bufsize=1 << 18,
        )

    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, seconds: float
    ) -> Answer:
        """As ``http.Pool.send``. Raises TimeoutError, OSError."""
        limit = aiohttp.ClientTimeout(total=seconds)
        with _as_os_error():
            async with self._open(method, target, headers=headers, body=body, limit=limit) as response:
                found = {name.lower().encode(): value.encode() for name, value in response.headers.items()}
                return Answer(response.status, found, await response.read(), kept=True)

    @contextlib.asynccontextmanager
    async def opened(
        self, target: str, *, headers: Mapping[str, str], idle: float
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """As ``streams.opened``. Raises TimeoutError, OSError."""
        limit = aiohttp.ClientTimeout(total=None, connect=CONNECT, sock_connect=CONNECT, sock_read=idle)
        with _as_os_error():
            async with self._open("GET", target, headers=headers, body=None, limit=limit) as response:
                yield response.status, response.content.iter_any()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _open(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, limit: aiohttp.ClientTimeout
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(
            method,
            yarl.URL(f"{self._cluster.server}{target}", encoded=True),
            data=body,
            headers=headers,
            timeout=limit,
            server_hostname=self._cluster.server_name,
            proxy=self._cluster.proxy,
            allow_redirects=False,
        )


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Raises what aiohttp raises as what it is: an OSError, with the number where there is one."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise error.certificate_error from error
    except aiohttp.ClientConnectorError as error:
        raise error.os_error from error
    except aiohttp.ClientError as error:
        if isinstance(error, OSError):
            raise
        raise ConnectionError(str(error) or type(error).__name__) from error
