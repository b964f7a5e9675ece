"""Waiting times: bounded, jittered, and a limiter that keeps its rate."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowplan.kube.pacing import Backoff, Limiter, Strain


@given(st.integers(0, 2**32), st.integers(1, 30))
def test_backoff_doubles_within_its_bounds(seed: int, tries: int) -> None:
    backoff = Backoff(first=0.1, most=5.0, chance=random.Random(seed))
    delays = [backoff.delay() for _ in range(tries)]

    bases = [min(0.1 * 2**n, 5.0) for n in range(tries)]
    assert all(base / 2 <= delay <= base for base, delay in zip(bases, delays, strict=True))


def test_backoff_starts_over_after_success() -> None:
    backoff = Backoff(first=0.1, most=5.0, chance=random.Random(1))
    for _ in range(10):
        backoff.delay()
    backoff.reset()

    assert backoff.delay() <= 0.1


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_limiter_lets_a_burst_through_and_then_keeps_the_rate() -> None:
    clock = Clock()
    limiter = Limiter(rate=10, burst=3, clock=clock)

    delays = [limiter.reserve() for _ in range(6)]

    assert [max(0.0, delay) for delay in delays] == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=100))
def test_limiter_never_lets_more_through_than_rate_and_burst_allow(pauses: list[float]) -> None:
    clock = Clock()
    limiter = Limiter(rate=10, burst=3, clock=clock)
    sent: list[float] = []
    for pause in pauses:
        clock.now += pause
        sent.append(clock.now + max(0.0, limiter.reserve()))

    for start in range(len(sent)):
        for end in range(start, len(sent)):
            assert end - start + 1 <= 3 + 10 * (sent[end] - sent[start]) + 1e-6


def test_answers_that_take_much_longer_than_usual_mean_strain_for_a_while() -> None:
    clock = Clock()
    strain = Strain(clock=clock)
    told = []
    for seconds in (0.002, 0.010, 0.050):
        strain.took(seconds)
        told.append(strain.high)
    clock.now += Strain.HOLD
    assert (told, strain.high) == ([False, False, True], False)


def test_a_server_that_has_become_slow_for_good_is_not_strained_for_ever() -> None:
    clock = Clock()
    strain = Strain(clock=clock)
    strain.took(0.010)
    strain.took(0.100)
    assert strain.high
    clock.now += 60.0
    strain.took(0.100)
    assert strain.high
    clock.now += 60.0
    strain.took(0.100)
    assert not strain.high
