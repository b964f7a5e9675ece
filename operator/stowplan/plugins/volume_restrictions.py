"""Volumes that pods cannot share: disks written into pods, and claims that one pod alone may use.

Source: kubernetes v1.36.3 ``plugins/volumerestrictions/volume_restrictions.go``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

import numpy as np

from stowplan.framework import disks
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import SKIP, CycleState, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Refusal, Reject
from stowplan.framework.storage import READ_WRITE_ONCE_POD
from stowplan.model.pods import PodInfo
from stowplan.plugins import hints, volume_hints

DISK_CONFLICT = "node(s) had no available disk"
CLAIM_IN_USE = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
)


class VolumeRestrictions:
    """Keep pods apart that use the same disk, and from claims that another pod has for itself."""

    name = "VolumeRestrictions"
    requeue_on = frozenset(
        {ClusterEvent.POD_REMOVED, ClusterEvent.NODE_ADDED, ClusterEvent.NODE_REMOVED, ClusterEvent.CLAIM}
    )

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Refusal | Skip | None:
        """Looks whether a ReadWriteOncePod claim is in use; refuses pods whose claims do not exist."""
        in_use = False
        for name in pod.claims:
            if name in pod.ephemeral:
                continue
            key = f"{pod.namespace}/{name}"
            claim = nodes.volumes.claim(key)
            if claim is None:
                return Refusal(f'persistentvolumeclaim "{name}" not found')
            if READ_WRITE_ONCE_POD in claim.traits.modes:
                users = nodes.volumes.users.get(key, {})
                in_use |= any(name not in nodes.pods[uid].ephemeral for uid in users)
        if not in_use and not disks.has_disks(pod):
            return SKIP
        state[self.name] = in_use
        return None

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Disks node by node; a claim in use anywhere rejects all nodes, until the pod that has it is gone."""
        taken = np.zeros(len(nodes), dtype=np.bool_)
        if pod.volumes:
            taken[list(nodes.volumes.disks.conflicts(pod))] = True
            yield Reject(taken, DISK_CONFLICT)
        if state[self.name]:
            yield Reject(~taken, CLAIM_IN_USE)

    def lasting(self, pod: PodInfo, nodes: Snapshot) -> Iterable[Reject]:
        """A claim that a pod has for itself is in use on all nodes but the one that this pod would leave."""
        for name in pod.claims:
            key = f"{pod.namespace}/{name}"
            claim, users = nodes.volumes.claim(key), nodes.volumes.users.get(key, {})
            if claim is not None and READ_WRITE_ONCE_POD in claim.traits.modes and name not in pod.ephemeral:
                rows = {row for uid, row in users.items() if name not in nodes.pods[uid].ephemeral}
                if rows:
                    elsewhere = np.ones(len(nodes), dtype=np.bool_)
                    elsewhere[list(rows)] = len(rows) > 1
                    yield Reject(elsewhere, CLAIM_IN_USE)

    def alike_now(self, pod: PodInfo, nodes: Snapshot) -> Hashable:
        """What its claims look like."""
        return volume_hints.alike_now(pod, nodes)

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether a pod has left that used the same claim or disk, or it is about the pod's own claim or a node."""
        gone, _ = event.of(PodInfo)
        if event.kind is ClusterEvent.CLAIM:
            concerned = volume_hints.own_claim(pod, event)
        else:
            concerned = gone is None or volume_hints.share(pod, gone) or not _disks(gone).isdisjoint(_disks(pod))
        return concerned and hints.may_accept(self, pod, nodes)


def _disks(pod: PodInfo) -> set[disks.Disk]:
    return {disk for volume in pod.volumes for disk, _ in disks.disks_of(volume)}
