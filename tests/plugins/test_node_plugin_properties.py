"""On any cluster: the vectorised plugins agree with their plain twins, and forget what has gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import HOST, RACK, ZONE, container, node, node_term, pod, port, snapshot, toleration
from tests.plugins import node_scalar
from tests.plugins.running import rejected, scored

from stowplan.framework.plugin import CycleState, Filter, Plugin, Score
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.plugins.args import (
    BalancedAllocationArgs,
    FailureDomainArgs,
    FitArgs,
    Media,
    NodeAffinityArgs,
    ResourceWeight,
    ShapePoint,
    StorageMediaArgs,
    Strategy,
    TolerationArgs,
)
from stowplan.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from stowplan.plugins.failure_domain import FailureDomain
from stowplan.plugins.image_locality import ImageLocality
from stowplan.plugins.node_affinity import NodeAffinity
from stowplan.plugins.node_name import NodeName
from stowplan.plugins.node_ports import NodePorts
from stowplan.plugins.node_resources_fit import NodeResourcesFit
from stowplan.plugins.node_unschedulable import NodeUnschedulable
from stowplan.plugins.storage_media import StorageMedia
from stowplan.plugins.taint_toleration import TaintToleration

GPU = "example.com/gpu"
RESOURCES = (
    ResourceWeight("cpu", 2),
    ResourceWeight("memory", 3),
    ResourceWeight(GPU, 5),
    ResourceWeight("ephemeral-storage"),
)
SHAPE = (ShapePoint(0, 0), ShapePoint(40, 7), ShapePoint(70, 10), ShapePoint(95, 3))
FITS = [
    FitArgs(),
    FitArgs(resources=RESOURCES),
    FitArgs(strategy=Strategy.MOST_ALLOCATED, resources=RESOURCES),
    FitArgs(strategy=Strategy.REQUESTED_TO_CAPACITY_RATIO, resources=RESOURCES, shape=SHAPE),
]
BALANCES = [BalancedAllocationArgs(), BalancedAllocationArgs(RESOURCES)]

# ---------------------------------------------------------------- any cluster

cpus = st.sampled_from(["0", "100m", "250m", "1", "1500m", "3", "4"])
memories = st.sampled_from(["0", "64Mi", "1Gi", "1500M", "3Gi", "7Gi"])
effects = st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule"])
taints = st.lists(
    st.builds(lambda k, v, e: f"{k}={v}:{e}", st.sampled_from("ab"), st.sampled_from("12"), effects), max_size=3
)
tolerated = st.builds(
    toleration, st.sampled_from(["", "a", "b"]), st.sampled_from(["Equal", "Exists"]), st.sampled_from(["", "1", "2"]),
    st.sampled_from(["", "NoSchedule", "NoExecute", "PreferNoSchedule"]),
)  # fmt: skip
ports = st.builds(
    port, st.integers(80, 82), st.sampled_from(["TCP", "UDP"]), st.sampled_from(["", "0.0.0.0", "10.0.0.1", "10.0.0.2"])
)
terms = st.builds(
    lambda labels, names: node_term(*labels, names=names),
    st.lists(
        st.sampled_from(
            [
                ("disk", "In", ["ssd"]),
                ("disk", "NotIn", ["ssd"]),
                ("disk", "Exists"),
                ("n", "Gt", ["1"]),
                ("n", "Lt", ["2"]),
            ]
        ),
        max_size=2,
    ),
    st.lists(st.sampled_from([("metadata.name", "In", ["n1"]), ("metadata.name", "NotIn", ["n2"])]), max_size=1),
)
image_names = st.sampled_from(["db", "db:1", "log:latest", "registry:5000/db"])


@st.composite
def nodes_(draw: st.DrawFn) -> list[objects.Node]:
    def one(i: int) -> objects.Node:
        extra: dict[str, str | int | float] = {}
        if draw(st.booleans()):
            extra[GPU] = draw(st.integers(0, 3))
        if draw(st.booleans()):
            extra["ephemeral-storage"] = draw(st.sampled_from(["0", "2Gi", "10Gi"]))
        labels = draw(
            st.fixed_dictionaries({}, optional={"disk": st.sampled_from(["ssd", "hdd"]), "n": st.sampled_from("123x")})
        )
        reported = draw(
            st.dictionaries(st.sampled_from(["db:latest", "db:1", "log:latest"]), st.integers(0, 3 * 2**30))
        )
        return node(
            f"n{i}", zone=draw(st.sampled_from([None, "a", "b"])), rack=draw(st.sampled_from([None, "r1", "r2"])),
            cpu=draw(cpus), memory=draw(memories), pods=draw(st.integers(0, 4)), allocatable=extra, labels=labels,
            taints=draw(taints), unschedulable=draw(st.booleans()), images=reported,
        )  # fmt: skip

    return [one(i) for i in range(draw(st.integers(1, 6)))]


@st.composite
def pods_(draw: st.DrawFn, name: str, on: str = "") -> PodInfo:
    def some() -> dict[str, str | int | float]:
        options: dict[str, st.SearchStrategy[str | int | float]] = {
            "cpu": cpus,
            "memory": memories,
            GPU: st.integers(0, 2),
            "ephemeral-storage": st.just("1Gi"),
        }
        return dict(draw(st.fixed_dictionaries({}, optional=options)))

    def containers(prefix: str, size: int) -> list[objects.Container]:
        return [
            container(
                f"{prefix}{i}", image=draw(image_names), requests=some(), ports=draw(st.lists(ports, max_size=1)),
                restart=draw(st.sampled_from([None, "Always"])) if prefix == "init" else None,
            )
            for i in range(size)
        ]  # fmt: skip

    return pod(
        name, on=on,
        labels=draw(st.fixed_dictionaries({}, optional={"stowplan.dev/cluster": st.sampled_from(["x", "y"])})),
        containers=containers("main", draw(st.integers(1, 2))),
        init_containers=containers("init", draw(st.integers(0, 2))),
        pod_resources=draw(st.none() | st.fixed_dictionaries({}, optional={"cpu": cpus, "memory": memories})),
        overhead=draw(st.fixed_dictionaries({}, optional={"cpu": cpus, "memory": memories})),
        tolerations=draw(st.lists(tolerated, max_size=2)),
        node_selector=draw(st.fixed_dictionaries({}, optional={"disk": st.just("ssd")})),
        node_affinity=draw(st.none() | st.lists(terms, max_size=2)),
        preferred_nodes=draw(st.lists(st.tuples(st.integers(1, 100), terms), max_size=2)),
    )  # fmt: skip


@dataclasses.dataclass
class Cluster:
    nodes: list[objects.Node]
    pods: list[PodInfo]
    asking: PodInfo

    def on(self, name: str) -> list[PodInfo]:
        return [each for each in self.pods if each.node_name == name]

    def snapshot(self) -> Snapshot:
        return snapshot(self.nodes, self.pods)


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    nodes = draw(nodes_())
    names = [each.metadata.name for each in nodes]
    there = [draw(pods_(f"p{i}", draw(st.sampled_from(names)))) for i in range(draw(st.integers(0, 6)))]
    return Cluster(nodes, there, draw(pods_("asking")))


# ---------------------------------------------------------------- twins


@given(clusters())
@settings(max_examples=150, deadline=None)
def test_filters_agree_with_their_plain_twins(cluster: Cluster) -> None:
    nodes, asking = cluster.snapshot(), cluster.asking

    def out(rejects: Callable[[objects.Node], bool]) -> set[str]:
        return {each.metadata.name for each in cluster.nodes if rejects(each)}

    assert set(rejected(TaintToleration(TolerationArgs()), asking, nodes)) == out(
        lambda each: node_scalar.taint_rejects(each, asking)
    )
    assert set(rejected(NodeAffinity(NodeAffinityArgs()), asking, nodes)) == out(
        lambda each: node_scalar.affinity_rejects(each, asking)
    )
    assert set(rejected(NodePorts(), asking, nodes)) == out(
        lambda each: node_scalar.ports_conflict(cluster.on(each.metadata.name), asking)
    )
    found = {
        name: [(reason, resolution is UNRESOLVABLE) for reason, resolution in each]
        for name, each in rejected(NodeResourcesFit(FitArgs()), asking, nodes).items()
    }
    expected = {
        each.metadata.name: node_scalar.insufficient(each, cluster.on(each.metadata.name), asking)
        for each in cluster.nodes
    }
    assert found == {name: each for name, each in expected.items() if each}


@given(clusters())
@settings(max_examples=150, deadline=None)
def test_scores_agree_with_their_plain_twins(cluster: Cluster) -> None:
    nodes, asking = cluster.snapshot(), cluster.asking

    def each_node(score: Callable[[objects.Node, list[PodInfo]], int]) -> dict[str, int]:
        return {each.metadata.name: score(each, cluster.on(each.metadata.name)) for each in cluster.nodes}

    def scaled(raw: dict[str, int], *, reverse: bool) -> dict[str, int]:
        return dict(zip(raw, node_scalar.normalized(list(raw.values()), reverse=reverse), strict=True))

    for args in FITS:
        expected = each_node(lambda each, pods, args=args: node_scalar.fit_score(each, pods, asking, args))  # type: ignore[misc]
        assert scored(NodeResourcesFit(args), asking, nodes) == expected
    for balance in BALANCES:
        expected = each_node(lambda each, pods, of=balance.resources: node_scalar.balanced(each, pods, asking, of))  # type: ignore[misc]
        best_effort = not any(asking.cls.requests.get(each.name) for each in balance.resources)
        assert scored(NodeResourcesBalancedAllocation(balance), asking, nodes) == (None if best_effort else expected)
    images = each_node(lambda each, _: node_scalar.images(each, cluster.nodes, asking))
    assert scored(ImageLocality(), asking, nodes) == (images if any(images.values()) else None)
    soft = each_node(lambda each, _: node_scalar.soft_taints(each, asking))
    assert scored(TaintToleration(TolerationArgs()), asking, nodes) == scaled(soft, reverse=True)
    wished = each_node(lambda each, _: node_scalar.preferred(each, asking))
    wishes = scaled(wished, reverse=False) if asking.cls.preferred_nodes else None
    assert scored(NodeAffinity(NodeAffinityArgs()), asking, nodes) == wishes


# ---------------------------------------------------------------- what holds for all of them


def everyone() -> list[Plugin]:
    plugins: list[Plugin] = [
        NodeUnschedulable(TolerationArgs()),
        NodeName(),
        TaintToleration(TolerationArgs()),
        NodeAffinity(NodeAffinityArgs()),
        NodePorts(),
        *map(NodeResourcesFit, FITS),
        *map(NodeResourcesBalancedAllocation, BALANCES),
        ImageLocality(),
        StorageMedia(StorageMediaArgs((Media("disk", frozenset({"ssd"}), 30),))),
        FailureDomain(FailureDomainArgs((ZONE, RACK, HOST))),
    ]
    return plugins


Answers = list[tuple[dict[str, list[object]], dict[str, int] | None]]


def answers(plugins: list[Plugin], asking: PodInfo, nodes: Snapshot) -> Answers:
    return [
        (
            {name: list(each) for name, each in rejected(plugin, asking, nodes).items()}
            if isinstance(plugin, Filter)
            else {},
            scored(plugin, asking, nodes) if isinstance(plugin, Score) else None,
        )
        for plugin in plugins
    ]


@given(clusters(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_the_order_of_the_nodes_changes_nothing(cluster: Cluster, random: object) -> None:
    plugins = everyone()
    before = answers(plugins, cluster.asking, cluster.snapshot())
    random.shuffle(cluster.nodes)  # type: ignore[attr-defined]
    assert answers(plugins, cluster.asking, cluster.snapshot()) == before


@given(clusters(), st.data())
@settings(max_examples=80, deadline=None)
def test_whatever_came_and_went_the_answer_is_that_of_a_fresh_snapshot(cluster: Cluster, data: st.DataObject) -> None:
    plugins = everyone()
    nodes = cluster.snapshot()
    answers(plugins, cluster.asking, nodes)
    for step in range(data.draw(st.integers(1, 5))):
        match data.draw(st.sampled_from(["pod", "leave", "node", "change", "remove"])):
            case "pod":
                name = data.draw(st.sampled_from([each.metadata.name for each in cluster.nodes]))
                added = data.draw(pods_(f"late{step}", name))
                cluster.pods.append(added)
                nodes.add_pod(added)
            case "leave" if cluster.pods:
                gone = cluster.pods.pop(data.draw(st.integers(0, len(cluster.pods) - 1)))
                nodes.remove_pod(gone.uid)
            case "node":
                added_node = node(f"late{step}", cpu=data.draw(cpus), images={"db:1": 2**30})
                cluster.nodes.append(added_node)
                nodes.put_node(added_node)
            case "change":
                at = data.draw(st.integers(0, len(cluster.nodes) - 1))
                cluster.nodes[at] = node(
                    cluster.nodes[at].metadata.name,
                    cpu=data.draw(cpus),
                    taints=data.draw(taints),
                    images={"db:1": 2**30},
                )
                nodes.put_node(cluster.nodes[at])
            case "remove" if len(cluster.nodes) > 1:
                removed = cluster.nodes.pop(data.draw(st.integers(0, len(cluster.nodes) - 1)))
                nodes.remove_node(removed.metadata.name)
        assert answers(plugins, cluster.asking, nodes) == answers(everyone(), cluster.asking, cluster.snapshot())
    assert nodes.check() == []


@given(clusters())
@settings(max_examples=60, deadline=None)
def test_scores_are_0_to_100_for_any_feasible_nodes(cluster: Cluster) -> None:
    nodes = cluster.snapshot()
    rows = np.arange(0, len(nodes), 2, dtype=np.intp)
    for plugin in everyone():
        if isinstance(plugin, Score):
            scores = plugin.score(cluster.asking, nodes, CycleState(), rows)
            if scores is not None:
                assert np.shape(scores) in (rows.shape, ())
                assert np.min(scores) >= 0
                assert np.max(scores) <= 100


@pytest.mark.parametrize("plugin", [pytest.param(each, id=f"{each.name}-{i}") for i, each in enumerate(everyone())])
def test_plugins_agree_to_an_empty_cluster(plugin: Plugin) -> None:
    nodes = snapshot([])
    if isinstance(plugin, Filter):
        assert rejected(plugin, pod("p", cpu="1", ports=[port(80)]), nodes) == {}
