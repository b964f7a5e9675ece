"""What a scheduling decision comes to. Made by ``scheduler.cycle``, carried out by ``live``, shown by ``simulator``."""

from __future__ import annotations

import dataclasses

from stowplan.framework.choice import Decision
from stowplan.framework.joint import Problem
from stowplan.framework.plugin import CycleState, PreBindWrite
from stowplan.framework.runtime import Framework
from stowplan.framework.status import Diagnosis
from stowplan.model.pods import PodInfo
from stowplan.scheduler.groups import Group
from stowplan.scheduler.promises import Promise
from stowplan.scheduler.queued import QueuedPodInfo
from stowplan.scheduler.shadows import Judgement


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """A pod that has a node in the cache; the API server is still to be told.

    Attributes:
        writes: to be done, and to take effect, before the bind.
        judgement: what a policy that is tried would have done; None where there is none.
    """

    queued: QueuedPodInfo
    decision: Decision
    framework: Framework
    state: CycleState
    writes: tuple[PreBindWrite, ...]
    judgement: Judgement | None = None

    @property
    def pod(self) -> PodInfo:
        """The pod."""
        return self.queued.pod


@dataclasses.dataclass(frozen=True, slots=True)
class Unplaced:
    """A pod that fits nowhere; it is back in the queue.

    Attributes:
        diagnosis: why.
        repeated: whether it was said before in the same words.
        promise: what is to be done about it; None for nothing.
    """

    queued: QueuedPodInfo
    framework: Framework
    diagnosis: Diagnosis
    repeated: bool
    promise: Promise | None = None

    @property
    def pod(self) -> PodInfo:
        """The pod."""
        return self.queued.pod


@dataclasses.dataclass(frozen=True, slots=True)
class Looked:
    """A pod that an event has woken was not tried, since a look has shown that it still fits nowhere; it sleeps on.

    Attributes:
        diagnosis: why.
        news: whether the reasons are others than those that were said before.
    """

    queued: QueuedPodInfo
    diagnosis: Diagnosis
    news: bool

    @property
    def pod(self) -> PodInfo:
        """The pod."""
        return self.queued.pod


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """To be answered by ``scheduler.solver``, and then to be told to ``Scheduler.answered``.

    Attributes:
        group: about which the question is.
        problem: the question.
        again: whether it is asked for the second time, because the cluster had changed when the answer came.
    """

    group: Group
    problem: Problem
    again: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What became of the members of a group that were decided about together.

    Attributes:
        group: theirs.
        placed: those that have nodes; either none, or as many as the group needs.
        unplaced: those that wait.
        question: what the solver is to be asked; ``placed`` and ``unplaced`` are empty then, and all of them wait.
    """

    group: Group
    placed: tuple[Placed, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()
    question: Question | None = None
