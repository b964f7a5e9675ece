"""Asking one plugin about one pod, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from tests.plugins.running import rejects_of

from stowplan.framework.plugin import SKIP, CycleState, Filter, PreFilter, Rows, Score, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNSCHEDULABLE, Refusal
from stowplan.model.pods import PodInfo

Verdict = tuple[str, bool]
"""Reason, and whether evicting pods could help."""


class Judge(PreFilter, Filter, Protocol):
    """A plugin that filters and may step aside."""


class Scorer(Protocol):
    """A plugin that scores."""

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None: ...


def verdicts(plugin: Judge, pod: PodInfo, nodes: Snapshot) -> dict[str, Verdict]:
    """Node to the one verdict against it; nodes that pass are left out."""
    state = CycleState()
    answer = plugin.pre_filter(pod, nodes, state)
    assert not isinstance(answer, Refusal)
    found: dict[str, Verdict] = {}
    for reject in () if answer is SKIP else rejects_of(plugin, pod, nodes, state):
        for row in np.flatnonzero(reject.mask):
            name = nodes.name(int(row))
            assert name not in found, "a second reason against one node"
            found[name] = (reject.reason, reject.resolution is UNSCHEDULABLE)
    return found


def passing(plugin: Judge, pod: PodInfo, nodes: Snapshot) -> set[str]:
    """The nodes that pass."""
    return set(nodes.row_of) - set(verdicts(plugin, pod, nodes))


def scores(plugin: Scorer, pod: PodInfo, nodes: Snapshot, rows: Sequence[int] | None = None) -> list[int] | None:
    """The scores of the feasible nodes (all, unless rows are given), by row; None where there is nothing to say."""
    assert isinstance(plugin, Score)
    feasible = range(len(nodes)) if rows is None else rows
    found = plugin.score(pod, nodes, CycleState(), np.array(feasible, dtype=np.intp))
    return None if found is None else [int(each) for each in found]
