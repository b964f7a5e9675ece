"""VolumeRestrictions: cases after kubernetes' volume_restrictions_test.go."""

from __future__ import annotations

import pytest
from tests.builders import claim, node, pod, snapshot
from tests.plugins.volume_verdicts import SKIPPED, Answer, ask

from stowplan.model import objects
from stowplan.plugins.volume_restrictions import CLAIM_IN_USE, DISK_CONFLICT, VolumeRestrictions

NODES = [node("n"), node("m")]
CONFLICT: Answer = {"n": ["!" + DISK_CONFLICT], "m": []}
FINE: Answer = {"n": [], "m": []}


def gce(name: str = "foo", read_only: bool = False) -> objects.Volume:
    return objects.Volume(gce_persistent_disk=objects.GCEPersistentDisk(name, read_only))


def aws(name: str = "foo", read_only: bool = False) -> objects.Volume:
    return objects.Volume(aws_elastic_block_store=objects.AWSElasticBlockStore(name, read_only))


def iscsi(iqn: str = "iqn.2016-12.server:storage.target01", read_only: bool = False) -> objects.Volume:
    return objects.Volume(iscsi=objects.ISCSI(iqn, read_only))


def rbd(*monitors: str, image: str = "bar", pool: str = "foo", read_only: bool = False) -> objects.Volume:
    return objects.Volume(rbd=objects.RBD(list(monitors), pool, image, read_only))


CSI = objects.Volume(csi=objects.CSIVolume("csi.example.com"))


@pytest.mark.parametrize(
    ("wanted", "there", "expected"),
    [
        pytest.param([CSI], [CSI], SKIPPED, id="inline CSI volumes are shared"),
        pytest.param([], [gce()], SKIPPED, id="pod without disks"),
        pytest.param([gce()], [], FINE, id="nobody there"),
        pytest.param([gce()], [gce()], CONFLICT, id="same GCE disk"),
        pytest.param([gce()], [gce("bar")], FINE, id="other GCE disk"),
        pytest.param([gce(read_only=True)], [gce(read_only=True)], FINE, id="same GCE disk, all only read"),
        pytest.param([gce()], [gce(read_only=True)], CONFLICT, id="same GCE disk, one writes"),
        pytest.param([aws()], [aws()], CONFLICT, id="same EBS volume"),
        pytest.param([aws(read_only=True)], [aws(read_only=True)], CONFLICT, id="same EBS volume, all only read"),
        pytest.param([aws()], [aws("bar")], FINE, id="other EBS volume"),
        pytest.param([aws()], [gce()], FINE, id="same name, other kind"),
        pytest.param([iscsi()], [iscsi()], CONFLICT, id="same iSCSI target"),
        pytest.param([iscsi(read_only=True)], [iscsi(read_only=True)], FINE, id="same iSCSI target, all only read"),
        pytest.param([iscsi()], [iscsi("other")], FINE, id="other iSCSI target"),
        pytest.param([rbd("a", "b")], [rbd("c", "b")], CONFLICT, id="same RBD image through a common monitor"),
        pytest.param([rbd("a", "b")], [rbd("c", "d")], FINE, id="no monitor in common"),
        pytest.param([rbd("a")], [rbd("a", image="x")], FINE, id="other RBD image"),
        pytest.param([rbd("a")], [rbd("a", pool="x")], FINE, id="other RBD pool"),
        pytest.param([rbd("a", read_only=True)], [rbd("a", read_only=True)], FINE, id="same RBD image, all only read"),
        pytest.param([gce("x"), gce()], [gce("y"), gce()], CONFLICT, id="any of several"),
        pytest.param([gce(read_only=True)], [gce(read_only=True), gce()], CONFLICT, id="mounted twice, once to write"),
    ],
)
def test_disks_written_into_pods(wanted: list[objects.Volume], there: list[objects.Volume], expected: Answer) -> None:
    nodes = snapshot(NODES, [pod("there", on="n", volumes=there)])
    assert ask(VolumeRestrictions(), pod("p", volumes=wanted), nodes) == expected


def test_a_disk_is_free_again_when_its_pods_are_gone() -> None:
    nodes = snapshot(NODES, [pod("q", on="n", volumes=[gce()]), pod("r", on="n", volumes=[gce()])])
    p = pod("p", volumes=[gce()])
    nodes.remove_pod("uid-default/q")
    assert ask(VolumeRestrictions(), p, nodes) == CONFLICT
    fork = nodes.fork()
    fork.remove_pod("uid-default/r")
    assert ask(VolumeRestrictions(), p, fork) == FINE
    assert ask(VolumeRestrictions(), p, nodes) == CONFLICT
    assert nodes.check() == []
    assert fork.check() == []


RWOP = ["ReadWriteOncePod"]
IN_USE = ["!" + CLAIM_IN_USE]


def test_a_claim_for_one_pod_alone_rejects_all_nodes_while_another_pod_has_it() -> None:
    nodes = snapshot(NODES, [pod("q", on="m", claims=["c"])], storage=[claim("c", modes=RWOP), claim("d")])
    assert ask(VolumeRestrictions(), pod("p", claims=["d", "c"]), nodes) == {"n": IN_USE, "m": IN_USE}
    assert ask(VolumeRestrictions(), pod("p", claims=["d"]), nodes) == SKIPPED
    fork = nodes.fork()
    fork.remove_pod("uid-default/q")
    assert ask(VolumeRestrictions(), pod("p", claims=["c"]), fork) == SKIPPED


def test_a_node_with_a_disk_conflict_says_that_first() -> None:
    there = pod("q", on="n", claims=["c"], volumes=[gce()])
    nodes = snapshot(NODES, [there], storage=[claim("c", modes=RWOP)])
    found = ask(VolumeRestrictions(), pod("p", claims=["c"], volumes=[gce()]), nodes)
    assert found == {"n": ["!" + DISK_CONFLICT], "m": IN_USE}


def test_the_same_claim_name_in_another_namespace_is_another_claim() -> None:
    nodes = snapshot(
        NODES,
        [pod("q", on="m", claims=["c"], namespace="other")],
        storage=[claim("c", modes=RWOP), claim("c", modes=RWOP, namespace="other")],
    )
    assert ask(VolumeRestrictions(), pod("p", claims=["c"]), nodes) == SKIPPED


def test_a_claim_that_does_not_exist_is_refused() -> None:
    found = ask(VolumeRestrictions(), pod("p", claims=["c"]), snapshot(NODES))
    assert found == 'persistentvolumeclaim "c" not found'


def test_claims_of_ephemeral_volumes_are_not_looked_at() -> None:
    ephemeral = objects.Volume(name="data", ephemeral=objects.EphemeralVolumeSource())
    assert ask(VolumeRestrictions(), pod("p", volumes=[ephemeral]), snapshot(NODES)) == SKIPPED
