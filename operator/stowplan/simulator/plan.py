"""Where all pending pods would go: in queue order, each placed before the next. Nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import SILENT
from stowplan.plugins import scheduling_gates
from stowplan.scheduler import solver
from stowplan.scheduler.cycle import Batch, Outcome, Placed, Question, Scheduler

AFTER_BACKOFF = 60.0
"""More seconds than any backoff, fewer than until the queue's flush."""


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """A pod and the node that it would get."""

    pod: str
    node: str


@dataclasses.dataclass(frozen=True, slots=True)
class Unschedulable:
    """A pod that would get none, and why."""

    pod: str
    reason: str


def plan(scheduler: Scheduler) -> Iterator[Placement | Unschedulable]:
    """Places every pod of the queue and leaves it in the scheduler's cache, so that the result can be counted.

    Among equally good nodes the first one is taken, so the same input gives the same plan. A pod that fits nowhere is
    tried again, as the live scheduler would, when pods placed after it may have made room for it (an affinity to one
    of them, or a spread that was waiting for another domain to fill). Those that fit nowhere come last;
    nobody is evicted for them.

    Groups are placed together, and the solver is asked where one after the other fails, as in the live scheduler.
    """
    scheduler.preempts = False
    now = 0.0
    while True:
        placed: list[Happening] = []
        while (outcome := scheduler.attempt(now, 0, lambda _: SILENT)) is not None:
            for each in _placed(scheduler, outcome, now):
                pod, node = each.pod, each.decision.node
                placed.append(Happening(ClusterEvent.POD_ADDED, new=pod, node=node))
                yield Placement(pod.key, node)
        if not placed:
            break
        now += AFTER_BACKOFF
        if not scheduler.happened(placed, now):
            break
    for queued in sorted(scheduler.queue.pods(), key=lambda each: each.pod.key):
        yield Unschedulable(queued.pod.key, scheduling_gates.held_by(queued.pod) or queued.message)


def _placed(scheduler: Scheduler, outcome: Outcome, now: float) -> tuple[Placed, ...]:
    match outcome:
        case Placed():
            return (outcome,)
        case Batch(question=Question() as question):
            answer = solver.solve(question.problem)
            batch = scheduler.answered(question, answer, seconds=0.0, now=now, chance=0, probe_for=lambda _: SILENT)
            return _placed(scheduler, batch, now)
        case Batch(placed=placed):
            return placed
        case _:
            return ()
