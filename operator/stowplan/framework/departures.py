"""Pods that leave their nodes, as far as rules about pods need to know: what they free, and which of them count.

A filter that can tell from this alone what it would say (``postfilter.Outlook``) is asked about all nodes at once by
preemption, each node being judged as if the pods there, and nobody elsewhere, had left. There are two kinds:
all pods up to a priority (``framework.priorities``), and pods that were named (:class:`Named`). Pods that come, as
nominated ones will (``framework.guests``), are pods that leave, counted the other way round.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from stowplan.framework.counters import Counts, Predicate
from stowplan.framework.nodes import PODS, Amounts
from stowplan.model.pods import AffinityTerm, PodClass, PodInfo

if TYPE_CHECKING:
    from stowplan.framework.snapshot import Snapshot

MOST: Final = 64
"""Predicates that are counted at a time: where pods have rules of their own, each asks for others."""


class Departures(Protocol):
    """Pods that leave."""

    @property
    def freed(self) -> Amounts:
        """int64[resource, node]: what they request together; row ``PODS`` counts them. Do not write."""

    @property
    def terms(self) -> Collection[AffinityTerm]:
        """The required anti-affinity terms of pods that come: pods on nodes may have none of these as yet."""

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
        self._terms: collections.Counter[AffinityTerm] = collections.Counter()
        self._counts: dict[Predicate, Counts] = {}
        self._counts_of: dict[PodClass, tuple[Counts, ...]] = {}

    def leaves(self, pod: PodInfo, row: int) -> None:
        """A pod leaves its node."""
        self._move(pod, row, 1)

    def comes(self, pod: PodInfo, row: int) -> None:
        """It comes back; or one comes that was not there."""
        self._move(pod, row, -1)

    @property
    def terms(self) -> Collection[AffinityTerm]:
        """See ``Departures``."""
        return [term for term, number in self._terms.items() if number > 0]

    def count(self, predicate: Predicate) -> Counts:
        """See ``Departures``."""
        counts = self._counts.get(predicate)
        if counts is None:
            if len(self._counts) >= MOST:
                self._counts.clear()
            counts = self._counts[predicate] = np.zeros(len(self._nodes), dtype=np.int64)
            self._counts_of.clear()
            for (cls, row), number in self._moved.items():
                if predicate.matches(cls, self._nodes):
                    counts[row] += number
        return counts

    def forget_counts(self) -> None:
        """What predicates read besides pods may have changed: count anew at the next use."""
        self._counts.clear()
        self._counts_of.clear()

    def differs(self, other: Named) -> bool:
        """Whether these are not the same as others of the same nodes."""
        return (
            not np.array_equal(self.freed, other.freed)
            or self._terms != other._terms
            or any(not np.array_equal(counts, other.count(each)) for each, counts in self._counts.items())
        )

    def _move(self, pod: PodInfo, row: int, sign: int) -> None:
        cls, freed, resources = pod.cls, self.freed, self._nodes.resources
        for name, amount in cls.requests.items():
            index = resources.get(name)
            if index is not None:  # else no node has it, and nobody who could use it wants it
                freed[index, row] += sign * amount
        freed[PODS, row] += sign
        self._moved[cls, row] += sign
        if not self._moved[cls, row]:
            del self._moved[cls, row]
        for term in cls.anti_affinity:
            self._terms[term] -= sign
            if not self._terms[term]:
                del self._terms[term]
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

    @property
    def terms(self) -> Collection[AffinityTerm]:
        """See ``Departures``."""
        return {*self.one.terms, *self.other.terms}

    def count(self, predicate: Predicate) -> Counts:
        """See ``Departures``."""
        return self.one.count(predicate) + self.other.count(predicate)
