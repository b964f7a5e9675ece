from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from stowplan.errors import ApiUnreachable
from stowplan.handlers.queue import Pace, WorkQueue

FAST = Pace(gap=0.0, first=0.001, most=0.004)


class Work:
    """Records runs; each waits to be let go."""

    def __init__(self, *, delay: float | None = None) -> None:
        self.runs: Counter[str] = Counter()
        self.now = 0
        self.most = 0
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.delay = delay
        self.errors: list[Exception] = []
        self._changed = asyncio.Event()

    async def wait(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def __call__(self, key: str) -> float | None:
        self.runs[key] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        self.started.set()
        self._changed.set()
        try:
            await self.go.wait()
        finally:
            self.now -= 1
            self._changed.set()
        if self.errors:
            raise self.errors.pop()
        return self.delay


def queue_of(work: Work, *, workers: int, runs: list[tuple[str, str]] | None = None) -> WorkQueue:
    """A queue that works fast."""

    def ran(name: str, result: str, seconds: float) -> None:
        assert seconds >= 0
        if runs is not None:
            runs.append((name, result))

    return WorkQueue("test", work, pace=FAST, workers=workers, on_run=ran)


async def until(work: Work, key: str, runs: int) -> None:
    """Return when the key was worked on so often, and nothing is worked on now."""
    await work.wait(lambda: work.runs[key] >= runs and not work.now)


async def test_wake_ups_of_one_key_are_joined() -> None:
    work = Work()
    queue = queue_of(work, workers=1)
    work.go.set()
    for _ in range(5):
        queue.wake("a")
    await until(work, "a", 1)
    await asyncio.sleep(0.01)
    assert work.runs == {"a": 1}


async def test_a_key_that_is_woken_while_it_is_worked_on_is_worked_on_once_more_and_never_twice_at_a_time() -> None:
    work = Work()
    queue = queue_of(work, workers=3)
    queue.wake("a")
    await work.started.wait()
    queue.wake("a")
    queue.wake("a")
    assert work.runs["a"] == 1
    work.go.set()
    await until(work, "a", 2)
    await asyncio.sleep(0.01)
    assert work.runs == {"a": 2}
    assert work.most == 1


async def test_keys_are_worked_on_side_by_side_up_to_the_number_of_workers() -> None:
    work = Work()
    queue = queue_of(work, workers=2)
    queue.wake_all(["a", "b", "c"])
    await work.wait(lambda: work.now == 2)
    await asyncio.sleep(0.01)
    assert work.now == 2
    work.go.set()
    for key in "abc":
        await until(work, key, 1)
    assert work.most == 2


@pytest.mark.parametrize("error", [ApiUnreachable("no answer"), ZeroDivisionError()])
async def test_a_failure_is_tried_again_and_keeps_nobody_else_from_working(error: Exception) -> None:
    work = Work()
    work.go.set()
    work.errors.append(error)
    queue = queue_of(work, workers=1)
    queue.wake("a")
    await until(work, "a", 2)
    queue.wake("b")
    await until(work, "b", 1)


async def test_a_key_comes_back_after_the_time_that_it_asked_for() -> None:
    work = Work(delay=0.001)
    work.go.set()
    queue = queue_of(work, workers=1)
    queue.wake("a")
    await until(work, "a", 3)
    queue.close()


async def test_an_earlier_wake_up_goes_before_a_later_one_and_a_later_one_delays_nothing() -> None:
    work = Work()
    work.go.set()
    queue = queue_of(work, workers=1)
    queue.wake("a", after=60)
    queue.wake("a", after=0)
    queue.wake("a", after=60)
    await until(work, "a", 1)


async def test_nothing_runs_after_it_was_closed() -> None:
    work = Work(delay=0.0)
    queue = queue_of(work, workers=1)
    queue.wake("a")
    await work.started.wait()
    queue.wake("b", after=0.001)
    queue.wake("a")
    queue.close()
    queue.wake("c")
    await work.wait(lambda: not work.now)
    queue.wake("a", after=0)
    await asyncio.sleep(0.01)
    assert work.runs == {"a": 1}


async def test_each_run_is_told_of_with_its_end() -> None:
    work = Work()
    work.go.set()
    work.errors = [ZeroDivisionError(), ApiUnreachable("no answer")]
    runs: list[tuple[str, str]] = []
    queue = queue_of(work, workers=1, runs=runs)
    queue.wake("a")
    await work.wait(lambda: len(runs) >= 2 and work.runs["a"] == 3)
    await asyncio.sleep(0)
    assert runs == [("test", "error"), ("test", "defect"), ("test", "success")]
