"""How many volumes of a CSI driver a node can attach.

Source: kubernetes v1.36.3 ``plugins/nodevolumelimits/csi.go``, without its alpha feature VolumeLimitScaling (a node
on which the driver is not installed is not rejected) and without the translation of in-tree volumes to CSI.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from stowplan.framework.attachments import DriverVolume
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.joint import Model, Room
from stowplan.framework.plugin import SKIP, CycleState, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Mask, Refusal, Reject
from stowplan.model.pods import PodInfo
from stowplan.plugins import hints, volume_hints

REASON = "node(s) exceed max volume count"


class NodeVolumeLimits:
    """Keep pods off nodes that could not attach their volumes."""

    name = "NodeVolumeLimits"
    alone = True
    requeue_on = frozenset(
        {
            ClusterEvent.NODE_ADDED,
            ClusterEvent.CSI_NODE,
            ClusterEvent.POD_ADDED,
            ClusterEvent.POD_REMOVED,
            ClusterEvent.CLAIM,
            ClusterEvent.VOLUME,
            ClusterEvent.STORAGE_CLASS,
            ClusterEvent.VOLUME_ATTACHMENT,
        }
    )

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Refusal | Skip | None:
        """Nothing to say about pods without claims."""
        return None if pod.claims else SKIP

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Counts the volumes of each driver with those that are on the node already, each once."""
        catalog = nodes.volumes
        new: dict[str, set[DriverVolume]] = {}
        for name in pod.claims:
            claim = catalog.claim(f"{pod.namespace}/{name}")
            if claim is None:
                missing = f'looking up PVC {pod.namespace}/{name}: persistentvolumeclaim "{name}" not found'
                yield Reject(np.ones(len(nodes), dtype=np.bool_), missing, UNRESOLVABLE)
                return
            volume = catalog.driver_volume(claim)
            if volume is not None:
                new.setdefault(volume[0], set()).add(volume)
        over: Mask | None = None
        for driver, volumes in new.items():
            found = _over(driver, volumes, nodes)
            if found is not None:
                over = found if over is None else over | found
        if over is not None:
            yield Reject(over, REASON)

    def alike_now(self, pod: PodInfo, nodes: Snapshot) -> Hashable:
        """What its claims look like."""
        return volume_hints.alike_now(pod, nodes)

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether it is about the pod's own claims, or what it leaves of the limits is enough there now."""
        if volume_hints.own_claim(pod, event) or volume_hints.own_volume(pod, event, nodes):
            return True
        if event.kind is ClusterEvent.POD_ADDED:  # a volume that is on the node already does not come on top
            _, added = event.of(PodInfo)
            return added is not None and volume_hints.share(pod, added)
        if event.kind in (ClusterEvent.CLAIM, ClusterEvent.VOLUME, ClusterEvent.STORAGE_CLASS):
            return volume_hints.in_use(event, nodes) and hints.may_accept(self, pod, nodes)
        gone, _ = event.of(PodInfo)
        only = hints.only(event, nodes)
        concerned = only is not None and (gone is None or bool(gone.claims))
        return concerned and hints.may_accept(self, pod, nodes, among=only)

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """The limit of each driver, for the volumes that one of the pods alone has."""
        catalog = nodes.volumes
        volumes: list[set[DriverVolume]] = []
        for pod in pods:
            claims = (catalog.claim(f"{pod.namespace}/{name}") for name in pod.claims)
            found = (catalog.driver_volume(claim) for claim in claims if claim is not None)
            volumes.append({volume for volume in found if volume is not None})
        users = Counter(volume for each in volumes for volume in each)
        for driver in sorted({driver for driver, _ in users}):
            limits = catalog.limits.column(driver, nodes)
            if limits is None:
                continue
            counts = catalog.attachments.counts(driver, nodes)
            own = [sum(volume[0] == driver and users[volume] == 1 for volume in each) for each in volumes]
            left = limits if counts is None else limits - counts
            model.add(Room(REASON, None, left, np.array(own, dtype=np.int64)))


def _over(driver: str, volumes: set[DriverVolume], nodes: Snapshot) -> Mask | None:
    """bool[node]: where the volumes would be too many for the driver; None where that is on no node."""
    limits = nodes.volumes.limits.column(driver, nodes)
    if limits is None:
        return None
    attachments = nodes.volumes.attachments
    if attachments.most(driver) + len(volumes) <= nodes.volumes.limits.least(driver):
        return None
    counts = attachments.counts(driver, nodes)
    if counts is None:
        return limits < len(volumes)
    over: Mask = counts + len(volumes) > limits
    here = [node for volume in volumes for node in attachments.nodes_of.get(volume, ())]
    for node in set(here):  # what is on the node already does not come on top
        row = nodes.row_of[node]
        added = len(volumes) - here.count(node)
        over[row] = added > 0 and counts[row] + added > limits[row]
    return over
