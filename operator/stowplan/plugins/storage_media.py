"""Better storage by node label, such as NVMe before SSD: a SchedulingPolicy's ``storage.media.preferred``."""

from __future__ import annotations

import numpy as np

from stowplan.framework import normalize
from stowplan.framework.plugin import CycleState, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodInfo
from stowplan.plugins.args import StorageMediaArgs


class StorageMedia:
    """Prefer nodes whose labels promise the preferred storage media."""

    name = "StorageMedia"

    def __init__(self, args: StorageMediaArgs) -> None:
        self._preferred = args.preferred

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """The sum of the weights that match, scaled to the best feasible node."""
        if not self._preferred:
            return None
        raw = nodes.once(self, lambda: self._weights(nodes))
        return normalize.default_normalize(raw[rows], reverse=False)

    def _weights(self, nodes: Snapshot) -> Scores:
        raw: Scores = np.zeros(len(nodes), dtype=np.int64)
        for media in self._preferred:
            raw += media.weight * nodes.label(media.key).where(media.values.__contains__)
        return raw
