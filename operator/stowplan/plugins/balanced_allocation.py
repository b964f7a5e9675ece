"""Resources in proportion. Source: kubernetes v1.36.3 ``plugins/noderesources/balanced_allocation.go``.

The arithmetic is in float64, operation by operation as there, so that the integers that come out are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stowplan.framework.nodes import NodeTable, RowIndex, Small
from stowplan.framework.plugin import MAX_SCORE, CycleState, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins import usage
from stowplan.plugins.args import BalancedAllocationArgs
from stowplan.plugins.usage import Amounts

Fractions = npt.NDArray[np.float64]


class NodeResourcesBalancedAllocation:
    """Prefer nodes whose resources the pod brings closer to being used in equal parts."""

    name = "NodeResourcesBalancedAllocation"

    def __init__(self, args: BalancedAllocationArgs) -> None:
        self._resources = args.resources

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:  # noqa: ARG002
        """75 where the pod makes no difference, up to 100 where it helps, down to 50 where it harms.

        Nothing to say for pods that ask for none of the resources: they would all go to the most balanced node.
        """
        cls = pod.cls
        if not any(usage.asked(cls, each.name, defaults=False) for each in self._resources):
            return None
        kept = nodes.kept((self, cls), lambda some: self._scores(cls, nodes, some))
        return kept[rows].astype(np.int64)

    def _scores(self, cls: PodClass, nodes: NodeTable, rows: RowIndex) -> Small:
        resources = list(usage.of(cls, nodes, rows, self._resources, defaults=False))
        if not resources:
            return np.full(nodes.nonzero[0, rows].shape, 75, dtype=np.uint8)
        capacity = [each.allocatable for each in resources]
        after = _balance([each.used + each.asked for each in resources], capacity)
        before = _balance([each.used for each in resources], capacity)
        half = MAX_SCORE // 2
        return (half + (half + after - before) // 2).astype(np.uint8)


def _balance(used: Sequence[Amounts], capacity: Sequence[Amounts]) -> Amounts:
    """int64[row]: 100 where all resources are used in equal parts, 50 at worst."""
    valid = [each > 0 for each in capacity]
    parts: list[Fractions] = [
        np.where(has, np.minimum(have / np.maximum(most, 1), 1.0), 0.0)
        for have, most, has in zip(used, capacity, valid, strict=True)
    ]
    count = np.sum(valid, axis=0)
    # Adding 0.0 for a resource that a node does not have leaves the sums what they are without it.
    mean = sum(parts[1:], parts[0]) / np.maximum(count, 1)
    squares = [np.where(has, (part - mean) * (part - mean), 0.0) for part, has in zip(parts, valid, strict=True)]
    deviation = np.sqrt(sum(squares[1:], squares[0]) / np.maximum(count, 1))
    high = np.max(parts, axis=0)
    low = np.min([np.where(has, part, 2.0) for part, has in zip(parts, valid, strict=True)], axis=0)
    deviation = np.where(count > 2, deviation, np.where(count == 2, np.abs((high - low) / 2), 0.0))
    return ((1 - deviation) * float(MAX_SCORE)).astype(np.int64)
