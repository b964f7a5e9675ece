"""How fast to send, and how long to wait before trying again.

``Backoff`` serves every retry in this package, ``Limiter`` is the optional client-side limit of ``session.Api`` and
of the event sender. Chance and clock are arguments, so that tests own both.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Backoff:
    """Delays that double from ``first`` to ``most`` seconds, each drawn from its upper half (so that many clients
    that failed together do not come back together).
    """  # noqa: D205

    first: float = 0.1
    most: float = 30.0
    chance: random.Random = field(default_factory=random.Random)
    _next: float = field(init=False, default=0.0)

    def delay(self) -> float:
        """Seconds to wait now; the next answer is about twice as long."""
        base = min(max(self._next, self.first), self.most)
        self._next = base * 2
        return base * (0.5 + self.chance.random() / 2)

    def reset(self) -> None:
        """It works again: start over from ``first``."""
        self._next = 0.0


@dataclass(kw_only=True)
class Limiter:
    """A token bucket: ``rate`` a second on average, ``burst`` at once; a rate of 0 never waits."""

    rate: float
    burst: int
    clock: Callable[[], float] = time.monotonic
    _tokens: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._tokens = float(self.burst)
        self._at = self.clock()

    def reserve(self) -> float:
        """Take one token, on credit if need be: the seconds until it may be used (0 or less: now)."""
        now = self.clock()
        self._tokens = min(self._tokens + (now - self._at) * self.rate, float(self.burst)) - 1
        self._at = now
        return -self._tokens / self.rate

    async def wait(self) -> None:
        """Return when the next request may be sent; callers are served in the order they came."""
        if self.rate > 0 and (delay := self.reserve()) > 0:
            await asyncio.sleep(delay)
