"""Which pods on nodes use disks without a claim: GCE PD, AWS EBS, iSCSI and RBD volumes written into the pod itself.

Kept by ``framework.volumes`` and read by the VolumeRestrictions plugin. Source: kubernetes v1.36.3
``pkg/scheduler/framework/plugins/volumerestrictions/volume_restrictions.go`` (isVolumeConflict).
"""

from __future__ import annotations

from collections.abc import Iterator

from stowplan.model import objects
from stowplan.model.pods import PodInfo

Disk = tuple[str, ...]
"""Kind and identity: two volumes with a disk in common are the same disk."""


def disks_of(volume: objects.Volume) -> Iterator[tuple[Disk, bool]]:
    """The disks that a volume of a pod is, and whether pods may share each: where all of them only read it."""
    if volume.gce_persistent_disk is not None:
        yield ("gce", volume.gce_persistent_disk.pd_name), volume.gce_persistent_disk.read_only
    if volume.aws_elastic_block_store is not None:
        yield ("aws", volume.aws_elastic_block_store.volume_id), False
    if volume.iscsi is not None:
        yield ("iscsi", volume.iscsi.iqn), volume.iscsi.read_only
    if volume.rbd is not None:
        for monitor in volume.rbd.monitors:
            yield ("rbd", monitor, volume.rbd.pool, volume.rbd.image), volume.rbd.read_only


def has_disks(pod: PodInfo) -> bool:
    """Whether the pod uses any disk without a claim."""
    return any(each.gce_persistent_disk or each.aws_elastic_block_store or each.iscsi or each.rbd
               for each in pod.volumes)  # fmt: skip


class DiskUse:
    """Attributes: users: disk to pod uid to (row, whether the pod can share it)."""

    def __init__(self) -> None:
        self.users: dict[Disk, dict[str, tuple[int, bool]]] = {}

    def add(self, pod: PodInfo, row: int) -> None:
        """A pod is on a node now."""
        for volume in pod.volumes:
            for disk, shareable in disks_of(volume):
                users = self.users.setdefault(disk, {})
                _, before = users.get(pod.uid, (row, True))
                users[pod.uid] = (row, before and shareable)

    def remove(self, pod: PodInfo) -> None:
        """A pod has left its node."""
        for volume in pod.volumes:
            for disk, _ in disks_of(volume):
                users = self.users.get(disk)
                if users is not None:
                    users.pop(pod.uid, None)
                    if not users:
                        del self.users[disk]

    def conflicts(self, pod: PodInfo) -> set[int]:
        """The rows on which a pod uses a disk of this one's that they cannot share."""
        return {
            row
            for volume in pod.volumes
            for disk, shareable in disks_of(volume)
            for row, other in self.users.get(disk, {}).values()
            if not (shareable and other)
        }

    def fork(self) -> DiskUse:
        """A copy in which pods may come and go."""
        twin = DiskUse()
        twin.users = {disk: dict(users) for disk, users in self.users.items()}
        return twin
