from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from tests.bench.measure import Binds


def line(pod: str) -> bytes:
    """An event as the API server writes it."""
    return (
        b'{"type":"ADDED","object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":'
        b'{"name":"%b","namespace":"bench","labels":{"app":"x"}}}}\n' % pod.encode()
    )


@given(cuts=st.lists(st.integers(0, 600)))
def test_every_bound_pod_is_seen_wherever_the_chunks_are_cut(cuts: list[int]) -> None:
    stream = b"".join(map(line, ("a-1", "a-2", "a-1", "a-3")))
    places = [0, *sorted(cuts), len(stream)]
    binds = Binds()
    for begin, end in itertools.pairwise(places):
        binds.feed(stream[begin:end], 1.0)
    assert binds.names == {b"a-1", b"a-2", b"a-3"}


def test_the_first_and_the_last_new_pod_make_the_time() -> None:
    binds = Binds()
    for now, chunk in ((1.0, b""), (2.0, line("a")), (3.0, line("b")), (4.0, line("a"))):
        binds.feed(chunk, now)
    assert (binds.first, binds.last) == (2.0, 3.0)


def test_half_an_event_is_no_bind() -> None:
    binds = Binds()
    binds.feed(line("a")[:-1], 1.0)
    assert binds.first is None
