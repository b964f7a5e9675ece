"""On which nodes the volumes can be made that a pod's claims find no existing volume for.

Used by VolumeBinding. Source: kubernetes v1.36.3 ``plugins/volumebinding/binder.go`` (checkVolumeProvisions,
hasEnoughCapacity). With ``require_capacity`` this deliberately differs in two ways: the claims of a pod must fit
together, and what is promised to pods in flight is taken. Upstream sends two claims of 60 GiB to a node with
100 GiB, and the second of two pods to a node whose space the first is about to use up; both fail in the provisioner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from stowplan.framework.pools import Bytes, PoolTable
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.framework.storage import NO_PROVISIONER, Claim
from stowplan.plugins import volume_masks
from stowplan.plugins.volume_args import VolumeBindingArgs


class Room(Protocol):
    """Space on each node that the claims of one pod take from, one after the other."""

    def take(self, size: int, where: Mask) -> Mask:
        """Takes bytes on some nodes; bool[node]: where all that was taken so far fits."""


class EachByItself:
    """kube-scheduler's rule: a claim fits where some pool can hold it, whatever else goes there."""

    def __init__(self, table: PoolTable, size: int) -> None:
        self._table = table
        self._nodes = size

    def take(self, size: int, where: Mask) -> Mask:
        """bool[node]: where a pool can hold the claim."""
        return self._table.reach.any((self._table.largest >= size)[self._table.reach.which], self._nodes)


class PoolRoom:
    """Pools (CSIStorageCapacity) of one StorageClass, less what is promised.

    On a node that can use several pools the claims may be split over them: largest first, each into the roomiest pool
    that takes it. That finds a split of two claims if there is one; of more it may miss some.
    """

    def __init__(self, table: PoolTable, free: Bytes, size: int) -> None:
        self._table = table
        self._free = free
        self._total: Bytes = np.zeros(size, dtype=np.int64)
        self._taken: list[tuple[int, Mask]] = []

    def take(self, size: int, where: Mask) -> Mask:
        """bool[node]: where one pool holds all, or the claims can be split."""
        reach = self._table.reach
        self._taken.append((size, where))
        self._total += size * where
        which = reach.which
        fits = (self._table.largest >= size)[which] & (self._free[which] >= self._total[reach.rows])
        found = reach.any(fits, len(self._total))
        if len(self._taken) > 1:
            for row in reach.crowded[~found[reach.crowded]].tolist():
                found[row] = self._splits(row)
        return found

    def _splits(self, row: int) -> bool:
        pools = self._table.reach.of(row)
        free = self._free[pools]
        for size in sorted((size for size, where in self._taken if where[row]), reverse=True):
            usable = np.where(self._table.largest[pools] >= size, free, -1)
            roomiest = int(usable.argmax())
            if usable[roomiest] < size:
                return False
            free[roomiest] -= size
        return True


class LocalRoom:
    """Free bytes that nodes publish in an annotation, less what is promised; none where there is no annotation."""

    def __init__(self, free: Bytes) -> None:
        self._free = free

    def take(self, size: int, where: Mask) -> Mask:
        """bool[node]: where it all fits."""
        self._free = self._free - size * where
        return self._free >= 0


class Provisioning:
    """Checks the claims of one pod that may need volumes to be made.

    Attributes:
        conflict: bool[node]: where a volume cannot be made at all.
        full: bool[node]: where there is not enough room.
    """

    def __init__(self, claims: Iterable[Claim], nodes: Snapshot, args: VolumeBindingArgs) -> None:
        self._nodes = nodes
        self._args = args
        self._own = {claim.key for claim in claims}
        self._local = {each.storage_class: each.annotation for each in args.local_capacity}
        self._rooms: dict[str, tuple[Room, ...]] = {}
        self._annotations: dict[str, LocalRoom] = {}
        self.conflict: Mask = np.zeros(len(nodes), dtype=np.bool_)
        self.full: Mask = np.zeros(len(nodes), dtype=np.bool_)

    def check(self, claims: Sequence[Claim], matched: Mapping[str, Mask]) -> None:
        """Checks claim by claim; a node is out for the first thing that is wrong there.

        Args:
            claims: in the order in which upstream looks at them.
            matched: bool[node] by claim key: where the claim gets an existing volume; left out: nowhere.
        """
        catalog = self._nodes.volumes
        everywhere = np.ones(len(self._nodes), dtype=np.bool_)
        for claim in claims:
            wanted = ~matched[claim.key] if claim.key in matched else everywhere
            storage_class = catalog.classes.get(claim.storage_class)
            if storage_class is None or storage_class.provisioner in ("", NO_PROVISIONER):
                self.conflict |= wanted & ~self.full
                continue
            topology = catalog.allowed_topology(claim.storage_class)
            self.conflict |= wanted & volume_masks.not_allowed(topology, self._nodes) & ~self.full
            if claim.size is None:
                continue
            for room in self._rooms_for(claim.storage_class, storage_class.provisioner):
                self.full |= wanted & ~room.take(claim.size, wanted) & ~self.conflict

    def _rooms_for(self, storage_class: str, provisioner: str) -> tuple[Room, ...]:
        rooms = self._rooms.get(storage_class)
        if rooms is None:
            found: list[Room] = []
            driver = self._nodes.volumes.drivers.get(provisioner)
            if driver is not None and driver.spec.storage_capacity:
                found.append(self._pool_room(storage_class))
            if self._args.require_capacity and storage_class in self._local:
                found.append(self._local_room(self._local[storage_class]))
            rooms = self._rooms[storage_class] = tuple(found)
        return rooms

    def _pool_room(self, storage_class: str) -> Room:
        size = len(self._nodes)
        capacity = self._nodes.volumes.capacity
        table = capacity.table(storage_class, self._nodes) or PoolTable((), self._nodes)
        if not self._args.require_capacity:
            return EachByItself(table, size)
        free = table.free
        promises = capacity.promises.get(storage_class, {})
        for key in self._own & promises.keys():  # a claim does not stand in its own way
            row = self._nodes.row_of.get(promises[key].node)
            if row is not None:
                free = free.copy()
                free[table.reach.of(row)] += promises[key].size
        return PoolRoom(table, free, size)

    def _local_room(self, annotation: str) -> LocalRoom:
        room = self._annotations.get(annotation)
        if room is None:
            free = self._nodes.annotated(annotation).copy()
            for storage_class, source in self._local.items():
                for key, promise in self._nodes.volumes.capacity.promises.get(storage_class, {}).items():
                    row = self._nodes.row_of.get(promise.node)
                    if source == annotation and row is not None and key not in self._own:
                        free[row] -= promise.size
            room = self._annotations[annotation] = LocalRoom(free)
        return room
