"""The pods of each priority on each node: which nodes preemption could help at all, for all at once.

Kept by ``Snapshot`` from the first time that somebody asks (``Snapshot.priorities``), and read by preemption: what they
request, and how many of them satisfy a predicate. Some arrays per priority that has pods on nodes; clusters have a
handful.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from stowplan.framework.counters import Counts, Predicate
from stowplan.framework.nodes import PODS, Amounts, NodeTable
from stowplan.model.pods import AffinityTerm, PodClass, PodInfo

if TYPE_CHECKING:
    from stowplan.framework.snapshot import Snapshot


@dataclasses.dataclass(slots=True)
class _Level:
    """The pods of one priority.

    Attributes:
        amounts: int64[resource, row].
        pods: how many there are in all.
        counts: int64[row] for each predicate that somebody asked for.
    """

    amounts: Amounts
    pods: int = 0
    counts: dict[Predicate, Counts] = dataclasses.field(default_factory=dict)


class Lower:
    """The pods up to a priority, as ``departures.Departures``.

    Attributes:
        freed: int64[resource, node]: what they request.
        terms: none, as nobody comes.
    """

    terms: Collection[AffinityTerm] = ()

    def __init__(self, priorities: Priorities, level: int, freed: Amounts, nodes: Snapshot) -> None:
        self._priorities = priorities
        self._level = level
        self._nodes = nodes
        self.freed = freed

    def count(self, predicate: Predicate) -> Counts:
        """int64[node]: those that satisfy a predicate."""
        return self._priorities.count(predicate, self._level, self._nodes)


class Priorities:
    """Requests and counts by priority.

    Attributes:
        used: whether anyone asked since the last sweep.
    """

    def __init__(self, nodes: Snapshot) -> None:
        self._levels: dict[int, _Level] = {}
        self._tracked: set[Predicate] = set()
        self._tracked_of: dict[PodClass, tuple[Predicate, ...]] = {}
        self.used = True
        rows_of: dict[tuple[int, PodClass], list[int]] = {}
        for row, pods in enumerate(nodes.on_node):
            for pod in pods.values():
                rows_of.setdefault((pod.priority, pod.cls), []).append(row)
        for (priority, cls), rows in rows_of.items():
            level = self._level(priority, nodes)
            counts = np.bincount(rows, minlength=nodes.capacity)
            for name, amount in cls.requests.items():
                level.amounts[nodes.resources[name]] += amount * counts
            level.amounts[PODS] += counts
            level.pods += len(rows)

    def charge(self, pod: PodInfo, row: int, sign: int, nodes: Snapshot) -> None:
        """Counts one pod more (sign 1) or less (sign -1) on a row; the nodes know its resources already."""
        level = self._level(pod.priority, nodes)
        level.amounts = amounts = _grown(level.amounts, len(nodes.resources), row + 1, nodes.capacity)
        for name, amount in pod.cls.requests.items():
            amounts[nodes.resources[name], row] += sign * amount
        amounts[PODS, row] += sign
        for predicate in self._tracked_for(pod.cls, nodes):
            _counts_in(level, predicate, nodes)[row] += sign
        level.pods += sign
        if not level.pods:
            del self._levels[pod.priority]

    def count(self, predicate: Predicate, highest: int, nodes: Snapshot) -> Counts:
        """int64[node]: the pods up to a priority that satisfy a predicate. The array is the caller's.

        Counted from the pods at first use, kept up to date from then on.
        """
        if predicate not in self._tracked:
            self._track(predicate, nodes)
        total: Counts = np.zeros(len(nodes), dtype=np.int64)
        for priority, level in self._levels.items():
            counts = level.counts.get(predicate) if priority <= highest else None
            if counts is not None:
                counts = counts[: len(total)]
                total[: len(counts)] += counts
        return total

    def forget_counts(self) -> None:
        """What predicates read besides pods has changed, or nobody may want them any more."""
        self._tracked.clear()
        self._tracked_of.clear()
        for level in self._levels.values():
            level.counts.clear()

    def below(self, priority: int, nodes: Snapshot) -> Iterator[tuple[int, Lower]]:
        """Each priority below this one, ascending, and the pods up to it."""
        total: Amounts = np.zeros((len(nodes.resources), len(nodes)), dtype=np.int64)
        for level in sorted(each for each in self._levels if each < priority):
            amounts = self._levels[level].amounts[:, : len(nodes)]
            total[: len(amounts), : amounts.shape[1]] += amounts
            yield level, Lower(self, level, total.copy(), nodes)

    def differs(self, nodes: Snapshot, fresh: Priorities, fresh_nodes: Snapshot) -> bool:
        """Whether it is not what was counted anew, for ``Snapshot.check``."""
        if self._levels.keys() != fresh._levels.keys():
            return True
        for level, mine in self._levels.items():
            theirs = fresh._levels[level]
            for name, index in nodes.resources.items():
                here = _padded(mine.amounts, index, len(nodes))
                if not np.array_equal(here, _padded(theirs.amounts, fresh_nodes.resources.get(name, -1), len(nodes))):
                    return True
            for predicate in self._tracked:
                counted = fresh.count(predicate, level, fresh_nodes)
                if not np.array_equal(self.count(predicate, level, nodes), counted):
                    return True
        return False

    def _level(self, priority: int, nodes: NodeTable) -> _Level:
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = _Level(np.zeros((len(nodes.resources), nodes.capacity), np.int64))
        return level

    def _track(self, predicate: Predicate, nodes: Snapshot) -> None:
        classes = {cls for cls in nodes.classes() if predicate.matches(cls, nodes)}
        for row in np.flatnonzero(nodes.count(predicate)).tolist():
            for pod in nodes.on_node[row].values():
                if pod.cls in classes:
                    _counts_in(self._levels[pod.priority], predicate, nodes)[row] += 1
        self._tracked.add(predicate)
        self._tracked_of.clear()

    def _tracked_for(self, cls: PodClass, nodes: Snapshot) -> tuple[Predicate, ...]:
        if not self._tracked:
            return ()
        found = self._tracked_of.get(cls)
        if found is None:
            found = self._tracked_of[cls] = tuple(each for each in self._tracked if each.matches(cls, nodes))
        return found


def _counts_in(level: _Level, predicate: Predicate, nodes: NodeTable) -> Counts:
    """The array of a predicate, with room for all rows."""
    counts = level.counts.get(predicate)
    if counts is None or len(counts) < nodes.capacity:
        grown: Counts = np.zeros(nodes.capacity, dtype=np.int64)
        if counts is not None:
            grown[: len(counts)] = counts
        counts = level.counts[predicate] = grown
    return counts


def _padded(amounts: Amounts, resource: int, rows: int) -> Amounts:
    """int64[node]: one resource; zeros where the array does not have it."""
    found: Amounts = np.zeros(rows, dtype=np.int64)
    if 0 <= resource < len(amounts):
        known = amounts[resource, :rows]
        found[: len(known)] = known
    return found


def _grown(amounts: Amounts, resources: int, rows: int, capacity: int) -> Amounts:
    """The array with room for so many resources and rows."""
    if amounts.shape[0] >= resources and amounts.shape[1] >= rows:
        return amounts
    grown = np.zeros((max(resources, amounts.shape[0]), max(capacity, amounts.shape[1])), dtype=np.int64)
    grown[: amounts.shape[0], : amounts.shape[1]] = amounts
    return grown
