"""Asking a volume plugin about one pod, for tests: a refusal, or all reasons against each node."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from stowplan.framework.plugin import SKIP, CycleState, Filter, PreFilter
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Refusal
from stowplan.model.pods import PodInfo


class Judge(PreFilter, Filter, Protocol):
    """A plugin that refuses, steps aside or filters."""


SKIPPED = "skipped"

Answer = str | dict[str, list[str]]
"""The text of a refusal, ``SKIPPED``, or node to reasons, with ``!`` before those that evicting pods may remove."""


def ask(plugin: Judge, pod: PodInfo, nodes: Snapshot, state: CycleState | None = None) -> Answer:
    """What a plugin has against a pod; nodes that pass have no reasons."""
    state = CycleState() if state is None else state
    answer = plugin.pre_filter(pod, nodes, state)
    if isinstance(answer, Refusal):
        assert answer.resolution is UNRESOLVABLE
        return answer.reason
    if answer is SKIP:
        return SKIPPED
    reasons: dict[str, list[str]] = {nodes.name(row): [] for row in range(len(nodes))}
    for reject in plugin.filter(pod, nodes, state):
        assert reject.mask.shape == (len(nodes),)
        for row in np.flatnonzero(reject.mask):
            mark = "" if reject.resolution is UNRESOLVABLE else "!"
            reasons[nodes.name(int(row))].append(mark + reject.reason)
    return reasons
