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
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins.args import FailureDomainArgs

Domains = npt.NDArray[np.intp]


@dataclasses.dataclass(frozen=True, slots=True)
class Peers:
    """The pods of a group: of one namespace, with these labels, and not on their way out."""

    namespace: str
    labels: tuple[tuple[str, str], ...]

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:  # noqa: ARG002
        """Whether pods of the class belong to the group."""
        return (
            cls.namespace == self.namespace
            and not cls.terminating
            and all(cls.labels.get(key) == value for key, value in self.labels)
        )


class FailureDomain:
    """Prefer nodes near the other pods of the group."""

    name = "FailureDomain"

    def __init__(self, args: FailureDomainArgs) -> None:
        self._levels = args.levels
        self._group_by = args.group_by

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:  # noqa: ARG002
        """Shared levels summed over the peers, scaled to the best node; nothing to say without group or peers."""
        group = self._group(pod.cls)
        if group is None or not nodes.counter(group).total:
            return None
        count = nodes.count(group)
        homes = np.flatnonzero(count)
        raw: Scores = np.zeros(len(rows), dtype=np.int64)
        for domains in nodes.once(self, lambda: self._domains(nodes)):
            peers = np.bincount(domains[homes], weights=count[homes], minlength=int(domains.max(initial=0)) + 1)
            peers[0] = 0
            raw += peers.astype(np.int64)[domains[rows]]
        return normalize.default_normalize(raw, reverse=False)

    def _group(self, cls: PodClass) -> Peers | None:
        if not all(key in cls.labels for key in self._group_by):
            return None
        return Peers(cls.namespace, tuple((key, cls.labels[key]) for key in self._group_by))

    def _domains(self, nodes: Snapshot) -> list[Domains]:
        """intp[node] per level: the number of the node's domain, 0 for none."""
        found: list[Domains] = []
        inside: Domains = np.ones(len(nodes), dtype=np.intp)
        for key in self._levels:
            column = nodes.label(key)
            pairs = np.where((inside > 0) & column.present, inside * len(column.values) + column.codes, 0)
            _, numbers = np.unique(np.append(0, pairs), return_inverse=True)
            inside = numbers[1:]
            found.append(inside)
        return found
