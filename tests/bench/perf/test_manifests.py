from __future__ import annotations

from pathlib import Path

import pytest
from tests.bench.perf import manifests, ops
from tests.bench.perf.manifests import Template
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import HOSTNAME, Manifest


def template(tmp_path: Path, text: str) -> Template:
    path = tmp_path / "template.yaml"
    path.write_text(text)
    return Template(path)


def test_index_and_count_are_filled_in_wherever_they_stand(tmp_path: Path) -> None:
    made = template(tmp_path, "{metadata: {name: 'pod-{{.Index}}'}, 'foo.com/bar-{{ .Index }}': 1, of: {{.Count}}}")
    assert made.render(3, 9) == {"metadata": {"name": "pod-3"}, "foo.com/bar-3": 1, "of": 9}


@pytest.mark.parametrize("action", ["Mod .Index 3", "if eq .Index 0", "- .Index -", ".Name", ""])
def test_any_other_action_is_refused(tmp_path: Path, action: str) -> None:
    with pytest.raises(ControlPlaneError, match=r"template\.yaml: \{\{.*\}\} is not known"):
        template(tmp_path, f"kind: Pod\nname: x-{{{{{action}}}}}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("kind: [", "is no YAML", id="no YAML"),
        pytest.param("- kind: Pod", "is not one object", id="a list"),
    ],
)
def test_what_is_not_one_object_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ControlPlaneError, match=complaint) as raised:
        template(tmp_path, text)
    assert "\n" not in str(raised.value)


def test_field_names_are_read_as_go_does_and_the_words_of_users_stay(tmp_path: Path) -> None:
    made = template(tmp_path, "{metadata: {labels: {Foo: Bar}}, spec: {x: [{NodeTaintsPolicy: Honor}]}}")
    assert made.render(0, 1) == {"metadata": {"labels": {"Foo": "Bar"}}, "spec": {"x": [{"nodeTaintsPolicy": "Honor"}]}}


def test_a_pod_gets_its_namespace_and_its_scheduler_and_the_template_stays_as_it_was(tmp_path: Path) -> None:
    base = template(tmp_path, "{kind: Pod, metadata: {generateName: p-}, spec: {priority: 10}}").render(0, 1)
    pod = manifests.with_claim(manifests.placed(base, "ns", "stowplan"), "pvc-1")
    assert pod["metadata"] == {"generateName": "p-", "namespace": "ns"}
    assert (pod["spec"]["schedulerName"], pod["spec"]["priority"]) == ("stowplan", 10)
    assert pod["spec"]["volumes"] == [{"name": "vol", "persistentVolumeClaim": {"claimName": "pvc-1"}}]
    assert base == {"kind": "Pod", "metadata": {"generateName": "p-"}, "spec": {"priority": 10}}


@pytest.mark.parametrize(
    ("kind", "namespace"), [pytest.param("Node", None, id="cluster"), pytest.param("Service", "ns", id="namespaced")]
)
def test_only_what_lives_in_a_namespace_gets_one(kind: str, namespace: str | None) -> None:
    assert manifests.placed({"kind": kind, "metadata": {}}, "ns", "x")["metadata"].get("namespace") == namespace


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(ControlPlaneError, match="objects of kind Gadget are not known"):
        manifests.placed({"kind": "Gadget", "metadata": {}}, "ns", "x")


@pytest.mark.parametrize(
    ("source", "field"),
    [pytest.param("csi", "volumeHandle", id="CSI"), pytest.param("awsElasticBlockStore", "volumeID", id="in-tree")],
)
def test_a_claim_and_its_volume_are_bound_to_each_other(source: str, field: str) -> None:
    volume: Manifest = {"kind": "PersistentVolume", "metadata": {}, "spec": {source: {"x": "y"}}}
    claim: Manifest = {"kind": "PersistentVolumeClaim", "metadata": {"annotations": {"a": "b"}}, "spec": {}}
    made_claim, made = manifests.volume(claim, volume, "ns", 7)
    assert made_claim["spec"]["volumeName"] == made["metadata"]["name"] == made["spec"][source][field] == "ns-vol-7"
    assert made["spec"]["claimRef"]["name"] == made_claim["metadata"]["name"] == "pvc-7"
    assert made["spec"]["claimRef"]["namespace"] == made_claim["metadata"]["namespace"] == "ns"
    assert made_claim["metadata"]["annotations"] == {"a": "b"}
    assert made["status"] == made_claim["status"] == {"phase": "Bound"}


def test_a_label_goes_round_the_nodes_and_each_has_its_own_name() -> None:
    op = ops.CreateNodes(
        count=5, label_node_prepare_strategy=ops.LabelNodes(label_key="zone", label_values=["a", "b", "c"])
    )
    nodes = [node for node, csi_node in manifests.nodes(op, None, 10) if csi_node is None]
    assert [node["metadata"]["labels"]["zone"] for node in nodes] == ["a", "b", "c", "a", "b"]
    assert [node["metadata"]["name"] for node in nodes] == [f"node-{i:05d}" for i in range(10, 15)]
    assert all(node["metadata"]["labels"][HOSTNAME] == node["metadata"]["name"] for node in nodes)


def test_volume_limits_of_a_driver_go_to_the_node_and_to_its_csi_node() -> None:
    extra = ops.NodeAllocatable(
        node_allocatable={"attachable": "39"}, csi_node_allocatable={"ebs": ops.CsiLimit(count=39)},
        migrated_plugins=["in-tree"],
    )  # fmt: skip
    ((node, csi_node),) = manifests.nodes(ops.CreateNodes(count=1, node_allocatable_strategy=extra), None, 0)
    assert node["status"]["allocatable"] == {"pods": "110", "cpu": "4", "memory": "32Gi", "attachable": "39"}
    assert csi_node is not None
    name = node["metadata"]["name"]
    assert csi_node["spec"]["drivers"] == [{"name": "ebs", "nodeID": name, "allocatable": {"count": 39}}]
    assert csi_node["metadata"]["annotations"] == {"storage.alpha.kubernetes.io/migrated-plugins": "in-tree"}


def test_a_node_whose_template_names_it_keeps_that_name(tmp_path: Path) -> None:
    named = template(tmp_path, "{kind: Node, metadata: {name: only}, status: {capacity: {pods: 1}}}")
    ((node, _),) = manifests.nodes(ops.CreateNodes(count=1), named, 0)
    assert node["metadata"] == {"name": "only", "labels": {HOSTNAME: "only"}}
