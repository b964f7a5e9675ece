"""Pods that name a SchedulingPolicy which does not exist wait for it: placed without it they might break its rules."""

from __future__ import annotations

from collections.abc import Hashable

from stowplan.framework.events import ClusterEvent
from stowplan.framework.plugin import CycleState
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Refusal
from stowplan.model.pods import PodInfo


class PolicyMissing:
    """Refuse the pods that name a policy, themselves or by their StatefulCluster, until there is one."""

    name = "PolicyMissing"
    requeue_on: frozenset[ClusterEvent] = frozenset()  # but a change of the policies, which wakes everybody

    def __init__(self, policy: str) -> None:
        self._policy = policy

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Refusal:
        """Refuses the pod; no eviction can help it."""
        name = self._policy if self._policy.isprintable() else repr(self._policy)  # an annotation may hold anything
        return Refusal(f"waiting for SchedulingPolicy {name}, which does not exist")

    def alike(self, pod: PodInfo) -> Hashable:
        """All of them wait for the same policy."""
        return ()
