from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from tests.bench.perf.bound import Bound


def line(kind: str, namespace: str, name: str, *, generated: bool = True) -> bytes:
    """An event as the API server writes it."""
    generate = '"generateName":"pod-",' if generated else ""
    return (
        f'{{"type":"{kind}","object":{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":'
        f'{{"name":"{name}",{generate}"namespace":"{namespace}","uid":"1","ownerReferences":[{{"name":"x"}}]}}}}}}\n'
    ).encode()


EVENTS = (
    line("ADDED", "a", "pod-1"), line("ADDED", "b", "pod-1", generated=False), line("MODIFIED", "a", "pod-1"),
    line("DELETED", "a", "pod-1"), line("ADDED", "a", "pod-2"),
)  # fmt: skip


@given(cuts=st.lists(st.integers(0, 1000)))
def test_every_bound_pod_is_counted_once_in_its_namespace_wherever_the_chunks_are_cut(cuts: list[int]) -> None:
    stream = b"".join(EVENTS)
    bound = Bound()
    for begin, end in itertools.pairwise([0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]):
        bound.feed(stream[begin:end], 1.0)
    assert {namespace: len(times) for namespace, times in bound.times.items()} == {"a": 2, "b": 1}
    assert bound.gone == 1


def test_the_time_of_a_pod_is_that_of_its_first_event() -> None:
    bound = Bound()
    for now, event in enumerate(EVENTS):
        bound.feed(event, now)
    assert dict(bound.times) == {"a": [0, 4], "b": [1]}


def test_a_new_watch_shows_old_pods_again_and_none_is_counted_twice() -> None:
    bound = Bound()
    bound.feed(EVENTS[0] + EVENTS[1][:40], 1.0)
    bound.cut()
    bound.feed(EVENTS[0] + EVENTS[1], 2.0)
    assert dict(bound.times) == {"a": [1.0], "b": [2.0]}
