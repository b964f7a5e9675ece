"""Pods that fit nowhere for the same reason, and wait together: one of them is tried for all of them.

Part of ``scheduler.queue``. The pods of a group are alike in all that the plugins which rejected them look at
(``framework.remedies``). So when an event may help, only one of them *knocks*: it is tried again while the others
sleep on. If it gets a node, the next one knocks, as long as any of the events since may help one more; if it is
rejected for the same reason, so would be the others. Ten thousand pods that can never fit cost one decision per event,
not ten thousand.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections import deque
from collections.abc import Hashable, Iterable

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.remedies import Remedy
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis
from stowplan.model.pods import PodInfo
from stowplan.scheduler.looks import Hope
from stowplan.scheduler.queued import QueuedPodInfo

MANY = 32
"""Events of a kind that are remembered; where there were more while a pod knocks, the next one knocks in any case."""
FLUSH_AFTER = 300.0
"""Seconds after which what events may have missed is looked for."""


class News:
    """What has happened lately, for groups of which a pod knocks: they are asked when that has come to an end.

    Attributes:
        number: how many events there have been.
    """

    def __init__(self) -> None:
        self._latest: dict[ClusterEvent, deque[tuple[int, Happening]]] = {
            kind: deque(maxlen=MANY) for kind in ClusterEvent
        }
        self.number = 0

    def tell(self, event: Happening) -> None:
        """Something has happened."""
        self.number += 1
        self._latest[event.kind].append((self.number, event))

    def since(self, number: int, kinds: Iterable[ClusterEvent]) -> list[Happening] | None:
        """The events of some kinds after that many had been; None where there may have been more than are known."""
        found: list[tuple[int, Happening]] = []
        for kind in kinds:
            latest = self._latest[kind]
            if len(latest) == MANY and latest[0][0] > number:
                return None
            found += (each for each in latest if each[0] > number)
        return [event for _, event in sorted(found, key=lambda each: each[0])]


@dataclasses.dataclass(slots=True)
class Knock:
    """Why a pod of a group is being tried.

    Attributes:
        queued: the pod.
        why: the label of what woke it.
        number: of the events before (``News``); those since may help the next one too, if this one gets a node.
        surely: the next one knocks whatever the events say.
    """

    queued: QueuedPodInfo
    why: str
    number: int
    surely: bool


class Group:
    """Pods that wait for the same.

    Attributes:
        remedy: what may help them.
        key: what they have in common, as the remedy sees it.
        pods: those that sleep, by uid.
        diagnosis: why they fit nowhere, as last found for one of them.
        layout: the nodes' layout at that time: the rows that the diagnosis speaks of.
        since: when that was.
        whole: when all nodes were looked at for that.
        knock: the try that is under way for all of them; None while they sleep.
    """

    __slots__ = ("_heap", "diagnosis", "key", "knock", "layout", "pods", "remedy", "since", "whole")

    def __init__(self, remedy: Remedy, key: Hashable) -> None:
        self.remedy = remedy
        self.key = key
        self.pods: dict[str, QueuedPodInfo] = {}
        self.diagnosis: Diagnosis | None = None
        self.layout = 0
        self.since = self.whole = 0.0
        self.knock: Knock | None = None
        self._heap: list[tuple[float, int, QueuedPodInfo]] = []

    def join(self, queued: QueuedPodInfo) -> None:
        """One more pod sleeps here; its ticket is that of its place in the queue."""
        self.pods[queued.pod.uid] = queued
        heapq.heappush(self._heap, (queued.backoff_until, queued.ticket, queued))

    def first(self) -> QueuedPodInfo:
        """The pod that knocks next: the one whose backoff is over first. There must be one."""
        while True:
            _, ticket, queued = self._heap[0]
            if queued.ticket == ticket:
                return queued
            heapq.heappop(self._heap)

    def outdated(self, nodes: Snapshot) -> PodInfo | None:
        """The pod that speaks for the others, where its claims have become others than theirs; else None."""
        pod = self._any()
        if len(self.pods) == 1 or not pod.claims or self.remedy.key(pod, nodes) == self.key:
            return None
        return pod

    def helped(self, event: Happening, nodes: Snapshot) -> bool:
        """Whether an event may help the pods that sleep here."""
        if event.kind not in self.remedy.kinds:
            return False
        return self.remedy.helps(self._any(), event, nodes, self._barred_by(event, nodes))

    def hope(self, nodes: Snapshot, news: News, now: float) -> Hope:
        """What is known of the pod that knocks, and what has happened since; there must be one."""
        knock = self.knock
        assert knock is not None
        events = None if knock.surely else news.since(knock.number, self.remedy.kinds)
        known = self.diagnosis if self.layout == nodes.layout else None
        if events is None or known is None or known.refusal is not None or now - self.whole >= FLUSH_AFTER:
            return Hope(self.remedy)
        if knock.queued.pod.claims and self.remedy.key(knock.queued.pod, nodes) != self.key:
            return Hope(self.remedy)
        if not all(self.remedy.only_there(knock.queued.pod, each, nodes) for each in events):
            return Hope(self.remedy)
        return Hope(self.remedy, known, frozenset(each.node for each in events))

    def _barred_by(self, event: Happening, nodes: Snapshot) -> str:
        """The plugin that bars these pods from the node of an event for good, as far as is known."""
        row = nodes.row_of.get(event.node)
        if row is None or self.diagnosis is None or self.layout != nodes.layout:
            return ""
        return self.diagnosis.barred_by(row)

    def _any(self) -> PodInfo:
        return next(iter(self.pods.values())).pod
