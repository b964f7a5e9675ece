"""Which of the feasible nodes a pod gets, and what decided. Used by ``runtime``, and by ``simulator.explain``."""

from __future__ import annotations

import dataclasses

from stowplan.framework import ties
from stowplan.framework.scoring import ScoreTable
from stowplan.framework.snapshot import Snapshot


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """Where a pod goes and why.

    Attributes:
        row: row of the chosen node.
        node: its name.
        score: its weighted total.
        runner_up: name and total of the best other node; ("", 0) where there is none.
        feasible: number of feasible nodes.
        total: number of nodes.
        decisive: names of the plugins whose weighted score differs between the two, largest difference first.
    """

    row: int
    node: str
    score: int
    runner_up: tuple[str, int]
    feasible: int
    total: int
    decisive: tuple[str, ...]


def choose(nodes: Snapshot, table: ScoreTable, chance: int) -> Decision:
    """The best node; ``chance`` (any non-negative integer) picks among equals, as ``framework.ties`` says."""
    rows, total = table.rows, table.total
    first = int(total.argmax())
    best = int(total[first])
    equal = (total == best).nonzero()[0]
    at = ties.pick(nodes, rows, equal, chance)
    runner_up = ("", 0)
    decisive: tuple[str, ...] = ()
    if len(total) > 1:
        if len(equal) > 1:
            second = first if first != at else int(equal[1])
        else:
            others = total.copy()
            others[at] = -1
            second = int(others.argmax())
        runner_up = (nodes.name(int(rows[second])), int(total[second]))
        differences = table.differences(at, second)
        decisive = tuple(sorted(differences, key=lambda name: (-differences[name], name)))
    row = int(rows[at])
    return Decision(
        row=row,
        node=nodes.name(row),
        score=best,
        runner_up=runner_up,
        feasible=len(total),
        total=len(nodes),
        decisive=decisive,
    )
