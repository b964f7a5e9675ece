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

ACTIVE is ordered by priority, then by the time a pod joined it. A pod that fits nowhere waits for an event that can
help it (``framework.remedies``), together with all pods that are like it (``scheduler.waiting``); what events missed is
tried again after ``FLUSH_AFTER``. Times are seconds of a monotonic clock, given by the caller.

A pod that was promised a node and whose victim there is gone does not wait out its backoff: nothing else was to be
waited for. (kube-scheduler lets any pod go early that an event has woken, while nothing else is active: the feature
SchedulerPopFromBackoffQ, KEP-5142. Here that would try a flood of pods in vain as fast as events come.)

A pod that an event has woken is looked at before it is tried (``scheduler.looks``): :meth:`SchedulingQueue.hope` says
why it was woken, and with :meth:`SchedulingQueue.sleeps_on` it goes back to sleep if it still fits nowhere.

A popped pod is decided about before the next one is popped: it comes back by then, with ``unschedulable`` or
``failed``, or it has a node. A pod that could not be bound after all comes back later, with ``failed``; it is tried
again whatever happened meanwhile, so it can have missed nothing (kube-scheduler keeps ``inFlightEvents`` for that).

Source: kubernetes v1.36.3 ``pkg/scheduler/backend/queue/scheduling_queue.go``.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.remedies import Remedy
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis
from stowplan.model.pods import PodClass, PodInfo
from stowplan.scheduler.claimants import ByClaim
from stowplan.scheduler.looks import Hope
from stowplan.scheduler.queued import Place, QueuedPodInfo
from stowplan.scheduler.waiting import FLUSH_AFTER, Group, Knock, News

# Why a pod enters a queue, where that is no ClusterEvent; kube-scheduler's labels (pkg/scheduler/framework/events.go).
CREATED = "UnschedulablePodAdd"
CHANGED = "UnschedulablePodUpdate"
ATTEMPT_FAILED = "ScheduleAttemptFailure"
BACKOFF_OVER = "BackoffComplete"
TIMEOUT = "UnschedulableTimeout"
ACTIVATED = "ForceActivate"
_EVENTS = frozenset(kind.value for kind in ClusterEvent)
"""Likewise, where it is one."""


class SchedulingQueue:
    """All pods that wait for a node, in the order in which they will be tried.

    Args:
        nodes: the cluster, for the hints.
        initial_backoff: seconds before the second try; doubles with each further one.
        max_backoff: the most seconds between two tries.

    Attributes:
        incoming: how many pods have ever entered each place, and why.
        vain: how many tries have ended with the reasons of the one before, by what the pod was woken by.
        spared: how many tries a look has spared, likewise.
    """

    def __init__(self, nodes: Snapshot, *, initial_backoff: float = 1.0, max_backoff: float = 10.0) -> None:
        self._nodes = nodes
        self._initial_backoff = initial_backoff
        self._max_backoff = max_backoff
        self._all: dict[str, QueuedPodInfo] = {}
        self._active: list[tuple[int, float, int, QueuedPodInfo]] = []
        self._backoff: list[tuple[float, int, QueuedPodInfo]] = []
        self._groups: dict[tuple[Remedy, Hashable], Group] = {}
        self._by_kind: dict[ClusterEvent, dict[Group, None]] = {kind: {} for kind in ClusterEvent}
        self._asleep: dict[Group, None] = {}  # in the order of ``since``
        self._group_of: dict[str, Group] = {}  # the group that a pod sleeps in, or knocks for
        self._claims = ByClaim()
        self._news = News()
        self._popped: list[QueuedPodInfo] = []
        self._tickets = 0
        self._sizes = dict.fromkeys(Place, 0)
        self.incoming: Counter[tuple[Place, str]] = Counter()
        self.vain: Counter[str] = Counter()
        self.spared: Counter[str] = Counter()

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
            queued = QueuedPodInfo(pod, added=now)
            self._all[pod.uid] = queued
            self._place(queued, Place.GATED if pod.gates else Place.ACTIVE, CREATED, now)
            return
        old, queued.pod = queued.pod, pod
        changed = old.cls is not pod.cls or old.claims != pod.claims or old.gates != pod.gates
        if queued.place is Place.ACTIVE and changed and pod.gates:
            self._settle(queued, now)
            self._move(queued, Place.GATED, CHANGED, now)
        elif queued.place is Place.GATED and not pod.gates:
            self._move(queued, Place.ACTIVE, CHANGED, now)
        elif queued.place is Place.UNSCHEDULABLE and (changed or self._helped_by_its_change(queued, old)):
            self._wake(queued, CHANGED, now)

    def remove(self, uid: str, now: float) -> None:
        """The pod is gone, or has a node; one that is not queued is fine."""
        queued = self._all.pop(uid, None)
        if queued is not None:
            self._leave(queued)
            self._settle(queued, now)

    def pop(self, now: float) -> QueuedPodInfo | None:
        """Takes the next pod out of the queue, or None."""
        self._follow_up(now)
        while self._active:
            *_, ticket, queued = heapq.heappop(self._active)
            if self._current(queued, ticket, Place.ACTIVE):
                self._out(queued)
                return queued
        return None

    def take(self, uid: str) -> QueuedPodInfo | None:
        """Takes a pod out wherever it is, to be decided about together with one that was popped; None if not queued."""
        queued = self._all.get(uid)
        if queued is not None:
            self._out(queued)
        return queued

    def unschedulable(
        self, queued: QueuedPodInfo, diagnosis: Diagnosis, remedy: Remedy, now: float, *, promised: bool = False
    ) -> None:
        """A popped pod was tried and fits nowhere: it waits until an event may help it.

        Args:
            queued: the pod.
            diagnosis: why.
            remedy: what may help it.
            now: seconds of a monotonic clock.
            promised: whether something came of the try all the same: a promise, or the end of one.
        """
        if queued.woken_by and not promised and queued.reasons == diagnosis.reasons.keys():
            self.vain[queued.woken_by] += 1
        queued.looks = 0
        self._sleep(queued, diagnosis, remedy, now + self.backoff(queued.attempts), now)

    def hope(self, queued: QueuedPodInfo, now: float) -> Hope | None:
        """Why a popped pod was woken, where that was by an event of the cluster."""
        if queued.woken_by not in _EVENTS:
            return None
        group = self._group_of.get(queued.pod.uid)
        return Hope() if group is None else group.hope(self._nodes, self._news, now)

    def sleeps_on(
        self, queued: QueuedPodInfo, diagnosis: Diagnosis, remedy: Remedy, now: float, *, whole: bool
    ) -> None:
        """A popped pod fits nowhere still, and was not tried: it waits for another event.

        It is not looked at more often than it would be tried.

        Args:
            queued: the pod.
            diagnosis: why.
            remedy: what may help it.
            now: seconds of a monotonic clock.
            whole: whether all nodes were looked at for that.
        """
        self.spared[queued.woken_by] += 1
        queued.attempts -= 1
        queued.looks += 1
        self._sleep(queued, diagnosis, remedy, now + self.backoff(queued.looks), now, whole=whole)

    def _sleep(
        self,
        queued: QueuedPodInfo,
        diagnosis: Diagnosis,
        remedy: Remedy,
        backoff_until: float,
        now: float,
        *,
        whole: bool = True,
    ) -> None:
        queued.woken_by = ""
        queued.reasons = frozenset(diagnosis.reasons)
        queued.rejected_by = tuple(diagnosis.plugins)
        queued.backoff_until = backoff_until
        self._all[queued.pod.uid] = queued
        group = self._group(remedy, queued.pod)
        if group.knock is not None and group.knock.queued is queued:  # it knocked for all of them in vain
            group.knock = None
        else:
            self._settle(queued, now)
        if diagnosis is not group.diagnosis:
            group.diagnosis, group.layout, group.since = diagnosis, self._nodes.layout, now
            if whole or not group.pods:
                group.whole = now
            self._asleep.pop(group, None)
        if group.knock is None and group not in self._asleep:
            self._listens(group)
        self._group_of[queued.pod.uid] = group
        self._place(queued, Place.UNSCHEDULABLE, ATTEMPT_FAILED, now)

    def failed(self, queued: QueuedPodInfo, now: float) -> None:
        """A popped pod had a node but could not be bound: it is tried again after its backoff."""
        queued.backoff_until = now + self.backoff(queued.attempts)
        queued.woken_by = ""
        self._all[queued.pod.uid] = queued
        self._settle(queued, now)
        self._place(queued, Place.BACKOFF, ATTEMPT_FAILED, now)

    def backoff(self, attempts: int) -> float:
        """Seconds to wait after so many attempts: doubling, capped."""
        return min(self._initial_backoff * 2.0 ** min(attempts - 1, 60), self._max_backoff)

    def activate(self, uid: str, now: float) -> None:
        """Tries a pod again that waits for an event; one that does not is fine."""
        queued = self._all.get(uid)
        if queued is not None and queued.place is Place.UNSCHEDULABLE:
            self._wake(queued, ACTIVATED, now)

    # ------------------------------------------------------------ time and events

    def known(self, pod: PodInfo, remedies: Iterable[Remedy]) -> Diagnosis | None:
        """Why a pod fits nowhere, where pods that are like it sleep; None where it must be found out.

        Args:
            pod: the pod.
            remedies: those for which pods of its profile wait.
        """
        if self._asleep:
            for remedy in remedies:
                group = self._groups.get(self._key(remedy, pod))
                if group is not None and group.knock is None and group.layout == self._nodes.layout:
                    return group.diagnosis
        return None

    def happened(self, events: Iterable[Happening], now: float) -> int:
        """Something changed: wakes the pods that it may help, one of those that are alike. Returns how many.

        A change of the policies wakes all pods: another profile may place them now.
        """
        woken = 0
        for event in events:
            self._news.tell(event)
            if event.kind is ClusterEvent.POLICY:
                woken += sum(self._scatter(group, event.kind.value, now) for group in list(self._groups.values()))
                continue
            woken += self._regroup(event, now)
            for group in list(self._by_kind[event.kind]):
                if self._helps(group, event, now):
                    self._knock(group, event.kind.value, self._news.number - 1, now)
                    woken += 1
            if event.kind is ClusterEvent.POD_REMOVED:
                self._hasten(event, now)
        return woken

    def flush(self, now: float) -> int:
        """Moves on the pods whose backoff is over, and one of each group that has been unschedulable for long."""
        moved = 0
        over = self._nodes.volumes.expire(now)
        if over:
            moved = self.happened((Happening(ClusterEvent.VOLUMES_RELEASED, new=claim) for claim in over), now)
        while self._backoff and self._backoff[0][0] <= now:
            _, ticket, queued = heapq.heappop(self._backoff)
            if self._current(queued, ticket, Place.BACKOFF):
                self._move(queued, Place.ACTIVE, BACKOFF_OVER, now)
                moved += 1
        while self._asleep:
            group = next(iter(self._asleep))
            if now - group.since < FLUSH_AFTER:
                break
            self._knock(group, TIMEOUT, self._news.number, now, surely=True)
            moved += 1
        return moved

    def next_flush(self) -> float | None:
        """When ``flush`` will next have something to do, or None."""
        while self._backoff and not self._current(self._backoff[0][2], self._backoff[0][1], Place.BACKOFF):
            heapq.heappop(self._backoff)
        times = [self._backoff[0][0]] if self._backoff else []
        over = self._nodes.volumes.refusals.due()
        if over is not None:
            times.append(over)
        if self._asleep:
            times.append(next(iter(self._asleep)).since + FLUSH_AFTER)
        return min(times, default=None)

    # ------------------------------------------------------------ inside: groups

    def _group(self, remedy: Remedy, pod: PodInfo) -> Group:
        """The group that a pod is to join."""
        key = self._key(remedy, pod)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(*key)
        return group

    def _key(self, remedy: Remedy, pod: PodInfo) -> tuple[Remedy, Hashable]:
        """What a pod has in common with those of its group; one that has a node to go to has a group of its own."""
        nodes = self._nodes
        return remedy, pod.uid if nodes.nominations.node_of(pod.uid) or nodes.homes.has(pod) else remedy.key(pod, nodes)

    def _listens(self, group: Group) -> None:
        """All pods of a group sleep: it is asked about each event."""
        self._asleep[group] = None
        for kind in group.remedy.kinds:
            self._by_kind[kind][group] = None

    def _knock(self, group: Group, why: str, number: int, now: float, *, surely: bool = False) -> None:
        """One pod of the group is tried for all of them; what happens meanwhile is judged when that has ended."""
        queued = group.first()
        del self._asleep[group]
        for kind in group.remedy.kinds:
            del self._by_kind[kind][group]
        group.knock = Knock(queued, why, number, surely)
        self._wake(queued, why, now)
        self._group_of[queued.pod.uid] = group

    def _helps(self, group: Group, event: Happening, now: float) -> bool:
        """Whether an event may help a group, of which there are pods that sleep."""
        while (pod := group.outdated(self._nodes)) is not None:
            self._wake(self._all[pod.uid], event.kind.value, now)
        return group.helped(event, self._nodes)

    def _regroup(self, event: Happening, now: float) -> int:
        """Wakes the pods whose own claims are not what they were, and those that this may help; returns how many."""
        woken = 0
        for key in self._claims.of(event, self._nodes):
            for queued in self._claims.pods(key):
                group = self._group_of[queued.pod.uid]
                same = self._key(group.remedy, queued.pod) == (group.remedy, group.key)
                if not same or (
                    event.kind in group.remedy.kinds and group.remedy.helps(queued.pod, event, self._nodes)
                ):
                    self._wake(queued, event.kind.value, now)
                    woken += 1
        return woken

    def _scatter(self, group: Group, why: str, now: float) -> int:
        """All pods of the group are tried, each for itself."""
        pods = list(group.pods.values())
        for queued in pods:
            self._wake(queued, why, now)
        return len(pods)

    def _follow_up(self, now: float) -> None:
        """What was popped and has not come back has a node: who slept behind it may be next."""
        popped, self._popped = self._popped, []
        for queued in popped:
            if queued.pod.uid not in self._all:
                self._settle(queued, now)

    def _settle(self, queued: QueuedPodInfo, now: float) -> None:
        """Ends the knock of a pod, if it does, otherwise than by failing for the same reason: others may knock."""
        group = self._group_of.get(queued.pod.uid)
        if group is None or group.knock is None or group.knock.queued is not queued:
            return
        del self._group_of[queued.pod.uid]
        knock, group.knock = group.knock, None
        if not group.pods:
            self._dissolve(group)
            return
        self._listens(group)
        events = None if knock.surely else self._news.since(knock.number, group.remedy.kinds)
        if events is None or any(self._helps(group, each, now) for each in events):
            self._knock(group, knock.why, knock.number, now, surely=events is None)
        else:
            group.since = now

    def _dissolve(self, group: Group) -> None:
        del self._groups[group.remedy, group.key]
        self._asleep.pop(group, None)
        for kind in group.remedy.kinds:
            self._by_kind[kind].pop(group, None)

    def _helped_by_its_change(self, queued: QueuedPodInfo, old: PodInfo) -> bool:
        """Whether a change that says nothing to our own plugins (its annotations) may help a sleeping pod."""
        if old.annotations == queued.pod.annotations:
            return False
        event = Happening(ClusterEvent.POD_UPDATED, old, queued.pod)
        remedy = self._group_of[queued.pod.uid].remedy
        return event.kind in remedy.kinds and remedy.helps(queued.pod, event, self._nodes)

    # ------------------------------------------------------------ inside: places

    def _current(self, queued: QueuedPodInfo, ticket: int, place: Place) -> bool:
        """Heaps keep entries of pods that have moved on: each entry is good for one ticket."""
        return queued.ticket == ticket and queued.place is place

    def _wake(self, queued: QueuedPodInfo, why: str, now: float) -> None:
        queued.woken_by = why
        self._move(queued, Place.ACTIVE if queued.backoff_until <= now else Place.BACKOFF, why, now)

    def _hasten(self, event: Happening, now: float) -> None:
        """Ends the backoff of the pods that knock and that are promised the node which a pod has left."""
        nodes = self._nodes
        for uid in nodes.nominations.uids(event.node):
            queued, group = self._all.get(uid), self._group_of.get(uid)
            if queued is None or group is None or queued.place is not Place.BACKOFF:
                continue
            if group.knock is not None and group.remedy.helps(queued.pod, event, nodes):
                self._move(queued, Place.ACTIVE, event.kind.value, now)

    def _move(self, queued: QueuedPodInfo, place: Place, why: str, now: float) -> None:
        self._leave(queued)
        self._place(queued, place, why, now)

    def _out(self, queued: QueuedPodInfo) -> None:
        del self._all[queued.pod.uid]
        self._leave(queued)
        queued.attempts += 1
        self._popped.append(queued)

    def _leave(self, queued: QueuedPodInfo) -> None:
        self._sizes[queued.place] -= 1
        queued.ticket = -1
        if queued.place is Place.UNSCHEDULABLE:
            self._claims.remove(queued.pod.uid)
            group = self._group_of.pop(queued.pod.uid)
            del group.pods[queued.pod.uid]
            if not group.pods and group.knock is None:
                self._dissolve(group)

    def _place(self, queued: QueuedPodInfo, place: Place, why: str, now: float) -> None:
        self.incoming[place, why] += 1
        queued.place = place
        self._tickets += 1
        queued.ticket = self._tickets
        self._sizes[place] += 1
        match place:
            case Place.ACTIVE:
                heapq.heappush(self._active, (-queued.pod.priority, now, queued.ticket, queued))
            case Place.BACKOFF:
                heapq.heappush(self._backoff, (queued.backoff_until, queued.ticket, queued))
            case Place.UNSCHEDULABLE:
                self._group_of[queued.pod.uid].join(queued)
                self._claims.add(queued)
            case Place.GATED:
                pass
