"""Pods that leave their nodes, as far as rules about pods need to know: what they free, and which of them count.

A filter that can tell from this alone what it would say (``postfilter.Outlook``) is asked about all nodes at once by
preemption, each node being judged as if the pods there, and nobody elsewhere, had left. There are two kinds:
all pods up to a priority (``framework.priorities``), and pods that were named (:class:`Named`).
"""

from __future__ import annotations

import collections
import copy
import dataclasses
from typing import Protocol

import numpy as np

from stowplan.framework.counters import Counts, Predicate
from stowplan.framework.nodes import PODS, Amounts
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass, PodInfo


class Departures(Protocol):
    """Pods that leave."""

    @property
    def freed(self) -> Amounts:
        """int64[resource, node]: what they request together; row ``PODS`` counts them. Do not write."""

    def count(self, predicate: Predicate) -> Counts:
        """int64[node]: those of them that satisfy a predicate. Do not write."""


class Named:
    """Pods that were named one by one; also pods that come, which count as fewer that leave.

    Attributes:
        freed: see ``Departures``.
    """

    def __init__(self, nodes: Snapshot) -> None:
        self._nodes = nodes
        self.freed: Amounts = np.zeros((len(nodes.resources), len(nodes)), dtype=np.int64)
        self._moved: collections.Counter[tuple[PodClass, int]] = collections.Counter()
        self._counts: dict[Predicate, Counts] = {}
        self._counts_of: dict[PodClass, tuple[Counts, ...]] = {}

    def leaves(self, pod: PodInfo, row: int) -> None:
        """A pod leaves its node."""
        self._move(pod, row, 1)

    def comes(self, pod: PodInfo, row: int) -> None:
        """It comes back; or one comes that was not there."""
        self._move(pod, row, -1)

    def copy(self) -> Named:
        """The same, to be changed on its own."""
        other = copy.copy(self)
        other.freed = self.freed.copy()
        other._moved = self._moved.copy()
        other._counts = {predicate: counts.copy() for predicate, counts in self._counts.items()}
        other._counts_of = {}
        return other

    def count(self, predicate: Predicate) -> Counts:
        """See ``Departures``."""
        counts = self._counts.get(predicate)
        if counts is None:
            counts = self._counts[predicate] = np.zeros(len(self._nodes), dtype=np.int64)
            self._counts_of.clear()
            for (cls, row), number in self._moved.items():
                if predicate.matches(cls, self._nodes):
                    counts[row] += number
        return counts

    def _move(self, pod: PodInfo, row: int, sign: int) -> None:
        cls, freed, resources = pod.cls, self.freed, self._nodes.resources
        for name, amount in cls.requests.items():
            index = resources.get(name)
            if index is not None:  # else no node has it, and nobody who could use it wants it
                freed[index, row] += sign * amount
        freed[PODS, row] += sign
        self._moved[cls, row] += sign
        counts = self._counts_of.get(cls)
        if counts is None:
            counts = tuple(each for of, each in self._counts.items() if of.matches(cls, self._nodes))
            self._counts_of[cls] = counts
        for each in counts:
            each[row] += sign


@dataclasses.dataclass(frozen=True, slots=True)
class Both:
    """The pods of two departures, none of which is in both."""

    one: Departures
    other: Departures

    @property
    def freed(self) -> Amounts:
        """See ``Departures``."""
        return self.one.freed + self.other.freed

    def count(self, predicate: Predicate) -> Counts:
        """See ``Departures``."""
        return self.one.count(predicate) + self.other.count(predicate)
