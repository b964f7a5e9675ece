"""Which of the feasible nodes a pod gets, and what decided. Used by ``runtime``, and by ``simulator.explain``."""

from __future__ import annotations

import dataclasses

from stowplan.framework import ties
from stowplan.framework.plugin import Rows, Scores
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


@dataclasses.dataclass(frozen=True, slots=True)
class ScoreTable:
    """The scores of the feasible nodes.

    Attributes:
        rows: intp[feasible].
        total: int64[feasible], weighted.
        plugins: plugin name to weight and its int64[feasible] of 0..100; plugins with nothing to say are left out.
    """

    rows: Rows
    total: Scores
    plugins: dict[str, tuple[int, Scores]]


def choose(nodes: Snapshot, table: ScoreTable, chance: int) -> Decision:
    """The best node; ``chance`` (any non-negative integer) picks among equals, as ``framework.ties`` says."""
    total = table.total
    best = int(total[total.argmax()])
    equal = (total == best).nonzero()[0]
    at = int(equal[ties.pick(nodes, table.rows[equal], chance)])
    runner_up = ("", 0)
    decisive: tuple[str, ...] = ()
    if len(total) > 1:
        if len(equal) > 1:
            second = int(equal[0]) if int(equal[0]) != at else int(equal[1])
        else:
            total[at] = -1
            second = int(total.argmax())
            total[at] = best
        runner_up = (nodes.name(int(table.rows[second])), int(total[second]))
        differences = {
            name: abs(weight * (int(scores[at]) - int(scores[second])))
            for name, (weight, scores) in table.plugins.items()
        }
        decisive = tuple(sorted((n for n, d in differences.items() if d), key=lambda n: (-differences[n], n)))
    row = int(table.rows[at])
    return Decision(
        row=row,
        node=nodes.name(row),
        score=best,
        runner_up=runner_up,
        feasible=len(total),
        total=len(nodes),
        decisive=decisive,
    )
