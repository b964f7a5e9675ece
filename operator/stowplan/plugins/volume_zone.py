"""Zones of volumes: a pod runs where the zone and region labels of its bound volumes say.

Source: kubernetes v1.36.3 ``plugins/volumezone/volume_zone.go``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

import numpy as np

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import SKIP, CycleState, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Mask, Refusal, Reject
from stowplan.framework.storage import BETA_REGION, BETA_ZONE, REGION, ZONE, ZONE_LABELS, Zones
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.plugins import hints, volume_hints

REASON = "node(s) had no available volume zone"

_SUCCESSOR = {BETA_ZONE: ZONE, BETA_REGION: REGION}


class VolumeZone:
    """Keep pods in the zones that their volumes are labelled with."""

    name = "VolumeZone"
    alone = True
    requeue_on = frozenset(
        {
            ClusterEvent.STORAGE_CLASS,
            ClusterEvent.NODE_ADDED,
            ClusterEvent.NODE_LABELS,
            ClusterEvent.CLAIM,
            ClusterEvent.VOLUME,
        }
    )

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Refusal | Skip | None:
        """Finds the zones; refuses pods whose claims have neither a volume nor one to come with the node."""
        found: dict[tuple[str, frozenset[str]], None] = {}
        for name in pod.claims:
            if name in pod.ephemeral:
                continue
            zones = _zones(f"{pod.namespace}/{name}", name, nodes)
            if isinstance(zones, str):
                return Refusal(zones)
            found.update(dict.fromkeys(zones))
        if not found:
            return SKIP
        state[self.name] = tuple(found)
        return None

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Nodes with any zone or region label must have one of the volumes' values; those with none may be anywhere."""
        zones = state[self.name]
        assert isinstance(zones, tuple)
        yield Reject(nodes.once((self.name, zones), lambda: _elsewhere(zones, nodes)), REASON, UNRESOLVABLE)

    def lasting(self, pod: PodInfo, nodes: Snapshot) -> Iterable[Reject]:
        """The same: no zone depends on who is on a node."""
        return hints.rejects(self, pod, nodes)

    def alike_now(self, pod: PodInfo, nodes: Snapshot) -> Hashable:
        """What its claims look like."""
        return volume_hints.alike_now(pod, nodes)

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether it is about the pod's own claims or volumes, and what they are made by, or about a node."""
        match event.new or event.old:
            case objects.PersistentVolumeClaim():
                concerned = volume_hints.own_claim(pod, event)
            case objects.PersistentVolume():
                concerned = volume_hints.own_volume(pod, event, nodes)
            case objects.StorageClass() as subject:
                classes = {each.storage_class for each in volume_hints.claims(pod, nodes)}
                concerned = subject.metadata.name in classes
            case _:
                concerned = True
        return concerned and hints.accepts(self, pod, nodes)


def _zones(key: str, name: str, nodes: Snapshot) -> Zones | str:
    """The zones of a claim's volume, none where it is to be made yet, or why the pod cannot be placed."""
    catalog = nodes.volumes
    claim = catalog.claim(key)
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if claim.volume:
        volume = catalog.volume(claim.volume)
        return volume.zones if volume is not None else f'persistentvolume "{claim.volume}" not found'
    if not claim.storage_class:
        return "PersistentVolumeClaim had no pv name and storageClass name"
    storage_class = catalog.classes.get(claim.storage_class)
    if storage_class is None:
        return f'storageclass.storage.k8s.io "{claim.storage_class}" not found'
    if storage_class.volume_binding_mode != "WaitForFirstConsumer":
        return "PersistentVolume had no name"
    return ()


def _elsewhere(zones: Zones, nodes: Snapshot) -> Mask:
    """bool[node]: labelled nodes that are not in one of the volumes' zones."""
    labelled = np.zeros(len(nodes), dtype=np.bool_)
    for key in ZONE_LABELS:
        labelled |= nodes.label(key).present
    inside = np.ones(len(nodes), dtype=np.bool_)
    for key, values in zones:
        column = nodes.label(key)
        having = column.where(values.__contains__)
        if key in _SUCCESSOR:  # a volume's old label and a node's new one mean the same
            newer = nodes.label(_SUCCESSOR[key]).where(values.__contains__)
            having = np.where(column.present, having, newer)
        inside &= having
    return labelled & ~inside
