"""Equally good nodes: whoever is picked, the zones stay even."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import builders

from stowplan.framework import ties
from stowplan.framework.snapshot import Snapshot

NODES = 90


def cluster(zone_of: list[str | None]) -> Snapshot:
    return builders.snapshot(
        [
            builders.node(f"n{row:03}", labels={} if zone is None else {builders.ZONE: zone})
            for row, zone in enumerate(zone_of)
        ]
    )


def by_zone(nodes: Snapshot, pods: int, seed: int) -> dict[str | None, int]:
    """Pods by zone after so many were put on nodes that are all equally good until they have a pod."""
    chance = random.Random(seed)
    free = np.arange(len(nodes))
    placed: dict[str | None, int] = dict.fromkeys(nodes.label(builders.ZONE).values[1:], 0)
    for number in range(pods):
        at = ties.pick(nodes, free, np.arange(len(free)), chance.getrandbits(32))
        row, free = int(free[at]), np.delete(free, at)
        nodes.add_pod(builders.pod(f"p{number}", on=nodes.name(row)))
        zone = nodes.label(builders.ZONE).at(row)
        placed[zone] = placed.get(zone, 0) + 1
    return placed


@pytest.mark.parametrize(
    "zone_of",
    [
        pytest.param([zone for zone in "abc" for _ in range(NODES // 3)], id="listed zone by zone"),
        pytest.param(list("abc" * (NODES // 3)), id="in turn"),
        pytest.param(random.Random(5).sample(list("abc" * (NODES // 3)), NODES), id="mixed"),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_zones_stay_even(zone_of: list[str | None], seed: int) -> None:
    placed = by_zone(cluster(zone_of), NODES // 2, seed)

    assert max(placed.values()) - min(placed.values()) <= 3


def test_pods_that_were_there_before_count() -> None:
    nodes = cluster([zone for zone in "ab" for _ in range(10)])
    for number in range(5):
        nodes.add_pod(builders.pod(f"old-{number}", on=nodes.name(0)))

    assert by_zone(nodes, 5, 1) == {"a": 0, "b": 5}


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_every_tie_can_be_picked_where_there_are_no_zones(number: int, chance: int) -> None:
    nodes = cluster([None] * number)
    rows = np.arange(number)

    assert {ties.pick(nodes, rows, rows, chance + step) for step in range(number)} == set(range(number))


def test_who_is_the_best_of_few_is_compared_with_all_of_them() -> None:
    nodes = cluster(["a", "b", "c"])
    nodes.add_pod(builders.pod("p", on="n000"))
    nodes.add_pod(builders.pod("q", on="n002"))

    assert {ties.pick(nodes, np.arange(3), np.arange(3), chance) for chance in range(9)} == {1}


def test_only_ties_are_picked_among_the_feasible_nodes() -> None:
    nodes = cluster(list("abcabc"))
    feasible, best = np.array([1, 2, 3, 5]), np.array([1, 3])  # n002 and n005

    assert {ties.pick(nodes, feasible, best, chance) for chance in range(9)} == {1, 3}
