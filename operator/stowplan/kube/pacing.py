"""How fast to send, and how long to wait before trying again.

``Backoff`` serves every retry in this package, ``Limiter`` is the optional client-side limit of ``session.Api`` and
of the event sender, ``Strain`` tells the scheduling loop when the API server has no time for what can wait. Chance and
clock are arguments, so that tests own both.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar


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


@dataclass(kw_only=True)
class Strain:
    """Whether answers take much longer than they usually do, for ``HOLD`` seconds after the last one that did.

    Usual is the shortest time of late: it doubles with every minute in which nothing is as quick, so a server that is
    slow or far away is not taken to be strained for ever.
    """

    TIMES: ClassVar[float] = 4.0
    SLACK: ClassVar[float] = 0.015
    """Seconds: what is this little longer than usual is not."""
    HOLD: ClassVar[float] = 0.5

    clock: Callable[[], float] = time.monotonic
    _usual: float = field(init=False, default=math.inf)
    _at: float = field(init=False, default=0.0)
    _until: float = field(init=False, default=-math.inf)

    def took(self, seconds: float) -> None:
        """An answer took so long."""
        now = self.clock()
        self._usual = min(self._usual * 2 ** min((now - self._at) / 60, 10), seconds)
        self._at = now
        if seconds > self.TIMES * self._usual + self.SLACK:
            self._until = now + self.HOLD

    @property
    def high(self) -> bool:
        """Whether it is so now."""
        return self.clock() < self._until
