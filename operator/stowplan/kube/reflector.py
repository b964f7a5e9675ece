"""Keeps a reader told of every object of one kind: list, then watch, for ever.

The scheduling loop runs one per watched kind. Why not ``kubernetes_asyncio.watch``: it decodes every object into a
model, repeats an expired resource version once and then raises, and never says what vanished meanwhile.

Semantics follow client-go's reflector (k8s.io/client-go v0.36.3 ``tools/cache/reflector.go``): paged list, watch from
its version with bookmarks and a random timeout of 5 to 10 minutes, go on from the last version after an interruption,
list again when that version has expired (410, as an event or as the answer). Deliberately different: a list asks for
the newest state, never for any cached one (``resourceVersion=0``), so time cannot run backwards behind a load
balancer; and bytes must arrive within ``IDLE`` seconds (the server sends a bookmark a minute), which replaces HTTP/2
pings.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec
import structlog

from stowplan.errors import ApiError, ApiUnreachable, Gone, StowplanError
from stowplan.kube import pacing, session, wire
from stowplan.kube.ledger import Event, Ledger
from stowplan.kube.resources import Resource
from stowplan.model import objects

K = TypeVar("K", bound=objects.KubeObject)
OnEvents = Callable[[list[Event[K]]], None]

PAGE: Final = 500
IDLE: Final = 150.0
WATCH_SECONDS: Final = (300, 600)
LIST_SECONDS: Final = 60.0

log = structlog.get_logger(__name__)


class Reflector(Generic[K]):
    """List and watch one kind, and report what changes.

    Args:
        api: where to ask.
        resource: what to ask for.
        on_events: called in the event loop with one or more changes in their order; must not raise.
        namespace: only this one; empty for all.
        field_selector: as in the API, for example ``status.phase!=Succeeded,status.phase!=Failed``.
        label_selector: as in the API.
        page: objects per page of a list.
        clock: seconds, monotonic.
        chance: for jitter.

    Attributes:
        synced: set once the first complete list has been reported.
        last_activity: ``clock()`` when the API server was last heard; grows old when something is wrong.
        error: the last failure, until the API server is heard again.
    """

    def __init__(
        self,
        api: session.Api,
        resource: Resource[K],
        on_events: OnEvents[K],
        *,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
        page: int = PAGE,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._api = api
        self._resource = resource
        self._on_events = on_events
        self._path = resource.path(namespace)
        selectors = {"fieldSelector": field_selector, "labelSelector": label_selector}
        self._selectors = {name: value for name, value in selectors.items() if value}
        self._page = page
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 -- jitter
        self._codec = wire.Codec(resource.kind, resource.type)
        self._ledger: Ledger[K] = Ledger()
        self._backoff = pacing.Backoff(first=0.2, most=15.0, chance=self._chance)
        self._version = ""  # empty: list before watching
        self.synced = asyncio.Event()
        self.last_activity = clock()
        self.error: StowplanError | None = None

    @property
    def kind(self) -> str:
        """The kind that is watched."""
        return self._resource.kind

    def __len__(self) -> int:
        """Objects that exist as far as we know."""
        return len(self._ledger)

    async def run(self) -> None:
        """List and watch until cancelled; failures are logged once, kept in ``error`` and retried."""
        while True:
            try:
                if not self._version:
                    await self._list()
                if await self._watch():
                    continue
            except Gone as error:
                log.info("resource version expired", kind=self.kind, version=self._version)
                self._version, self.error = "", error
            except (ApiError, ApiUnreachable) as error:
                tell = log.debug if str(error) == str(self.error) else log.warning  # once until it is heard again
                tell("watch interrupted", kind=self.kind, error=str(error))
                self.error = error
            except msgspec.DecodeError as error:
                log.warning("watch garbled", kind=self.kind, error=str(error))
                self._version = ""
            await asyncio.sleep(self._backoff.delay())

    # ------------------------------------------------------------ list

    async def _list(self) -> None:
        started = self._clock()
        self._ledger.begin()
        limit, token = self._page, ""
        asked = self._ask(limit, token)
        try:
            while True:
                try:
                    data = await asked
                except Gone:
                    if not token:
                        raise
                    # The pages' snapshot expired before we had them all: all at once, then.
                    limit, token = 0, ""
                    self._ledger.begin()
                    asked = self._ask(limit, token)
                    continue
                token = wire.continuation(data)
                if token:
                    asked = self._ask(limit, token)
                    await asyncio.sleep(0)  # the next page is on its way while this one is read and reported
                page = self._codec.page(data)
                self._heard()
                if not token and (token := page.metadata.continue_):
                    asked = self._ask(limit, token)
                    await asyncio.sleep(0)
                self._report_bad(page.bad)
                self._report(self._ledger.page(page.items, [bad.key for bad in page.bad]))
                if not token:
                    break
        finally:
            asked.cancel()
        self._report(self._ledger.end())
        self._version = page.metadata.resource_version
        self.synced.set()
        log.debug("listed", kind=self.kind, objects=len(self), seconds=round(self._clock() - started, 3))

    def _ask(self, limit: int, token: str) -> asyncio.Task[bytes]:
        """Send for a page."""
        params = {"limit": str(limit), **({"continue": token} if token else {}), **self._selectors}
        request = self._api.request("GET", self._path, params=params, seconds=LIST_SECONDS, repeat=True)
        return asyncio.get_running_loop().create_task(request)

    # ------------------------------------------------------------ watch

    async def _watch(self) -> bool:
        """Watch from the last version on until the server ends it; False when it ended without a word."""
        params = {
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self._chance.randint(*WATCH_SECONDS)),
            **self._selectors,
        }
        lines = wire.Lines()
        lively = False
        async with self._api.stream(self._path, params=params, idle=IDLE) as chunks:
            self._heard()
            async for chunk in chunks:
                self._heard()
                if whole := lines.feed(chunk):
                    self._backoff.reset()
                    lively = True
                    self._take(whole)
        return lively

    def _take(self, lines: bytes) -> None:
        told: list[Event[K]] = []
        try:
            for event in wire.events(lines):
                if event.type == wire.ERROR:
                    raise session.error_of(msgspec.json.decode(event.object, type=session.Status))
                told += self._change(event)
        finally:
            self._report(told)

    def _change(self, event: wire.WatchEvent) -> list[Event[K]]:
        if event.type == wire.BOOKMARK:
            self._version = wire.metadata(event.object).metadata.resource_version
            return []
        decoded = self._codec.object(event.object)
        deleted = event.type == wire.DELETED
        if isinstance(decoded, wire.Bad):
            self._version = decoded.version or self._version
            if deleted:
                return self._ledger.remove(decoded.key, None)
            self._report_bad([decoded])
            return []
        self._version = decoded.metadata.resource_version
        return self._ledger.remove(decoded.key, decoded) if deleted else self._ledger.put(decoded)

    # ------------------------------------------------------------ reporting

    def _heard(self) -> None:
        self.last_activity = self._clock()
        self.error = None

    def _report(self, events: list[Event[K]]) -> None:
        if events:
            self._on_events(events)

    def _report_bad(self, bad: list[wire.Bad]) -> None:
        for one in bad:
            log.error("object ignored", kind=self.kind, object=one.key, error=str(one.error))
