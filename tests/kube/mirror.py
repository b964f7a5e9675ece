"""A reader of a reflector, which must at all times be able to say what the world looks like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from stowplan.kube import session
from stowplan.kube.ledger import Change, Event
from stowplan.kube.resources import Resource
from stowplan.model.objects import KubeObject

CONFIG_MAPS: Resource[KubeObject] = Resource(kind="ConfigMap", plural="configmaps", type=KubeObject)


class Mirror:
    """Applies events strictly: an event that does not fit what was told before is a failure."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.uids: dict[str, str] = {}
        self.log: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    def take(self, events: Sequence[Event[Any]]) -> None:
        for event in events:
            self.log.append((event.change.name, event.key))
            if event.change is Change.DELETED:
                assert self.uids.pop(event.key) == event.uid
                del self.objects[event.key]
                continue
            assert (event.key in self.uids) == (event.change is Change.MODIFIED)
            assert self.uids.setdefault(event.key, event.uid) == event.uid
            self.objects[event.key] = event.object
        self._changed.set()

    @property
    def versions(self) -> dict[str, tuple[str, str]]:
        return {key: (one.metadata.uid, one.metadata.resource_version) for key, one in self.objects.items()}

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


async def truth(api: session.Api, namespace: str) -> dict[str, tuple[str, str]]:
    """Uid and version of every ConfigMap, as the API server lists them."""
    listed = await api.get(CONFIG_MAPS.path(namespace), dict[str, Any])
    metas = [item["metadata"] for item in listed["items"]]
    return {f"{namespace}/{meta['name']}": (meta["uid"], meta["resourceVersion"]) for meta in metas}
