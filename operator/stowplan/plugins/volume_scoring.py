"""Scores of VolumeBinding: how full the storage of each node would be.

Off unless the configuration gives a shape, as kube-scheduler's alpha feature StorageCapacityScoring is.
Source: kubernetes v1.36.3 ``plugins/volumebinding/scorer.go`` and ``volume_binding.go`` (Score),
``plugins/helper/shape_score.go``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stowplan.framework.plugin import Rows, Scores
from stowplan.framework.pools import UNKNOWN
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.framework.storage import Claim
from stowplan.plugins.args import ShapePoint
from stowplan.plugins.volume_matching import NONE, Choices

Bytes = npt.NDArray[np.int64]

_FULL = 100


class _Storage:
    """What claims ask for, of how much, in one StorageClass: int64[feasible] each."""

    def __init__(self, size: int) -> None:
        self.requested: Bytes = np.zeros(size, dtype=np.int64)
        self.capacity: Bytes = np.zeros(size, dtype=np.int64)
        self.counts: Mask = np.zeros(size, dtype=np.bool_)


def scores(
    shape: Sequence[ShapePoint],
    claims: Sequence[Claim],
    choices: Mapping[str, Choices],
    nodes: Snapshot,
    rows: Rows,
) -> Scores:
    """int64[feasible]: the mean over the StorageClasses.

    A node that gives any existing volume is judged by those alone, all others by the pools that the volumes would be
    made from.
    """
    static: dict[str, _Storage] = {}
    dynamic: dict[str, _Storage] = {}
    any_static = np.zeros(len(rows), dtype=np.bool_)
    for claim in claims:
        size = claim.size or 0
        matched = np.zeros(len(rows), dtype=np.bool_)
        if claim.key in choices:
            chosen = choices[claim.key]
            codes = chosen.codes[rows]
            matched = codes != NONE
            any_static |= matched
            storage = static.setdefault(claim.storage_class, _Storage(len(rows)))
            sizes = np.array([volume.size for volume in chosen.volumes], dtype=np.int64)
            storage.requested += size * matched
            storage.capacity += np.where(matched, sizes[codes], 0)
            storage.counts |= matched
        capacity = _capacity(claim, nodes, rows)
        if capacity is not None:
            storage = dynamic.setdefault(claim.storage_class, _Storage(len(rows)))
            storage.requested += size * ~matched
            storage.capacity = np.where(matched, storage.capacity, capacity)
            storage.counts |= ~matched
    table = np.array([_at(shape, each) for each in range(_FULL + 1)], dtype=np.int64)
    return np.where(any_static, _mean(static, table, len(rows)), _mean(dynamic, table, len(rows)))


def _capacity(claim: Claim, nodes: Snapshot, rows: Rows) -> Bytes | None:
    """int64[feasible]: bytes of the roomiest pool that takes the claim; None where capacity is not looked at."""
    storage_class = nodes.volumes.classes.get(claim.storage_class)
    driver = nodes.volumes.drivers.get(storage_class.provisioner) if storage_class is not None else None
    table = nodes.volumes.capacity.table(claim.storage_class, nodes)
    if claim.size is None or driver is None or not driver.spec.storage_capacity or table is None:
        return None
    published = np.where((table.largest >= claim.size) & (table.capacity < UNKNOWN), table.capacity, 0)
    best = np.zeros(len(nodes), dtype=np.int64)
    np.maximum.at(best, table.reach.rows, published[table.reach.which])
    return best[rows]


def _mean(by_class: Mapping[str, _Storage], table: Bytes, size: int) -> Scores:
    total = np.zeros(size, dtype=np.int64)
    classes = np.zeros(size, dtype=np.int64)
    for each in by_class.values():
        over = (each.capacity == 0) | (each.requested > each.capacity)
        utilization = np.where(over, _FULL, each.requested * _FULL // np.maximum(each.capacity, 1))
        total += np.where(each.counts, table[utilization], 0)
        classes += each.counts
    # half a point rounds up, as Go's math.Round does
    return np.floor(total / np.maximum(classes, 1) + 0.5).astype(np.int64)


def _at(shape: Sequence[ShapePoint], utilization: int) -> int:
    """The score (0 to 100) at a utilization, on the lines between the points."""
    for left, right in itertools.pairwise(shape):
        if left.utilization < utilization <= right.utilization:
            rise = 10 * (right.score - left.score) * (utilization - left.utilization)
            run = right.utilization - left.utilization
            return 10 * left.score + (rise // run if rise >= 0 else -(-rise // run))  # Go rounds towards zero
    return 10 * (shape[0].score if utilization <= shape[0].utilization else shape[-1].score)
