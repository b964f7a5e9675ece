"""Nearness: pods that talk to each other a lot gather in as narrow a failure domain as they can.

Off unless a weight is given for it, because it pulls against spread. With the levels zone, power domain, rack and host,
a node earns one point for each other pod of the group in its zone, one more for each in its power domain, and so on:
a peer in the same rack counts 3, in the same zone only 1. The points are scaled so that the best node gets 100.

A domain lies within the broader ones: rack ``r1`` of zone ``a`` is another than rack ``r1`` of zone ``b``. A node
without a level's label is in no domain of that level, nor of the narrower ones.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from stowplan.framework import normalize
from stowplan.framework.plugin import CycleState, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins.args import FailureDomainArgs

Domains = npt.NDArray[np.intp]
Points = npt.NDArray[np.float64]
"""Whole numbers; float64 because ``bincount`` counts in it, and exact up to 2**53."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Tree:
    """The failure domains of all levels, numbered level by level. Level -1 is the whole cluster.

    Attributes:
        leaf: intp[node]: its domain of the narrowest level.
        leaves: how many there are.
        parents: intp[domain] per level: the domain of the level above that it lies in.
        real: bool[domain] per level: False for what stands for nodes without the level's label, or a broader one's.
    """

    leaf: Domains
    leaves: int
    parents: tuple[Domains, ...]
    real: tuple[Mask, ...]

    def points(self, peers: Points) -> Points:
        """float64[leaf]: the levels that a node there shares with the peers (float64[leaf]), summed over them."""
        counts = [peers]
        for level in range(len(self.parents) - 1, 0, -1):
            counts.append(_sum(self.parents[level], counts[-1], len(self.real[level - 1])))
        points: Points = np.zeros(1)
        for parent, real, count in zip(self.parents, self.real, reversed(counts), strict=True):
            points = points[parent] + count * real
        return points


@dataclasses.dataclass(frozen=True, slots=True)
class Peers:
    """The pods of a group: of one namespace, with these labels, and not on their way out."""

    namespace: str
    labels: tuple[tuple[str, str], ...]

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        """Whether pods of the class belong to the group."""
        return (
            cls.namespace == self.namespace
            and not cls.terminating
            and all(cls.labels.get(key) == value for key, value in self.labels)
        )


def _sum(domains: Domains, weights: Points, size: int) -> Points:
    """float64[size]: the weights summed by domain."""
    return np.bincount(domains, weights=weights, minlength=size).astype(np.float64, copy=False)


class FailureDomain:
    """Prefer nodes near the other pods of the group."""

    name = "FailureDomain"

    def __init__(self, args: FailureDomainArgs) -> None:
        self._levels = args.levels
        self._group_by = args.group_by

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """Shared levels summed over the peers, scaled to the best node; nothing to say without group or peers."""
        group = self._group(pod.cls)
        if group is None or not nodes.counter(group).total:
            return None
        count = nodes.count(group)
        homes = np.flatnonzero(count)
        tree = nodes.once(self, lambda: self._tree(nodes))
        points = tree.points(_sum(tree.leaf[homes], count[homes].astype(np.float64), tree.leaves))
        return normalize.default_normalize(points[tree.leaf[rows]].astype(np.int64), reverse=False)

    def _group(self, cls: PodClass) -> Peers | None:
        if not all(key in cls.labels for key in self._group_by):
            return None
        return Peers(cls.namespace, tuple((key, cls.labels[key]) for key in self._group_by))

    def _tree(self, nodes: Snapshot) -> _Tree:
        leaf: Domains = np.zeros(len(nodes), dtype=np.intp)
        real: Mask = np.ones(1, dtype=np.bool_)
        parents: list[Domains] = []
        reals: list[Mask] = []
        for key in self._levels:
            column = nodes.label(key)
            size = len(column.values)
            pairs, leaf = np.unique(leaf * size + column.codes, return_inverse=True)
            parents.append(pairs // size)
            real = real[pairs // size] & (pairs % size != 0)
            reals.append(real)
        return _Tree(leaf, len(real), tuple(parents), tuple(reals))
