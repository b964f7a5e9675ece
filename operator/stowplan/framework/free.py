"""Volumes that nobody has, as columns per StorageClass: what an unbound claim can get without any being made.

Kept up to date by ``framework.volumes`` and read by ``plugins.volume_matching``. Source: component-helpers v0.36.3
``storage/volume/pv_helpers.go`` (FindMatchingVolume).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stowplan.framework import reach
from stowplan.framework.status import Mask
from stowplan.framework.storage import Traits, Volume

if TYPE_CHECKING:
    from stowplan.framework.snapshot import Snapshot


Sizes = npt.NDArray[np.int64]


class FreeTable:
    """Volumes that nobody has, smallest first, as columns; equal sizes by name.

    Attributes:
        volumes: by index.
        size: int64[volume]: bytes.
        traits: the distinct traits by code.
        trait_codes: intp[volume].
        place_codes: intp[volume]: index of the volume's topology in ``places``.
        places: the distinct topologies.
        usable: bool[volume]: still free.
    """

    __slots__ = ("index", "place_codes", "places", "size", "trait_codes", "traits", "usable", "volumes")

    def __init__(self, volumes: Iterable[Volume]) -> None:
        self.volumes = sorted(volumes, key=lambda each: (each.size, each.name))
        self.index = {each.name: index for index, each in enumerate(self.volumes)}
        self.size: Sizes = np.array([each.size for each in self.volumes], dtype=np.int64)
        traits: dict[Traits, int] = {}
        places: dict[reach.Topology, int] = {}
        self.trait_codes = np.array([traits.setdefault(each.traits, len(traits)) for each in self.volumes], np.intp)
        self.place_codes = np.array([places.setdefault(each.topology, len(places)) for each in self.volumes], np.intp)
        self.traits = list(traits)
        self.places = list(places)
        self.usable: Mask = np.ones(len(self.volumes), dtype=np.bool_)


class FreeVolumes:
    """The Available PersistentVolumes of one StorageClass that neither a claim nor a pod in flight has."""

    def __init__(self) -> None:
        self.volumes: dict[str, Volume] = {}
        self._table: FreeTable | None = None
        self._reach: reach.Reach | None = None
        self._epoch: object = None

    def add(self, volume: Volume) -> None:
        """The volume is free (again)."""
        self.volumes[volume.name] = volume
        table = self._table
        if table is None:
            return
        index = table.index.get(volume.name)
        if index is not None and table.volumes[index] is volume:
            table.usable[index] = True
        else:
            self._table = None

    def discard(self, name: str) -> None:
        """The volume is not free any more; fine where it was not."""
        if self.volumes.pop(name, None) is None or self._table is None:
            return
        self._table.usable[self._table.index[name]] = False
        if 2 * len(self.volumes) < len(self._table.volumes):
            self._table = None

    def table(self, nodes: Snapshot) -> tuple[FreeTable, reach.Reach]:
        """The volumes as columns, and which of their topologies each node satisfies."""
        if self._table is None:
            self._table = FreeTable(self.volumes.values())
            self._reach = None
        if self._reach is None or self._epoch is not nodes.epoch:
            self._reach = reach.Reach(self._table.places, nodes)
            self._epoch = nodes.epoch
        return self._table, self._reach

    def fork(self) -> FreeVolumes:
        """A copy in which other volumes can be taken."""
        twin = FreeVolumes()
        twin.volumes = dict(self.volumes)
        return twin
