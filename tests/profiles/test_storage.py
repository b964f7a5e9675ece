"""Whether the volumes of a pod must fit on its node, as its policy says."""

from __future__ import annotations

import pytest
from tests.builders import HOST, capacity, claim, claim_volume, csi_driver, node, pod, selector, storage_class
from tests.profiles.world import EVERYTHING, Spec, World, policy

from stowplan.framework.volumes import StorageObject


@pytest.mark.parametrize(
    ("storage", "feasible"),
    [
        pytest.param(None, {"large"}, id="no word of it"),
        pytest.param({}, {"large"}, id="by default"),
        pytest.param({"requireCapacity": True}, {"large"}, id="together"),
        pytest.param({"requireCapacity": False}, {"large", "small"}, id="each by itself, as in kube-scheduler"),
    ],
)
def test_two_claims_of_a_pod_must_fit(storage: Spec | None, feasible: set[str]) -> None:
    nodes = [node("large"), node("small"), node("tiny")]
    world = World(nodes, [policy(selector=EVERYTHING, storage=storage)])
    free = {"large": "6Gi", "small": "3Gi", "tiny": "2Gi"}
    made: list[StorageObject] = [
        claim("c", size="3Gi"), claim("d", size="3Gi"), storage_class(), csi_driver(),
        *(capacity(f"on-{name}", topology=selector({HOST: name}), free=size) for name, size in free.items()),
    ]  # fmt: skip
    for item in made:
        world.nodes.volumes.put(item)
    assert world.feasible(pod("p", volumes=[claim_volume("c"), claim_volume("d")])) == feasible
