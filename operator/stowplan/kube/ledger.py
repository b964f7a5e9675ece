"""What a reflector has told its reader so far, so that lists and watches become one gapless story.

A watch can end and its resource version be forgotten by the server; then everything is listed anew. The ledger
compares: it turns listed and watched objects into the changes that the reader has not heard of. Whatever comes in, in
whatever order, the reader sees for each key ADDED, then any number of MODIFIED, then DELETED; an object that was
deleted and made again under its old name while nobody looked is DELETED, then ADDED.

Pure: ``reflector`` feeds it. It keeps uid and resource version of each object, not the object (its reader does).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Generic, TypeVar

import msgspec

from stowplan.model import objects

K = TypeVar("K", bound=objects.KubeObject)


class Change(Enum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Event(msgspec.Struct, Generic[K], frozen=True, gc=False):
    """One change.

    Attributes:
        change: what happened.
        key: ``namespace/name`` or ``name``.
        uid: of the object that was added, changed or deleted.
        object: as it is now; for DELETED its last state, or None where that was not seen.
    """

    change: Change
    key: str
    uid: str
    object: K | None


class Ledger(Generic[K]):
    """The keys, uids and versions that the reader knows."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}
        self._listed: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def begin(self) -> None:
        """A full list starts."""
        self._listed = set()

    def page(self, items: Iterable[K], unreadable: Iterable[str] = ()) -> list[Event[K]]:
        """Take a part of the list; keys of ``unreadable`` objects exist, and keep the state last told."""
        events: list[Event[K]] = []
        for item in items:
            key = item.key
            self._listed.add(key)
            if self._known.get(key) != (item.metadata.uid, item.metadata.resource_version):
                self._put(events, key, item)
        self._listed.update(unreadable)
        return events

    def end(self) -> list[Event[K]]:
        """The list is complete: what it did not hold is gone."""
        gone = self._known.keys() - self._listed
        self._listed = set()
        return [self._drop(key, None) for key in sorted(gone)]

    def put(self, item: K) -> list[Event[K]]:
        """The watch says that the object was added or changed."""
        events: list[Event[K]] = []
        self._put(events, item.key, item)
        return events

    def remove(self, key: str, item: K | None) -> list[Event[K]]:
        """The watch says that the object was deleted; ``item`` is its last state."""
        return [self._drop(key, item)] if key in self._known else []

    def _put(self, events: list[Event[K]], key: str, item: K) -> None:
        meta = item.metadata
        known = self._known.get(key)
        if known is not None and known[0] != meta.uid:
            events.append(self._drop(key, None))
            known = None
        self._known[key] = (meta.uid, meta.resource_version)
        events.append(Event(Change.ADDED if known is None else Change.MODIFIED, key, meta.uid, item))

    def _drop(self, key: str, item: K | None) -> Event[K]:
        uid, _ = self._known.pop(key)
        return Event(Change.DELETED, key, uid, item if item is not None and item.metadata.uid == uid else None)
