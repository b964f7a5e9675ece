"""A plugin for Stowplan: pods ask for a type of disk in an annotation, and nodes have theirs in a label."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from stowplan.framework.events import ClusterEvent
from stowplan.framework.plugin import MAX_SCORE, CycleState, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Reject
from stowplan.model.pods import PodInfo

WANTED = "example.com/disk-type"


@dataclasses.dataclass(frozen=True)
class DiskTypeArgs:
    """What the configuration says: the nodes' label, and the types from best to worst."""

    label: str = "disk"
    ranking: tuple[str, ...] = ()


class DiskType:
    """Keep pods on nodes with the disk type they ask for; those that ask for none get the best."""

    name = "DiskType"
    Args = DiskTypeArgs
    requeue_on = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS})

    def __init__(self, args: DiskTypeArgs) -> None:
        self._label = args.label
        best = len(args.ranking)
        self._points = {value: MAX_SCORE * (best - place) // best for place, value in enumerate(args.ranking)}

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects the nodes with another type."""
        wanted = pod.annotations.get(WANTED)
        if wanted is not None:
            others = nodes.label(self._label).where(lambda value: value != wanted)
            yield Reject(others, "node(s) had another disk type", UNRESOLVABLE)

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """100 for the best type, 0 for one that the ranking does not name."""
        if WANTED in pod.annotations or not self._points:
            return None
        column = nodes.label(self._label)
        points = np.array([self._points.get(value, 0) if value else 0 for value in column.values], dtype=np.int64)
        return points[column.codes[rows]]
