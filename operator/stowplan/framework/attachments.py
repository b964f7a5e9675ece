"""How many volumes of each CSI driver every node has, and how many it may have: kept up to date, never recounted.

Called by ``framework.volumes`` as pods and attachments come and go, and read by the NodeVolumeLimits plugin.
Source: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/nodevolumelimits/csi.go``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from stowplan.framework.nodes import NodeTable
from stowplan.framework.storage import Claim, Volume
from stowplan.model import objects

Counts = npt.NDArray[np.int64]

DriverVolume = tuple[str, str]
"""CSI driver and its handle of the volume: one volume counts once per node, however many pods use it."""

NO_LIMIT = 2**62

_IN_TREE = frozenset(
    f"kubernetes.io/{name}" for name in ("aws-ebs", "gce-pd", "azure-disk", "azure-file", "cinder", "vsphere-volume",
                                          "portworx-volume")
)  # fmt: skip
"""Provisioners that upstream translates to CSI; see csi-translation-lib v0.36.3 ``translate.go``."""


def driver_volume(
    claim: Claim, volume: Volume | None, storage_class: objects.StorageClass | None
) -> DriverVolume | None:
    """What a claim counts as on a node: its CSI volume, or the one that its StorageClass will make for it."""
    if volume is not None:
        return (volume.driver, volume.handle) if volume.driver and volume.handle else None
    if storage_class is None or not storage_class.provisioner or storage_class.provisioner in _IN_TREE:
        return None
    return (storage_class.provisioner, f"\0{claim.key}")  # no driver's handle looks like that


class Attachments:
    """Volumes on nodes: those that pods use, and those still attached that no pod there uses (any more).

    Attributes:
        nodes_of: volume to the nodes on which pods use it, by name: number of uses.
        lingering: driver to node name to the number of attached volumes that no pod there uses.
    """

    def __init__(self) -> None:
        self.nodes_of: dict[DriverVolume, dict[str, int]] = {}
        self.lingering: dict[str, dict[str, int]] = {}
        self._counts: dict[str, Counts] = {}
        self._most: dict[str, int] = {}  # by driver, on one node; not there where it must be looked for
        self._held: dict[str, tuple[DriverVolume, str]] = {}
        self._holders: dict[tuple[DriverVolume, str], int] = {}

    def counts(self, driver: str, nodes: NodeTable) -> Counts | None:
        """int64[node]: volumes of the driver per node, or None where no node has any. Maybe a view: do not write."""
        counts = self._counts.get(driver)
        lingering = self.lingering.get(driver)
        if counts is None and not lingering:
            return None
        size = len(nodes)
        if counts is None:
            counts = np.zeros(size, dtype=np.int64)
        elif len(counts) < size:
            counts = np.concatenate([counts, np.zeros(size - len(counts), dtype=np.int64)])
        if lingering:
            counts = counts.copy()
            for name, count in lingering.items():
                row = nodes.row_of.get(name)
                if row is not None:
                    counts[row] += count
        return counts[:size]

    def most(self, driver: str) -> int:
        """No node has more volumes of the driver than these."""
        most = self._most.get(driver)
        if most is None:
            counts = self._counts.get(driver)
            most = self._most[driver] = 0 if counts is None else int(counts.max())
        lingering = self.lingering.get(driver)
        return most + max(lingering.values()) if lingering else most

    def use(self, volume: DriverVolume, row: int, node: str) -> None:
        """One more pod on a node uses a volume."""
        uses = self.nodes_of.setdefault(volume, {})
        before = uses.get(node, 0)
        uses[node] = before + 1
        if not before:
            self._count(volume[0], row, 1)
            if (volume, node) in self._holders:
                self._linger(volume[0], node, -1)

    def unuse(self, volume: DriverVolume, row: int, node: str) -> None:
        """One pod less on a node uses a volume."""
        uses = self.nodes_of[volume]
        uses[node] -= 1
        if not uses[node]:
            del uses[node]
            if not uses:
                del self.nodes_of[volume]
            self._count(volume[0], row, -1)
            if (volume, node) in self._holders:
                self._linger(volume[0], node, 1)

    def hold(self, key: str, volume: DriverVolume | None, node: str) -> None:
        """A VolumeAttachment says that a volume is attached to a node; None: to be forgotten."""
        old = self._held.pop(key, None)
        if old is not None:
            self._holders[old] -= 1
            if not self._holders[old]:
                del self._holders[old]
                if old[1] not in self.nodes_of.get(old[0], {}):
                    self._linger(old[0][0], old[1], -1)
        if volume is not None:
            new = self._held[key] = (volume, node)
            self._holders[new] = self._holders.get(new, 0) + 1
            if self._holders[new] == 1 and node not in self.nodes_of.get(volume, {}):
                self._linger(volume[0], node, 1)

    def fork(self) -> Attachments:
        """A copy in which pods may come and go."""
        twin = Attachments()
        twin.nodes_of = {volume: dict(uses) for volume, uses in self.nodes_of.items()}
        twin.lingering = {driver: dict(each) for driver, each in self.lingering.items()}
        twin._counts = {driver: counts.copy() for driver, counts in self._counts.items()}
        twin._most = dict(self._most)
        twin._held = dict(self._held)
        twin._holders = dict(self._holders)
        return twin

    def differences(self, fresh: Attachments, nodes: NodeTable, fresh_nodes: NodeTable) -> list[str]:
        """What differs from attachments counted anew, for ``Snapshot.check``."""
        wrong = []
        if self.nodes_of != fresh.nodes_of:
            wrong.append("nodes of volumes")
        if self.lingering != fresh.lingering:
            wrong.append("lingering attachments")
        none = np.zeros(len(nodes), dtype=np.int64)
        for driver in self._counts.keys() | fresh._counts.keys():
            mine, theirs = self.counts(driver, nodes), fresh.counts(driver, fresh_nodes)
            if not np.array_equal(none if mine is None else mine, none if theirs is None else theirs):
                wrong.append(f"volumes of {driver}")
            if mine is not None and self.most(driver) < mine.max(initial=0):
                wrong.append(f"most volumes of {driver}")
        return wrong

    def _count(self, driver: str, row: int, delta: int) -> None:
        counts = self._counts.get(driver)
        if counts is None:
            counts = self._counts[driver] = np.zeros(max(16, row + 1), dtype=np.int64)
        elif row >= len(counts):
            counts = np.concatenate([counts, np.zeros(max(len(counts), row + 1 - len(counts)), dtype=np.int64)])
            self._counts[driver] = counts
        count = counts[row] = counts[row] + delta
        if delta < 0:
            self._most.pop(driver, None)
        elif driver in self._most and count > self._most[driver]:
            self._most[driver] = int(count)

    def _linger(self, driver: str, node: str, delta: int) -> None:
        each = self.lingering.setdefault(driver, {})
        count = each.get(node, 0) + delta
        if count:
            each[node] = count
        else:
            each.pop(node, None)
            if not each:
                del self.lingering[driver]


class ClaimUse:
    """Which pods on nodes use which claim, and the volumes that makes.

    Attributes:
        users: claim key to pod uid to row.
        attachments: the volumes.
    """

    def __init__(self) -> None:
        self.users: dict[str, dict[str, int]] = {}
        self.attachments = Attachments()
        self._volume_of: dict[str, DriverVolume] = {}
        self._names: dict[int, str] = {}

    def add(self, key: str, pod: str, row: int, node: str) -> bool:
        """A pod on a node uses a claim; whether it is the first, so that ``count`` must say what the claim is."""
        self._names[row] = node
        users = self.users.setdefault(key, {})
        users[pod] = row
        if key in self._volume_of:
            self.attachments.use(self._volume_of[key], row, node)
        return len(users) == 1

    def remove(self, key: str, pod: str, row: int, node: str) -> None:
        """A pod on a node uses a claim no more."""
        if key in self._volume_of:
            self.attachments.unuse(self._volume_of[key], row, node)
        users = self.users[key]
        del users[pod]
        if not users:
            del self.users[key]
            self._volume_of.pop(key, None)

    def count(self, key: str, volume: DriverVolume | None) -> None:
        """A claim in use is this volume (now), or none that counts."""
        old = self._volume_of.pop(key, None)
        if volume is not None:
            self._volume_of[key] = volume
        if old == volume:
            return
        for row in self.users[key].values():
            if old is not None:
                self.attachments.unuse(old, row, self._names[row])
            if volume is not None:
                self.attachments.use(volume, row, self._names[row])

    def fork(self) -> ClaimUse:
        """A copy in which pods may come and go."""
        twin = ClaimUse()
        twin.users = {claim: dict(users) for claim, users in self.users.items()}
        twin.attachments = self.attachments.fork()
        twin._volume_of = dict(self._volume_of)
        twin._names = dict(self._names)
        return twin

    def differences(self, fresh: ClaimUse, nodes: NodeTable, fresh_nodes: NodeTable) -> list[str]:
        """What differs from uses counted anew, for ``Snapshot.check``."""
        wrong = self.attachments.differences(fresh.attachments, nodes, fresh_nodes)
        if self.users != fresh.users:
            wrong.append("users of claims")
        if self._volume_of != fresh._volume_of:
            wrong.append("volumes of claims")
        return wrong


class Limits:
    """How many volumes of a driver a node may have, as the CSINodes say."""

    def __init__(self) -> None:
        self._by_driver: dict[str, dict[str, int]] = {}
        self._version = 0
        self._columns: dict[str, tuple[int, int, Counts, int]] = {}

    def put(self, old: objects.CSINode | None, new: objects.CSINode | None) -> None:
        """Takes over the state of a CSINode; None: there is (or was) none."""
        before, after = _limits(old), _limits(new)
        if before == after:
            return
        self._version += 1
        for driver, (node, _) in before.items():
            limits = self._by_driver[driver]
            limits.pop(node, None)
            if not limits:
                del self._by_driver[driver]
        for driver, (node, limit) in after.items():
            self._by_driver.setdefault(driver, {})[node] = limit

    def column(self, driver: str, nodes: NodeTable) -> Counts | None:
        """int64[node]: the limit per node, ``NO_LIMIT`` where there is none; None where no node has one."""
        limits = self._by_driver.get(driver)
        if limits is None:
            return None
        kept = self._columns.get(driver)
        if kept is not None and kept[:2] == (nodes.layout, self._version):
            return kept[2]
        column = np.fromiter(
            (limits.get(node.metadata.name, NO_LIMIT) for node in nodes.nodes), dtype=np.int64, count=len(nodes)
        )
        self._columns[driver] = (nodes.layout, self._version, column, int(column.min(initial=NO_LIMIT)))
        return column

    def least(self, driver: str) -> int:
        """The lowest limit of all nodes, as ``column`` was when it was asked for last."""
        return self._columns[driver][3]

    def fork(self) -> Limits:
        """A copy for a forked snapshot; the limits themselves are shared."""
        twin = Limits()
        twin._by_driver = self._by_driver
        twin._version = self._version
        return twin


def _limits(raw: objects.CSINode | None) -> Mapping[str, tuple[str, int]]:
    if raw is None:
        return {}
    return {
        each.name: (raw.metadata.name, each.allocatable.count)
        for each in raw.spec.drivers or ()
        if each.allocatable is not None and each.allocatable.count is not None
    }
