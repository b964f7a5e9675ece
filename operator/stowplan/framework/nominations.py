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
from collections.abc import Iterator

from stowplan.framework.nodes import NodeTable
from stowplan.model.pods import PodInfo


@dataclasses.dataclass(slots=True)
class _Nomination:
    """One pod's.

    Attributes:
        guest: the pod as it would be on the node.
        node: the node, or "" where the nomination was taken back and the API shows it still.
        shown: what the API showed last.
    """

    guest: PodInfo
    node: str
    shown: str


class Nominations:
    """Nominated pods by uid and by node."""

    def __init__(self) -> None:
        self._all: dict[str, _Nomination] = {}
        self._on: dict[str, dict[str, PodInfo]] = {}

    def __bool__(self) -> bool:
        return bool(self._on)

    def node_of(self, uid: str) -> str:
        """The node that is promised to a pod, or ""."""
        known = self._all.get(uid)
        return "" if known is None else known.node

    def nominate(self, pod: PodInfo, node: str) -> None:
        """Promises a node to a pod; "" takes the promise back."""
        if node or pod.uid in self._all or pod.nominated:
            self._put(pod, node, pod.nominated)

    def seen(self, pod: PodInfo) -> bool:
        """The API server shows a pod that waits for a node; whether that takes a promise from a node."""
        known = self._all.get(pod.uid)
        node = pod.nominated if known is None or pod.nominated != known.shown else known.node
        if known is not None or node:
            self._put(pod, node, pod.nominated)
        return known is not None and known.node not in ("", node)

    def remove(self, uid: str) -> bool:
        """The pod has a node, or is gone; whether that takes a promise from a node."""
        known = self._all.pop(uid, None)
        if known is None or not known.node:
            return False
        self._leave(uid, known.node)
        return True

    def rivals(self, pod: PodInfo, nodes: NodeTable) -> Iterator[tuple[int, list[PodInfo]]]:
        """The rows with nominated pods that a pod must leave room for, and these pods, as they would be there."""
        for name, guests in self._on.items():
            row = nodes.row_of.get(name)
            found = [each for each in guests.values() if each.priority >= pod.priority and each.uid != pod.uid]
            if row is not None and found:
                yield row, found

    def lower(self, priority: int, node: str) -> list[PodInfo]:
        """The pods of a lower priority that are nominated to a node."""
        return [each for each in self._on.get(node, {}).values() if each.priority < priority]

    def _put(self, pod: PodInfo, node: str, shown: str) -> None:
        self.remove(pod.uid)
        guest = copy.copy(pod)
        guest.node_name = node
        self._all[pod.uid] = _Nomination(guest, node, shown)
        if node:
            self._on.setdefault(node, {})[pod.uid] = guest

    def _leave(self, uid: str, node: str) -> None:
        guests = self._on[node]
        del guests[uid]
        if not guests:
            del self._on[node]
