"""The rules of a joint placement as rows of a linear program. Called by ``scheduler.solver``.

The variables are how many pods of each kind a node gets. What is "if" in a rule becomes a variable of its own that is
0 or 1: whether a place has any of some pods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from stowplan.framework import joint
from stowplan.framework.status import Mask
from stowplan.scheduler.milp import Program

Term = tuple[int, int]
NONE = -1


class Formulas:
    """A program, and what its variables mean.

    Args:
        rules: about kinds of pods instead of pods; about places and nodes as they are.
        sizes: how many pods each kind has.
        allowed: bool[kind, row].
        rows: intp[row]: the nodes that are looked at, as the rules number them.
        need: how many pods must be placed.
        gains: int64[kind, row]: what one of a kind on a node is worth.

    Attributes:
        program: to be solved.
    """

    def __init__(
        self,
        rules: Sequence[joint.Rule],
        sizes: Sequence[int],
        allowed: Mask,
        rows: npt.NDArray[np.intp],
        *,
        need: int,
        gains: npt.NDArray[np.int64],
    ) -> None:
        self.program = Program()
        self._sizes = sizes
        self._rows = rows
        self._x: npt.NDArray[np.int64] = np.full(allowed.shape, NONE, dtype=np.int64)
        most = _most(rules, sizes, allowed, rows)
        for kind, row in zip(*(axis.tolist() for axis in np.nonzero(most)), strict=True):
            self._x[kind, row] = self.program.variable(int(most[kind, row]), gain=float(gains[kind, row]))
        for kind, size in enumerate(sizes):
            self.program.at_most(self._ones(self._x[kind]), size)
        self.program.at_least(self._ones(self._x.ravel()), need)
        for rule in rules:
            match rule:
                case joint.Room():
                    self._room(rule)
                case joint.Apart():
                    self._apart(rule)
                case joint.Near():
                    self._near(rule)
                case joint.Even():
                    self._even(rule)
                case joint.Same():
                    self._same(rule)

    def numbers(self) -> npt.NDArray[np.int64]:
        """int64[kind, row]: how many pods of each kind each node gets, once it is solved."""
        values = np.append(self.program.values, 0)  # where there is no variable
        found: npt.NDArray[np.int64] = values[self._x]
        return found

    # ------------------------------------------------------------ rules

    def _room(self, rule: joint.Room) -> None:
        total = int(np.dot(rule.amounts, self._sizes))
        for at, rows in self._places(rule.place):
            limit = max(int(rule.limits[at]), 0)
            terms = [
                (variable, int(rule.amounts[kind]))
                for kind in np.flatnonzero(rule.amounts).tolist()
                for variable in self._of(kind, rows)
            ]
            if terms and limit < total:
                self.program.at_most(terms, limit)

    def _apart(self, rule: joint.Apart) -> None:
        both = rule.some & rule.others
        parts = (both, rule.some & ~both, rule.others & ~both)
        for _, rows in self._places(rule.place):
            here = [self._ones(self._all(part, rows)) for part in parts]
            match [at for at, terms in enumerate(here) if terms]:
                case []:
                    continue
                case [at]:
                    if at == 0:
                        self.program.at_most(here[0], 1)  # else nobody here is to be kept away from
                case several:
                    flags = [self._whether(here[at], 1 if at == 0 else None) for at in several]
                    self.program.at_most([(flag, 1) for flag in flags], 1)

    def _near(self, rule: joint.Near) -> None:
        seeds: list[Term] = []
        for at, rows in self._places(rule.place):
            who = self._ones(self._all(rule.who, rows))
            if rule.ready[at] or not who:
                continue
            source = self._ones(self._all(rule.whom & ~rule.who, rows))
            if rule.first:
                seed = self.program.variable(1)
                seeds.append((seed, 1))
                self.program.at_least([*self._ones(self._all(rule.whom & rule.who, rows)), (seed, -1)], 0)
                source.append((seed, 1))
            self.program.at_least([*source, (self._whether(who, None), -1)], 0)
        self.program.at_most(seeds, 1)

    def _even(self, rule: joint.Even) -> None:
        eligible = None if rule.eligible is None else rule.eligible[self._rows]
        lowest, floors = self._lowest(rule, eligible)
        others = bool((rule.counted & ~rule.who).any())
        total = sum(self._sizes)
        for at, rows in self._places(rule.place):
            who = self._ones(self._all(rule.who, rows))
            if not who:
                continue
            pool, before = int(rule.pool[at]), int(rule.counts[at])
            counted = self._counted(rule, rows, eligible)
            high = rule.max_skew - before
            if lowest[pool] != NONE:
                counted.append((lowest[pool], -1))
            if others or before > floors[pool] + rule.max_skew:
                slack = before + total
                here = self._whether(who, None)
                self.program.at_most([*counted, (here, slack)], high + slack)
            else:
                self.program.at_most(counted, high)

    def _lowest(self, rule: joint.Even, eligible: Mask | None) -> tuple[list[int], list[int]]:
        """For each pool the variable of what its emptiest place holds in the end, and what that holds before."""
        variables, floors = [NONE] * len(rule.enough), [0] * len(rule.enough)
        rows_of = dict(self._places(rule.place))
        for pool in range(len(rule.enough)):
            places = np.flatnonzero(rule.compared & (rule.pool == pool)).tolist()
            if not places or not rule.enough[pool]:
                continue  # it is taken to be empty
            floors[pool] = int(rule.counts[places].min())
            lowest = variables[pool] = self.program.variable(floors[pool] + sum(self._sizes))
            fixed = []
            for at in places:
                counted = self._counted(rule, rows_of[at], eligible) if at in rows_of else []
                if counted:
                    self.program.at_most([(lowest, 1), *((each, -1) for each, _ in counted)], int(rule.counts[at]))
                else:
                    fixed.append(int(rule.counts[at]))
            if fixed:
                self.program.at_most([(lowest, 1)], min(fixed))
        return variables, floors

    def _same(self, rule: joint.Same) -> None:
        flags = [
            self._whether(terms, None)
            for row in range(len(self._rows))
            if (terms := self._ones(self._all(rule.pods, np.array([row]))))
        ]
        self.program.at_most([(flag, 1) for flag in flags], 1)

    # ------------------------------------------------------------ pieces

    def _whether(self, terms: Sequence[Term], most: int | None) -> int:
        """A variable that is 1 where any of these pods are there.

        Args:
            terms: the pods.
            most: how many there may be at all; None: all of them.
        """
        flag = self.program.variable(1)
        self.program.at_most([*terms, (flag, -(sum(self._sizes) if most is None else most))], 0)
        return flag

    def _counted(self, rule: joint.Even, rows: npt.NDArray[np.intp], eligible: Mask | None) -> list[Term]:
        return self._ones(self._all(rule.counted, rows if eligible is None else rows[eligible[rows]]))

    def _of(self, kind: int, rows: npt.NDArray[np.intp]) -> list[int]:
        found = self._x[kind, rows]
        numbers: list[int] = found[found != NONE].tolist()
        return numbers

    def _all(self, kinds: Mask, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        return self._x[np.flatnonzero(kinds)][:, rows].ravel()

    @staticmethod
    def _ones(variables: npt.NDArray[np.int64]) -> list[Term]:
        return [(variable, 1) for variable in variables[variables != NONE].tolist()]

    def _places(self, place: joint.Places | None) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
        """Each place that has any of the rows, with those."""
        if place is None:
            yield from ((int(row), np.array([at])) for at, row in enumerate(self._rows))
            return
        here = place[self._rows]
        order = np.argsort(here, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(here[order])) + 1):
            if len(rows) and here[rows[0]] >= 0:
                yield int(here[rows[0]]), rows


def _most(
    rules: Sequence[joint.Rule], sizes: Sequence[int], allowed: Mask, rows: npt.NDArray[np.intp]
) -> npt.NDArray[np.int64]:
    """int64[kind, row]: how many of a kind a node can have, were it the only kind."""
    most = np.array(sizes, dtype=np.int64)[:, None] * allowed
    for rule in rules:
        if isinstance(rule, joint.Room) and rule.place is None:
            taking = rule.amounts > 0
            fit = np.maximum(rule.limits[rows], 0) // np.maximum(rule.amounts, 1)[:, None]
            most = np.where(taking[:, None], np.minimum(most, fit), most)
    return most
