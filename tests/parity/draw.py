"""Chance that repeats: what the generators of this package draw from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

Object = dict[str, object]
"""A Kubernetes object, or a part of one, as JSON has it."""


class Draw:
    """The same draws for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def chance(self, share: float) -> bool:
        """True in this share of all draws."""
        return self._random.random() < share

    def number(self, least: int, most: int) -> int:
        """An integer, both ends included."""
        return self._random.randint(least, most)

    def one(self, of: Sequence[T]) -> T:
        """One of them; list something twice to get it twice as often."""
        return self._random.choice(of)

    def some(self, of: Sequence[T], least: int, most: int) -> list[T]:
        """So many of them, each at most once, in any order."""
        return self._random.sample(list(of), min(self.number(least, most), len(of)))

    def shuffled(self, of: Sequence[T]) -> list[T]:
        """All of them in another order."""
        return self._random.sample(list(of), len(of))
