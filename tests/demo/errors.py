"""What can go wrong with the demo."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do, on one line or more."""


class Refused(DemoError):  # noqa: N818
    """Nothing has been touched: the user said no, or has to say something first."""
