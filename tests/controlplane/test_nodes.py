from __future__ import annotations

from collections import Counter

import pytest
from tests.controlplane.nodes import DISK, HOSTNAME, POWER, RACK, ZONE, Layout


def test_sixty_nodes_lie_evenly_in_every_kind_of_domain() -> None:
    labels = [node["metadata"]["labels"] for node in Layout().nodes()]
    sizes = {key: Counter(each[key] for each in labels) for key in (ZONE, POWER, RACK, HOSTNAME)}
    assert {key: (len(counts), set(counts.values())) for key, counts in sizes.items()} == {
        ZONE: (3, {20}),
        POWER: (6, {10}),
        RACK: (30, {2}),
        HOSTNAME: (60, {1}),
    }
    assert Counter(each[DISK] for each in labels) == {"nvme": 30, "ssd": 15, "hdd": 15}


def test_a_domain_lies_in_one_domain_of_the_kind_above() -> None:
    for inner, outer in ((POWER, ZONE), (RACK, POWER), (HOSTNAME, RACK)):
        pairs = {(each["metadata"]["labels"][inner], each["metadata"]["labels"][outer]) for each in Layout().nodes()}
        assert len(pairs) == len({pair[0] for pair in pairs})


@pytest.mark.parametrize("count", [1, 7, 60, 61, 5000])
def test_any_number_of_nodes_is_spread_over_the_zones(count: int) -> None:
    nodes = list(Layout.of(count).nodes())
    assert len({node["metadata"]["name"] for node in nodes}) == count
    zones = Counter(node["metadata"]["labels"][ZONE] for node in nodes)
    assert max(zones.values()) - min(zones.values()) <= 1


def test_many_zones_have_names_of_their_own() -> None:
    zones = {zone for zone, _, _, _ in Layout(zones=60, power_domains=1, racks=1, hosts=1).names()}
    assert len(zones) == 60
    assert {"a", "z", "aa", "bh"} <= zones
