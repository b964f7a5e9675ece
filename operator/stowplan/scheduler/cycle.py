"""One scheduling decision: pop, filter, score, assume, reserve. Pure; without an await from start to end.

``live`` calls :meth:`Scheduler.attempt` and carries out what it decided: the writes that volumes need, then the bind.
If that fails it calls :meth:`Scheduler.undo`, and the pod is as if it had never been placed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import Probe
from stowplan.framework.runtime import Framework
from stowplan.framework.status import Diagnosis
from stowplan.framework.trial import beside
from stowplan.model.pods import PodClass, PodInfo
from stowplan.scheduler import looks, shadows, solver
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.group_cycle import GroupCycle
from stowplan.scheduler.groups import Roster
from stowplan.scheduler.looks import Hope
from stowplan.scheduler.outcomes import Batch, Looked, Placed, Question, Unplaced
from stowplan.scheduler.placing import Placer
from stowplan.scheduler.promises import Promises
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.queued import QueuedPodInfo
from stowplan.scheduler.shadows import ShadowFor
from stowplan.scheduler.trials import Trials

__all__ = ["Batch", "Looked", "Outcome", "Placed", "Question", "Scheduler", "Unplaced"]

Outcome = Placed | Unplaced | Batch | Looked

MOST_TRIED = 32
"""Members of a group that waits on which a policy in mode DryRun is tried at a time."""


class Scheduler:
    """Cache, queue and profiles together.

    Args:
        cache: the state of the cluster.
        queue: the pods that wait.
        framework_for: the plugins that place the pods of a class.
        roster: the pods without a node, and their groups.
        shadow_for: the policy that is tried on the pods of a class, if any.

    Attributes:
        promises: the pods for which others are being evicted.
        trials: what policies in mode DryRun say.
        preempts: whether room is made for pods that fit nowhere.
    """

    def __init__(
        self,
        cache: ClusterCache,
        queue: SchedulingQueue,
        framework_for: Callable[[PodClass], Framework],
        roster: Roster,
        shadow_for: ShadowFor = shadows.nobody,
    ) -> None:
        self.cache = cache
        self.queue = queue
        self.framework_for = framework_for
        self.roster = roster
        self._shadow_for = shadow_for
        self.promises = Promises(cache.snapshot)
        self.trials = Trials()
        self.preempts = True
        self._groups = GroupCycle(cache, queue, roster, self._unplaced)

    def attempt(self, now: float, chance: int, probe_for: Callable[[Framework], Probe]) -> Outcome | None:
        """Decides about the next pod of the queue, and its group where it has one; None where there is none.

        Args:
            now: seconds of a monotonic clock.
            chance: a non-negative number that picks among equally good nodes.
            probe_for: the clock that times the plugins of a profile.

        Raises:
            Exception: a defect; the pod is back in the queue. Plugins that fail raise nothing here.
        """
        self.settle(now)
        queued = self.queue.pop(now)
        if queued is None:
            return None
        looked = self._look(queued, now)
        if looked is not None:
            return looked
        placer = self._placer(chance, probe_for)
        group = self.roster.of(queued.pod)
        if group is not None:
            batch = self._groups.attempt(group, queued, placer, now)
            if batch is not None:
                self._try_on(batch.unplaced)
                return batch
        try:
            outcome, known = self._decide(queued, placer, now)
        except Exception:
            self.cache.forget(queued.pod)
            self.queue.failed(queued, now)
            raise
        if isinstance(outcome, Unplaced):
            self._try_on((outcome,), again=not known)
        return outcome

    def answered(
        self,
        question: Question,
        answer: solver.Answer,
        *,
        seconds: float,
        now: float,
        chance: int,
        probe_for: Callable[[Framework], Probe],
    ) -> Batch:
        """Carries out what the solver has answered, in so many seconds, as far as the cluster still allows it.

        The others are as for :meth:`attempt`.
        """
        batch = self._groups.answered(question, answer, seconds, self._placer(chance, probe_for), now)
        self._try_on(batch.unplaced)
        return batch

    def _look(self, queued: QueuedPodInfo, now: float) -> Looked | None:
        """Puts a popped pod back that an event has woken and that a try would not help; None where it is to be tried.

        It is to be tried as well where more depends on it than its own node: a gang, a promise, what a policy in mode
        DryRun would say, or whether a plugin works again.
        """
        hope = self.queue.hope(queued, now)
        if hope is None:
            return None
        pod = queued.pod
        group, framework = self.roster.of(pod), self.framework_for(pod.cls)
        strict = group is not None and group.strict
        if strict or framework.conduct.suspects or self._shadow_for(pod.cls) is not None:
            return None
        try:
            diagnosis = self._why_not(pod, framework, hope)
        except Exception:
            self.queue.failed(queued, now)
            raise
        if diagnosis is None:
            return None
        news = queued.reasons != diagnosis.reasons.keys()
        queued.message = diagnosis.message
        self.queue.sleeps_on(
            queued, diagnosis, framework.remedy(diagnosis, hope.remedy), now, whole=hope.diagnosis is None
        )
        return Looked(queued, diagnosis, news)

    def _why_not(self, pod: PodInfo, framework: Framework, hope: Hope) -> Diagnosis | None:
        """Why a pod would come away empty-handed from a try; None where that is not certain."""
        nodes, nominations = self.cache.snapshot, self.cache.snapshot.nominations
        known = hope.diagnosis
        with beside(nodes.homes.beside(pod), nodes):
            if known is not None and not nominations and (not self.preempts or self._nobody_to_evict(pod, known)):
                return looks.on(hope.nodes, pod, framework, nodes, known)
            diagnosis = self.queue.known(pod, framework.remedies) or looks.everywhere(pod, framework, nodes)
        if diagnosis is None or not self.preempts or self.promises.in_vain(pod, framework, diagnosis):
            return diagnosis
        return None

    def _placer(self, chance: int, probe_for: Callable[[Framework], Probe]) -> Placer:
        return Placer(self.cache, self.roster, self.framework_for, chance, probe_for, shadow_for=self._shadow_for)

    def _decide(self, queued: QueuedPodInfo, placer: Placer, now: float) -> tuple[Placed | Unplaced, bool]:
        """Also whether that was known without a try."""
        framework = placer.framework(queued)
        known = self.queue.known(queued.pod, framework.remedies)
        found = known or placer.place(queued)
        if isinstance(found, Diagnosis):
            return self._unplaced(queued, framework, found, now), known is not None
        return found, False

    def _try_on(self, waiting: Iterable[Unplaced], *, again: bool = True) -> None:
        """Tries a policy in mode DryRun on pods that wait, one of each class.

        Args:
            waiting: the pods; those that a node is promised to are left out.
            again: also where one of the class has been judged before.
        """
        nodes, tried = self.cache.snapshot, set[PodClass]()
        for each in waiting:
            cls = each.pod.cls
            shadow = self._shadow_for(cls)
            if shadow is None or cls in tried or nodes.nominations.node_of(each.pod.uid):
                continue
            if again or not self.trials.knows(shadow.policy, cls):
                self.trials.stuck(shadows.judge(shadow, each.pod, nodes, None), cls)
                tried.add(cls)
            if len(tried) == MOST_TRIED:
                break

    def undo(self, placed: Placed, now: float, *, retry: bool) -> None:
        """Takes a placement back.

        Args:
            placed: the placement; fine where the watch has moved or removed the pod meanwhile.
            now: seconds of a monotonic clock.
            retry: whether the pod still waits for a node.
        """
        placed.framework.unreserve(placed.pod, self.cache.snapshot, placed.state)
        happened = self.cache.forget(placed.pod)
        if retry:
            self.queue.failed(placed.queued, now)
        if placed.writes:
            happened += (Happening(ClusterEvent.VOLUMES_RELEASED, old=placed.pod),)
        self.happened(happened, now)

    def settle(self, now: float) -> None:
        """Takes in what only time brings, or what follows from several changes together."""
        happened, arrived = self.cache.snapshot.homes.settle(now)
        if happened:
            self.happened(happened, now)
        for uid in arrived:
            self.queue.activate(uid, now)

    def happened(self, events: Iterable[Happening], now: float) -> int:
        """Something changed in the cluster: wakes the pods that it may help. Returns how many."""
        events = tuple(events)
        woken = self.queue.happened(events, now)
        if self.roster.short:
            for event in events:
                _, pod = event.of(PodInfo)
                waiting = None if pod is None or not event.node else self.roster.joined(pod)
                if waiting is not None:
                    self.queue.activate(waiting.uid, now)
        return woken

    def _unplaced(self, queued: QueuedPodInfo, framework: Framework, diagnosis: Diagnosis, now: float) -> Unplaced:
        pod, nominations = queued.pod, self.cache.snapshot.nominations
        held = nominations.node_of(pod.uid)
        promise = None
        if self.preempts and (held or not self._in_vain(pod, diagnosis)):
            promise = self.promises.seek(pod, framework, diagnosis)
        message = diagnosis.message
        repeated = message == queued.message
        queued.message = message
        self.queue.unschedulable(queued, diagnosis, framework.remedy(diagnosis), now, promised=promise is not None)
        if promise is not None:
            for each in promise.displaced:
                self.queue.activate(each.uid, now)
            freed = [Happening(ClusterEvent.POD_REMOVED, old=each, node=promise.node) for each in promise.displaced]
            if held and nominations.node_of(pod.uid) != held:
                freed.append(Happening(ClusterEvent.POD_REMOVED, old=pod, node=held))
            self.happened(freed, now)
        return Unplaced(queued, framework, diagnosis, repeated, promise)

    def _in_vain(self, pod: PodInfo, diagnosis: Diagnosis) -> bool:
        """Whether nothing could be done for a pod that is like this one, and there is still nobody to evict."""
        return self._nobody_to_evict(pod, diagnosis) or (bool(diagnosis.after) and bool(diagnosis.unresolvable.all()))

    def _nobody_to_evict(self, pod: PodInfo, diagnosis: Diagnosis) -> bool:
        """Whether nothing could be done for such a pod, and there is still nobody to evict."""
        return bool(diagnosis.after) and self.cache.snapshot.lowest_priority() >= pod.priority

    def carried_out(self, uid: str, now: float, *, done: bool) -> None:
        """The victims of a pod have been asked to leave; if that has failed, the pod is tried again."""
        self.promises.carried_out(uid)
        if not done:
            self.queue.activate(uid, now)
