"""Scores of topology spread constraints with ScheduleAnyway; used by ``pod_topology_spread`` alone.

Source of the rules: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/podtopologyspread/scoring.go``. The same
floating-point operations in the same order, so the scores are the same numbers (Go's logarithm may differ from this
one in its last bit, which no rounding to a whole score can see).

The feasible nodes are looked at by *cell*: the nodes that agree in all the labels that the constraints name have one
score, so a pod spread over zones is scored three times, not five thousand times. A constraint on host names counts the
pods of the node, not of the label's value: nodes of one cell with as many such pods have one score then.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from stowplan.framework.counters import Counts
from stowplan.framework.plugin import MAX_SCORE, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.model.pods import SpreadConstraint
from stowplan.plugins import domains, inclusion
from stowplan.plugins.predicates import SpreadsWith

HOSTNAME = "kubernetes.io/hostname"


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """What one constraint adds to the score of a cell.

    Attributes:
        counts: int64[domain]: the pods that count, live; int64[node] where the domains are the nodes.
        domain_of: intp[cell]: index into ``counts``; None where the domains are the nodes.
        offset: maxSkew less one: waters down the differences between domains.
        present: bool[cell]: where the label is, for cells that are scored without it; None where all are complete.
    """

    counts: Counts
    domain_of: domains.Codes | None
    offset: float
    present: Mask | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Kinds:
    """Feasible nodes that score alike.

    Attributes:
        cells: intp[kind]: their cell.
        own: by constraint on host names, int64[kind]: the pods that each of the nodes has.
        number: int64[kind]: how many nodes there are.
    """

    cells: domains.Codes
    own: tuple[Counts, ...]
    number: Counts

    def where(self, mask: Mask) -> _Kinds:
        """Some of them, bool[kind]."""
        return _Kinds(self.cells[mask], tuple(each[mask] for each in self.own), self.number[mask])


class Scoring:
    """The scores of the pods that have these constraints.

    Args:
        nodes: the nodes.
        namespace: of the pods.
        constraints: with ScheduleAnyway.
        wish: what the pods say about nodes.
        lenient: whether a node without one of the labels is scored by the others; it gets 0 otherwise.
    """

    def __init__(
        self,
        nodes: Snapshot,
        namespace: str,
        constraints: tuple[SpreadConstraint, ...],
        wish: inclusion.Wishes,
        *,
        lenient: bool = False,
    ) -> None:
        groups = [domains.grouping(nodes, each.topology_key) for each in constraints]
        complete: Mask = np.logical_and.reduce([group.present for group in groups])
        if lenient:
            complete = np.ones_like(complete)
        cells, self._cell_of = _find_cells(groups, constraints, len(nodes))
        self._complete: Mask | None = None if complete.all() else complete[cells]
        self._cells = len(cells)
        parts = []
        for each, group in zip(constraints, groups, strict=True):
            present = group.present[cells] if lenient and group.missing is not None else None
            predicate = SpreadsWith(namespace, each.selector)
            if each.topology_key == HOSTNAME:
                parts.append(Part(nodes.count(predicate), None, each.max_skew - 1.0, present))
                continue
            mask = inclusion.included(nodes, wish, honor_affinity=each.honor_affinity, honor_taints=each.honor_taints)
            tally = domains.Tally(nodes, predicate, group, complete if mask is None else complete & mask)
            parts.append(Part(tally.counts, tally.domain_of[cells], each.max_skew - 1.0, present))
        self._parts = tuple(parts)

    def scores(self, rows: Rows) -> Scores:
        """int64[feasible]."""
        some = len(rows) < len(self._cell_of)
        code = cell_of = self._cell_of.take(rows) if some else self._cell_of
        own = [each.counts.take(rows) if some else each.counts for each in self._parts if each.domain_of is None]
        sizes = [int(each.max(initial=0)) + 1 for each in own]
        for counts, size in zip(own, sizes, strict=True):
            code = code * size + counts
        kinds = self._cells * math.prod(sizes)
        if kinds > len(rows):
            return self._of_kinds(_Kinds(cell_of, tuple(own), np.ones(len(rows), dtype=np.int64)))
        number = np.bincount(code, minlength=kinds)
        present = np.flatnonzero(number)
        cells, digits = present, []
        for size in reversed(sizes):
            cells, digit = np.divmod(cells, size)
            digits.append(digit)
        table = np.zeros(kinds, dtype=np.int64)
        table[present] = self._of_kinds(_Kinds(cells, tuple(reversed(digits)), number[present]))
        return table.take(code)

    def _of_kinds(self, kinds: _Kinds) -> Scores:
        """int64[kind]; 0 where a label is missing."""
        if self._complete is None:
            return _normalize(self._raw(kinds))
        scored = self._complete[kinds.cells]
        scores = np.zeros(len(scored), dtype=np.int64)
        scores[scored] = _normalize(self._raw(kinds.where(scored)))
        return scores

    def _raw(self, kinds: _Kinds) -> Scores:
        """Pods in the domains of each kind, each weighted by the logarithm of how many domains there are."""
        total: npt.NDArray[np.float64] = np.zeros(len(kinds.cells))
        own = iter(kinds.own)
        for part in self._parts:
            if part.domain_of is None:
                counts, size = next(own), int(kinds.number.sum())
            else:
                domain = part.domain_of.take(kinds.cells)
                counts, size = part.counts.take(domain), int(np.count_nonzero(np.bincount(domain)))
            points = counts * math.log(size + 2) + part.offset
            total += points if part.present is None else np.where(part.present.take(kinds.cells), points, 0.0)
        whole = np.floor(total)  # Go's math.Round: halves away from zero
        return (whole + (total - whole >= 0.5)).astype(np.int64)


def _find_cells(
    groups: list[domains.Grouping], constraints: tuple[SpreadConstraint, ...], size: int
) -> tuple[domains.Codes, domains.Codes]:
    """A node of each cell, and the cell of each node. Of a host name it matters only whether there is one."""
    joint = np.zeros(size, dtype=np.intp)
    for group, constraint in zip(groups, constraints, strict=True):
        codes = group.present if constraint.topology_key == HOSTNAME else group.codes
        joint = np.unique(joint * group.size + codes, return_inverse=True)[1]
    _, first, cell_of = np.unique(joint, return_index=True, return_inverse=True)
    return first, cell_of


def _normalize(raw: Scores) -> Scores:
    if not len(raw):
        return raw
    highest = int(raw.max())
    if highest == 0:
        return np.full_like(raw, MAX_SCORE)
    return MAX_SCORE * (highest + int(raw.min()) - raw) // highest
