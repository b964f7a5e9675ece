"""NodeVolumeLimits: cases after kubernetes' csi_test.go, and counts that follow what happens."""

from __future__ import annotations

import pytest
from tests.builders import claim, csi_node, node, pod, snapshot, storage_class, volume
from tests.plugins.volume_verdicts import SKIPPED, Answer, ask

from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.plugins.node_volume_limits import REASON, NodeVolumeLimits

EBS, OTHER = "ebs.csi.aws.com", "other.csi.example.com"
FINE: Answer = {"n": []}
FULL: Answer = {"n": ["!" + REASON]}


def bound(*names: str, driver: str = EBS, handle: str = "") -> list[StorageObject]:
    return [
        each
        for name in names
        for each in (
            claim(name, volume=f"pv-{name}"),
            volume(f"pv-{name}", claimed_by=f"default/{name}", driver=driver, handle=handle),
        )
    ]


def attachment(name: str, of: str | None, attacher: str = EBS, on: str = "n") -> objects.VolumeAttachment:
    source = objects.VolumeAttachmentSource(of)
    return objects.VolumeAttachment(objects.ObjectMeta(name=name), objects.VolumeAttachmentSpec(attacher, on, source))


@pytest.mark.parametrize(
    ("limit", "there", "new", "storage", "expected"),
    [
        pytest.param({}, ["a"], [], bound("a"), SKIPPED, id="pod without claims"),
        pytest.param({}, ["a"], ["b"], bound("a", "b"), FINE, id="no limit"),
        pytest.param({EBS: None}, ["a"], ["b"], bound("a", "b"), FINE, id="driver without a limit"),
        pytest.param({EBS: 2}, ["a"], ["b"], bound("a", "b"), FINE, id="within the limit"),
        pytest.param({EBS: 1}, ["a"], ["b"], bound("a", "b"), FULL, id="over the limit"),
        pytest.param({EBS: 0}, [], ["b"], bound("b"), FULL, id="limit 0"),
        pytest.param({EBS: 1}, [], ["a", "b"], bound("a", "b"), FULL, id="too many at once"),
        pytest.param({EBS: 1}, ["a"], ["a"], bound("a"), FINE, id="the volume is there already"),
        pytest.param({EBS: 0}, ["a"], ["a"], bound("a"), FINE, id="there already, although over the limit"),
        pytest.param({EBS: 1}, ["a"], ["b"], bound("a", "b", handle="h"), FINE, id="two claims, one volume"),
        pytest.param({EBS: 1}, ["a"], ["b"], [*bound("a"), *bound("b", driver=OTHER)], FINE, id="other driver"),
        pytest.param(
            {EBS: 1, OTHER: 0}, [], ["a", "b"], [*bound("a"), *bound("b", driver=OTHER)], FULL, id="any driver is over"
        ),
        pytest.param({EBS: 1}, ["a"], ["b"], [*bound("a"), *bound("b", driver="")], FINE, id="not a CSI volume"),
        pytest.param(
            {EBS: 1}, ["a"], ["b"], [*bound("a"), claim("b"), storage_class(provisioner=EBS)], FULL,
            id="unbound claims count by their class",
        ),
        pytest.param(
            {EBS: 1}, ["b"], ["a"], [*bound("a"), claim("b"), storage_class(provisioner=EBS)], FULL,
            id="unbound claims of others count too",
        ),
        pytest.param({EBS: 1}, ["a"], ["b"], [*bound("a"), claim("b")], FINE, id="class does not exist"),
        pytest.param({EBS: 1}, ["a"], ["b"], [*bound("a"), claim("b", storage_class=None)], FINE, id="no class"),
        pytest.param(
            {EBS: 1}, ["a"], ["b"], [*bound("a"), claim("b", volume="gone"), storage_class(provisioner=EBS)], FULL,
            id="bound to a volume that does not exist: counts by its class",
        ),
        pytest.param({EBS: 1}, ["gone"], ["a"], bound("a"), FINE, id="missing claims of others do not count"),
        pytest.param(
            {EBS: 1}, [], ["a"], [*bound("a", "b"), attachment("x", "pv-b")], FULL, id="attached, used by no pod"
        ),
        pytest.param(
            {EBS: 2}, ["b"], ["a"], [*bound("a", "b"), attachment("x", "pv-b")], FINE, id="attached and used: once"
        ),
        pytest.param(
            {EBS: 2}, [], ["a"], [*bound("a", "b"), attachment("x", "pv-b"), attachment("y", "pv-b")], FINE,
            id="attached twice: once",
        ),
        pytest.param(
            {EBS: 1}, [], ["a"], [*bound("a"), attachment("x", "pv-a")], FULL,
            id="attached here, used by no pod: counts again, as upstream has it",
        ),
        pytest.param(
            {EBS: 1}, [], ["a"],
            [*bound("a", "b"), attachment("x", "pv-b", on="m"), attachment("y", None), attachment("z", "gone"),
             attachment("w", "pv-b", attacher="")],
            FINE, id="attachments that do not count",
        ),
    ],
)  # fmt: skip
def test_says_what_kube_scheduler_says(
    limit: dict[str, int | None], there: list[str], new: list[str], storage: list[StorageObject], expected: Answer
) -> None:
    nodes = snapshot([node("n")], [pod("q", on="n", claims=there)], storage=[csi_node("n", limit), *storage])
    assert ask(NodeVolumeLimits(), pod("p", claims=new), nodes) == expected
    assert nodes.check() == []


def test_a_claim_that_does_not_exist_rejects_all_nodes() -> None:
    found = ask(NodeVolumeLimits(), pod("p", claims=["c"]), snapshot([node("n")]))
    assert found == {"n": ['looking up PVC default/c: persistentvolumeclaim "c" not found']}


def test_counts_follow_claims_volumes_classes_limits_and_nodes() -> None:
    nodes = snapshot([node("m"), node("n")], [pod("q", on="n", claims=["a"])])
    p = pod("p", claims=["new"])
    for each in [*bound("new"), csi_node("m", {EBS: 1}), csi_node("n", {EBS: 1})]:
        nodes.volumes.put(each)

    def full() -> set[str]:
        assert nodes.check() == []
        found = ask(NodeVolumeLimits(), p, nodes)
        assert isinstance(found, dict)
        return {name for name, reasons in found.items() if reasons}

    assert full() == set()
    nodes.volumes.put(claim("a"))
    assert full() == set()
    nodes.volumes.put(storage_class(provisioner=EBS))
    assert full() == {"n"}
    nodes.volumes.put(csi_node("n", {EBS: 2}))
    assert full() == set()
    nodes.volumes.put(csi_node("n", {EBS: 1}))
    nodes.volumes.put(claim("a", volume="pv-a"))
    nodes.volumes.put(volume("pv-a", claimed_by="default/a", driver=OTHER))
    assert full() == set()
    nodes.volumes.put(volume("pv-a", claimed_by="default/a", driver=EBS))
    assert full() == {"n"}
    nodes.remove_node("m")
    assert full() == {"n"}
    nodes.remove_node("n")
    nodes.put_node(node("k"))
    nodes.put_node(node("n"))
    assert full() == {"n"}
    nodes.volumes.remove(csi_node("n", {}))
    assert full() == set()
    nodes.volumes.put(csi_node("n", {EBS: 1}))
    nodes.volumes.remove(volume("pv-a"))
    nodes.volumes.remove(storage_class(provisioner=EBS))
    assert full() == set()
    nodes.volumes.put(volume("pv-a", claimed_by="default/a", driver=EBS))
    assert full() == {"n"}
    nodes.volumes.remove(claim("a"))
    assert full() == set()


def test_an_attachment_counts_again_when_the_last_pod_that_uses_it_is_gone() -> None:
    nodes = snapshot(
        [node("n")],
        [pod("q", on="n", claims=["b"])],
        storage=[csi_node("n", {EBS: 1}), *bound("a", "b"), attachment("x", "pv-b")],
    )
    p = pod("p", claims=["a"])
    assert ask(NodeVolumeLimits(), p, nodes) == FULL
    nodes.remove_pod("uid-default/q")
    assert ask(NodeVolumeLimits(), p, nodes) == FULL
    nodes.volumes.remove(attachment("x", "pv-b"))
    assert ask(NodeVolumeLimits(), p, nodes) == FINE
    assert nodes.check() == []


def test_an_attachment_does_not_count_while_pods_use_the_volume_whatever_came_first() -> None:
    nodes = snapshot([node("n")], storage=[csi_node("n", {EBS: 2}), *bound("a", "b")])
    p, other = pod("p", claims=["a"]), pod("q", on="n", claims=["b"])
    nodes.add_pod(other)
    nodes.volumes.put(attachment("x", "pv-b"))
    assert ask(NodeVolumeLimits(), p, nodes) == FINE
    nodes.volumes.put(attachment("y", "pv-b"))
    nodes.volumes.remove(attachment("x", "pv-b"))
    assert nodes.check() == []
    nodes.remove_pod(other.uid)
    nodes.add_pod(other)
    assert ask(NodeVolumeLimits(), p, nodes) == FINE
    nodes.volumes.remove(attachment("y", "pv-b"))
    assert ask(NodeVolumeLimits(), p, nodes) == FINE
    assert nodes.check() == []
