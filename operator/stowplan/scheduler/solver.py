"""The exact half of joint placement: a node for each of several pods at once, or the rules that make it impossible.

``scheduler.together`` asks where one after the other fails; the answer is a proposal, which it then carries out pod by
pod through all filters. :func:`solve` is a function of a value, so ``live`` runs it in a thread.

The problem is made small before it is solved, without losing an answer: pods about which all rules say the same are one
kind with a number; of nodes about which all rules say the same no more are kept than there are pods; and a node is left
out where as many others as there are pods are like it and have at least as much of everything.

An answer has as many pods as possible first. Then it is improved: among the placements of so many pods one is looked
for in which the nodes are worth the most to the pods, for a while, and with the nodes added that are worth most. Where
that comes to nothing the first answer stands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from stowplan.framework import joint
from stowplan.framework.status import Mask
from stowplan.scheduler import milp
from stowplan.scheduler.formulas import Formulas

SECONDS = 2.0
"""How long a question may take, explanation included. Gangs of tens of pods take milliseconds; what takes longer than
this is a puzzle, during which the pods wait and nothing else does."""
IMPROVING = 0.3
"""Of these the most that go into finding better nodes, once there are any: all members wait for it."""
CLOSE = 0.01
"""Share of the worth that may be missing: the last percent takes longest, and the scores are of the start anyway."""
MOST_VARIABLES = 20_000
"""Beyond this HiGHS needs longer than ``SECONDS`` for a first look."""

Table = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Proposal:
    """A placement that satisfies every rule of the problem.

    Attributes:
        nodes: uid to the name of its node; pods for which there is no room beside the others are left out.
    """

    nodes: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Conflict:
    """There is no placement.

    Attributes:
        rules: which together make it impossible; without any one of them there would be a placement.
    """

    rules: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Unknown:
    """No placement was found in time, and none was ruled out."""


Answer = Proposal | Conflict | Unknown


def solve(problem: joint.Problem, seconds: float = SECONDS) -> Answer:
    """Places as many of the pods as possible, but at least as many as the problem needs.

    Args:
        problem: the pods, the nodes and the rules.
        seconds: CPU time that it may take.
    """
    clock = milp.Clock(seconds)
    compact = _Compact(problem, frozenset())
    status = compact.solve(clock, best=True)
    if status is milp.Status.SOLVED:
        return Proposal(_improved(problem, compact.placement(), clock))
    if status is milp.Status.OUT_OF_TIME or compact.partial:
        return Unknown()
    return Conflict(_conflicting(problem, clock))


def _improved(problem: joint.Problem, found: dict[str, str], clock: milp.Clock) -> dict[str, str]:
    """A placement of as many pods on nodes that are worth more to them, if there is one in time."""
    if not problem.worth or not found:
        return found
    scored = _Compact(dataclasses.replace(problem, need=len(found)), frozenset(), scored=True)
    status = scored.solve(milp.Clock(min(IMPROVING, clock.left)), best=True)
    if status is not milp.Status.SOLVED:
        return found
    better = scored.placement()
    return better if _worth(problem, better) > _worth(problem, found) else found


def _worth(problem: joint.Problem, placement: Mapping[str, str]) -> int:
    row_of = {name: row for row, name in enumerate(problem.nodes)}
    pods = zip(problem.pods, problem.worth, strict=True)
    return sum(int(worth[row_of[placement[uid]]]) for uid, worth in pods if uid in placement)


def _conflicting(problem: joint.Problem, clock: milp.Clock) -> tuple[str, ...]:
    """Leaves out one rule after the other for good, where it is impossible without it, too: what is left matters."""
    rules = tuple(dict.fromkeys((*problem.forbidden, *(each.rule for each in problem.rules))))
    without: frozenset[str] = frozenset()
    for rule in rules:
        fewer = _Compact(problem, without | {rule})
        if fewer.solve(clock, best=False) is milp.Status.IMPOSSIBLE and not fewer.partial:
            without |= {rule}
    return tuple(rule for rule in rules if rule not in without)


class _Compact:
    """The problem without some of its rules, made small.

    Args:
        problem: the problem.
        without: these rules.
        scored: whether what nodes are worth matters, besides how many pods are placed.

    Attributes:
        partial: whether nodes were left out that could matter.
    """

    def __init__(self, problem: joint.Problem, without: frozenset[str], *, scored: bool = False) -> None:
        self._problem = problem
        self._scored = scored
        self._rules = tuple(rule for rule in problem.rules if rule.rule not in without)
        allowed = np.ones((len(problem.pods), len(problem.nodes)), dtype=np.bool_)
        for rule, mask in problem.forbidden.items():
            if rule not in without:
                allowed &= ~mask
        self._kinds = self._find_kinds(allowed)
        self._allowed = allowed[[members[0] for members in self._kinds]]
        self.partial = False
        self._rows = self._find_rows()
        self._formulas: Formulas | None = None

    def solve(self, clock: milp.Clock, *, best: bool) -> milp.Status:
        """Solves it; ``best``: with as many pods as possible (or what is worth most), rather than as many as needed."""
        gains = np.full(self._allowed[:, self._rows].shape, int(best), dtype=np.int64)
        if self._scored:
            gains = np.array([self._problem.worth[members[0]][self._rows] for members in self._kinds], dtype=np.int64)
        self._formulas = Formulas(
            [rule_of_kinds(rule, [members[0] for members in self._kinds]) for rule in self._rules],
            [len(members) for members in self._kinds],
            self._allowed[:, self._rows],
            self._rows,
            need=self._problem.need,
            gains=gains,
        )
        return self._formulas.program.solve(clock, close=CLOSE if self._scored else 0.0)

    def placement(self) -> dict[str, str]:
        """Uid to node, once it is solved."""
        assert self._formulas is not None
        nodes: dict[str, str] = {}
        for members, numbers in zip(self._kinds, self._formulas.numbers(), strict=True):
            rows = np.repeat(self._rows, numbers).tolist()
            nodes.update(
                (self._problem.pods[pod], self._problem.nodes[row]) for pod, row in zip(members, rows, strict=False)
            )
        return nodes

    def _find_kinds(self, allowed: Mask) -> list[list[int]]:
        """The pods by what the rules say about them."""
        said = [column for rule in self._rules for column in about_pods(rule)]
        columns: Table = np.array(said, dtype=np.int64).reshape(len(said), len(self._problem.pods))
        kinds: dict[bytes, list[int]] = {}
        for pod in range(len(self._problem.pods)):
            worth = self._problem.worth[pod].tobytes() if self._scored else b""
            kinds.setdefault(allowed[pod].tobytes() + columns[:, pod].tobytes() + worth, []).append(pod)
        return list(kinds.values())

    def _find_rows(self) -> npt.NDArray[np.intp]:
        """intp[row]: the nodes that are needed, ascending."""
        usable = np.flatnonzero(self._allowed.any(axis=0))
        same: list[npt.NDArray[np.int64]] = [each.astype(np.int64) for each in self._allowed[:, usable]]
        more: list[Table] = []
        for rule in self._rules:
            told, left = about_nodes(rule, usable)
            same.extend(told)
            more.extend(left)
        codes = _codes(same, len(usable))
        most = len(self._problem.pods)
        room = np.array(more, dtype=np.int64).reshape(len(more), len(usable))
        kept = [usable[group[_best(room[:, group], most)]] for group in _groups(codes)]
        variables = sum(map(len, kept)) * len(self._kinds)
        if variables > MOST_VARIABLES:
            self.partial = True
            each = max(1, MOST_VARIABLES // (len(self._kinds) * max(len(kept), 1)))
            kept = [rows[:each] for rows in kept][: MOST_VARIABLES // len(self._kinds)]
        if self._scored:
            kept.append(usable[self._worthy(codes, usable, sum(map(len, kept)))])
        return np.unique(np.concatenate(kept)) if kept else np.zeros(0, dtype=np.intp)

    def _worthy(self, codes: Table, usable: npt.NDArray[np.intp], others: int) -> npt.NDArray[np.intp]:
        """intp[*]: of the nodes that are alike those that are worth most to any kind; not many beside the others.

        Args:
            codes: int64[usable]: equal for nodes about which the rules say the same.
            usable: intp[usable]: their rows.
            others: how many nodes are looked at besides.
        """
        rank = np.full(len(usable), len(usable), dtype=np.intp)
        tables = {self._problem.worth[members[0]].tobytes(): members[0] for members in self._kinds}
        for pod in tables.values():
            order = np.lexsort((-self._problem.worth[pod][usable].astype(np.int64), codes))
            place = np.empty(len(usable), dtype=np.intp)
            place[order] = _nth(codes[order].astype(np.intp))
            rank = np.minimum(rank, place)
        most, left = len(self._problem.pods), MOST_VARIABLES // len(self._kinds) - others
        while most > 1 and np.count_nonzero(rank < most) > left:
            most //= 2
        return np.flatnonzero(rank < most)


def about_pods(rule: joint.Rule) -> tuple[Table | Mask, ...]:
    """What a rule says about the pods: [pod] each."""
    match rule:
        case joint.Room():
            return (rule.amounts,)
        case joint.Apart():
            return rule.some, rule.others
        case joint.Near():
            return rule.who, rule.whom
        case joint.Even():
            return rule.who, rule.counted
        case joint.Same():
            return (rule.pods,)


def rule_of_kinds(rule: joint.Rule, pods: list[int]) -> joint.Rule:
    """The same rule about some of the pods, one for each kind."""
    match rule:
        case joint.Room():
            return dataclasses.replace(rule, amounts=rule.amounts[pods])
        case joint.Apart():
            return dataclasses.replace(rule, some=rule.some[pods], others=rule.others[pods])
        case joint.Near():
            return dataclasses.replace(rule, who=rule.who[pods], whom=rule.whom[pods])
        case joint.Even():
            return dataclasses.replace(rule, who=rule.who[pods], counted=rule.counted[pods])
        case joint.Same():
            return dataclasses.replace(rule, pods=rule.pods[pods])


def about_nodes(rule: joint.Rule, rows: npt.NDArray[np.intp]) -> tuple[list[Table], list[Table]]:
    """What a rule says about nodes: in what they must agree to be alike, and of what more is better; int64[row] each.

    Where every node is a place of its own (host names), its name is no difference; what it holds is.
    """
    place = None if isinstance(rule, joint.Same) else rule.place
    if place is None:
        return [], [_usable(rule, rule.limits[rows])] if isinstance(rule, joint.Room) else []
    at = place[rows]
    if (at < 0).all():
        return [], []
    alone = np.bincount(at[at >= 0], minlength=1).max() <= 1
    if not alone:
        told = [at.astype(np.int64)]
        if isinstance(rule, joint.Even) and rule.eligible is not None:
            told.append(rule.eligible[rows].astype(np.int64))
        return told, []
    inside = at >= 0
    told = [inside.astype(np.int64)]
    match rule:
        case joint.Room():
            return told, [np.where(inside, _usable(rule, rule.limits[at]), 0)]
        case joint.Near():
            told.append(np.where(inside, rule.ready[at], 0).astype(np.int64))
        case joint.Even():
            told += [np.where(inside, each[at], 0).astype(np.int64) for each in (rule.counts, rule.compared, rule.pool)]
            if rule.eligible is not None:
                told.append(rule.eligible[rows].astype(np.int64))
    return told, []


def _usable(rule: joint.Room, limits: Table) -> Table:
    """What of the room could be used: no more than all pods take, and in steps where all take the same."""
    sizes = np.unique(rule.amounts[rule.amounts > 0])
    room = np.clip(limits, 0, int(rule.amounts.sum()))
    return room // sizes[0] * sizes[0] if len(sizes) == 1 else room


def _codes(columns: list[Table], size: int) -> Table:
    """int64[row]: equal where all columns are."""
    codes: Table = np.zeros(size, dtype=np.int64)
    for column in columns:
        _, inverse = np.unique(column, return_inverse=True)
        _, codes = np.unique(codes * (int(inverse.max(initial=0)) + 1) + inverse, return_inverse=True)
    return codes


def _groups(codes: Table) -> list[npt.NDArray[np.intp]]:
    order = np.argsort(codes, kind="stable")
    return [group for group in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(group)]


def _best(room: Table, most: int) -> npt.NDArray[np.intp]:
    """intp[*]: the nodes that have not ``most`` others before them with at least as much of everything.

    Args:
        room: int64[what, node].
        most: how many nodes could be used at all.
    """
    size = room.shape[1]
    if size <= most:
        return np.arange(size)
    if len(room) == 0:
        return np.arange(most)
    order = np.argsort(-room.astype(np.float64).sum(axis=0), kind="stable")
    if len(room) == 1:
        return order[:most]
    _, like = np.unique(room[:, order], axis=1, return_inverse=True)
    order = order[_nth(like.ravel()) < most]
    kept: list[int] = []
    table = np.zeros((room.shape[0], size), dtype=np.int64)
    for node in order.tolist():
        better = (table[:, : len(kept)] >= room[:, node, None]).all(axis=0)
        if np.count_nonzero(better) < most:
            table[:, len(kept)] = room[:, node]
            kept.append(node)
    return np.array(kept, dtype=np.intp)


def _nth(codes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """intp[*]: how many of the same code come before each."""
    order = np.argsort(codes, kind="stable")
    found = codes[order]
    first = np.flatnonzero(np.r_[True, found[1:] != found[:-1]])
    counts = np.diff(np.append(first, len(codes)))
    before = np.empty(len(codes), dtype=np.intp)
    before[order] = np.arange(len(codes)) - np.repeat(first, counts)
    return before
