from __future__ import annotations

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bench import bare, decisions, placement, workloads
from tests.bench.workloads import WORKLOADS, Workload
from tests.controlplane.errors import ControlPlaneError

from stowplan.framework.plugin import Probe
from stowplan.live import loop


@pytest.mark.parametrize("workload", [pytest.param(each, id=each.name) for each in WORKLOADS])
@pytest.mark.parametrize(
    ("nodes", "pods", "bound"),
    [
        pytest.param(60, 50, 0, id="small"),
        pytest.param(60, 600, 0, id="crowded"),
        pytest.param(250, 300, 500, id="beside other pods"),
    ],
)
def test_all_pods_can_be_placed_without_breaking_a_rule(workload: Workload, nodes: int, pods: int, bound: int) -> None:
    layout = workloads.layout_of(nodes)
    workload.check(pods, layout)
    result = decisions.drain(decisions.scheduler_of(workload, pods, layout, bound), Probe())
    assert len(result.placements) == pods
    assert placement.judge(workload, pods, layout, result.placements).broken == 0


@given(nodes=st.integers(2, 3000), pods=st.integers(1, 10_000))
def test_a_group_that_is_kept_apart_never_has_more_members_than_half_of_the_nodes(nodes: int, pods: int) -> None:
    workload = workloads.BY_NAME["mission"]
    groups = workload.groups_of(pods, nodes)
    assert groups >= 10
    assert -(-pods // groups) <= max(1, nodes // 2)


def test_the_volumes_of_each_group_lie_evenly_over_the_zones() -> None:
    workload, layout = workloads.BY_NAME["mission"], workloads.layout_of(60)
    zones: dict[str, list[str]] = {}
    manifests = workload.manifests(90, layout, "x")
    for pod, (claim, volume) in zip(manifests, workload.volumes(90, layout), strict=True):
        (mount,) = pod["spec"]["volumes"]
        assert mount["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
        zones.setdefault(pod["metadata"]["labels"]["group"], []).append(workload.zone_of_volume(volume))
    assert [collections.Counter(each) for each in zones.values()] == [{"a": 3, "b": 3, "c": 3}] * 10


@given(nodes=st.integers(1, 3000))
def test_a_layout_has_as_many_nodes_as_were_asked_for_in_domains_of_about_one_size(nodes: int) -> None:
    names = list(workloads.layout_of(nodes).names())
    assert len({name for *_, name in names}) == nodes
    for domain in (0, 2):  # zone, rack
        sizes = collections.Counter(each[domain] for each in names).values()
        assert max(sizes) - min(sizes) <= max(1, max(sizes) // 10)
    assert max(collections.Counter(rack for _, _, rack, _ in names).values()) <= workloads.RACK_SIZE


def test_more_pods_than_the_nodes_hold_are_refused() -> None:
    layout = workloads.layout_of(10)
    workloads.BY_NAME["pvc"].check(120, layout)
    with pytest.raises(ControlPlaneError, match="10 nodes are for 120 pods of pvc at most: use more --nodes"):
        workloads.BY_NAME["pvc"].check(121, layout)


def test_bare_binding_has_as_many_binds_in_flight_as_the_scheduler() -> None:
    assert bare.IN_FLIGHT == loop.BINDS
