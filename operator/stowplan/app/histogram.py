"""A histogram that costs half a microsecond an observation, where prometheus_client's takes two to four.

A pod that is placed is observed fifteen times. Used by ``metrics`` alone; registered and rendered like any other.
"""

from __future__ import annotations

import bisect
import itertools
import math
import threading
from collections.abc import Iterable
from typing import Final

from prometheus_client import core, registry
from prometheus_client.utils import floatToGoString

NO_LABELS: Final[tuple[str, ...]] = ()


class Histogram(registry.Collector):
    """Counts observations in buckets; from any thread.

    Args:
        name: of the metric.
        text: what it says, for people.
        bounds: upper bounds of the buckets, growing, without infinity; each belongs to its bucket.
        labels: names of the labels.
    """

    def __init__(self, name: str, text: str, bounds: tuple[float, ...], labels: tuple[str, ...]) -> None:
        self._name = name
        self._text = text
        self._bounds = bounds
        self._labels = labels
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        if not labels:
            self._add(NO_LABELS)

    def observe(self, value: float, labels: tuple[str, ...] = NO_LABELS) -> None:
        """Count a value, with the values of the labels."""
        with self._lock:
            counts = self._counts.get(labels) or self._add(labels)
            counts[bisect.bisect_left(self._bounds, value)] += 1
            self._sums[labels] += value

    def collect(self) -> Iterable[core.Metric]:
        """What has been counted so far."""
        with self._lock:
            seen = [(labels, tuple(counts), self._sums[labels]) for labels, counts in self._counts.items()]
        family = core.HistogramMetricFamily(self._name, self._text, labels=self._labels)
        names = [floatToGoString(bound) for bound in (*self._bounds, math.inf)]  # type: ignore[no-untyped-call]
        for labels, counts, total in seen:
            family.add_metric(labels, list(zip(names, itertools.accumulate(counts), strict=True)), total)
        return [family]

    def _add(self, labels: tuple[str, ...]) -> list[int]:
        self._sums[labels] = 0.0
        return self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
