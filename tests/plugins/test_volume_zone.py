"""VolumeZone: cases after kubernetes' volume_zone_test.go."""

from __future__ import annotations

import pytest
from tests.builders import ZONE, claim, node, pod, snapshot, storage_class, volume
from tests.plugins.volume_verdicts import SKIPPED, Answer, ask

from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.plugins.volume_zone import REASON, VolumeZone

REGION = "topology.kubernetes.io/region"
BETA_ZONE = "failure-domain.beta.kubernetes.io/zone"
BETA_REGION = "failure-domain.beta.kubernetes.io/region"
CONFLICT = {"n": [REASON]}
FINE: Answer = {"n": []}


def bound(labels: dict[str, str]) -> list[StorageObject]:
    return [claim("c", volume="v"), volume("v", claimed_by="default/c", labels=labels)]


@pytest.mark.parametrize(
    ("volume_labels", "node_labels", "expected"),
    [
        pytest.param({ZONE: "a"}, {}, FINE, id="node without labels"),
        pytest.param({}, {ZONE: "a"}, SKIPPED, id="volume without labels"),
        pytest.param({BETA_ZONE: "a"}, {BETA_ZONE: "a", "uselessLabel": "none"}, FINE, id="beta zone matches"),
        pytest.param({BETA_REGION: "r"}, {BETA_REGION: "r"}, FINE, id="beta region matches"),
        pytest.param({BETA_REGION: "r"}, {BETA_REGION: "no"}, CONFLICT, id="beta region differs"),
        pytest.param({BETA_ZONE: "a"}, {BETA_ZONE: "no"}, CONFLICT, id="beta zone differs"),
        pytest.param({ZONE: "a"}, {ZONE: "a"}, FINE, id="zone matches"),
        pytest.param({REGION: "r"}, {REGION: "r"}, FINE, id="region matches"),
        pytest.param({REGION: "r"}, {REGION: "no"}, CONFLICT, id="region differs"),
        pytest.param({ZONE: "a"}, {ZONE: "no"}, CONFLICT, id="zone differs"),
        pytest.param({ZONE: "a", REGION: "r"}, {ZONE: "a"}, CONFLICT, id="volume has a region too, node has not"),
        pytest.param({ZONE: "a"}, {BETA_ZONE: "a"}, CONFLICT, id="new label of the volume, old one of the node"),
        pytest.param({BETA_ZONE: "a"}, {ZONE: "a"}, FINE, id="old label of the volume, new one of the node"),
        pytest.param({BETA_ZONE: "a"}, {ZONE: "b"}, CONFLICT, id="old label of the volume, other new one of the node"),
        pytest.param({BETA_ZONE: "a"}, {BETA_ZONE: "b", ZONE: "a"}, CONFLICT, id="node's own old label counts first"),
        pytest.param({ZONE: "a__b"}, {ZONE: "b"}, FINE, id="one of several zones"),
        pytest.param({ZONE: "a__c"}, {ZONE: "b"}, CONFLICT, id="none of several zones"),
        pytest.param({ZONE: "a____b"}, {ZONE: "c"}, SKIPPED, id="a label with an empty zone is passed over"),
    ],
)
def test_labels_of_the_volume_against_labels_of_the_node(
    volume_labels: dict[str, str], node_labels: dict[str, str], expected: Answer
) -> None:
    nodes = snapshot([node("n", labels=node_labels)], storage=bound(volume_labels))
    assert ask(VolumeZone(), pod("p", claims=["c"]), nodes) == expected


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        pytest.param([], 'persistentvolumeclaim "c" not found', id="no claim"),
        pytest.param([claim("c", volume="v")], 'persistentvolume "v" not found', id="no volume"),
        pytest.param(
            [claim("c", storage_class=None)],
            "PersistentVolumeClaim had no pv name and storageClass name",
            id="no class",
        ),
        pytest.param(
            [claim("c", storage_class="x")], 'storageclass.storage.k8s.io "x" not found', id="class does not exist"
        ),
        pytest.param([claim("c"), storage_class(wait=False)], "PersistentVolume had no name", id="immediate binding"),
        pytest.param([claim("c"), storage_class()], SKIPPED, id="bound with the first consumer"),
    ],
)
def test_claims_without_a_volume(storage: list[StorageObject], expected: Answer) -> None:
    nodes = snapshot([node("n", zone="a")], storage=storage)
    assert ask(VolumeZone(), pod("p", claims=["c"]), nodes) == expected


def test_all_volumes_of_the_pod_count_and_masks_follow_the_nodes() -> None:
    nodes = snapshot(
        [node("a", zone="a", labels={REGION: "r"}), node("b", zone="b", labels={REGION: "r"})],
        storage=[
            *bound({REGION: "r"}), claim("d", volume="w"), volume("w", claimed_by="default/d", labels={ZONE: "b"}),
        ],
    )  # fmt: skip
    assert ask(VolumeZone(), pod("p", claims=["c", "d"]), nodes) == {"a": [REASON], "b": []}
    nodes.put_node(node("a", zone="b", labels={REGION: "r"}))
    assert ask(VolumeZone(), pod("p", claims=["c", "d"]), nodes) == {"a": [], "b": []}


def test_ephemeral_volumes_are_not_looked_at() -> None:
    ephemeral = objects.Volume(name="data", ephemeral=objects.EphemeralVolumeSource())
    assert ask(VolumeZone(), pod("p", volumes=[ephemeral]), snapshot([node("n", zone="a")])) == SKIPPED
