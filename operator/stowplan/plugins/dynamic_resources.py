"""Stands in for dynamic resource allocation, which Stowplan does not do yet."""

from __future__ import annotations

from collections.abc import Hashable

from stowplan.framework.events import ClusterEvent
from stowplan.framework.plugin import CycleState
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Refusal
from stowplan.model.pods import PodInfo

REASON = "pod asks for dynamic resources (spec.resourceClaims), which Stowplan does not support yet"


class DynamicResources:
    """Refuse pods with resource claims: to place them without their devices would be worse than not at all."""

    name = "DynamicResources"
    requeue_on: frozenset[ClusterEvent] = frozenset()  # but a change of the pod itself

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Refusal | None:
        """Refuses the pod; no eviction can help it."""
        return Refusal(REASON) if pod.cls.resource_claims else None

    def alike(self, pod: PodInfo) -> Hashable:
        """All that it refuses wait for the same; of the others it says nothing."""
        return pod.cls.resource_claims
