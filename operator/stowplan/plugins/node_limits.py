"""How much of one node the pods of a SchedulingPolicy may take (``nodes.limits``)."""

from __future__ import annotations

from collections.abc import Iterator

from stowplan.framework.events import ClusterEvent
from stowplan.framework.plugin import CycleState
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Reject
from stowplan.model.pods import PodInfo
from stowplan.plugins.policy_rules import Governed, NodeLimitRules


class NodeLimits:
    """Keep a policy's pods off nodes that hold enough of them, or would be fuller than the policy likes.

    ``podsPerNode`` counts all pods of the policy, of whatever StatefulCluster. ``utilization`` is about what all pods
    on the node request together, those of the policy or not.
    """

    name = "NodeLimits"
    requeue_on = frozenset(
        {
            ClusterEvent.POD_REMOVED,
            ClusterEvent.POD_SCALED_DOWN,
            ClusterEvent.POD_LABELS,
            ClusterEvent.POD_UPDATED,
            ClusterEvent.NODE_ADDED,
            ClusterEvent.NODE_ALLOCATABLE,
            ClusterEvent.POLICY,
        }
    )

    def __init__(self, rules: NodeLimitRules) -> None:
        self._rules = rules
        self._policy = rules.policy.rpartition("/")[2]
        self._counted = Governed(rules.policy, cluster=None)

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:  # noqa: ARG002
        """Rejects nodes where the limits would be passed."""
        most = self._rules.pods_per_node
        if most is not None:
            mask = nodes.count(self._counted) >= most
            yield Reject(mask, f"node(s) have {most} pods of policy {self._policy}, its podsPerNode")
        for cap in self._rules.caps:
            index = nodes.resources.get(cap.resource)
            if index is None:
                continue
            wanted = nodes.requested[index] + pod.cls.requests.get(cap.resource, 0)
            # whole numbers: amounts up to 2**53 times a denominator of at most 1000 fit into int64
            mask = wanted * cap.denominator > nodes.allocatable[index] * cap.numerator
            yield Reject(
                mask, f"node(s) would use more than {cap.text} of {cap.resource}, the limit of policy {self._policy}"
            )
