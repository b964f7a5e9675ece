"""Moments as the API and the log write them: RFC 3339, in UTC.

Sources: k8s.io/apimachinery v0.36.3 ``pkg/apis/meta/v1/time.go`` (seconds) and ``micro_time.go`` (microseconds).
"""

from __future__ import annotations

import datetime
import functools

SECONDS, MILLISECONDS, MICROSECONDS = 0, 3, 6


def rfc3339(moment: float, digits: int = SECONDS) -> str:
    """The text of a moment, for example ``2026-11-22T07:00:00.123Z``; what is finer is cut off.

    Args:
        moment: Unix seconds, not negative.
        digits: of the fraction.
    """
    whole = int(moment)
    return f"{_second(whole)}.{int((moment - whole) * 10**digits):0{digits}d}Z" if digits else f"{_second(whole)}Z"


@functools.lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    """Thousands of events and lines fall into one second, and this is most of the work."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
