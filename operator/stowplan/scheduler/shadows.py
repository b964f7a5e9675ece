"""What a SchedulingPolicy in mode DryRun would have done about a pod: one more decision beside the real one.

Called by ``scheduler.placing`` when a node has been chosen and the pod does not count there yet, so both decisions see
the same cluster. The judgement travels with the placement; ``live.board`` counts it once the pod is bound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from stowplan.framework.plugin import CycleState
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass, PodInfo


@dataclasses.dataclass(frozen=True, slots=True)
class Shadow:
    """A policy that is tried: its key, and the plugins that would place the pods if it were in force."""

    policy: str
    framework: Framework


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What it says about one placement.

    Attributes:
        policy: the key of the policy that was tried.
        different: whether it would have rejected the node, or chosen a better one; a tie is not different.
        impossible: whether it would have found no node at all.
    """

    policy: str
    different: bool
    impossible: bool


ShadowFor = Callable[[PodClass], Shadow | None]


def nobody(cls: PodClass) -> Shadow | None:  # noqa: ARG001 - whatever the class is
    """No policy is tried."""
    return None


def judge(shadow: Shadow, pod: PodInfo, nodes: Snapshot, row: int) -> Judgement:
    """Decides anew about a pod for which the node in ``row`` was chosen.

    Args:
        shadow: who is tried.
        pod: not counted on any node.
        nodes: the cluster.
        row: of the node that was chosen.
    """
    state = CycleState()  # a trial shows in no metric
    rows = np.flatnonzero(shadow.framework.feasible(pod, nodes, state))
    if len(rows) == 0:
        return Judgement(shadow.policy, different=False, impossible=True)
    at = int(np.searchsorted(rows, row))
    if at == len(rows) or rows[at] != row:
        return Judgement(shadow.policy, different=True, impossible=False)
    total = shadow.framework.score(pod, nodes, state, rows).total
    return Judgement(shadow.policy, different=bool(total[at] < total.max()), impossible=False)
