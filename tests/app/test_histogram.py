"""Histograms count as prometheus_client's do."""

from __future__ import annotations

import threading

import prometheus_client
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import registry

from stowplan.app.histogram import Histogram

BOUNDS = (0.00001, 0.001, 0.5, 1.0, 30.0)
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # as app.metrics does

VALUES = st.one_of(st.sampled_from(BOUNDS), st.floats(min_value=0, max_value=100))


def rendered(*collectors: registry.Collector) -> str:
    into = registry.CollectorRegistry()
    for each in collectors:
        into.register(each)
    return prometheus_client.generate_latest(into).decode()


@given(st.lists(st.tuples(VALUES, st.sampled_from(["a", 'b"\n']))))
def test_labelled_histogram_reads_like_the_library_s(seen: list[tuple[float, str]]) -> None:
    ours = Histogram("seconds", "How long.", BOUNDS, ("what",))
    theirs = prometheus_client.Histogram("seconds", "How long.", ["what"], registry=None, buckets=BOUNDS)
    for value, what in seen:
        ours.observe(value, (what,))
        theirs.labels(what).observe(value)

    assert rendered(ours) == rendered(theirs)


@given(st.lists(VALUES))
def test_histogram_without_labels_is_there_before_anything_is_seen(seen: list[float]) -> None:
    ours = Histogram("seconds", "How long.", BOUNDS, ())
    theirs = prometheus_client.Histogram("seconds", "How long.", registry=None, buckets=BOUNDS)
    for value in seen:
        ours.observe(value)
        theirs.observe(value)

    assert rendered(ours) == rendered(theirs)


def test_nothing_is_lost_between_threads() -> None:
    ours = Histogram("seconds", "How long.", BOUNDS, ())

    def observe() -> None:
        for _ in range(5000):
            ours.observe(0.2)

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert "seconds_count 20000.0" in rendered(ours)
