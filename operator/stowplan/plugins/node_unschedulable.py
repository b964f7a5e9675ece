"""Cordoned nodes. Source: kubernetes v1.36.3 ``plugins/nodeunschedulable/node_unschedulable.go``."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import CycleState
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Reject
from stowplan.model import objects, tolerations
from stowplan.model.pods import PodInfo
from stowplan.plugins.args import TolerationArgs


class NodeUnschedulable:
    """Keep pods off cordoned nodes, unless they tolerate that."""

    name = "NodeUnschedulable"
    static = True
    requeue_on = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.NODE_TAINTS})

    def __init__(self, args: TolerationArgs) -> None:
        self._added = args.added_tolerations

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects the cordoned nodes."""
        if not tolerations.any_tolerates((*pod.cls.tolerations, *self._added), tolerations.UNSCHEDULABLE):
            yield Reject(nodes.unschedulable, "node(s) were unschedulable", UNRESOLVABLE)

    def alike(self, pod: PodInfo) -> Hashable:
        """What the pod tolerates."""
        return pod.cls.tolerations

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether the node is not cordoned now, and was before."""
        old, new = event.of(objects.Node)
        return new is not None and not new.spec.unschedulable and (old is None or old.spec.unschedulable)
