"""The members of a group, decided about at once: all that is needed of them get nodes, or none does.

There is no await between the first member and the last, so nothing is ever held for half a gang, and two gangs cannot
wait for each other's half. ``scheduler.cycle`` hands over the members that it took from the queue::

    one after the other, best node first ---- all placed -----------------------------------------> done
         | some were not: taken back                                                                 ^
         v                                                                                           |
    a question to the solver (live: in a thread; the members wait meanwhile, nothing is held)        |
         |                                                                                           |
         v                                                                                           |
    a proposal: each member on its node, through all filters on the cluster as it is now ---- works -+
         | does not (asked once more), or there is none: one after the other again, and what that gives counts

Source of the idea: kubernetes v1.36.3 ``pkg/scheduler/schedule_one_podgroup.go`` and KEP-4671, which try one after the
other in one fixed order and give up where that fails.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from weakref import WeakKeyDictionary

from stowplan.framework import joint
from stowplan.framework.plugin import Plugin
from stowplan.framework.remedies import PluginRemedy, Remedy
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis
from stowplan.model.pods import PodInfo
from stowplan.model.words import counted
from stowplan.scheduler import solver
from stowplan.scheduler.groups import Group, Roster, Together
from stowplan.scheduler.outcomes import Placed
from stowplan.scheduler.placing import Placer
from stowplan.scheduler.queued import QueuedPodInfo

MOST_CELLS = 4_000_000
"""Pods times nodes of a question: beyond this even describing it holds up the loop for too long."""

MOST_ORDERS = 4
"""How often a proposal is tried again with those in front that had to wait in vain: who may be the first of its kind
somewhere, by an affinity to itself, must come before the others."""


@dataclasses.dataclass(slots=True)
class Trial:
    """What one way of placing the members gives.

    Attributes:
        placed: in the order in which they were placed.
        failed: the others, each with what is against it beside those.
        impossible: how many of these fit on no node although none of the others was placed yet.
    """

    placed: list[Placed] = dataclasses.field(default_factory=list)
    failed: list[tuple[QueuedPodInfo, Diagnosis]] = dataclasses.field(default_factory=list)
    impossible: int = 0

    def best(self, members: int, need: int) -> bool:
        """Whether no way to place so many members can be better: those that fit nowhere at all are too many."""
        possible = members - self.impossible
        return possible < need or len(self.placed) >= possible

    def take_back(self, placer: Placer) -> None:
        """As if it had not been tried."""
        for each in reversed(self.placed):
            placer.take_back(each)
        self.placed.clear()


def in_order(members: Iterable[QueuedPodInfo]) -> list[QueuedPodInfo]:
    """By priority, then age; names decide among those that came together."""
    return sorted(members, key=lambda each: (-each.pod.priority, each.added, each.pod.key))


def one_by_one(placer: Placer, members: Sequence[QueuedPodInfo], need: int) -> Trial:
    """Each on the node that is best for it; who may fit beside those placed since is tried again.

    Stops where fewer than needed can be placed any more; who was not looked at then is in neither list.
    """
    trial = Trial()
    waiting = list(members)
    while waiting:
        before, again = len(trial.placed), []
        for queued in waiting:
            found = placer.place(queued)
            if isinstance(found, Placed):
                trial.placed.append(found)
            elif placer.relents(queued, found):
                again.append((queued, found))
            else:
                trial.failed.append((queued, found))
                trial.impossible += not trial.placed
                if len(trial.failed) > len(members) - need:
                    return trial
        if len(trial.placed) == before:
            trial.failed += again
            return trial
        waiting = [queued for queued, _ in again]
    return trial


def as_proposed(placer: Placer, members: Sequence[QueuedPodInfo], nodes: Mapping[str, str]) -> Trial:
    """Each on the node that was found for it, in an order that the filters let pass; then the others, one by one.

    Args:
        placer: places.
        members: in their order.
        nodes: uid to node, of some of them.
    """
    order = [queued for queued in members if queued.pod.uid in nodes]
    trial, late = _in_turn(placer, order, nodes)
    for _ in range(MOST_ORDERS):
        if not late:
            break
        trial.take_back(placer)
        order = [*late, *(queued for queued in order if queued not in late)]
        trial, late = _in_turn(placer, order, nodes)
    placed = {each.pod.uid for each in trial.placed}
    rest = one_by_one(placer, [queued for queued in members if queued.pod.uid not in placed], need=0)
    return Trial(trial.placed + rest.placed, rest.failed)


def _in_turn(
    placer: Placer, order: Iterable[QueuedPodInfo], nodes: Mapping[str, str]
) -> tuple[Trial, list[QueuedPodInfo]]:
    """Each on its node; who is turned away is tried again after the others. Also returns who could not be placed."""
    trial, waiting, turned_away = Trial(), deque(order), 0
    while waiting and turned_away < len(waiting):
        queued = waiting.popleft()
        found = placer.place_on(queued, nodes[queued.pod.uid])
        if isinstance(found, Placed):
            trial.placed.append(found)
            turned_away = 0
        else:
            waiting.append(queued)
            turned_away += 1
    return trial, list(waiting)


def askable(placer: Placer, members: Sequence[QueuedPodInfo], nodes: Snapshot) -> bool:
    """Whether a question can be put: about several members of one profile, and not too large."""
    frameworks = {placer.framework(queued) for queued in members}
    return len(members) > 1 and len(frameworks) == 1 and len(members) * len(nodes) <= MOST_CELLS


def problem(placer: Placer, members: Sequence[QueuedPodInfo], nodes: Snapshot, need: int) -> joint.Problem:
    """The question to the solver."""
    return joint.describe([queued.pod for queued in members], nodes, placer.framework(members[0]), need)


def remedy(placer: Placer, roster: Roster, group: Group, members: Sequence[QueuedPodInfo], nodes: Snapshot) -> Together:
    """What may help members that wait for one another: each plugin is asked once for members that it finds alike."""
    found: dict[Hashable, tuple[PodInfo, Remedy]] = {}
    for queued in {joint.all_but_its_name(queued.pod): queued for queued in members}.values():
        framework = placer.framework(queued)
        fixed = (each for each in framework.plugins if getattr(each, "static", False))
        for plugin in (*fixed, *framework.active(queued.pod, nodes)):
            what = _remedy_of(framework, plugin)
            own = (queued.pod.namespace, queued.pod.claims) if hasattr(plugin, "alike_now") else ()
            found.setdefault((plugin, what.key(queued.pod, nodes), own), (queued.pod, what))
    return Together(group, found.values(), roster.alike(frozenset(found)))


_REMEDIES: WeakKeyDictionary[Framework, dict[str, PluginRemedy]] = WeakKeyDictionary()
"""By profile and plugin: made once, since it takes longer than to ask it."""


def _remedy_of(framework: Framework, plugin: Plugin) -> PluginRemedy:
    remedies = _REMEDIES.setdefault(framework, {})
    if plugin.name not in remedies:
        remedies[plugin.name] = PluginRemedy([plugin])
    return remedies[plugin.name]


# ---------------------------------------------------------------- what users are told


def does_not_fit(group: Group, trial: Trial, need: int, answer: solver.Answer | None) -> str:
    """Why a whole group waits."""
    head = f"{group.name}: no room for {counted(need, 'member')} at once"
    match answer:
        case solver.Conflict(rules) if rules:
            return f"{head}; these rules cannot be kept together: {'; '.join(rules)}"
        case solver.Unknown():
            return f"{head}; no joint placement was found within {solver.SECONDS:.0f} s"
        case _:
            queued, diagnosis = trial.failed[0]
            return f"{head}; {queued.pod.name} fits on no node: {_reasons(diagnosis)}"


def _reasons(diagnosis: Diagnosis) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(diagnosis.reasons.items())) or "there are none"
