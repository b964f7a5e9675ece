"""Pods that name their node. Source: kubernetes v1.36.3 ``plugins/nodename/node_name.go``."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import SKIP, CycleState, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Reject
from stowplan.model.pods import PodInfo


class NodeName:
    """Keep a pod that has ``spec.nodeName`` on that node."""

    name = "NodeName"
    requeue_on = frozenset({ClusterEvent.NODE_ADDED})

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Skip | None:
        """Steps aside where no node is named, as for nearly every pod."""
        return None if pod.node_name else SKIP

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects all other nodes."""
        others = np.ones(len(nodes), dtype=np.bool_)
        row = nodes.row_of.get(pod.node_name)
        if row is not None:
            others[row] = False
        yield Reject(others, "node(s) didn't match the requested node name", UNRESOLVABLE)

    def alike(self, pod: PodInfo) -> Hashable:
        """The node that the pod names."""
        return pod.node_name

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether it is that node."""
        return event.node == pod.node_name
