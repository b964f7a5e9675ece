from __future__ import annotations

import pytest
from tests.builders import node, pod, snapshot
from tests.plugins.running import scored

from stowplan.model.pods import PodInfo
from stowplan.plugins.args import BalancedAllocationArgs, ResourceWeight
from stowplan.plugins.balanced_allocation import NodeResourcesBalancedAllocation

GPU = "example.com/gpu"
PLUGIN = NodeResourcesBalancedAllocation(BalancedAllocationArgs())
WITH_GPU = NodeResourcesBalancedAllocation(
    BalancedAllocationArgs((ResourceWeight("cpu"), ResourceWeight("memory"), ResourceWeight(GPU)))
)


@pytest.mark.parametrize(
    ("plugin", "asking", "expected"),
    [
        # cpu-heavy: 60% CPU and 20% memory used, before: 1 - 0.2 -> 80; idle: before 100
        pytest.param(PLUGIN, pod("p", cpu="1", memory="1Gi"), {"cpu-heavy": 75, "idle": 75}, id="in equal parts"),
        pytest.param(
            PLUGIN, pod("p", memory="4Gi"), {"cpu-heavy": 85, "idle": 65}, id="memory helps where CPU is used"
        ),
        pytest.param(PLUGIN, pod("p", cpu="4"), {"cpu-heavy": 65, "idle": 65}, id="CPU harms both"),
        pytest.param(PLUGIN, pod("p", cpu="100"), {"cpu-heavy": 65, "idle": 50}, id="more than there is counts as all"),
        pytest.param(WITH_GPU, pod("p", memory="4Gi"), {"cpu-heavy": 85, "idle": 65}, id="a GPU not asked for"),
        pytest.param(
            WITH_GPU, pod("p", requests={GPU: 1}), {"cpu-heavy": 75, "idle": 63}, id="a GPU where there is one"
        ),
    ],
)
def test_scores_say_what_the_pod_does_to_the_balance(
    plugin: NodeResourcesBalancedAllocation, asking: PodInfo, expected: dict[str, int]
) -> None:
    nodes = snapshot(
        [node("cpu-heavy", cpu="10", memory="10Gi"), node("idle", cpu="10", memory="10Gi", allocatable={GPU: 2})],
        [pod("there", on="cpu-heavy", cpu="6", memory="2Gi")],
    )
    assert scored(plugin, asking, nodes) == expected


@pytest.mark.parametrize(
    "asking",
    [
        pytest.param(pod("p"), id="best effort"),
        pytest.param(pod("p", requests={"ephemeral-storage": "1Gi"}), id="asks only for what is not scored"),
    ],
)
def test_pods_that_ask_for_none_of_the_resources_are_not_scored(asking: PodInfo) -> None:
    assert scored(PLUGIN, asking, snapshot([node("n1")])) is None


def test_requests_are_counted_as_they_are_without_defaults() -> None:
    nodes = snapshot([node("n1", cpu="10", memory="10Gi")], [pod(f"p{i}", on="n1") for i in range(50)])
    assert scored(PLUGIN, pod("p", cpu="4"), nodes) == {"n1": 65}


def test_a_node_without_one_of_the_resources_is_judged_by_the_others() -> None:
    nodes = snapshot([node("n1", cpu="10", memory="0"), node("n2", cpu="0", memory="0")])
    assert scored(PLUGIN, pod("p", cpu="4", memory="1Gi"), nodes) == {"n1": 75, "n2": 75}
