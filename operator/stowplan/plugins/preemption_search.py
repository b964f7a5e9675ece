"""Looks for the node that costs the least to be made free for a pod, and for the pods that have to leave it.

Made by ``default_preemption`` for one pod that fits nowhere. On a node, all pods of a lower priority are taken away,
and if the pod fits then, as many as possible are put back, the most important ones first. Of the nodes where that works
the best is the one with, in this order: the fewest victims whose budget does not allow it, the lowest priority of the
most important victim, the lowest sum of priorities, the fewest victims, the latest start of the most important ones.

Source: kubernetes v1.36.3 ``pkg/scheduler/framework/preemption/preemption.go`` and
``plugins/defaultpreemption/default_preemption.go`` (``SelectVictimsOnNode``). Both arrive at the same victims of a
node. They differ in which nodes are looked at:

- kube-scheduler tries nodes from a random place on until a tenth of them, but at least 100, have been found possible.
- Here the pods by priority (``framework.priorities``) say first, for all nodes at once, how important the most
  important victim must be at least, or that no eviction is enough. Nodes are tried in that order, from a random place
  on among equals, and no further once the first two points of the order cannot be had any better. The sample of
  ``ENOUGH`` decides the other points only. Where the nodes have to be looked at one by one and none of them will do,
  the attempt ends after ``LOOKS_ALONE``, says so, and the next one begins elsewhere.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from stowplan.framework.departures import Both, Departures, Named
from stowplan.framework.nodes import PODS
from stowplan.framework.plugin import Rows
from stowplan.framework.postfilter import Filters, Prospect
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis, Mask, Reject, Verdict
from stowplan.model.pods import PodInfo
from stowplan.plugins.budgets import Budgets
from stowplan.plugins.preemption_stage import OnNodes, OnPaper, Stage

ENOUGH: Final = 100
"""Possible nodes, with equal most important victims, of which the best is taken (upstream's minimum)."""
FURTHER: Final = 20
"""Nodes that are tried at a time where the first of them were not all possible."""
ENOUGH_ALONE: Final = 32
"""The same where nodes have to be looked at one by one, since the pod's rules reach over several nodes."""
LOOKS_ALONE: Final = 256
"""Nodes that are looked at one by one in one attempt; a third of a millisecond each."""
FEW: Final = 8
"""Nodes on which it is worth while to try who would have to leave, just to learn whether there is any candidate."""
STRIDE: Final = 251
"""How far apart two attempts in a row begin: a prime below ``LOOKS_ALONE``, so that together they leave no node out."""

NO_VICTIMS: Final = "No preemption victims found for incoming pod"
NOT_HELPFUL: Final = "Preemption is not helpful for scheduling"
NOT_TRIED: Final = f"node(s) where preemption has yet to be tried ({LOOKS_ALONE} at most in one attempt)"

_HERE: Final = "DefaultPreemption"
_OFFSET: Final = 2**31
"""Added to each priority before they are summed, so that more victims never cost less."""
_LATE: Final = 10**14
"""Later than any start: that of a pod which has not started."""


class Keeper(Protocol):
    """What victims must not be taken from, whatever the priorities."""

    def holds(self, victim: PodInfo) -> bool:
        """Whether the pod is not to be evicted against its budget at all."""

    def refuses(self, pod: PodInfo, node: str, victims: Sequence[PodInfo], nodes: Snapshot) -> Mapping[str, str]:
        """Those of the victims, by uid, whose eviction for the pod would break a rule, and a reason for each."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A node that would do.

    Attributes:
        victims: the most important one first.
        violations: how many of them have a budget that does not allow it.
    """

    row: int
    victims: tuple[PodInfo, ...]
    violations: int

    @property
    def cost(self) -> tuple[int, int, int, int, int]:
        """Sorts candidates, the best first."""
        highest = self.victims[0].priority
        return (
            self.violations,
            highest,
            sum(each.priority + _OFFSET for each in self.victims),
            len(self.victims),
            -_number(min(started(each) for each in self.victims if each.priority == highest)),
        )


@dataclasses.dataclass(slots=True)
class _Plan:
    """Who may have to leave a node, those first that are put back first, and who does in the end.

    Attributes:
        violating: how many of ``order`` have a budget that does not allow it; they come first.
    """

    order: list[PodInfo]
    violating: int
    victims: list[PodInfo] = dataclasses.field(default_factory=list)
    violations: int = 0


def _number(start: str) -> int:
    """A time of one-second resolution, as the API has it, as a number that grows with it."""
    return int("".join(filter(str.isdigit, start[:19])) or _LATE)


def started(pod: PodInfo) -> str:
    """When a pod was started, sorts as text; one that has not started comes last (util.GetPodStartTime)."""
    return pod.start_time or "~"


def importance(pod: PodInfo) -> tuple[int, str, str]:
    """Sorts pods, the most important one first: by priority, then by how long they run (util.MoreImportantPod)."""
    return (-pod.priority, started(pod), pod.key)


class Search:
    """One search.

    Args:
        pod: fits nowhere.
        nodes: the cluster; changed while the search runs, and put back.
        filters: of the pod's profile.
        failure: what they said.
        keeper: forbids victims.
        chance: a non-negative number that says where to begin.
    """

    def __init__(
        self, pod: PodInfo, nodes: Snapshot, filters: Filters, *, failure: Diagnosis, keeper: Keeper, chance: int
    ) -> None:
        self._pod = pod
        self._nodes = nodes
        self._filters = filters
        self._keeper = keeper
        self._chance = chance
        self._spared: dict[str, str] = {}
        self._open = ~failure.unresolvable
        self._looks = LOOKS_ALONE
        self._said = Diagnosis(len(nodes), ())

    # Found out when a node is tried: where nobody is less important, thousands of pods may come by here in vain.

    @functools.cached_property
    def _budgets(self) -> Budgets:
        return Budgets(self._nodes.budgets)

    @functools.cached_property
    def _together(self) -> bool:
        return self._on_paper or self._filters.independent(self._pod, self._nodes)

    @functools.cached_property
    def _on_paper(self) -> bool:
        return self._filters.outlook(self._pod, self._nodes, self._come or Named(self._nodes)).complete

    @functools.cached_property
    def _come(self) -> Departures | None:
        """The pods to leave room for, as if they had come: where the pod fits beside them, it fits without them."""
        return self._nodes.nominations.coming(self._pod, self._nodes)

    def _stage(self) -> OnPaper | OnNodes:
        if self._on_paper:
            return OnPaper(self._pod, self._nodes, self._filters, self._come)
        return OnNodes(self._pod, self._nodes, self._filters)

    @property
    def message(self) -> str:
        """Why there is no candidate; complete only where there is none."""
        return self._said.message

    @property
    def because_of(self) -> frozenset[str]:
        """The filters that reject nodes even without the pods that could leave; this plugin, where rules keep those."""
        return frozenset(self._said.plugins.keys() - (set() if self._spared else {_HERE}))

    def best(self) -> Candidate | None:
        """The best candidate."""
        self._say(~self._open, NOT_HELPFUL)
        return self._best_of(self._levels())

    def _best_of(self, levels: Iterable[tuple[int, Rows]]) -> Candidate | None:
        found: list[Candidate] = []
        for level, rows in levels:
            some = 0
            for batch in self._batches(rows):
                more = list(self._candidates(batch, silent=bool(found)))
                found += more
                some += len(more)
                if some >= (ENOUGH if self._together else ENOUGH_ALONE):
                    break
            best = self._settle(found)
            if best is not None and not best.violations and best.victims[0].priority <= level:
                return best
        return self._settle(found)

    def hopeless(self) -> bool:
        """Whether there is certainly no candidate; ``message`` says why then.

        Found out without trying who would have to leave, but where only ``FEW`` nodes are left to be tried.
        """
        self._say(~self._open, NOT_HELPFUL)
        levels = list(self._levels())
        if not levels:
            return True
        lasting = Prospect(self._filters.lasting(self._pod, self._nodes), complete=False)
        against = lasting.against(len(self._nodes))
        self._said.add(
            lasting.verdicts, among=_some(np.concatenate([rows for _, rows in levels]), len(against)) & against
        )
        levels = [(level, rows[~against[rows]]) for level, rows in levels]
        return sum(len(rows) for _, rows in levels) <= FEW and self._best_of(levels) is None

    def of(self, row: int) -> Candidate | None:
        """What it would cost to make this very node free, no rule of a policy counted; None where it cannot be."""
        return next(iter(self._candidates([row])), None)

    # ------------------------------------------------------------ which nodes

    def _levels(self) -> Iterator[tuple[int, Rows]]:
        """The nodes where evictions may be enough: by the priority that is needed at least, from a random place on."""
        nodes = self._nodes
        waiting = self._open.copy()
        someone = np.zeros(len(nodes), dtype=np.bool_)
        last: Prospect | None = None
        found: list[tuple[int, Mask]] = []
        for level, lower in nodes.priorities().below(self._pod.priority, nodes):
            someone = lower.freed[PODS] > 0
            last = self._filters.outlook(self._pod, nodes, Both(lower, self._come) if self._come else lower)
            enough = waiting & someone & ~last.against(len(nodes))
            found.append((level, enough))
            waiting &= ~enough
        self._say(waiting & ~someone, NO_VICTIMS)
        if last is not None:
            self._said.add(last.verdicts, among=waiting & someone)
        for level, mask in found:
            rows = np.flatnonzero(mask)
            if len(rows):
                yield level, np.roll(rows, -(self._chance * STRIDE % len(rows)))

    def _batches(self, rows: Rows) -> Iterator[list[int]]:
        if self._together:
            yield rows[:ENOUGH].tolist()
            for start in range(ENOUGH, len(rows), FURTHER):
                yield rows[start : start + FURTHER].tolist()
            return
        now, later = rows[: self._looks], rows[self._looks :]
        for row in now.tolist():
            self._looks -= 1
            yield [row]
        self._say(_some(later, len(self._nodes)), NOT_TRIED)

    # ------------------------------------------------------------ which pods

    def _candidates(self, rows: list[int], *, silent: bool = True) -> Iterator[Candidate]:
        """Those of the nodes that would do; for the others notes why not, unless ``silent``."""
        plans = {row: self._plan(row) for row in rows}
        with self._stage() as stage:
            for row, plan in plans.items():
                for each in plan.order:
                    stage.take(each, row)
            fits = stage.fits([row for row in rows if plans[row].order])
            if not silent:
                self._note(plans, fits, stage)
            for step in range(max((len(plans[row].order) for row in fits), default=0)):
                trying = [row for row in fits if step < len(plans[row].order)]
                for row in trying:
                    stage.give_back(plans[row].order[step], row)
                spared = set(stage.fits(trying))
                for row in trying:
                    if row not in spared:
                        plan = plans[row]
                        stage.take(plan.order[step], row)
                        plan.victims.append(plan.order[step])
                        plan.violations += step < plan.violating
        for row in fits:
            plan = plans[row]
            if plan.victims:
                yield Candidate(row, tuple(sorted(plan.victims, key=importance)), plan.violations)

    def _plan(self, row: int) -> _Plan:
        lower = [
            each
            for each in self._nodes.on_node[row].values()
            if each.priority < self._pod.priority and each.uid not in self._spared
        ]
        lower.sort(key=importance)
        violating, fine = self._budgets.split(lower)
        if any(map(self._keeper.holds, violating)):
            held = {each.uid for each in violating if self._keeper.holds(each)}
            violating, fine = self._budgets.split(each for each in lower if each.uid not in held)
        return _Plan(violating + fine, len(violating))

    def _settle(self, found: list[Candidate]) -> Candidate | None:
        """The best candidate that breaks no rule; those that do are tried again without the victims in question."""
        while found:
            best = min(found, key=lambda each: each.cost)
            node = self._nodes.name(best.row)
            refused = self._keeper.refuses(self._pod, node, best.victims, self._nodes)
            if not refused:
                return best
            self._spared.update(refused)
            found.remove(best)
            again = list(self._candidates([best.row]))
            found += again
            if not again:
                self._say(_some([best.row], len(self._nodes)), next(iter(refused.values())))
        return None

    # ------------------------------------------------------------ what is said

    def _note(self, plans: dict[int, _Plan], fits: list[int], stage: Stage) -> None:
        """Why the other nodes would not do, as they are now."""
        size = len(self._nodes)
        self._say(_some([row for row, plan in plans.items() if not plan.order], size), NO_VICTIMS)
        failed = _some([row for row, plan in plans.items() if plan.order], size)
        failed[fits] = False
        if failed.any():
            self._said.merge(stage.said(failed))

    def _say(self, mask: Mask, reason: str) -> None:
        self._said.add([Verdict(_HERE, rejects=(Reject(mask, reason),))], among=mask)


def _some(rows: Rows | list[int], size: int) -> Mask:
    mask = np.zeros(size, dtype=np.bool_)
    mask[rows] = True
    return mask
