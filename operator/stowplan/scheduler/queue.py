"""The pods that wait: active, backing off, unschedulable, gated.

::

                 add                           pop
    (watch) ----------> ACTIVE --------------------------> a decision
                          ^  ^                               |   |
            backoff over  |  |  an event that can help,      |   | bind failed
                          |  |  backoff already over         |   v
                       BACKOFF <-------------------------- UNSCHEDULABLE
                          ^      an event that can help,         (waits for an event,
                          |      backoff not over                 or for the flush)
                          +---- bind failed

ACTIVE is ordered by priority, then by the time a pod joined it. A pod that fits nowhere waits for one of the events
that the plugins which rejected it say can help (``requeue_on``); every pod is tried again after ``FLUSH_AFTER`` in
case an event was missed. Times are seconds of a monotonic clock, given by the caller.

Source: kubernetes v1.36.3 ``pkg/scheduler/backend/queue/scheduling_queue.go``.
"""

from __future__ import annotations

import dataclasses
import enum
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator

from stowplan.framework.events import ClusterEvent
from stowplan.model.pods import PodClass, PodInfo

FLUSH_AFTER = 300.0
"""Seconds after which an unschedulable pod is tried again without an event."""


# Why a pod enters a queue, where that is no ClusterEvent; kube-scheduler's labels (pkg/scheduler/framework/events.go).
CREATED = "UnschedulablePodAdd"
CHANGED = "UnschedulablePodUpdate"
ATTEMPT_FAILED = "ScheduleAttemptFailure"
BACKOFF_OVER = "BackoffComplete"
TIMEOUT = "UnschedulableTimeout"


class Place(enum.Enum):
    """Where a queued pod is; the values are kube-scheduler's labels of ``scheduler_pending_pods``."""

    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"


@dataclasses.dataclass(slots=True, eq=False)
class QueuedPodInfo:
    """A pod in the queue, and its history.

    Attributes:
        added: when the queue saw it first.
        joined: when it last became active; orders pods of one priority.
        attempts: decisions made for it.
        backoff_until: it is not tried again before.
        unschedulable_since: when it was last found to fit nowhere.
        rejected_by: plugins that rejected it then.
        waits_for: the events that can help it.
        message: why it fits nowhere, as last reported.
    """

    pod: PodInfo
    added: float
    joined: float
    place: Place = Place.ACTIVE
    attempts: int = 0
    backoff_until: float = 0.0
    unschedulable_since: float = 0.0
    rejected_by: tuple[str, ...] = ()
    waits_for: frozenset[ClusterEvent] = frozenset()
    message: str = ""
    ticket: int = 0


class SchedulingQueue:
    """All pods that wait for a node, in the order in which they will be tried.

    Args:
        initial_backoff: seconds before the second try; doubles with each further one.
        max_backoff: the most seconds between two tries.

    Attributes:
        incoming: how many pods have ever entered each place, and why.
    """

    def __init__(self, *, initial_backoff: float = 1.0, max_backoff: float = 10.0) -> None:
        self._initial_backoff = initial_backoff
        self._max_backoff = max_backoff
        self._all: dict[str, QueuedPodInfo] = {}
        self._active: list[tuple[int, float, int, QueuedPodInfo]] = []
        self._backoff: list[tuple[float, int, QueuedPodInfo]] = []
        self._unschedulable: dict[frozenset[ClusterEvent], dict[str, QueuedPodInfo]] = {}
        self._tickets = 0
        self._sizes = dict.fromkeys(Place, 0)
        self.incoming: Counter[tuple[Place, str]] = Counter()

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, uid: str) -> bool:
        return uid in self._all

    def size(self, place: Place) -> int:
        """How many pods are in one place."""
        return self._sizes[place]

    def pods(self) -> Iterator[QueuedPodInfo]:
        """All queued pods, in no order."""
        return iter(self._all.values())

    def classes(self) -> set[PodClass]:
        """The classes of the queued pods."""
        return {queued.pod.cls for queued in self._all.values()}

    def get(self, uid: str) -> QueuedPodInfo | None:
        """A queued pod."""
        return self._all.get(uid)

    # ------------------------------------------------------------ in and out

    def put(self, pod: PodInfo, now: float) -> None:
        """A pending pod was created or changed. A change that matters is worth a new try."""
        queued = self._all.get(pod.uid)
        if queued is None:
            queued = QueuedPodInfo(pod, added=now, joined=now)
            self._all[pod.uid] = queued
            self._place(queued, Place.GATED if pod.gates else Place.ACTIVE, CREATED, now)
            return
        changed = queued.pod.cls is not pod.cls or queued.pod.claims != pod.claims or queued.pod.gates != pod.gates
        queued.pod = pod
        if queued.place is Place.ACTIVE and changed and pod.gates:
            self._move(queued, Place.GATED, CHANGED, now)
        elif queued.place is Place.GATED and not pod.gates:
            self._move(queued, Place.ACTIVE, CHANGED, now)
        elif queued.place is Place.UNSCHEDULABLE and changed:
            self._wake(queued, CHANGED, now)

    def remove(self, uid: str) -> None:
        """The pod is gone, or has a node; one that is not queued is fine."""
        queued = self._all.pop(uid, None)
        if queued is not None:
            self._leave(queued)

    def pop(self) -> QueuedPodInfo | None:
        """Takes the next pod out of the queue, or None. It comes back with ``unschedulable`` or ``failed``."""
        while self._active:
            queued = heapq.heappop(self._active)
            if self._current(queued[3], queued[2], Place.ACTIVE):
                pod = queued[3]
                del self._all[pod.pod.uid]
                self._sizes[Place.ACTIVE] -= 1
                pod.ticket = -1
                pod.attempts += 1
                return pod
        return None

    def unschedulable(
        self, queued: QueuedPodInfo, rejected_by: Iterable[str], waits_for: frozenset[ClusterEvent], now: float
    ) -> None:
        """A popped pod fits nowhere: it waits for one of the events."""
        queued.rejected_by = tuple(rejected_by)
        queued.waits_for = waits_for
        queued.unschedulable_since = now
        queued.backoff_until = now + self.backoff(queued.attempts)
        self._all[queued.pod.uid] = queued
        self._place(queued, Place.UNSCHEDULABLE, ATTEMPT_FAILED, now)

    def failed(self, queued: QueuedPodInfo, now: float) -> None:
        """A popped pod had a node but could not be bound: it is tried again after its backoff."""
        queued.backoff_until = now + self.backoff(queued.attempts)
        self._all[queued.pod.uid] = queued
        self._place(queued, Place.BACKOFF, ATTEMPT_FAILED, now)

    def backoff(self, attempts: int) -> float:
        """Seconds to wait after so many attempts: doubling, capped."""
        return min(self._initial_backoff * 2.0 ** min(attempts - 1, 60), self._max_backoff)

    # ------------------------------------------------------------ time and events

    def happened(self, events: Iterable[ClusterEvent], now: float) -> int:
        """Something changed: wakes the pods that it can help. Returns how many."""
        woken = 0
        for event in events:
            for waits_for in [each for each in self._unschedulable if event in each]:
                for queued in list(self._unschedulable[waits_for].values()):
                    self._wake(queued, event.value, now)
                    woken += 1
        return woken

    def flush(self, now: float) -> int:
        """Moves on the pods whose backoff is over, and those that have been unschedulable for long."""
        moved = 0
        while self._backoff and self._backoff[0][0] <= now:
            _, ticket, queued = heapq.heappop(self._backoff)
            if self._current(queued, ticket, Place.BACKOFF):
                self._move(queued, Place.ACTIVE, BACKOFF_OVER, now)
                moved += 1
        for group in list(self._unschedulable.values()):
            for queued in list(group.values()):
                if now - queued.unschedulable_since < FLUSH_AFTER:
                    break  # a group is in the order of its times
                self._wake(queued, TIMEOUT, now)
                moved += 1
        return moved

    def next_flush(self) -> float | None:
        """When ``flush`` will next have something to do, or None."""
        while self._backoff and not self._current(self._backoff[0][2], self._backoff[0][1], Place.BACKOFF):
            heapq.heappop(self._backoff)
        times = [self._backoff[0][0]] if self._backoff else []
        times += [
            next(iter(group.values())).unschedulable_since + FLUSH_AFTER for group in self._unschedulable.values()
        ]
        return min(times, default=None)

    # ------------------------------------------------------------ inside

    def _current(self, queued: QueuedPodInfo, ticket: int, place: Place) -> bool:
        """Heaps keep entries of pods that have moved on: each entry is good for one ticket."""
        return queued.ticket == ticket and queued.place is place

    def _wake(self, queued: QueuedPodInfo, why: str, now: float) -> None:
        self._move(queued, Place.ACTIVE if queued.backoff_until <= now else Place.BACKOFF, why, now)

    def _move(self, queued: QueuedPodInfo, place: Place, why: str, now: float) -> None:
        self._leave(queued)
        self._place(queued, place, why, now)

    def _leave(self, queued: QueuedPodInfo) -> None:
        self._sizes[queued.place] -= 1
        queued.ticket = -1
        if queued.place is Place.UNSCHEDULABLE:
            group = self._unschedulable[queued.waits_for]
            del group[queued.pod.uid]
            if not group:
                del self._unschedulable[queued.waits_for]

    def _place(self, queued: QueuedPodInfo, place: Place, why: str, now: float) -> None:
        self.incoming[place, why] += 1
        queued.place = place
        self._tickets += 1
        queued.ticket = self._tickets
        self._sizes[place] += 1
        match place:
            case Place.ACTIVE:
                queued.joined = now
                heapq.heappush(self._active, (-queued.pod.priority, now, queued.ticket, queued))
            case Place.BACKOFF:
                heapq.heappush(self._backoff, (queued.backoff_until, queued.ticket, queued))
            case Place.UNSCHEDULABLE:
                self._unschedulable.setdefault(queued.waits_for, {})[queued.pod.uid] = queued
            case Place.GATED:
                pass
