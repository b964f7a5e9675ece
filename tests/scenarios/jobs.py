"""Several runs side by side, each in a process of its own, which has a control plane of its own. Called by `__main__`.

A run is nearly all waiting, so there may be more of them than cores; in a process of its own none of them waits for
another one's turn, and what it sees of its cluster comes in time. The process is `python -m tests.scenarios.run`. It
writes a line of JSON for whatever it does, and at last one that says how it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec
from tests.controlplane import process
from tests.scenarios.run import Case, Line

GRACE: Final = 30.0
"""Seconds in which a run that is told to end stops all that it has started."""


class View(Protocol):
    """Is told how all of it goes."""

    def doing(self, case: Case, what: str) -> None:
        """A run goes on."""

    def ended(self, case: Case, line: Line) -> None:
        """A run has ended: with its outcome or the error."""


async def side_by_side(cases: Sequence[Case], jobs: int, view: View) -> None:
    """Run all of them, so many at a time; cancelled, it ends those under way in order."""
    waiting = iter(cases)
    async with asyncio.TaskGroup() as group:
        for _ in range(jobs):
            group.create_task(_one_after_the_other(waiting, view))


async def _one_after_the_other(waiting: Iterator[Case], view: View) -> None:
    for case in waiting:
        view.ended(case, await _apart(case, view))


async def _apart(case: Case, view: View) -> Line:
    """One run, in a process that ends with this one whatever happens."""
    child = await asyncio.create_subprocess_exec(
        *process.tied(sys.executable, "-m", "tests.scenarios.run", *case.arguments),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C on the terminal is for this process, which then ends all in order
    )  # fmt: skip
    try:
        return await _listen(child, case, view)
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        raise
    finally:
        try:
            await asyncio.wait_for(child.wait(), GRACE)
        except TimeoutError:
            child.kill()
            await child.wait()


async def _listen(child: asyncio.subprocess.Process, case: Case, view: View) -> Line:
    assert child.stdout is not None
    async for text in child.stdout:
        line = msgspec.json.decode(text, type=Line)
        if line.outcome is not None or line.error:
            return line
        view.doing(case, line.doing)
    return Line(error=f"its process ended with status {await child.wait()} and said nothing")
