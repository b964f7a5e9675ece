"""Pods that wait for a node that has been promised to them: ``status.nominatedNodeName``, and what follows from it.

Preemption promises a node to a pod as it evicts others from it, and the pod has no more than that promise until they
are gone. Meanwhile pods of the same or a lower priority must leave it its room: ``Framework.feasible`` counts it there
for them. Kept in memory from the moment of the decision, and put in line with what the API server shows:

- a nomination that the API shows anew, or no longer, counts;
- as long as it shows what it showed before our decision, our decision counts.

Source: kubernetes v1.36.3 ``pkg/scheduler/backend/queue/nominator.go``, where an update of the pod that comes before
the nomination is written may bring an older one back; here it does not.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from stowplan.framework.departures import Departures
from stowplan.framework.guests import Guests
from stowplan.model.pods import PodInfo

if TYPE_CHECKING:
    from stowplan.framework.snapshot import Snapshot


@dataclasses.dataclass(slots=True)
class _Nomination:
    """One pod's.

    Attributes:
        pod: as the queue has it.
        guest: the pod as it would be on the node.
        node: the node, or "" where the nomination was taken back and the API shows it still.
        shown: what the API showed last.
    """

    pod: PodInfo
    guest: PodInfo
    node: str
    shown: str


class Nominations:
    """Nominated pods by uid, by node, and summed up by priority."""

    def __init__(self) -> None:
        self._all: dict[str, _Nomination] = {}
        self._on: dict[str, dict[str, PodInfo]] = {}
        self._guests: Guests | None = None

    def __bool__(self) -> bool:
        return bool(self._on)

    def node_of(self, uid: str) -> str:
        """The node that is promised to a pod, or ""."""
        known = self._all.get(uid)
        return "" if known is None else known.node

    def uids(self, node: str) -> list[str]:
        """The pods that a node is promised to."""
        return list(self._on.get(node, ()))

    def nominate(self, pod: PodInfo, node: str) -> None:
        """Promises a node to a pod that was seen before; "" takes the promise back."""
        known = self._all.get(pod.uid)
        self._put(pod, node, pod.nominated if known is None else known.shown)

    def seen(self, pod: PodInfo) -> PodInfo | None:
        """The API server shows a pod that waits for a node.

        From now on ``pod.nominated`` is what counts.

        Returns:
            The pod as it would have been on a node that is no longer promised to it; None where there is none.
        """
        known = self._all.get(pod.uid)
        shown = pod.nominated
        node = shown if known is None or shown != known.shown else known.node
        if known is not None or node:
            self._put(pod, node, shown)
        return known.guest if known is not None and known.node not in ("", node) else None

    def remove(self, uid: str) -> PodInfo | None:
        """The pod has a node, or is gone; returns like :meth:`seen`."""
        known = self._all.pop(uid, None)
        if known is None or not known.node:
            return None
        self._leave(known.guest)
        return known.guest

    def coming(self, pod: PodInfo, nodes: Snapshot) -> Departures | None:
        """The nominated pods that a pod must leave room for, all of them, as pods that come; None where there are none.

        Those that have been given a node meanwhile, that one or another, are counted where they are. To be used before
        anything is promised or taken back.
        """
        if not self._on:
            return None
        if self._guests is None or not self._guests.fits(nodes):
            self._guests = self._counted(nodes)
        others = self._all.keys() & nodes.pods.keys()
        if pod.uid in self._all:
            others.add(pod.uid)
        return self._guests.coming(pod.priority, [self._all[uid].guest for uid in others])

    def rivals(self, pod: PodInfo, nodes: Snapshot, rows: Iterable[int]) -> Iterator[tuple[int, list[PodInfo]]]:
        """The same, one by one: those of the rows that have any, and these pods, as they would be there."""
        for row in rows:
            found = [
                each
                for each in self._on.get(nodes.name(row), {}).values()
                if each.priority >= pod.priority and each.uid != pod.uid and each.uid not in nodes.pods
            ]
            if found:
                yield row, found

    def differs(self, nodes: Snapshot) -> bool:
        """Whether what is kept is not what was counted anew, for ``Snapshot.check``."""
        return self._guests is not None and self._guests.fits(nodes) and self._guests.differs(self._counted(nodes))

    def lower(self, priority: int, node: str) -> list[PodInfo]:
        """The pods of a lower priority that are nominated to a node."""
        found = (self._all[uid].pod for uid in self._on.get(node, ()))
        return [each for each in found if each.priority < priority]

    def _counted(self, nodes: Snapshot) -> Guests:
        return Guests(nodes, (each for guests in self._on.values() for each in guests.values()))

    def _put(self, pod: PodInfo, node: str, shown: str) -> None:
        self.remove(pod.uid)
        pod.nominated = node
        guest = copy.copy(pod)
        guest.node_name = node
        self._all[pod.uid] = _Nomination(pod, guest, node, shown)
        if node:
            self._on.setdefault(node, {})[pod.uid] = guest
            if self._guests is not None:
                self._guests.add(guest)

    def _leave(self, guest: PodInfo) -> None:
        guests = self._on[guest.node_name]
        del guests[guest.uid]
        if not guests:
            del self._on[guest.node_name]
        if self._guests is not None:
            self._guests.remove(guest)
