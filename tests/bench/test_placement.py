from __future__ import annotations

import pytest
from tests.bench import placement, workloads
from tests.bench.placement import Balance
from tests.bench.workloads import Workload
from tests.controlplane.nodes import Layout

LAYOUT = Layout(zones=2, power_domains=1, racks=2, hosts=2, count=8)
"""Zones a and b, each with racks r1 and r2 of two hosts."""
A1, A2, A3 = "a-1-r1-h1", "a-1-r1-h2", "a-1-r2-h1"
B1 = "b-1-r1-h1"


def judged(workload: Workload, *nodes: str) -> Balance:
    """The pods in their order on these nodes."""
    names = (each["metadata"]["name"] for each in workload.manifests(len(nodes), LAYOUT, "x"))
    return placement.judge(workload, len(nodes), LAYOUT, dict(zip(names, nodes, strict=True)))


@pytest.mark.parametrize(
    ("nodes", "zone", "rack"),
    [
        pytest.param([A1, B1], 0, 1, id="a rack without a pod counts"),
        pytest.param([A1, A2, A3], 3, 2, id="a zone without a pod counts"),
        pytest.param([], 0, 0, id="nothing placed"),
    ],
)
def test_skew_is_the_difference_between_the_fullest_and_the_emptiest_domain(
    nodes: list[str], zone: int, rack: int
) -> None:
    balance = judged(Workload(name="x"), *nodes)
    assert (balance.zone_skew, balance.rack_skew) == (zone, rack)


def test_the_skew_of_the_worst_group_counts_and_not_that_of_all_together() -> None:
    balance = judged(Workload(name="x", groups=2), A1, B1, A2, B1)  # one group in a, the other in b
    assert balance.zone_skew == 2
    assert balance.per_zone == (2, 2)


def test_pods_are_counted_by_node() -> None:
    assert judged(Workload(name="x"), A1, A1, B1).per_node == (0, 2)


@pytest.mark.parametrize(
    ("workload", "nodes", "broken"),
    [
        pytest.param(Workload(name="x", zone_skew=1), [A1, A2], 1, id="zone skew"),
        pytest.param(Workload(name="x", zone_skew=2), [A1, A2], 0, id="zone skew allowed"),
        pytest.param(Workload(name="x", rack_skew=1, groups=2), [A1, B1, A2, B1], 2, id="rack skew of two groups"),
        pytest.param(Workload(name="x", one_per_host=True), [A1, A1, A1], 2, id="three on one host"),
        pytest.param(Workload(name="x", one_per_host=True, groups=2), [A1, A1], 0, id="two groups on one host"),
        pytest.param(Workload(name="x", volume=True), [A1, B1], 0, id="each where its volume is"),
        pytest.param(Workload(name="x", volume=True), [B1, B1], 1, id="one in another zone than its volume"),
        pytest.param(Workload(name="x"), [A1, A1], 0, id="no rules"),
    ],
)
def test_broken_rules_are_counted(workload: Workload, nodes: list[str], broken: int) -> None:
    assert judged(workload, *nodes).broken == broken


def test_pods_without_a_node_break_nothing() -> None:
    workload = workloads.BY_NAME["mission"]
    assert placement.judge(workload, 100, LAYOUT, {"mission-000000": A1}).broken == 0
