"""Shows on stderr that something long is going on.

On a terminal one line that changes in place; anywhere else (a log of continuous integration) a line every ten seconds.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import Protocol


class Progress(Protocol):
    """Is told what is being done and for how many seconds already, a few times a second."""

    def __call__(self, doing: str, seconds: float) -> None: ...


class _Printer:
    """Prints what it is told, without flooding a log."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._last = float("-inf")
        self._title = ""

    def __call__(self, doing: str, seconds: float) -> None:
        title, _, detail = doing.partition(": ")
        final = detail == "built"
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{f'==> {title}  {seconds:4.0f} s  {detail}'[:width]}", end="\n" if final else "",
                  file=sys.stderr, flush=True)  # fmt: skip
            return
        now = time.monotonic()
        if final or title != self._title or now - self._last >= self._every:
            self._last, self._title = now, title
            print(f"==> {title}  {seconds:4.0f} s  {detail}", file=sys.stderr, flush=True)


print_progress: Progress = _Printer(every=10)
