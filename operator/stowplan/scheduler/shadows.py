"""What a SchedulingPolicy in mode DryRun would have done about a pod: one more decision beside the real one.

Called by ``scheduler.placing`` when a node has been chosen and the pod does not count there yet, so both decisions see
the same cluster, and by ``scheduler.cycle`` about a pod that fits nowhere. What comes of it is counted by
``scheduler.trials``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from typing import Final

import numpy as np

from stowplan.framework.plugin import CycleState
from stowplan.framework.postfilter import Nomination
from stowplan.framework.rescue import Rescue
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.trial import beside
from stowplan.model.pods import PodClass, PodInfo
from stowplan.scheduler.groups import Group

SEARCH_EVERY: Final = 16
"""Of pods of one class that would fit nowhere, every so many-th makes the policy look for victims. To look takes many
times as long as to decide; the others are taken to fare as that one did."""
MOST_SEARCHES: Final = 1024
"""Classes for which that is remembered."""


class Would(Enum):
    """What would have become of a pod."""

    SAME = "same"
    """Its node, or one that is as good."""
    BETTER = "better"
    """Its node is allowed, and another one is better."""
    ELSEWHERE = "elsewhere"
    """Its node is rejected, and there are others."""
    EVICT = "evict"
    """A node is free for it once other pods have been evicted."""
    NOWHERE = "nowhere"
    """It would fit on no node."""


@dataclasses.dataclass(frozen=True, slots=True)
class Shadow:
    """A policy that is tried.

    Attributes:
        policy: its key.
        framework: the plugins that would place the pods if it were in force.
        group_for: the group in which it would place the pods of a class.
        searched: by class, whether victims were found last, and for how many pods more that is taken to hold.
    """

    policy: str
    framework: Framework
    group_for: Callable[[PodClass], Group | None]
    searched: dict[PodClass, tuple[bool, int]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What it says about one pod.

    Attributes:
        policy: the key of the policy that was tried.
        would: what would have become of the pod, were it alone.
        gang: the gang that it would have had to wait for, if any.
        begun: members of that gang that had nodes already.
    """

    policy: str
    would: Would
    gang: Group | None = None
    begun: int = 0


ShadowFor = Callable[[PodClass], Shadow | None]


def nobody(cls: PodClass) -> Shadow | None:  # noqa: ARG001 - whatever the class is
    """No policy is tried."""
    return None


def judge(shadow: Shadow, pod: PodInfo, nodes: Snapshot, row: int | None) -> Judgement:
    """Decides anew about a pod.

    Args:
        shadow: who is tried.
        pod: not counted on any node.
        nodes: the cluster; the same after the call as before.
        row: of the node that was chosen for the pod; None where it fits nowhere.
    """
    with beside(nodes.homes.beside(pod), nodes):
        would = _would(shadow, pod, nodes, row)
    gang = shadow.group_for(pod.cls)
    if gang is None or not gang.strict:
        return Judgement(shadow.policy, would)
    return Judgement(shadow.policy, would, gang, nodes.counter(gang.counted).total)


def _would(shadow: Shadow, pod: PodInfo, nodes: Snapshot, row: int | None) -> Would:
    state = CycleState()  # a trial shows in no metric
    rows = np.flatnonzero(shadow.framework.feasible(pod, nodes, state))
    if len(rows) == 0:
        return Would.EVICT if _evicts(shadow, pod, nodes, state) else Would.NOWHERE
    at = len(rows) if row is None else int(np.searchsorted(rows, row))
    if at == len(rows) or rows[at] != row:
        return Would.ELSEWHERE
    total = shadow.framework.score(pod, nodes, state, rows).total
    return Would.BETTER if total[at] < total.max() else Would.SAME


def _evicts(shadow: Shadow, pod: PodInfo, nodes: Snapshot, state: CycleState) -> bool:
    """Whether it would make others leave for the pod."""
    if nodes.lowest_priority() >= pod.priority:
        return False
    found, left = shadow.searched.get(pod.cls, (False, 0))
    if left == 0:
        why = shadow.framework.diagnose(pod, nodes, state)
        found = False
        if not (why.failed or why.unresolvable.all()):
            found = isinstance(Rescue(shadow.framework).post_filter(pod, nodes, why, 0), Nomination)
        left = SEARCH_EVERY
        if len(shadow.searched) >= MOST_SEARCHES:
            shadow.searched.clear()
    shadow.searched[pod.cls] = (found, left - 1)
    return found
