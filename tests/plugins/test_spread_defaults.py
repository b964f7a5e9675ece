"""Pods without topology spread constraints have those of the configuration, for the pods that belong together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import builders
from tests.builders import HOST, ZONE
from tests.plugins import running

from stowplan.framework.snapshot import Snapshot
from stowplan.framework.workloads import Workloads
from stowplan.model import objects, workloads
from stowplan.model.pods import PodInfo
from stowplan.model.selectors import Selector, equals
from stowplan.plugins.inclusion import Added
from stowplan.plugins.pod_topology_spread import PodTopologySpread
from stowplan.plugins.spread_defaults import SYSTEM, SpreadDefaults, constraint

APP = {"app": "web"}
META = objects.ObjectMeta(name="web", namespace="default")
SERVICE = workloads.Service(metadata=META, spec=workloads.LabelsSpec(dict(APP)))
SET = workloads.ReplicaSet(
    metadata=META,
    spec=workloads.SelectorSpec(
        objects.LabelSelector({"hash": "1"}, [objects.LabelSelectorRequirement("tier", "Exists")])
    ),
)
CONTROLLER = workloads.ReplicationController(metadata=META, spec=workloads.LabelsSpec({"rc": "x"}))
NONE = workloads.StatefulSet(metadata=META)
BAD = workloads.StatefulSet(
    metadata=META,
    spec=workloads.SelectorSpec(objects.LabelSelector({}, [objects.LabelSelectorRequirement("a", "Like")])),
)


@pytest.mark.parametrize(
    ("known", "labels", "owner", "wanted"),
    [
        pytest.param([SERVICE], APP, None, {"app"}, id="a Service that chooses the pod"),
        pytest.param([SERVICE], {"app": "other"}, None, set(), id="a Service that does not"),
        pytest.param([workloads.Service(metadata=META)], APP, None, set(), id="a Service without a selector"),
        pytest.param([SET], APP, ("apps/v1", "ReplicaSet", "web"), {"hash", "tier"}, id="its ReplicaSet"),
        pytest.param([SERVICE, SET], APP, ("apps/v1", "ReplicaSet", "web"), {"app", "hash", "tier"}, id="both"),
        pytest.param([CONTROLLER], APP, ("v1", "ReplicationController", "web"), {"rc"}, id="its ReplicationController"),
        pytest.param([SET], APP, ("apps/v1", "ReplicaSet", "other"), set(), id="another ReplicaSet"),
        pytest.param([SET], APP, ("example.com/v1", "ReplicaSet", "web"), set(), id="a ReplicaSet of somebody else"),
        pytest.param([SET], APP, ("batch/v1", "Job", "web"), set(), id="a Job of that name"),
        pytest.param([BAD, SERVICE], APP, ("apps/v1", "StatefulSet", "web"), {"app"}, id="a bad selector"),
        pytest.param([NONE], APP, ("apps/v1", "StatefulSet", "web"), set(), id="a StatefulSet without a selector"),
    ],
)
def test_who_belongs_together(
    known: list[workloads.Workload], labels: dict[str, str], owner: tuple[str, str, str] | None, wanted: set[str]
) -> None:
    catalog = Workloads()
    for each in known:
        catalog.put(each)
    found = catalog.selector(builders.pod("p", labels=labels, owner=owner)).requirements
    assert found is not None
    assert {each.key for each in found} == wanted


def test_a_replication_controller_knows_better_than_a_service_which_pods_are_its_own() -> None:
    catalog = Workloads()
    catalog.put(SERVICE)
    catalog.put(workloads.ReplicationController(metadata=META, spec=workloads.LabelsSpec({"app": "api"})))
    found = catalog.selector(builders.pod("p", labels=APP, owner=("v1", "ReplicationController", "web")))
    assert found == Selector(frozenset({equals("app", "api")}))


def test_a_service_of_another_namespace_means_nobody() -> None:
    catalog = Workloads()
    catalog.put(SERVICE)
    assert catalog.selector(builders.pod("p", namespace="other", labels=APP)) == Selector(frozenset())


def test_the_version_changes_with_selectors_alone() -> None:
    catalog = Workloads()
    for number, item in enumerate((SERVICE, SET, CONTROLLER, NONE)):
        versions = []
        for change in (catalog.put, catalog.put, catalog.remove, catalog.remove):
            change(item)
            versions.append(catalog.version("default") - 2 * number)
        assert versions == ([1, 1, 2, 2] if item is not NONE else [0, 0, 0, 0])
    assert catalog.version("other") == 0


# ---------------------------------------------------------------- the plugin


def cluster(*pods: PodInfo, zones: str = "aabb", service: bool = True) -> Snapshot:
    nodes = [builders.node(f"n{number}", zone=zone if zone != "-" else None) for number, zone in enumerate(zones)]
    snapshot = builders.snapshot(nodes, pods)
    if service:
        snapshot.workloads.put(SERVICE)
    return snapshot


def web(name: str, on: str = "") -> PodInfo:
    return builders.pod(name, on=on, labels=APP)


def rejected(plugin: PodTopologySpread, pod: PodInfo, nodes: Snapshot) -> set[str]:
    return set(running.rejected(plugin, pod, nodes))


HARD = PodTopologySpread(Added(), SpreadDefaults((constraint(ZONE, 1, required=True),)))
SOFT = PodTopologySpread(Added(), SYSTEM)


def test_a_hard_default_keeps_the_pods_of_a_service_even() -> None:
    nodes = cluster(web("one", on="n0"))
    assert rejected(HARD, web("two"), nodes) == {"n0", "n1"}


def test_a_pod_that_belongs_to_nothing_is_not_spread() -> None:
    assert rejected(HARD, web("two"), cluster(web("one", on="n0"), service=False)) == set()


def test_own_constraints_take_the_place_of_all_defaults() -> None:
    own = builders.pod("two", labels=APP, spreads=[builders.spread(HOST, builders.selector(APP))])
    assert rejected(HARD, own, cluster(web("one", on="n0"))) == {"n0"}


def test_a_service_that_comes_or_goes_counts_at_once() -> None:
    nodes = cluster(web("one", on="n0"), service=False)
    assert rejected(HARD, web("two"), nodes) == set()
    nodes.workloads.put(SERVICE)
    assert rejected(HARD, web("two"), nodes) == {"n0", "n1"}
    nodes.workloads.remove(SERVICE)
    assert rejected(HARD, web("two"), nodes) == set()


def test_pods_of_one_class_may_belong_to_different_owners() -> None:
    nodes = cluster(web("one", on="n0"), service=False)
    nodes.workloads.put(workloads.StatefulSet(metadata=META, spec=workloads.SelectorSpec(objects.LabelSelector(APP))))
    owned, free = builders.pod("a", labels=APP, owner=("apps/v1", "StatefulSet", "web")), builders.pod("b", labels=APP)
    assert owned.cls is free.cls
    assert (rejected(HARD, owned, nodes), rejected(HARD, free, nodes)) == ({"n0", "n1"}, set())
    assert HARD.alike(owned) != HARD.alike(free)


def expected(zones: str, on: list[int]) -> list[int]:
    """scoring.go with its own constraints, node by node: hostname with maxSkew 3, zone with maxSkew 5."""
    sizes = (len(zones), len(set(zones)))
    raw = []
    for number, zone in enumerate(zones):
        score = on.count(number) * math.log(sizes[0] + 2) + 2
        if zone != "-":
            score += sum(zones[each] == zone for each in on) * math.log(sizes[1] + 2) + 4
        raw.append(math.floor(score + 0.5))
    highest, lowest = max(raw), min(raw)
    return [100 * (highest + lowest - each) // highest if highest else 100 for each in raw]


@given(st.text("abc-", min_size=1, max_size=6), st.lists(st.integers(0, 5), max_size=8))
def test_kube_schedulers_own_defaults_score_nodes_without_a_zone_by_host(zones: str, on: list[int]) -> None:
    on = [each for each in on if each < len(zones)]
    nodes = cluster(*(web(f"p{at}", on=f"n{number}") for at, number in enumerate(on)), zones=zones)
    found = running.scored(SOFT, web("new"), nodes)
    assert found is not None
    assert [found[f"n{number}"] for number in range(len(zones))] == expected(zones, on)


def test_its_own_defaults_are_those_of_the_source() -> None:
    """systemDefaultConstraints in plugin.go."""
    told = [(each.topology_key, each.max_skew, each.required, each.min_domains) for each in SYSTEM.constraints]
    assert told == [(HOST, 3, False, 1), (ZONE, 5, False, 1)]
