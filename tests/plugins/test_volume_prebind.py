"""What the live loop waits for before a bind: cases after checkBindings in kubernetes' binder_test.go."""

from __future__ import annotations

import msgspec
import pytest
from tests.builders import ZONE, claim, node, node_term, snapshot, volume

from stowplan.framework.plugin import BindVolume, ProvisionClaim
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.plugins.volume_prebind import Done, Failed, Progress, Waiting, Written, prebind_status

SELECTED = "volume.kubernetes.io/selected-node"
BOUND = "pv.kubernetes.io/bind-completed"
BIND = Written(BindVolume("default/c", "v"), "")
PROVISION = Written(ProvisionClaim("default/c", "n"), "")
WAITING = Waiting(("default/c",))


def pv(zone: str = "a", claimed_by: str = "default/c", version: str = "") -> objects.PersistentVolume:
    found = volume("v", claimed_by=claimed_by, node_affinity=[node_term((ZONE, "In", [zone]))])
    found.metadata.resource_version = version
    return found


def pvc(volume_name: str = "", annotations: dict[str, str] | None = None, version: str = "") -> StorageObject:
    found = claim("c", volume=volume_name, annotations=annotations)
    found.metadata.resource_version = version
    return found


def unclaimed_uid() -> objects.PersistentVolume:
    found = msgspec.convert(msgspec.to_builtins(pv()), objects.PersistentVolume)
    assert found.spec.claim_ref is not None
    found.spec.claim_ref.uid = ""
    return found


REFUSED = Failed('provisioning failed for PVC "c"', "default/c")
CONFLICT = Failed('pv "v" node affinity doesn\'t match node "n": no matching NodeSelectorTerms')


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        pytest.param([pvc("v"), pv()], Done(), id="bound"),
        pytest.param([pvc(), pv()], WAITING, id="the claim is not bound yet"),
        pytest.param([pvc("v", {}), pv()], WAITING, id="the binding is not complete"),
        pytest.param(
            [pvc()], Failed('failed to check binding: persistentvolumes "v" not found'), id="the volume is gone"
        ),
        pytest.param(
            [pv()],
            Failed('failed to check binding: persistentvolumeclaims "default/c" not found'),
            id="the claim is gone",
        ),
        pytest.param([pvc(), pv(claimed_by="")], Failed('ClaimRef got reset for pv "v"'), id="reservation undone"),
        pytest.param([pvc(), unclaimed_uid()], Failed('ClaimRef got reset for pv "v"'), id="claim unbound"),
        pytest.param([pvc("v"), pv(zone="b")], CONFLICT, id="the node cannot use it any more"),
    ],
)
def test_binding_an_existing_volume(storage: list[StorageObject], expected: Progress) -> None:
    assert prebind_status([BIND], "n", snapshot([node("n", zone="a")], storage=storage)) == expected


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        pytest.param([pvc("v", {SELECTED: "n", BOUND: "yes"}), pv()], Done(), id="made and bound"),
        pytest.param([pvc("", {SELECTED: "n"})], WAITING, id="not made yet"),
        pytest.param([pvc("v", {SELECTED: "n"}), pv()], WAITING, id="the binding is not complete"),
        pytest.param([pvc("v", {SELECTED: "n", BOUND: "yes"})], WAITING, id="the watch of volumes is behind"),
        pytest.param([pvc("v", {SELECTED: "n", BOUND: "yes"}), pv(zone="b")], CONFLICT, id="made in the wrong place"),
        pytest.param(
            [pvc("", {"x": "y"})], REFUSED, id="the provisioner refused the node"
        ),
        pytest.param(
            [pvc("", {})],
            Failed('selectedNode annotation reset for PVC "c"', "default/c"),
            id="refused, and no annotation is left",
        ),
        pytest.param(
            [pvc("", {SELECTED: "m"})], REFUSED, id="somebody chose another node"
        ),
        pytest.param(
            [], Failed('failed to check provisioning pvc: persistentvolumeclaims "default/c" not found'),
            id="the claim is gone",
        ),
    ],
)  # fmt: skip
def test_provisioning_a_volume(storage: list[StorageObject], expected: Progress) -> None:
    assert prebind_status([PROVISION], "n", snapshot([node("n", zone="a")], storage=storage)) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param("9", WAITING, id="older than the write"),
        pytest.param("10", REFUSED, id="the write itself or newer"),
    ],
)
def test_objects_from_before_the_write_say_nothing(seen: str, expected: Progress) -> None:
    nodes = snapshot([node("n")], storage=[pvc("", {"x": "y"}, version=seen)])
    assert prebind_status([Written(ProvisionClaim("default/c", "n"), "10")], "n", nodes) == expected
    older = snapshot([node("n", zone="a")], storage=[pvc(), pv(claimed_by="", version="9")])
    assert prebind_status([Written(BindVolume("default/c", "v"), "10")], "n", older) == WAITING


def test_all_writes_count_and_any_failure_ends_the_wait() -> None:
    nodes = snapshot([node("n", zone="a")], storage=[pvc("v"), pv(), claim("d", annotations={SELECTED: "n"})])
    provision = Written(ProvisionClaim("default/d", "n"), "")
    assert prebind_status([BIND, provision], "n", nodes) == Waiting(("default/d",))
    nodes.volumes.put(claim("d", annotations={}))
    assert isinstance(prebind_status([BIND, provision], "n", nodes), Failed)
    assert prebind_status([], "n", nodes) == Done()


def test_a_node_that_is_gone_ends_the_wait() -> None:
    found = prebind_status([BIND], "n", snapshot([], storage=[pvc("v"), pv()]))
    assert found == Failed('failed to get node "n": node "n" not found')
