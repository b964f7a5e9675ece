"""Resources in proportion. Source: kubernetes v1.36.3 ``plugins/noderesources/balanced_allocation.go``.

The arithmetic is in float64, operation by operation as there, so that the integers that come out are the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stowplan.framework.nodes import NodeTable, RowIndex, Small
from stowplan.framework.plugin import MAX_SCORE, CycleState, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
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

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """75 where the pod makes no difference, up to 100 where it helps, down to 50 where it harms.

        Nothing to say for pods that ask for none of the resources: they would all go to the most balanced node.
        """
        return self.score_own(pod.cls, nodes, rows).astype(np.int64) if self.speaks(pod.cls) else None

    def speaks(self, cls: PodClass) -> bool:
        """Whether pods of the class ask for any of the resources."""
        return any(usage.asked(cls, each.name, defaults=False) for each in self._resources)

    def score_own(self, cls: PodClass, nodes: NodeTable, rows: RowIndex) -> Small:
        """The same as uint8[row], from nothing but the resources of these nodes."""
        found = usage.of(cls, nodes, rows, self._resources, defaults=False)
        before, after = _balance(np.stack((found.used, found.used + found.asked), axis=1), found.allocatable[:, None])
        half = MAX_SCORE // 2
        scores: Small = (half + (half + after - before) // 2).astype(np.uint8)
        return scores


def _balance(used: Amounts, capacity: Amounts) -> Amounts:
    """int64[2, row] of int64[resource, 2, row]: 100 where all resources are used in equal parts, 50 at worst."""
    valid = capacity > 0
    parts: Fractions = np.minimum(used / np.maximum(capacity, 1), 1.0)
    usual = len(parts) == 2 and valid.all()
    deviation = np.abs((parts[0] - parts[1]) / 2) if usual else _deviation(parts, valid)
    scores: Amounts = ((1 - deviation) * float(MAX_SCORE)).astype(np.int64)
    return scores


def _deviation(parts: Fractions, valid: Mask) -> Fractions:
    """float64[2, row]: the standard deviation over the resources that a node has; half the distance of two."""
    count = valid.sum(axis=0)
    divisor = np.maximum(count, 1)
    # To add 0.0 for a resource that a node does not have leaves the sum what it is without it. Summed in order.
    parts = np.where(valid, parts, 0.0)
    mean = sum(parts) / divisor
    many = np.sqrt(sum(np.where(valid, (parts - mean) * (parts - mean), 0.0)) / divisor)
    lowest = np.where(valid, parts, np.inf).min(axis=0, initial=1.0)
    two = np.abs((parts.max(axis=0, initial=0.0) - lowest) / 2)
    deviation: Fractions = np.where(count > 2, many, np.where(count == 2, two, 0.0))
    return deviation
