"""Nominated pods as they would be on their nodes, summed up by priority: what a pod must leave room for, for all nodes.

Kept by ``framework.nominations`` from the first time that somebody asks, and put in line with each promise that is
made or taken back. So what is promised to a thousand pods costs the next one a look at some arrays, and not a look at
each of the thousand. Some arrays per priority that pods are nominated with; clusters have a handful.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stowplan.framework.departures import Both, Departures, Named
from stowplan.model.pods import PodInfo

if TYPE_CHECKING:
    from stowplan.framework.snapshot import Snapshot


class Guests:
    """The nominated pods of one snapshot; those whose node is not known are left out.

    Args:
        nodes: the cluster; the rows of its nodes are taken as they are now, see ``fits``.
        guests: as they would be there, ``node_name`` included.
    """

    def __init__(self, nodes: Snapshot, guests: Iterable[PodInfo]) -> None:
        self._nodes = nodes
        self._shape = _shape(nodes)
        self._epoch = nodes.epoch
        self._levels: dict[int, Named] = {}
        self._sizes: collections.Counter[int] = collections.Counter()
        for each in guests:
            self.add(each)

    def fits(self, nodes: Snapshot) -> bool:
        """Whether it is about this snapshot, and no node or resource has come or gone since. If not, make it anew."""
        return nodes is self._nodes and self._shape == _shape(nodes)

    def add(self, guest: PodInfo) -> None:
        """A node is promised to a pod."""
        row = self._row(guest)
        if row is not None:
            level = self._levels.get(guest.priority)
            if level is None:
                level = self._levels[guest.priority] = Named(self._nodes)
            level.comes(guest, row)
            self._sizes[guest.priority] += 1

    def remove(self, guest: PodInfo) -> None:
        """The promise is over."""
        row = self._row(guest)
        if row is not None:
            self._levels[guest.priority].leaves(guest, row)
            self._sizes[guest.priority] -= 1
            if not self._sizes[guest.priority]:
                del self._sizes[guest.priority], self._levels[guest.priority]

    def coming(self, lowest: int, without: Iterable[PodInfo]) -> Departures | None:
        """Those of a priority or a higher one, but for some, as pods that come; None where there are none.

        To be used before anything is promised or taken back.
        """
        self._forget_counts()
        found: Departures | None = None
        for priority, level in self._levels.items():
            if priority >= lowest:
                found = level if found is None else Both(found, level)
        others = Named(self._nodes)
        some = False
        for each in without if found is not None else ():
            row = self._row(each)
            if row is not None and each.priority >= lowest:
                others.leaves(each, row)
                some = True
        return Both(found, others) if found is not None and some else found

    def differs(self, fresh: Guests) -> bool:
        """Whether it is not what was counted anew, for ``Snapshot.check``."""
        self._forget_counts()
        return self._levels.keys() != fresh._levels.keys() or any(
            level.differs(fresh._levels[priority]) for priority, level in self._levels.items()
        )

    def _forget_counts(self) -> None:
        """Where what predicates read besides pods may have changed."""
        if self._epoch is not self._nodes.epoch:
            self._epoch = self._nodes.epoch
            for level in self._levels.values():
                level.forget_counts()

    def _row(self, guest: PodInfo) -> int | None:
        """None also where the rows are others by now: nothing of this is used any more then."""
        return self._nodes.row_of.get(guest.node_name) if self._shape == _shape(self._nodes) else None


def _shape(nodes: Snapshot) -> tuple[int, int]:
    return nodes.layout, len(nodes.resources)
