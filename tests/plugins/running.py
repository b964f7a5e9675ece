"""Run one plugin over a small cluster and read the answer by node name."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stowplan.framework.plugin import SKIP, CycleState, Filter, PreFilter, Score
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Refusal, Reject, Resolution, first_only
from stowplan.model.pods import PodInfo

Reasons = dict[str, list[tuple[str, Resolution]]]


def rejects_of(plugin: Filter, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterable[Reject]:
    """The rejects of a filter as they are told: without the nodes that count for an earlier one, where it says so."""
    found = plugin.filter(pod, nodes, state)
    return first_only(found) if getattr(plugin, "first_only", False) else found


def rejected(plugin: Filter, pod: PodInfo, nodes: Snapshot) -> Reasons:
    """Node name to (reason, resolution) in order; nodes that pass are left out, a plugin that skips rejects none."""
    state = CycleState()
    found: Reasons = {}
    if isinstance(plugin, PreFilter):
        answer = plugin.pre_filter(pod, nodes, state)
        assert not isinstance(answer, Refusal), answer
        if answer is SKIP:
            return {}
    for reject in rejects_of(plugin, pod, nodes, state):
        assert reject.mask.shape == (len(nodes),)
        for row in np.flatnonzero(reject.mask).tolist():
            found.setdefault(nodes.name(row), []).append((reject.reason, reject.resolution))
    return found


def reasons(plugin: Filter, pod: PodInfo, nodes: Snapshot) -> dict[str, list[str]]:
    """The same without the resolutions."""
    return {name: [reason for reason, _ in each] for name, each in rejected(plugin, pod, nodes).items()}


def scored(plugin: Score, pod: PodInfo, nodes: Snapshot, *, feasible: list[str] | None = None) -> dict[str, int] | None:
    """Node name to score, over the feasible nodes (all, unless named); None where it has nothing to say."""
    names = feasible if feasible is not None else list(nodes.row_of)
    rows = np.array(sorted(nodes.row_of[name] for name in names), dtype=np.intp)
    scores = plugin.score(pod, nodes, CycleState(), rows)
    if scores is None:
        return None
    if isinstance(scores, int):
        return dict.fromkeys(names, scores)
    assert scores.shape == rows.shape
    assert scores.dtype == np.int64
    return {nodes.name(row): score for row, score in zip(rows.tolist(), scores.tolist(), strict=True)}
