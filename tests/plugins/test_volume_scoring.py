"""Scores of VolumeBinding: cases after kubernetes' scorer_test.go and volume_binding_test.go."""

from __future__ import annotations

import numpy as np
import pytest
from tests.builders import (
    HOST,
    capacity,
    claim,
    csi_driver,
    node,
    node_term,
    pod,
    selector,
    snapshot,
    storage_class,
    volume,
)
from tests.plugins.volume_verdicts import ask

from stowplan.framework.plugin import CycleState
from stowplan.framework.volumes import StorageObject
from stowplan.plugins.args import ShapePoint
from stowplan.plugins.volume_args import VolumeBindingArgs
from stowplan.plugins.volume_binding import VolumeBinding

FULLEST = (ShapePoint(0, 0), ShapePoint(100, 10))
EMPTIEST = (ShapePoint(0, 10), ShapePoint(100, 0))
BENT = (ShapePoint(0, 0), ShapePoint(50, 3), ShapePoint(100, 5))
NODES = [node("a"), node("b"), node("c")]


def scores(shape: tuple[ShapePoint, ...], claims: list[str], storage: list[StorageObject]) -> list[int] | None:
    plugin, nodes, state = VolumeBinding(VolumeBindingArgs(shape=shape)), snapshot(NODES, storage=storage), CycleState()
    p = pod("p", claims=claims)
    ask(plugin, p, nodes, state)
    found = plugin.score(p, nodes, state, np.arange(len(NODES)))
    return None if found is None else found.tolist()


def static(name: str, host: str, size: str, storage: str = "fast") -> StorageObject:
    return volume(name, size=size, storage_class=storage, node_affinity=[node_term((HOST, "In", [host]))])


def pool(host: str, free: str) -> StorageObject:
    return capacity(f"on-{host}", topology=selector({HOST: host}), free=free)


LOCAL = [
    storage_class(provisioner="kubernetes.io/no-provisioner"),
    static("x", "a", "100Gi"),
    static("y", "b", "200Gi"),
]


@pytest.mark.parametrize(
    ("shape", "claims", "storage", "expected"),
    [
        pytest.param((), ["c"], [*LOCAL, claim("c", size="50Gi")], None, id="off without a shape"),
        pytest.param(FULLEST, ["c"], [*LOCAL, claim("c", size="50Gi")], [50, 25, 0], id="tight fits are preferred"),
        pytest.param(BENT, ["c"], [*LOCAL, claim("c", size="80Gi")], [42, 24, 0], id="lines between the points"),
        pytest.param(EMPTIEST, ["c"], [*LOCAL, claim("c", size="50Gi")], [50, 75, 0], id="roomy ones are preferred"),
        pytest.param(
            FULLEST, ["c", "d"],
            [*LOCAL, claim("c", size="50Gi"), claim("d", storage_class="slow", size="10Gi"),
             storage_class("slow", provisioner="kubernetes.io/no-provisioner"),
             static("z", "a", "20Gi", "slow"), static("w", "b", "100Gi", "slow")],
            [50, 18, 0], id="the mean over the classes, rounded",
        ),
        pytest.param(
            EMPTIEST, ["c"],
            [storage_class(), csi_driver(), claim("c", size="10Gi"), pool("a", "100Gi"), pool("b", "20Gi")],
            [90, 50, 0], id="capacity to provision from",
        ),
        pytest.param(
            EMPTIEST, ["c", "d"],
            [storage_class(), csi_driver(), claim("c", size="10Gi"), claim("d", size="10Gi"), pool("a", "100Gi")],
            [80, 0, 0], id="two claims share the capacity",
        ),
        pytest.param(
            EMPTIEST, ["c"], [storage_class(), claim("c", size="10Gi")], [0, 0, 0], id="capacity is not published"
        ),
        pytest.param(
            EMPTIEST, ["c"], [claim("c", volume="v"), volume("v", claimed_by="default/c")], [0, 0, 0], id="all bound"
        ),
        pytest.param(EMPTIEST, [], [], None, id="no claims"),
    ],
)  # fmt: skip
def test_scores_by_how_full_the_storage_would_be(
    shape: tuple[ShapePoint, ...], claims: list[str], storage: list[StorageObject], expected: list[int] | None
) -> None:
    found = scores(shape, claims, storage)
    assert found is None if expected is None else found == expected
