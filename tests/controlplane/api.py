"""A small REST client for tests: JSON in, JSON out, and waiting for a state.

Not the product's client on purpose: a test must not check a defect with the same defect. Paths are those of the
Kubernetes API (`/api/v1/namespaces/x/pods/y`); `path_of` makes them from a manifest.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TypeVar

import aiohttp
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import Manifest
from tests.controlplane.sockets import Sockets

T = TypeVar("T")

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_FOREVER = aiohttp.ClientTimeout(total=None, connect=10)
_PLURALS = {"Endpoints": "endpoints"}


class ApiFailure(Exception):  # noqa: N818
    """The API server said no: `status` is the HTTP status, `reason` the word of the Status object."""

    def __init__(self, request: str, status: int, reason: str, message: str) -> None:
        super().__init__(f"{request}: {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class Api:
    """A connection to one API server as one user. Use as `async with plane.api() as api:`."""

    def __init__(self, server: str, *, ca: str, token: str | None, connections: int = 32) -> None:
        self._server = server
        self._ca = ca
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._sockets = Sockets()

    async def __aenter__(self) -> Api:
        connector = aiohttp.TCPConnector(
            ssl=ssl.create_default_context(cadata=self._ca), limit=self._connections, socket_factory=self._sockets.make
        )
        self._session = aiohttp.ClientSession(
            self._server, connector=connector, headers=self._headers, timeout=aiohttp.ClientTimeout(total=30)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Return when no socket is left."""
        if self._session is not None:
            await self._session.close()
        await self._sockets.gone()

    async def request(
        self, method: str, path: str, body: Manifest | list[Manifest] | None = None, *,
        content_type: str = "application/json", query: Mapping[str, str] | None = None,
    ) -> Manifest:  # fmt: skip
        """Send one request and return the JSON of the answer.

        Raises:
            ApiFailure: any status from 400 on.
        """
        assert self._session is not None, "use `async with`"
        data = None if body is None else json.dumps(body)
        async with self._session.request(
            method, path, data=data, params=query, headers={"Content-Type": content_type}
        ) as response:
            text = await response.text()
        if response.status >= 400:
            status: Manifest = json.loads(text) if text.startswith("{") else {"message": text.strip()}
            raise ApiFailure(f"{method} {path}", response.status, status.get("reason", ""), status.get("message", ""))
        answer: Manifest = json.loads(text) if text.startswith("{") else {"text": text}
        return answer

    async def get(self, path: str) -> Manifest:
        """Read one object."""
        return await self.request("GET", path)

    async def list(self, path: str, **query: str) -> list[Manifest]:
        """Read a collection: `await api.list("/api/v1/pods", labelSelector="app=x")`."""
        items: list[Manifest] = (await self.request("GET", path, query=query)).get("items", [])
        return items

    async def create(self, manifest: Manifest) -> Manifest:
        """Create the object; its namespace is the one in its metadata."""
        return await self.request("POST", path_of(manifest, collection=True), manifest)

    async def apply(self, manifest: Manifest) -> Manifest:
        """Create or change the object by server-side apply."""
        query = {"fieldManager": "tests", "force": "true"}
        return await self.request("PATCH", path_of(manifest), manifest, content_type=APPLY, query=query)

    async def patch(self, path: str, body: Manifest, *, content_type: str = MERGE) -> Manifest:
        """Patch the object: a merge patch unless told."""
        return await self.request("PATCH", path, body, content_type=content_type)

    async def delete(self, path: str, *, missing_ok: bool = True, **options: int | str) -> None:
        """Delete the object or the whole collection; `options` are DeleteOptions (gracePeriodSeconds=0)."""
        try:
            await self.request("DELETE", path, dict(options))
        except ApiFailure as failure:
            if failure.status != 404 or not missing_ok:
                raise

    async def watch(self, path: str, resource_version: str) -> AsyncIterator[Manifest]:
        """Yield the events `{"type": "ADDED", "object": {...}}` of a collection after a version, until it is closed.

        Raises:
            ApiFailure: the API server ends the watch with an error, such as 410 for a version that is too old.
        """
        assert self._session is not None, "use `async with`"
        query = {"watch": "true", "resourceVersion": resource_version}
        async with self._session.get(path, params=query, timeout=_FOREVER, read_bufsize=2**20) as response:
            if response.status >= 400:
                raise ApiFailure(f"WATCH {path}", response.status, "", await response.text())
            async for line in response.content:
                event: Manifest = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiFailure(f"WATCH {path}", status["code"], status["reason"], status["message"])
                yield event

    async def wait(
        self, path: str, until: Callable[[Manifest], bool], *, within: float = 20, what: str = ""
    ) -> Manifest:
        """Return the object as soon as `until(object)` holds. An object that is not there yet is waited for."""
        seen: Manifest = {}

        async def look() -> Manifest | None:
            nonlocal seen
            try:
                seen = await self.get(path)
            except ApiFailure as failure:
                if failure.status != 404:
                    raise
                return None
            return seen if until(seen) else None

        try:
            return await wait_until(look, what=what or path, within=within)
        except ControlPlaneError as error:
            raise ControlPlaneError(f"{error}; last seen: {json.dumps(seen)[:3000]}") from None

    async def wait_each(
        self, path: str, names: Iterable[str], until: Callable[[Manifest], bool], *, within: float = 20
    ) -> None:
        """Return as soon as `until(object)` has held for each of the named objects of a collection, by watching it.

        For thousands of objects, which `wait` would read again and again.
        """
        missing = set(names)
        try:
            async with asyncio.timeout(within):
                answer = await self.get(path)
                missing -= {item["metadata"]["name"] for item in answer["items"] if until(item)}
                if not missing:
                    return
                async for event in self.watch(path, answer["metadata"]["resourceVersion"]):
                    if event["type"] != "DELETED" and until(event["object"]):
                        missing.discard(event["object"]["metadata"]["name"])
                    if not missing:
                        return
        except TimeoutError:
            some = ", ".join(sorted(missing)[:3])
            raise ControlPlaneError(f"waited {within:g} s in vain for {len(missing)} of {path}: {some}") from None

    async def wait_gone(self, path: str, *, within: float = 20) -> None:
        """Return as soon as there is no such object."""

        async def gone() -> bool | None:
            try:
                await self.get(path)
            except ApiFailure as failure:
                if failure.status == 404:
                    return True
                raise
            return None

        await wait_until(gone, what=f"{path} to be gone", within=within)


async def wait_until(look: Callable[[], Awaitable[T | None]], *, what: str, within: float = 20) -> T:
    """Call `look` until it gives something else than None, and return that.

    Raises:
        ControlPlaneError: it has not `within` so many seconds; the message names `what`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        found = await look()
        if found is not None:
            return found
        if loop.time() > deadline:
            raise ControlPlaneError(f"waited {within:g} s in vain for {what}")
        await asyncio.sleep(0.05)


def path_of(manifest: Manifest, *, collection: bool = False) -> str:
    """API path of an object, or of the collection that it is created in."""
    version: str = manifest["apiVersion"]
    namespace = manifest["metadata"].get("namespace")
    parts = ["/apis" if "/" in version else "/api", version]
    if namespace:
        parts += ["namespaces", namespace]
    parts.append(_plural(manifest["kind"]))
    if not collection:
        parts.append(manifest["metadata"]["name"])
    return "/".join(parts)


def _plural(kind: str) -> str:
    if kind in _PLURALS:
        return _PLURALS[kind]
    word = kind.lower()
    if word.endswith(("s", "x", "ch")):
        return f"{word}es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


def condition(manifest: Manifest, kind: str) -> str | None:
    """Status ("True", "False", "Unknown") of a condition of an object, None where it has none."""
    conditions = manifest.get("status", {}).get("conditions", [])
    return next((each["status"] for each in conditions if each["type"] == kind), None)
