"""Capacity to make volumes from, as columns per StorageClass, less what is promised already.

Kept up to date by ``framework.volumes`` and read by the VolumeBinding plugin. Source: kubernetes v1.36.3
``pkg/scheduler/framework/plugins/volumebinding/binder.go`` (hasEnoughCapacity). The promises are our own: upstream
gives the same free bytes to every pod until the driver publishes them anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stowplan.framework import reach
from stowplan.model import objects, quantity

if TYPE_CHECKING:
    from stowplan.framework.snapshot import Snapshot

Bytes = npt.NDArray[np.int64]

UNKNOWN = 2**62
"""Free bytes of a pool that publishes the largest volume only: never used up."""


@dataclasses.dataclass(frozen=True, slots=True)
class Promise:
    """Bytes that a claim will take from whatever its node can reach, once its volume is made."""

    node: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Pool:
    """One CSIStorageCapacity.

    Attributes:
        capacity: free bytes; ``UNKNOWN`` where only the largest volume is published.
        largest: bytes of the largest volume that can be made; -1 where nothing is published: none can.
    """

    capacity: int
    largest: int
    topology: reach.Topology


class PoolTable:
    """Pools as columns, for the nodes as they are.

    Attributes:
        reach: which pools a node can use.
        capacity: int64[pool]: free bytes as published.
        free: int64[pool]: those of them that are not promised.
        largest: int64[pool].
    """

    __slots__ = ("capacity", "free", "largest", "reach")

    def __init__(self, pools: Iterable[Pool], nodes: Snapshot) -> None:
        pools = list(pools)
        self.reach = reach.Reach([pool.topology for pool in pools], nodes)
        self.capacity: Bytes = np.array([pool.capacity for pool in pools], dtype=np.int64)
        self.free: Bytes = self.capacity.copy()
        self.largest: Bytes = np.array([pool.largest for pool in pools], dtype=np.int64)

    def charge(self, row: int, size: int) -> None:
        """Takes bytes out of every pool that a node can use: which of them the driver will take is its own affair."""
        self.free[self.reach.of(row)] -= size


class Pools:
    """The CSIStorageCapacity objects of one StorageClass."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}
        self._table: PoolTable | None = None
        self._index: dict[str, int] = {}
        self._row_of: Mapping[str, int] = {}
        self._epoch: object = None

    def __len__(self) -> int:
        return len(self._pools)

    def put(self, key: str, pool: Pool) -> None:
        """Adds a pool or takes over its new state."""
        old = self._pools.get(key)
        self._pools[key] = pool
        if self._table is None:
            return
        if old is None or old.topology != pool.topology:
            self._table = None
            return
        index = self._index[key]
        self._table.capacity[index] = pool.capacity
        self._table.free[index] += pool.capacity - old.capacity
        self._table.largest[index] = pool.largest

    def remove(self, key: str) -> None:
        """Forgets a pool."""
        if self._pools.pop(key, None) is not None:
            self._table = None

    def table(self, nodes: Snapshot, promises: Iterable[Promise]) -> PoolTable:
        """The pools as columns; ``promises`` are all that there are for this class."""
        if self._table is None or self._epoch is not nodes.epoch:
            self._index = {key: index for index, key in enumerate(self._pools)}
            self._table = PoolTable(self._pools.values(), nodes)
            self._epoch = nodes.epoch
            self._row_of = nodes.row_of
            for each in promises:
                self.charge(each, 1)
        return self._table

    def charge(self, promise: Promise, sign: int) -> None:
        """Counts a promise (1), or counts it no more (-1), where there are columns to count it in."""
        row = self._row_of.get(promise.node)
        if self._table is not None and row is not None:
            self._table.charge(row, sign * promise.size)

    def fork(self) -> Pools:
        """A copy in which other promises can be made."""
        twin = Pools()
        twin._pools = dict(self._pools)
        return twin


class Capacity:
    """Pools and promises of all StorageClasses.

    Attributes:
        promises: StorageClass name to claim key to what is promised to the claim.
    """

    def __init__(self) -> None:
        self.promises: dict[str, dict[str, Promise]] = {}
        self._pools: dict[str, Pools] = {}
        self._class_of: dict[str, str] = {}

    def table(self, storage_class: str, nodes: Snapshot) -> PoolTable | None:
        """The pools of a class as columns; None where none is published."""
        pools = self._pools.get(storage_class)
        return None if pools is None else pools.table(nodes, self.promises.get(storage_class, {}).values())

    def put(self, raw: objects.CSIStorageCapacity, old: objects.CSIStorageCapacity | None) -> None:
        """Adds a pool, or takes over its new state. Raises InvalidObject and then changes nothing."""
        pool = _pool(raw)
        if old is not None and old.storage_class_name != raw.storage_class_name:
            self.remove(old)
        self._pools.setdefault(raw.storage_class_name, Pools()).put(raw.key, pool)

    def remove(self, raw: objects.CSIStorageCapacity) -> None:
        """Forgets a pool."""
        pools = self._pools[raw.storage_class_name]
        pools.remove(raw.key)
        if not len(pools):
            del self._pools[raw.storage_class_name]

    def promise(self, claim: str, storage_class: str, promise: Promise | None) -> None:
        """Promises to a claim (its key) what it will take, in place of what it was promised before; or nothing."""
        old_class = self._class_of.get(claim)
        if old_class is not None:
            promises = self.promises[old_class]
            old = promises[claim]
            if old == promise and old_class == storage_class:
                return
            del self._class_of[claim]
            del promises[claim]
            if not promises:
                del self.promises[old_class]
            if old_class in self._pools:
                self._pools[old_class].charge(old, -1)
        if promise is not None:
            self._class_of[claim] = storage_class
            self.promises.setdefault(storage_class, {})[claim] = promise
            if storage_class in self._pools:
                self._pools[storage_class].charge(promise, 1)

    def fork(self) -> Capacity:
        """A copy in which other promises can be made."""
        twin = Capacity()
        twin.promises = {name: dict(each) for name, each in self.promises.items()}
        twin._class_of = dict(self._class_of)
        twin._pools = {name: each.fork() for name, each in self._pools.items()}
        return twin

    def differences(self, fresh: Capacity, nodes: Snapshot, fresh_nodes: Snapshot) -> list[str]:
        """What differs from capacity built anew, for ``Snapshot.check``."""
        wrong = [] if self.promises == fresh.promises else ["promises"]
        for name in self._pools.keys() | fresh._pools.keys():
            mine, theirs = self.table(name, nodes), fresh.table(name, fresh_nodes)
            if sorted(mine.free.tolist() if mine else ()) != sorted(theirs.free.tolist() if theirs else ()):
                wrong.append(f"free capacity of {name}")
        return wrong


def _pool(raw: objects.CSIStorageCapacity) -> Pool:
    capacity = None if raw.capacity is None else quantity.value(raw.capacity)
    largest = capacity if raw.maximum_volume_size is None else quantity.value(raw.maximum_volume_size)
    return Pool(
        capacity=UNKNOWN if capacity is None else min(capacity, UNKNOWN),
        largest=-1 if largest is None else largest,
        topology=reach.of_capacity(raw.node_topology),
    )
