"""What the pods of each priority request on each node: which nodes preemption could help at all, for all at once.

Kept by ``Snapshot`` from the first time that somebody asks (``Snapshot.priorities``), and read by preemption. One array
per priority that has pods on nodes; clusters have a handful.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from stowplan.framework.nodes import PODS, Amounts, NodeTable
from stowplan.model.pods import PodInfo


@dataclasses.dataclass(slots=True)
class _Level:
    """Attributes: amounts: int64[resource, row]; pods: how many there are in all."""

    amounts: Amounts
    pods: int = 0


class Priorities:
    """Requests by priority.

    Attributes:
        used: whether anyone asked since the last sweep.
    """

    def __init__(self) -> None:
        self._levels: dict[int, _Level] = {}
        self.used = True

    def charge(self, pod: PodInfo, row: int, sign: int, nodes: NodeTable) -> None:
        """Counts one pod more (sign 1) or less (sign -1) on a row; the nodes know its resources already."""
        level = self._levels.get(pod.priority)
        if level is None:
            level = self._levels[pod.priority] = _Level(np.zeros((len(nodes.resources), nodes.capacity), np.int64))
        level.amounts = amounts = _grown(level.amounts, len(nodes.resources), row + 1, nodes.capacity)
        for name, amount in pod.cls.requests.items():
            amounts[nodes.resources[name], row] += sign * amount
        amounts[PODS, row] += sign
        level.pods += sign
        if not level.pods:
            del self._levels[pod.priority]

    def below(self, priority: int, nodes: NodeTable) -> Iterator[tuple[int, Amounts]]:
        """Each priority below this one, ascending, and what the pods up to it request together.

        Yields:
            The priority, and int64[resource, node]; row ``PODS`` counts the pods. The array is the caller's.
        """
        total: Amounts = np.zeros((len(nodes.resources), len(nodes)), dtype=np.int64)
        for level in sorted(each for each in self._levels if each < priority):
            amounts = self._levels[level].amounts[:, : len(nodes)]
            total[: len(amounts), : amounts.shape[1]] += amounts
            yield level, total.copy()

    def differs(self, nodes: NodeTable, fresh: Priorities, fresh_nodes: NodeTable) -> bool:
        """Whether it is not what was counted anew, for ``Snapshot.check``."""
        if self._levels.keys() != fresh._levels.keys():
            return True
        for level, mine in self._levels.items():
            theirs = fresh._levels[level]
            for name, index in nodes.resources.items():
                here = _padded(mine.amounts, index, len(nodes))
                if not np.array_equal(here, _padded(theirs.amounts, fresh_nodes.resources.get(name, -1), len(nodes))):
                    return True
        return False


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
