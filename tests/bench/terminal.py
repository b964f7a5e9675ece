"""What long runs have in common at the terminal: arguments, progress, an orderly end. Used by bench and scenarios."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping

from tests.controlplane.progress import print_progress

CLEAR = "\r\x1b[K"
"""Wipes the line that progress is shown on."""


def teller(title: str) -> Callable[[str], None]:
    start = time.monotonic()
    return lambda doing: print_progress(f"{title}: {doing}", time.monotonic() - start)


def done(line: str) -> None:
    """Says for good what has come of something, in the place of its progress."""
    print(f"{CLEAR if sys.stderr.isatty() else ''}==> {line}", file=sys.stderr, flush=True)


def end_on_signals() -> None:
    """What a Ctrl-C does, for the signals that otherwise leave processes behind.

    Also for a Ctrl-C itself, which a shell has ignored in what it runs in the background.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def names(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    """Some of the known names, separated by commas."""

    def names(text: str) -> list[str]:
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return found

    return names
