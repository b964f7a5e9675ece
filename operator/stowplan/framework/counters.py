"""Counts of pods per node and per domain, kept up to date as pods come and go, never recounted per decision.

A :class:`PodCounter` counts the pods of the classes that satisfy a predicate ("matches this selector", "carries
this anti-affinity term", "is governed by this policy", "uses this host port"). A :class:`DomainCounter` sums it over
the values of a label. Both can be rebuilt from the pods at any time; ``Snapshot.check`` compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from stowplan.framework.columns import Column
from stowplan.framework.status import Mask
from stowplan.model.pods import PodClass

if TYPE_CHECKING:
    from stowplan.framework.snapshot import Snapshot

Counts = npt.NDArray[np.int64]


class Predicate(Protocol):
    """Which pods a counter counts. Equal predicates share one counter, so it must be hashable by value."""

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        """Whether pods of this class count. May read only ``nodes.namespaces``, ``policy_of`` and ``shadow_of``."""

    def __hash__(self) -> int: ...


class DomainCounter:
    """Pods per value of a label, over the eligible nodes only.

    Attributes:
        counts: int64[value]: pods by code of the column; ``counts[0]`` is of nodes without the label.
        domains: bool[value]: the values that at least one eligible node has; never the absent one.
    """

    __slots__ = ("_codes", "_eligible", "counts", "domains")

    def __init__(self, per_node: Counts, column: Column[str], eligible: Mask | None) -> None:
        self._codes = column.codes
        self._eligible = eligible
        codes = self._codes if eligible is None else self._codes[eligible]
        weights = per_node if eligible is None else per_node[eligible]
        size = len(column.values)
        # float64 holds every integer up to 2**53, so this is exact
        self.counts: Counts = np.bincount(codes, weights=weights, minlength=size).astype(np.int64)
        self.domains: Mask = np.bincount(codes, minlength=size) > 0
        self.domains[0] = False

    def add(self, row: int, delta: int) -> None:
        """Counts ``delta`` more pods on a node."""
        if self._eligible is None or self._eligible[row]:
            self.counts[self._codes[row]] += delta

    def gather(self, table: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """A value per domain to a value per node."""
        return table[self._codes]


class PodCounter:
    """Pods per node that satisfy a predicate.

    Attributes:
        counts: int64[capacity]; use ``Snapshot.count`` to read the part that has nodes.
        occupied: bool[capacity]: where there are some; None until somebody asks for it (``where_some``).
        total: the pods counted on all nodes together.
        used: whether anyone asked for it since the last sweep.
    """

    __slots__ = ("counts", "domains", "occupied", "predicate", "total", "used")

    def __init__(self, predicate: Predicate, capacity: int) -> None:
        self.predicate = predicate
        self.counts: Counts = np.zeros(capacity, dtype=np.int64)
        self.occupied: Mask | None = None
        self.total = 0
        self.domains: list[DomainCounter] = []
        self.used = True

    def add(self, row: int, delta: int) -> None:
        """Counts ``delta`` more pods on a node."""
        count = self.counts[row] = self.counts[row] + delta
        self.total += delta
        if self.occupied is not None:
            self.occupied[row] = count > 0
        for domain in self.domains:
            domain.add(row, delta)

    def where_some(self, nodes: int) -> Mask:
        """bool[node]: the nodes with such pods, of so many nodes; kept up to date from the first time on. A copy."""
        if self.occupied is None:
            self.occupied = self.counts > 0
        return self.occupied[:nodes].copy()

    def contradictions(self) -> list[str]:
        """What does not follow from the counts, for ``Snapshot.check``."""
        wrong = [] if int(self.counts.sum()) == self.total else [f"total of {self.predicate}"]
        if self.occupied is not None and not np.array_equal(self.occupied, self.counts > 0):
            wrong.append(f"nodes of {self.predicate}")
        return wrong

    def grow(self, capacity: int) -> None:
        """Makes room for more nodes."""
        missing = capacity - len(self.counts)
        if missing > 0:
            self.counts = np.concatenate([self.counts, np.zeros(missing, dtype=np.int64)])
            self.occupied = None

    def by(self, column: Column[str], eligible: Mask | None = None) -> DomainCounter:
        """The pods by the values of a label, on the eligible nodes; kept up to date until the nodes change.

        To be made inside ``Snapshot.once``, which forgets it at the same time.
        """
        made = DomainCounter(self.counts[: len(column.codes)], column, eligible)
        self.domains.append(made)
        return made
