"""Scores of topology spread constraints with ScheduleAnyway; used by ``pod_topology_spread`` alone.

Source of the rules: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/podtopologyspread/scoring.go``. The same
floating-point operations in the same order, so the scores are the same numbers (Go's logarithm may differ from this
one in its last bit, which no rounding to a whole score can see).

The feasible nodes are looked at by *cell*: the nodes that agree in all the labels that the constraints name have one
score, so a pod spread over zones is scored three times, not five thousand times. With a constraint on host names each
node is its own cell, because that one counts the pods of the node, not of the label's value.
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
        counts: int64[domain]: the pods that count, live.
        domain_of: intp[cell]: index into ``counts``.
        per_node: whether the domains are the nodes themselves.
        offset: maxSkew less one: waters down the differences between domains.
        present: bool[cell]: where the label is, for cells that are scored without it; None where all are complete.
    """

    counts: Counts
    domain_of: domains.Codes
    per_node: bool
    offset: float
    present: Mask | None


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
        self._each_node = any(each.topology_key == HOSTNAME for each in constraints)
        cells, self._cell_of = self._find_cells(groups, len(nodes))
        self._complete: Mask | None = None if complete.all() else complete[cells]
        self._cells = len(cells)
        parts = []
        for each, group in zip(constraints, groups, strict=True):
            present = group.present[cells] if lenient and group.missing is not None else None
            predicate = SpreadsWith(namespace, each.selector)
            if each.topology_key == HOSTNAME:
                parts.append(Part(nodes.count(predicate), np.arange(len(nodes)), True, each.max_skew - 1.0, present))
                continue
            mask = inclusion.included(nodes, wish, honor_affinity=each.honor_affinity, honor_taints=each.honor_taints)
            tally = domains.Tally(nodes, predicate, group, complete if mask is None else complete & mask)
            parts.append(Part(tally.counts, tally.domain_of[cells], False, each.max_skew - 1.0, present))
        self._parts = tuple(parts)

    def _find_cells(self, groups: list[domains.Grouping], size: int) -> tuple[domains.Codes, domains.Codes]:
        """A node of each cell, and the cell of each node."""
        if self._each_node:
            every = np.arange(size)
            return every, every
        joint = np.zeros(size, dtype=np.intp)
        for group in groups:
            joint = np.unique(joint * group.size + group.codes, return_inverse=True)[1]
        _, first, cell_of = np.unique(joint, return_index=True, return_inverse=True)
        return first, cell_of

    def scores(self, rows: Rows) -> Scores:
        """int64[feasible]."""
        if self._each_node:
            return self._of_cells(rows)
        cell_of = self._cell_of if len(rows) == len(self._cell_of) else self._cell_of.take(rows)
        present = np.flatnonzero(np.bincount(cell_of, minlength=self._cells))
        table = np.zeros(self._cells, dtype=np.int64)
        table[present] = self._of_cells(present)
        return table.take(cell_of)

    def _of_cells(self, cells: Rows) -> Scores:
        """The scores of the cells that have a feasible node; 0 where a label is missing."""
        if self._complete is None:
            return _normalize(self._raw(cells))
        scored = self._complete[cells]
        scores = np.zeros(len(cells), dtype=np.int64)
        scores[scored] = _normalize(self._raw(cells[scored]))
        return scores

    def _raw(self, cells: Rows) -> Scores:
        """Pods in the cell's domains, each weighted by the logarithm of how many domains there are."""
        total: npt.NDArray[np.float64] = np.zeros(len(cells))
        for part in self._parts:
            domain = part.domain_of.take(cells)
            size = len(cells) if part.per_node else np.count_nonzero(np.bincount(domain))
            points = part.counts.take(domain) * math.log(size + 2) + part.offset
            total += points if part.present is None else np.where(part.present.take(cells), points, 0.0)
        whole = np.floor(total)  # Go's math.Round: halves away from zero
        return (whole + (total - whole >= 0.5)).astype(np.int64)


def _normalize(raw: Scores) -> Scores:
    if not len(raw):
        return raw
    highest = int(raw.max())
    if highest == 0:
        return np.full_like(raw, MAX_SCORE)
    return MAX_SCORE * (highest + int(raw.min()) - raw) // highest
