"""A scheduling decision about a group: take its members from the queue, try them together, commit or put them back.

Part of ``scheduler.cycle``; how members are tried is in ``scheduler.together``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from stowplan.framework.remedies import Remedy
from stowplan.framework.runtime import Framework
from stowplan.framework.status import Diagnosis
from stowplan.framework.trial import beside
from stowplan.scheduler import groups, solver, together
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.groups import Group, Roster
from stowplan.scheduler.outcomes import Batch, Question, Unplaced
from stowplan.scheduler.placing import Placer
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.queued import Place, QueuedPodInfo
from stowplan.scheduler.together import Trial

MOST_AT_ONCE = 32
"""Members that are only better placed together: so many at a time, so that a decision does not hold up the others."""

GiveUp = Callable[[QueuedPodInfo, Framework, Diagnosis, float], Unplaced]


@dataclasses.dataclass(frozen=True, slots=True)
class _Round:
    """One decision: the members that were taken from the queue, of whom so many must be placed."""

    group: Group
    members: list[QueuedPodInfo]
    need: int
    placer: Placer
    now: float


class GroupCycle:
    """Decides about groups.

    Args:
        cache: the state of the cluster.
        queue: the pods that wait.
        roster: their groups.
        give_up: puts a pod that fits nowhere by itself back into the queue.
    """

    def __init__(self, cache: ClusterCache, queue: SchedulingQueue, roster: Roster, give_up: GiveUp) -> None:
        self._cache = cache
        self._queue = queue
        self._roster = roster
        self._give_up = give_up

    def attempt(self, group: Group, first: QueuedPodInfo, placer: Placer, now: float) -> Batch | None:
        """Decides about a popped pod and the members of its group that wait, whatever place in the queue they have.

        None where the pod is to be placed by itself.
        """
        if group in self._roster.binding:  # what becomes of those counts for this one
            self._queue.failed(first, now)
            return Batch(group)
        turn = self._take(group, first, placer, now)
        if turn.need == len(turn.members) == 1:
            return None
        return self._safely(turn, lambda: self._try(turn))

    def answered(self, question: Question, answer: solver.Answer, seconds: float, placer: Placer, now: float) -> Batch:
        """Carries out what the solver found, as far as the cluster still allows it.

        Args:
            question: what was asked.
            answer: what the solver says.
            seconds: how long it took.
            placer: places.
            now: seconds of a monotonic clock.
        """
        group = question.group
        self._roster.answered(group, seconds, now)
        turn = self._take(group, None, placer, now)
        if group in self._roster.binding:
            for queued in turn.members:
                self._queue.failed(queued, now)
            return Batch(group)
        if not turn.members:
            return Batch(group)
        return self._safely(turn, lambda: self._follow(question, answer, turn))

    # ------------------------------------------------------------ inside

    def _take(self, group: Group, first: QueuedPodInfo | None, placer: Placer, now: float) -> _Round:
        """The members that may be placed, out of the queue; gated ones stay there."""
        self._roster.short.discard(group)
        found = [] if first is None else [first]
        for pod in self._roster.members(group):
            if not group.strict and len(found) >= MOST_AT_ONCE:
                break
            queued = self._queue.get(pod.uid)
            if queued is not None and queued.place is not Place.GATED:
                self._queue.take(pod.uid)
                found.append(queued)
        need = group.need(len(found), self._cache.snapshot)
        return _Round(group, together.in_order(found), need, placer, now)

    def _safely(self, turn: _Round, decide: Callable[[], Batch]) -> Batch:
        """Decides; a defect leaves no member behind."""
        nodes = self._cache.snapshot
        try:
            with beside(nodes.homes.absent(queued.pod for queued in turn.members), nodes):
                return decide()
        except Exception:
            for queued in turn.members:
                if queued.pod.uid not in self._queue:
                    self._cache.forget(queued.pod)
                    self._roster.waits(queued.pod)
                    self._queue.failed(queued, turn.now)
            raise

    def _try(self, turn: _Round) -> Batch:
        if turn.need > len(turn.members):
            self._roster.short.add(turn.group)
            bound = self._cache.snapshot.counter(turn.group.counted).total
            reason = groups.incomplete(turn.group, len(turn.members) + bound)
            return self._wait(turn, reason, remedy=groups.Company(turn.group))
        trial = together.one_by_one(turn.placer, turn.members, turn.need)
        if len(trial.placed) == len(turn.members):
            return self._commit(turn, trial)
        if trial.best(len(turn.members), turn.need):
            return self._settle(turn, trial)
        quiet = not self._roster.may_ask(turn.group, turn.now)
        return self._ask(turn, trial) or self._settle(turn, trial, soon=quiet)

    def _follow(self, question: Question, answer: solver.Answer, turn: _Round) -> Batch:
        if turn.need > len(turn.members):
            return self._try(turn)
        if isinstance(answer, solver.Proposal):
            trial = together.as_proposed(turn.placer, turn.members, answer.nodes)
            outrun = len(trial.placed) < len(answer.nodes)
            asked = self._ask(turn, trial, again=True) if outrun and not question.again else None
            if asked is not None:
                return asked
            if len(trial.placed) >= turn.need:
                return self._settle(turn, trial, answer)
            trial.take_back(turn.placer)
        trial = together.one_by_one(turn.placer, turn.members, turn.need)
        return self._settle(turn, trial, answer)

    def _ask(self, turn: _Round, trial: Trial, *, again: bool = False) -> Batch | None:
        """Takes the trial back and asks the solver; None, and nothing taken back, where it cannot or may not be asked.

        Where it is being asked already the members wait for that answer.
        """
        group, asking = turn.group, self._roster.is_asking(turn.group)
        allowed = again or self._roster.may_ask(group, turn.now)
        if not asking and not (allowed and together.askable(turn.placer, turn.members, self._cache.snapshot)):
            return None
        trial.take_back(turn.placer)
        question: Question | None = None
        if not asking:
            problem = together.problem(turn.placer, turn.members, self._cache.snapshot, turn.need)
            question = Question(group, problem, again)
            self._roster.asks(group)
        self._wait(turn, f"{group.name}: a joint placement is being looked for")
        return Batch(group, question=question)

    def _settle(self, turn: _Round, trial: Trial, answer: solver.Answer | None = None, *, soon: bool = False) -> Batch:
        """Commits what was placed if that is enough; else all of them wait, see ``_wait``."""
        if len(trial.placed) >= turn.need:
            return self._commit(turn, trial)
        trial.take_back(turn.placer)
        if not turn.group.strict:
            return self._commit(turn, trial)
        return self._wait(turn, together.does_not_fit(turn.group, trial, turn.need, answer), soon=soon)

    def _commit(self, turn: _Round, trial: Trial) -> Batch:
        unplaced = [
            self._give_up(queued, turn.placer.framework(queued), diagnosis, turn.now)
            for queued, diagnosis in trial.failed
        ]
        return Batch(turn.group, tuple(trial.placed), tuple(unplaced))

    def _wait(self, turn: _Round, reason: str, *, soon: bool = False, remedy: Remedy | None = None) -> Batch:
        """Puts all members back; whatever may help one of them wakes them, if ``remedy`` does not say otherwise.

        ``soon``: they are tried again after the backoff in any case: the solver was not asked this time.
        """
        if remedy is None:
            remedy = together.remedy(turn.placer, self._roster, turn.group, turn.members, self._cache.snapshot)
        diagnosis = turn.placer.waiting(reason)
        unplaced = []
        for queued in turn.members:
            repeated = diagnosis.message == queued.message
            queued.message = diagnosis.message
            if soon and queued is turn.members[0]:
                self._queue.failed(queued, turn.now)
            else:
                self._queue.unschedulable(queued, diagnosis, remedy, turn.now)
            unplaced.append(Unplaced(queued, turn.placer.framework(queued), diagnosis, repeated))
        return Batch(turn.group, unplaced=tuple(unplaced))
