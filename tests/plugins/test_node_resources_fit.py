from __future__ import annotations

import pytest
from tests.builders import container, node, pod, snapshot
from tests.plugins.running import reasons, rejected, scored

from stowplan.framework.status import UNRESOLVABLE, UNSCHEDULABLE, Diagnosis, Resolution, Verdict
from stowplan.model.objects import Container
from stowplan.model.pods import PodInfo
from stowplan.plugins.args import FitArgs, ResourceWeight, ShapePoint, Strategy
from stowplan.plugins.node_resources_fit import NodeResourcesFit

PLUGIN = NodeResourcesFit(FitArgs())
GPU = "example.com/gpu"
HUGE = "hugepages-2Mi"
CPU = ("Insufficient cpu", UNSCHEDULABLE)
CPU_NEVER = ("Insufficient cpu", UNRESOLVABLE)
MEMORY = ("Insufficient memory", UNSCHEDULABLE)
MEMORY_NEVER = ("Insufficient memory", UNRESOLVABLE)


@pytest.mark.parametrize(
    ("asking", "expected"),
    [
        pytest.param(pod("p"), [], id="nothing asked for"),
        pytest.param(pod("p", cpu="4", memory="4Gi"), [], id="exactly what is left"),
        pytest.param(pod("p", cpu="4001m", memory="4Gi"), [CPU], id="a little more CPU"),
        pytest.param(pod("p", cpu="4", memory=4 * 2**30 + 1), [MEMORY], id="one byte more"),
        pytest.param(pod("p", cpu="5", memory="5Gi"), [CPU, MEMORY], id="every resource has a reason of its own"),
        pytest.param(pod("p", cpu="11", memory="5Gi"), [CPU_NEVER, MEMORY], id="more than an empty node has"),
        pytest.param(pod("p", cpu="11", memory="11Gi"), [CPU_NEVER, MEMORY_NEVER], id="and of both"),
        pytest.param(
            pod("p", requests={"ephemeral-storage": "2Gi"}),
            [("Insufficient ephemeral-storage", UNRESOLVABLE)],
            id="storage that the node does not have",
        ),
        pytest.param(pod("p", requests={GPU: 2}), [], id="extended resource"),
        pytest.param(pod("p", requests={GPU: 3}), [(f"Insufficient {GPU}", UNSCHEDULABLE)], id="a GPU is taken"),
        pytest.param(
            pod("p", requests={GPU: 5}), [(f"Insufficient {GPU}", UNRESOLVABLE)], id="more GPUs than there are"
        ),
        pytest.param(
            pod("p", requests={"example.com/unheard-of": 1}),
            [("Insufficient example.com/unheard-of", UNRESOLVABLE)],
            id="a resource that no node has",
        ),
        pytest.param(pod("p", requests={"example.com/unheard-of": 0}), [], id="none of such a resource"),
        pytest.param(pod("p", requests={HUGE: "2Mi"}), [(f"Insufficient {HUGE}", UNSCHEDULABLE)], id="huge pages"),
        pytest.param(pod("p", requests={"storage": "1Gi"}), [], id="no resource of a node"),
        pytest.param(pod("p", cpu="3500m", overhead={"cpu": "1"}), [CPU], id="overhead counts"),
        pytest.param(pod("p", init_containers=[container("i", cpu="5")]), [CPU], id="init containers count"),
    ],
)
def test_a_pod_fits_where_enough_is_left_of_everything(asking: PodInfo, expected: list[tuple[str, Resolution]]) -> None:
    full = node("full", cpu="10", memory="10Gi", allocatable={GPU: 4, HUGE: "4Mi"})
    there = pod("there", on="full", cpu="6", memory="6Gi", requests={GPU: 2, HUGE: "4Mi"})
    assert rejected(PLUGIN, asking, snapshot([full], [there])) == ({"full": expected} if expected else {})


def test_one_container_too_many_for_the_node_is_too_many_pods() -> None:
    nodes = snapshot(
        [node("n1", pods=1), node("n2", pods=2), node("n3", pods=0)], [pod("a", on="n1"), pod("b", on="n2")]
    )
    too_many = [("Too many pods", UNSCHEDULABLE)]
    assert rejected(PLUGIN, pod("p"), nodes) == {"n1": too_many, "n3": too_many}
    assert rejected(PLUGIN, pod("p", cpu="33"), nodes)["n3"] == [*too_many, CPU_NEVER]


def test_many_resources_each_have_their_reason_in_order() -> None:
    wanted = {f"example.com/r{i}": 1 for i in range(9, 0, -1)}
    expected = ["Insufficient cpu", *(f"Insufficient example.com/r{i}" for i in range(1, 10))]
    assert reasons(PLUGIN, pod("p", cpu="99", requests=wanted), snapshot([node("n1")])) == {"n1": expected}


def test_the_message_counts_each_reason_and_a_node_with_several_in_each() -> None:
    nodes = snapshot([node("small", cpu="1", memory="1Gi"), node("lean", cpu="1"), node("tiny", cpu="1")])
    asking = pod("p", cpu="2", memory="2Gi")
    verdict = Verdict("NodeResourcesFit", tuple(PLUGIN.filter(asking, nodes, {})))  # type: ignore[arg-type]
    message = Diagnosis(3, [verdict]).message
    assert message == "0/3 nodes are available: 1 Insufficient memory, 3 Insufficient cpu."


def test_ignored_resources_and_groups_are_not_looked_at() -> None:
    nodes = snapshot([node("n1")])
    asking = pod("p", requests={"example.com/a": 1, "example.com/b": 1, "other.org/c": 1, HUGE: "2Mi"})
    by_name = NodeResourcesFit(FitArgs(ignored_resources=frozenset({"example.com/a", HUGE})))
    by_group = NodeResourcesFit(FitArgs(ignored_resource_groups=frozenset({"example.com"})))
    assert reasons(by_name, asking, nodes) == {
        "n1": ["Insufficient example.com/b", f"Insufficient {HUGE}", "Insufficient other.org/c"]
    }
    assert reasons(by_group, asking, nodes) == {"n1": [f"Insufficient {HUGE}", "Insufficient other.org/c"]}


def test_the_verdict_follows_pods_and_nodes() -> None:
    asking = pod("p", cpu="3")
    nodes = snapshot([node(f"n{i}", cpu="4") for i in range(8)])
    assert reasons(PLUGIN, asking, nodes) == {}
    there = pod("there", on="n3", cpu="2")
    nodes.add_pod(there)
    assert reasons(PLUGIN, asking, nodes) == {"n3": ["Insufficient cpu"]}
    nodes.put_node(node("n5", cpu="2"))
    assert reasons(PLUGIN, asking, nodes) == {"n3": ["Insufficient cpu"], "n5": ["Insufficient cpu"]}
    twin = nodes.fork()
    twin.remove_pod(there.uid)
    assert reasons(PLUGIN, asking, twin) == {"n5": ["Insufficient cpu"]}
    assert reasons(PLUGIN, asking, nodes) == {"n3": ["Insufficient cpu"], "n5": ["Insufficient cpu"]}
    nodes.remove_node("n0")  # the last node takes the first one's row
    assert reasons(PLUGIN, asking, nodes) == {"n3": ["Insufficient cpu"], "n5": ["Insufficient cpu"]}
    nodes.put_node(node("n8", cpu="1"))
    nodes.remove_pod(there.uid)
    assert reasons(PLUGIN, asking, nodes) == {"n5": ["Insufficient cpu"], "n8": ["Insufficient cpu"]}


def fit(strategy: Strategy, *weights: tuple[str, int], shape: tuple[ShapePoint, ...] = ()) -> NodeResourcesFit:
    resources = tuple(ResourceWeight(name, weight) for name, weight in weights or (("cpu", 1), ("memory", 1)))
    return NodeResourcesFit(FitArgs(strategy=strategy, resources=resources, shape=shape))


LEAST = Strategy.LEAST_ALLOCATED
MOST = Strategy.MOST_ALLOCATED
RATIO = Strategy.REQUESTED_TO_CAPACITY_RATIO
BINPACK = (ShapePoint(0, 0), ShapePoint(100, 10))
SPREAD = (ShapePoint(0, 10), ShapePoint(100, 0))


@pytest.mark.parametrize(
    ("plugin", "asking", "expected"),
    [
        # n1: 4 of 10 cores and 5 of 20 Gi are taken; n2: 0 of 6 and 10 of 20. The first line by hand: n1 has 3 of 10
        # cores left (30) and 10 of 20 Gi (50), n2 3 of 6 (50) and 5 of 20 (25)
        pytest.param(fit(LEAST), pod("p", cpu="3", memory="5Gi"), {"n1": 40, "n2": 37}, id="least"),
        pytest.param(fit(MOST), pod("p", cpu="3", memory="5Gi"), {"n1": 60, "n2": 62}, id="most"),
        pytest.param(
            fit(LEAST, ("cpu", 3), ("memory", 1)),
            pod("p", cpu="3", memory="5Gi"),
            {"n1": 35, "n2": 43},
            id="least weighted",
        ),
        pytest.param(
            fit(MOST, ("cpu", 3), ("memory", 1)),
            pod("p", cpu="3", memory="5Gi"),
            {"n1": 65, "n2": 56},
            id="most weighted",
        ),
        pytest.param(
            fit(LEAST, ("cpu", 1)), pod("p", cpu="7"), {"n1": 0, "n2": 0}, id="more than there is is nothing left"
        ),
        pytest.param(fit(MOST, ("cpu", 1)), pod("p", cpu="7"), {"n1": 100, "n2": 100}, id="and all taken"),
        pytest.param(fit(LEAST, ("cpu", 1)), pod("p"), {"n1": 59, "n2": 98}, id="a pod without requests counts 100m"),
        pytest.param(fit(LEAST, (GPU, 1)), pod("p", requests={GPU: 1}), {"n1": 75, "n2": 0}, id="extended"),
        pytest.param(fit(LEAST, (GPU, 1)), pod("p"), {"n1": 0, "n2": 0}, id="extended, but not asked for"),
        pytest.param(
            fit(MOST, ("cpu", 1), (GPU, 1)),
            pod("p", cpu="1", requests={GPU: 2}),
            {"n1": 50, "n2": 16},
            id="some have it",
        ),
        pytest.param(fit(LEAST, ("ephemeral-storage", 1)), pod("p"), {"n1": 0, "n2": 0}, id="what no node has"),
        pytest.param(fit(LEAST, ("pods", 1)), pod("p"), {"n1": 0, "n2": 0}, id="what is not scored by"),
        pytest.param(
            fit(RATIO, shape=BINPACK), pod("p", cpu="3", memory="5Gi"), {"n1": 60, "n2": 63}, id="pack, rounded"
        ),
        pytest.param(fit(RATIO, shape=SPREAD), pod("p", cpu="3", memory="5Gi"), {"n1": 40, "n2": 38}, id="spread"),
        pytest.param(fit(RATIO, ("cpu", 1), shape=BINPACK), pod("p", cpu="7"), {"n1": 100, "n2": 100}, id="overfull"),
        pytest.param(
            fit(RATIO, ("cpu", 1), ("memory", 1), shape=SPREAD),
            pod("p", cpu="6", memory="5Gi"),
            {"n1": 50, "n2": 25},
            id="a resource that scores 0 does not count",
        ),
        pytest.param(
            fit(RATIO, ("cpu", 1), shape=(ShapePoint(20, 2), ShapePoint(80, 9), ShapePoint(90, 1))),
            pod("p", cpu="3"),
            {"n1": 78, "n2": 55},
            id="a broken line",
        ),
    ],
)
def test_scores_say_how_full_a_node_would_be(
    plugin: NodeResourcesFit, asking: PodInfo, expected: dict[str, int]
) -> None:
    nodes = snapshot(
        [node("n1", cpu="10", memory="20Gi", allocatable={GPU: 4}), node("n2", cpu="6", memory="20Gi")],
        [pod("a", on="n1", cpu="4", memory="5Gi"), pod("b", on="n2", cpu="0", memory="10Gi")],
    )
    assert scored(plugin, asking, nodes) == expected


@pytest.mark.parametrize(
    ("utilization", "score"),
    [
        pytest.param(0, 20, id="before the first point"),
        pytest.param(20, 20, id="at a point"),
        pytest.param(50, 55, id="half way up"),
        pytest.param(81, 82, id="down, rounded towards the left point"),
        pytest.param(90, 10, id="the last point"),
        pytest.param(100, 10, id="beyond the last point"),
    ],
)
def test_the_ratio_follows_lines_between_the_points(utilization: int, score: int) -> None:
    plugin = fit(RATIO, ("cpu", 1), shape=(ShapePoint(20, 2), ShapePoint(80, 9), ShapePoint(90, 1)))
    nodes = snapshot([node("n1", cpu="100")])
    assert scored(plugin, pod("p", cpu=str(utilization)), nodes) == {"n1": score}


def test_pods_without_requests_weigh_something_in_scores_and_nothing_in_the_filter() -> None:
    containers: list[Container] = [container("a"), container("b")]
    nodes = snapshot([node("n1", cpu="1", memory="800Mi")], [pod("there", on="n1", containers=containers)])
    assert scored(fit(LEAST, ("cpu", 1)), pod("p"), nodes) == {"n1": 70}
    assert scored(fit(LEAST, ("memory", 1)), pod("p"), nodes) == {"n1": 25}
    assert rejected(PLUGIN, pod("p", cpu="1", memory="800Mi"), nodes) == {}
