"""The one exception of the control plane tool: a message of one line (log lines may follow) for whoever ran it."""

from __future__ import annotations


class ControlPlaneError(Exception):
    """Something outside this tool is in the way; the message says what, and what to do about it."""
