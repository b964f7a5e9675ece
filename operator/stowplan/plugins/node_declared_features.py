"""Features that pods use and not every node has. Source: kubernetes v1.36.3 ``plugins/nodedeclaredfeatures``."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import SKIP, CycleState, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Reject
from stowplan.model import objects
from stowplan.model.pods import PodInfo


class NodeDeclaredFeatures:
    """Keep pods on nodes whose kubelet declares what the pods use (KEP-5328)."""

    name = "NodeDeclaredFeatures"
    alone = True
    requeue_on = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.NODE_FEATURES})

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Skip | None:
        """Steps aside where the pod uses nothing special, as nearly every pod."""
        return None if pod.cls.features else SKIP

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects nodes that do not declare all that the pod uses."""
        wanted, none = pod.cls.features, frozenset[str]()
        lacking = nodes.features.where(lambda declared: not wanted <= (declared or none))
        yield Reject(lacking, "node(s) didn't match Pod's required features", UNRESOLVABLE)

    def alike(self, pod: PodInfo) -> Hashable:
        """What the pod uses."""
        return pod.cls.features

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether the node has all of it now."""
        _, new = event.of(objects.Node)
        return new is not None and pod.cls.features.issubset(new.status.declared_features)
