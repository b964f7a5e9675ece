"""Moments as text."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowplan.model import times


@pytest.mark.parametrize(
    ("moment", "digits", "text"),
    [
        pytest.param(0.0, times.SECONDS, "1970-01-01T00:00:00Z", id="the beginning"),
        pytest.param(1_792_652_400.999_9, times.SECONDS, "2026-10-22T07:00:00Z", id="a fraction is cut off"),
        pytest.param(1_792_652_400.042, times.MILLISECONDS, "2026-10-22T07:00:00.042Z", id="milliseconds"),
        pytest.param(1_792_652_400.5, times.MICROSECONDS, "2026-10-22T07:00:00.500000Z", id="microseconds"),
    ],
)
def test_a_moment_is_written_as_the_api_writes_it(moment: float, digits: int, text: str) -> None:
    assert times.rfc3339(moment, digits) == text


@given(st.floats(0, 4e9), st.sampled_from([times.SECONDS, times.MILLISECONDS, times.MICROSECONDS]))
def test_it_can_be_read_again(moment: float, digits: int) -> None:
    read = datetime.datetime.fromisoformat(times.rfc3339(moment, digits)).timestamp()
    assert 0 <= moment - read + 1e-6 <= 10**-digits + 2e-6
