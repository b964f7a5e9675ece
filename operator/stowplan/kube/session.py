"""Requests to the API server: one connection pool, typed answers, errors of ours.

Everything in this package, the handlers and the command line talk through ``Api``: bytes in, bytes out, decoded by
msgspec straight into the type that the caller names (kubernetes_asyncio's models cost 50 to 100 times as much per
object). Beneath it is ``http`` (and ``streams``, for watches), or ``proxied`` where there is a proxy.

What is sent again: a request that the server turned away before it did anything (429, 503 with Retry-After, and 401
once with a fresh credential) whatever its method; after another 5xx, a timeout or a lost connection only what may be
repeated without harm: GET, PUT (its resourceVersion guards it), DELETE with a uid, and what the caller says.
Everybody else learns at once that nobody knows what became of the request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from typing import Final, Protocol, Self, TypeVar

import msgspec

from stowplan import __version__
from stowplan.errors import ApiError, ApiUnreachable, Conflict, Gone, NotFound
from stowplan.kube import config, http, pacing, proxied, resources
from stowplan.kube.answers import Answer, Garbled
from stowplan.kube.endpoint import Endpoint

T = TypeVar("T")

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

_ERRORS: Final[dict[int, type[ApiError]]] = {404: NotFound, 409: Conflict, 410: Gone}
_LOST: Final = (Garbled, OSError, TimeoutError)
_LONGEST_WAIT: Final = 30.0


class StatusDetails(msgspec.Struct, rename="camel"):
    """``metav1.StatusDetails``, reduced."""

    retry_after_seconds: int = 0


class Status(msgspec.Struct):
    """``metav1.Status``: the API server's word on a failure."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


def error_of(status: Status) -> ApiError:
    """The exception for a failure status; its text is one line."""
    message = " ".join(status.message.split())
    return _ERRORS.get(status.code, ApiError)(status.code, status.reason, message)


class RequestObserver(Protocol):
    """Told of every request, each time that it is sent."""

    def __call__(self, method: str, resource: str, code: int | None, seconds: float, /) -> None:
        """It was answered; a watch is answered when it is established.

        Args:
            method: the HTTP method.
            resource: as ``resources.named`` tells it.
            code: the HTTP status; None where no answer came.
            seconds: from the request to its answer.
        """


def _unobserved(method: str, resource: str, code: int | None, seconds: float, /) -> None:
    """Nobody counts."""


class Api:
    """A connection pool to one API server; use as ``async with Api(cluster) as api``.

    Args:
        cluster: where and who, from ``config.load``.
        timeout: seconds for one attempt of a request, unless the call says otherwise.
        attempts: how often a request is sent at most.
        connections: requests in flight at most; more wait for their turn.
        qps: client-side limit in requests per second; 0 is unlimited (the server's own fairness rules).
        user_agent: how we appear in audit logs.
        observe: told of every request.
    """

    def __init__(
        self,
        cluster: config.Cluster,
        *,
        timeout: float = 30.0,
        attempts: int = 4,
        connections: int = 200,
        qps: float = 0.0,
        user_agent: str = f"stowplan/{__version__}",
        observe: RequestObserver = _unobserved,
    ) -> None:
        self._cluster = cluster
        self._seconds = timeout
        self._attempts = attempts
        self._connections = connections
        self._limiter = pacing.Limiter(rate=qps, burst=max(1, int(qps)))
        self._observe = observe
        # Compressed lists cost both sides more CPU than a local network is worth.
        self._headers = {"Accept": JSON, "Accept-Encoding": "identity", "User-Agent": user_agent}
        self._transport: http.Pool | proxied.Session | None = None

    @property
    def server(self) -> str:
        """The API server's base URL."""
        return self._cluster.server

    async def __aenter__(self) -> Self:
        cluster = self._cluster
        if cluster.proxy is None:
            endpoint = Endpoint(cluster.server, tls=cluster.tls, server_name=cluster.server_name, headers=self._headers)
            self._transport = http.Pool(endpoint, connections=self._connections)
        else:
            self._transport = proxied.Session(cluster, headers=self._headers, connections=self._connections)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    # ------------------------------------------------------------ verbs

    async def get(
        self, path: str, kind: type[T], *, params: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> T:
        """Read one object (or any document) as ``kind``; ``msgspec.Raw`` for its bytes.

        Raises:
            NotFound, ApiError: the server's answer.
            ApiUnreachable: no answer.
        """
        return _decoded(await self.request("GET", path, params=params, seconds=seconds, repeat=True), kind)

    async def post(
        self, path: str, body: object, kind: type[T], *, seconds: float | None = None, repeat: bool = False
    ) -> T:
        """Create; ``body`` is anything msgspec encodes, or bytes. Raises like ``get``, and Conflict."""
        return _decoded(await self.request("POST", path, body=body, seconds=seconds, repeat=repeat), kind)

    async def put(
        self, path: str, body: object, kind: type[T], *, seconds: float | None = None, repeat: bool = True
    ) -> T:
        """Replace; Conflict when the body's resourceVersion is not the current one."""
        return _decoded(await self.request("PUT", path, body=body, seconds=seconds, repeat=repeat), kind)

    async def patch(
        self,
        path: str,
        body: object,
        kind: type[T],
        *,
        content_type: str = MERGE_PATCH,
        params: Mapping[str, str] | None = None,
        seconds: float | None = None,
        repeat: bool = False,
    ) -> T:
        """Change a part; a resourceVersion or uid in the body is a precondition (Conflict)."""
        answer = await self.request(
            "PATCH", path, body=body, content_type=content_type, params=params, seconds=seconds, repeat=repeat
        )
        return _decoded(answer, kind)

    async def delete(
        self,
        path: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_seconds: int | None = None,
        propagation: str | None = None,
        seconds: float | None = None,
    ) -> None:
        """Delete; with ``uid`` only that very object, whatever has taken its name since (Conflict).

        Raises:
            NotFound: there is none.
            Conflict: a precondition does not hold.
        """
        wanted = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {name: value for name, value in wanted.items() if value is not None}
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions or None,
            "gracePeriodSeconds": grace_seconds,
            "propagationPolicy": propagation,
        }
        body = {name: value for name, value in options.items() if value is not None}
        await self.request("DELETE", path, body=body, seconds=seconds, repeat=uid is not None)

    # ------------------------------------------------------------ transport

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: object | None = None,
        content_type: str = JSON,
        params: Mapping[str, str] | None = None,
        seconds: float | None = None,
        repeat: bool = False,
        attempts: int | None = None,
    ) -> bytes:
        """Send a request, again where that is safe (see the module), and return the body of its success.

        Args:
            method: the HTTP method.
            path: path below the server's URL, of names that need no quoting.
            body: bytes as they are, anything else encoded as JSON.
            content_type: of the body.
            params: the query.
            seconds: for one attempt, instead of the default timeout.
            repeat: repeating the request after an unknown outcome does no harm.
            attempts: how often it is sent at most, instead of the session's number.

        Raises:
            ApiError: the answer was a failure (NotFound, Conflict, Gone for 404, 409, 410).
            ApiUnreachable: there was no answer.
        """
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        limit = self._seconds if seconds is None else seconds
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        pause: pacing.Backoff | None = None
        renewed = False
        most = self._attempts if attempts is None else attempts
        for attempt in range(1, most + 1):
            last = attempt == most
            await self._limiter.wait()
            try:
                answer = await self._send(method, f"{path}{query}", data=data, content_type=content_type, seconds=limit)
            except _LOST as error:
                if last or not repeat:
                    raise self._unreachable(error, limit) from error
                pause = pause or pacing.Backoff()
                await asyncio.sleep(pause.delay())
                continue
            status = answer.status
            if status < 400:
                return answer.body
            pause = pause or pacing.Backoff()
            wait = _retry_after(answer)
            if status == 401 and not renewed and await self._cluster.credentials.refused():
                renewed = True
            elif not last and (status in {429, 503} and wait is not None):
                await asyncio.sleep(max(wait, pause.delay()))
            elif not last and repeat and (status >= 500 or status == 429):
                await asyncio.sleep(pause.delay())
            else:
                raise _failure(status, answer.body)
        raise _failure(status, answer.body)

    async def _send(self, method: str, target: str, *, data: bytes | None, content_type: str, seconds: float) -> Answer:
        """Send it once."""
        headers = self._headers_for(data, content_type)
        started = time.monotonic()
        code: int | None = None
        try:
            answer = await self._open.send(method, target, headers=headers, body=data, seconds=seconds)
            code = answer.status
            return answer
        finally:
            self._observe(method, resources.named(target), code, time.monotonic() - started)

    @contextlib.asynccontextmanager
    async def stream(self, path: str, *, params: Mapping[str, str], idle: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a long answer (a watch) and give its bytes as they arrive, in chunks of any size.

        Args:
            path: as for ``request``.
            params: the query.
            idle: seconds of silence after which the connection counts as lost.

        Raises:
            ApiError: the server refused.
            ApiUnreachable: no connection, or it broke (from the iterator, too).
        """
        await self._limiter.wait()
        target = f"{path}?{urllib.parse.urlencode(params)}"
        headers = self._headers_for(None, JSON)
        started = time.monotonic()
        code: int | None = None
        try:
            async with self._open.opened(target, headers=headers, idle=idle) as (code, chunks):
                self._observe("GET", resources.named(path), code, time.monotonic() - started)
                if code >= 400:
                    if code == 401:
                        await self._cluster.credentials.refused()
                    raise _failure(code, b"".join([chunk async for chunk in chunks]))
                yield chunks
        except _LOST as error:
            if code is None:
                self._observe("GET", resources.named(path), None, time.monotonic() - started)
            raise self._unreachable(error, idle) from error

    @property
    def _open(self) -> http.Pool | proxied.Session:
        if self._transport is None:
            raise RuntimeError("Api is used outside `async with`")
        return self._transport

    def _headers_for(self, data: bytes | None, content_type: str) -> dict[str, str]:
        headers = {}
        if (authorization := self._cluster.credentials.header()) is not None:
            headers["Authorization"] = authorization
        if data is not None:
            headers["Content-Type"] = content_type
        return headers

    def _unreachable(self, error: BaseException, seconds: float | None) -> ApiUnreachable:
        return ApiUnreachable(f"the API server {self.server} cannot be reached: {_why(error, seconds)}")


def _why(error: BaseException, seconds: float | None) -> str:
    if isinstance(error, TimeoutError) and seconds:
        return f"no answer within {seconds:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error})"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return " ".join(str(error).split()) or type(error).__name__


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise ApiError(200, "InvalidAnswer", f"the API server's answer cannot be understood: {error}") from error


def _retry_after(answer: Answer) -> float | None:
    value = answer.headers.get(b"retry-after", b"")
    return min(float(value), _LONGEST_WAIT) if value.isdigit() else None


def _failure(code: int, body: bytes) -> ApiError:
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:  # a proxy's page, or plain text
        status = Status(message=body[:200].decode(errors="replace"))
    status.code = code
    if not status.message:
        status.message = f"HTTP {code} {status.reason}".strip()
    return error_of(status)
