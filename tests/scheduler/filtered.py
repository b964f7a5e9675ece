"""How many decisions looked at nodes, for tests of what many pods that wait cost."""

from __future__ import annotations

from collections import Counter

from stowplan.framework.plugin import Probe


class Filtered(Probe):
    """Counts the decisions for which nodes were filtered."""

    def __init__(self) -> None:
        self.points: Counter[str] = Counter()

    def point(self, name: str, start: float, *, ok: bool) -> None:
        self.points[name] += 1
