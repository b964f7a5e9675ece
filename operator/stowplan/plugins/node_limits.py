"""How much of one node the pods of a SchedulingPolicy may take (``nodes.limits``)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.joint import Model, Room, which
from stowplan.framework.plugin import CycleState
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Reject
from stowplan.model.pods import PodInfo
from stowplan.model.words import counted
from stowplan.plugins import hints
from stowplan.plugins.policy_rules import Cap, Governed, NodeLimitRules


class NodeLimits:
    """Keep a policy's pods off nodes that hold enough of them, or would be fuller than the policy likes.

    ``podsPerNode`` counts all pods of the policy, of whatever StatefulCluster. ``utilization`` is about what all pods
    on the node request together, those of the policy or not.
    """

    name = "NodeLimits"
    alone = True
    requeue_on = frozenset(
        {
            ClusterEvent.POD_REMOVED,
            ClusterEvent.POD_SCALED_DOWN,
            ClusterEvent.POD_LABELS,
            ClusterEvent.NODE_ADDED,
            ClusterEvent.NODE_ALLOCATABLE,
        }
    )

    def __init__(self, rules: NodeLimitRules) -> None:
        self._rules = rules
        self._policy = rules.policy.rpartition("/")[2]
        self._counted = Governed(rules.policy, cluster=None)

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects nodes where the limits would be passed."""
        most = self._rules.pods_per_node
        if most is not None:
            mask = nodes.count(self._counted) >= most
            yield Reject(mask, self._crowded(most))
        for cap in self._rules.caps:
            index = nodes.resources.get(cap.resource)
            if index is None:
                continue
            wanted = nodes.requested[index] + pod.cls.requests.get(cap.resource, 0)
            # whole numbers: amounts up to 2**53 times a denominator of at most 1000 fit into int64
            mask = wanted * cap.denominator > nodes.allocatable[index] * cap.numerator
            yield Reject(mask, self._over(cap))

    def alike(self, pod: PodInfo) -> Hashable:
        """What the pod asks for."""
        return pod.cls.ask

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether the limits leave room for the pod on that node now."""
        if hints.may_evict(pod, nodes):
            return True
        only = hints.only(event, nodes)
        key = (self, pod.cls.ask)
        return only is not None and event.once(key, lambda: hints.accepts(self, pod, nodes, among=only))

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """The limits, for all of the pods that a node gets."""
        most = self._rules.pods_per_node
        if most is not None:
            counted = which(self._counted.matches(pod.cls, nodes) for pod in pods).astype(np.int64)
            model.add(Room(self._crowded(most), None, most - nodes.count(self._counted), counted))
        for cap in self._rules.caps:
            index = nodes.resources.get(cap.resource)
            if index is not None:
                left = nodes.allocatable[index] * cap.numerator // cap.denominator - nodes.requested[index]
                amounts = np.array([pod.cls.requests.get(cap.resource, 0) for pod in pods], dtype=np.int64)
                model.add(Room(self._over(cap), None, left, amounts))

    def _crowded(self, most: int) -> str:
        return f"node(s) have {counted(most, 'pod')} of policy {self._policy}, its podsPerNode"

    def _over(self, cap: Cap) -> str:
        return f"node(s) would use more than {cap.text} of {cap.resource}, the limit of policy {self._policy}"
