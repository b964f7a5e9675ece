"""No pod sleeps through help, and none is tried in vain: the hints of all plugins, and the look before a try.

Both are checked against a look at everything after every change. A long walk at random from cluster to cluster, one
change at a time: many short ones (hypothesis) rarely get as far as to a pod that waits for the change that comes.
"""

from __future__ import annotations

from collections import Counter

import pytest
from tests.scheduler import walk
from tests.scheduler.walk import Walk

pytestmark = pytest.mark.timeout(300)

STEPS = 800


@pytest.mark.parametrize("seed", range(4))
def test_whoever_sleeps_fits_nowhere_and_whoever_is_woken_is_not_tried_in_vain(seed: int) -> None:
    there = Walk(seed)
    for step in range(STEPS):
        try:
            there.step()
        except AssertionError as error:
            pytest.fail(f"after step {step} ({there.said}): {error}")
    assert there.cache.snapshot.check() == []
    assert not there.board.conduct.errors
    assert there.placed > 20
    assert there.woken > 20
    ends: Counter[str] = walk.sum_of(there.ends)
    tried, without_a_look = walk.shares(ends)
    assert tried < 0.02, there.ends
    assert without_a_look > 0.5, "nothing to be spared: the walk shows nothing"


def test_where_there_are_many_nodes_few_preemptors_are_tried_in_vain() -> None:
    """On the nodes that are left to be tried it is not known beforehand who would have to leave, and whether he may."""
    there = Walk(0, nodes=24, crowd=60)
    for _ in range(400):
        there.step()
    tried, without_a_look = walk.shares(walk.sum_of(there.ends))
    assert tried < 0.1, there.ends
    assert without_a_look > 0.5
