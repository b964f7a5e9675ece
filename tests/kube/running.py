"""Lets something that runs until it is cancelled run beside a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol


class Runs(Protocol):
    """A reflector, a recorder of events."""

    async def run(self) -> None:
        """Works until cancelled."""


@contextlib.asynccontextmanager
async def running(one: Runs) -> AsyncIterator[None]:
    """It runs while the body runs."""
    task = asyncio.create_task(one.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
