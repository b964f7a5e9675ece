"""Keys that need work: each is worked on by one task at a time, soon after it was woken, and now and then anyway.

Called by ``operator``. What client-go's workqueue and a controller's resync do, in one event loop: wake-ups of one key
are joined, one that comes while the key is worked on makes it run once more, and failures are retried more and more
slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import structlog

from stowplan.errors import StowplanError
from stowplan.kube import pacing

log = structlog.get_logger(__name__)

Work = Callable[[str], Awaitable[float | None]]
"""Works on a key; returns the seconds until it wants to be called again at the latest, None where the key is gone."""


Result = Literal["success", "error", "defect"]
OnRun = Callable[[str, Result, float], None]
"""Told of each run: of which queue, how it ended, and the seconds that it took."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast, in seconds.

    Attributes:
        gap: between a wake-up and the work, so that others can join it; and between two runs of one key.
        first: delay after the first failure in a row.
        most: the longest delay after failures.
    """

    gap: float = 0.05
    first: float = 0.5
    most: float = 60.0


class WorkQueue:
    """Keys and when they are due.

    Args:
        name: of the controller, for logs.
        work: what to do with a key.
        pace: how fast.
        workers: keys worked on at the same time at most.
        on_run: told of each run; not of one that was cancelled.
    """

    def __init__(self, name: str, work: Work, *, pace: Pace, workers: int, on_run: OnRun) -> None:
        self._name = name
        self._work = work
        self._pace = pace
        self._on_run = on_run
        self._slots = asyncio.Semaphore(workers)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._failing: dict[str, pacing.Backoff] = {}
        self._closed = False

    def wake(self, key: str, *, after: float | None = None) -> None:
        """Work on the key after so many seconds (by default, the gap), or earlier if that was planned already."""
        if key in self._running:
            self._again.add(key)
            return
        self._plan(key, self._pace.gap if after is None else after)

    def wake_all(self, keys: Iterable[str]) -> None:
        """Wake several keys."""
        for key in keys:
            self.wake(key)

    def _plan(self, key: str, after: float) -> None:
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + after
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._start, key)

    def _start(self, key: str) -> None:
        self._timers.pop(key, None)
        self._running[key] = asyncio.get_running_loop().create_task(self._run(key), name=f"{self._name} {key}")

    async def _run(self, key: str) -> None:
        delay: float | None = None
        try:
            async with self._slots:
                self._again.discard(key)
                delay = await self._attempt(key)
        finally:
            del self._running[key]
        if key in self._again:
            self._again.discard(key)
            self._plan(key, self._pace.gap)
        elif delay is not None:
            self._plan(key, delay)

    async def _attempt(self, key: str) -> float | None:
        """Do the work; the boundary at which a failure of one key is kept from the others."""
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            delay = await self._work(key)
        except StowplanError as error:
            self._on_run(self._name, "error", clock() - started)
            pause = self._pause(key)
            log.warning("reconcile failed", controller=self._name, key=key, error=str(error), retry=round(pause, 1))
            return pause
        except Exception:
            self._on_run(self._name, "defect", clock() - started)
            pause = self._pause(key)
            log.exception("defect in reconcile", controller=self._name, key=key, retry=round(pause, 1))
            return pause
        self._on_run(self._name, "success", clock() - started)
        self._failing.pop(key, None)
        return delay

    def _pause(self, key: str) -> float:
        backoff = self._failing.setdefault(key, pacing.Backoff(first=self._pace.first, most=self._pace.most))
        return backoff.delay()

    def close(self) -> None:
        """Cancel what is worked on, and plan nothing more, whoever wakes a key: watches end later than this."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        for task in self._running.values():
            task.cancel()
        self._timers.clear()
