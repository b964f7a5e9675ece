"""What an API server would have filled in is filled in, so that a manifest is judged as the object it becomes."""

from __future__ import annotations

import json

import pytest
from tests.controlplane.nodes import Manifest

from stowplan import errors
from stowplan.model import objects
from stowplan.simulator import manifest

POD: Manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}


def read(*documents: object) -> manifest.Manifests:
    return manifest.read([("file", json.dumps(document).encode()) for document in documents])


def pod(spec: Manifest, *others: Manifest) -> objects.Pod:
    """The pod that the documents make, the pod's being the first."""
    found = read({**POD, "spec": spec}, *others).objects[0]
    assert isinstance(found, objects.Pod)
    return found


def test_a_namespaced_object_without_a_namespace_is_in_default() -> None:
    found = pod({})
    assert (found.metadata.namespace, found.key) == ("default", "default/p")


def test_objects_without_a_uid_get_one_of_their_own() -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p"}}
    uids = [each.metadata.uid for each in read(POD, claim, {**POD, "metadata": {"name": "q"}}).objects]
    assert all(uids)
    assert len(set(uids)) == 3


def test_cluster_scoped_objects_have_no_namespace() -> None:
    (node,) = read({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}).objects
    assert node.key == "n"


def test_what_a_container_is_limited_to_it_asks_for() -> None:
    resources = {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}
    found = pod({"containers": [{"name": "c", "resources": resources}]})
    assert found.spec.containers[0].resources.requests == {"cpu": "1", "memory": "1Gi"}


def test_a_node_that_says_its_capacity_alone_offers_all_of_it() -> None:
    status = {"capacity": {"cpu": "4"}}
    (node,) = read({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": status}).objects
    assert isinstance(node, objects.Node)
    assert node.status.allocatable == {"cpu": "4"}


HIGH = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000}
USUAL = {**HIGH, "metadata": {"name": "usual"}, "value": 10, "globalDefault": True}


@pytest.mark.parametrize(
    ("spec", "classes", "priority"),
    [
        pytest.param({"priorityClassName": "high"}, [HIGH], 1000, id="by class"),
        pytest.param({"priorityClassName": "high"}, [USUAL, HIGH], 1000, id="by class, not the default"),
        pytest.param({}, [HIGH, USUAL], 10, id="global default"),
        pytest.param({}, [HIGH], 0, id="no default"),
        pytest.param({"priorityClassName": "high", "priority": 7}, [HIGH], 7, id="set already"),
        pytest.param({"priorityClassName": "gone"}, [HIGH], 0, id="no such class"),
    ],
)
def test_a_priority_class_gives_its_priority(spec: Manifest, classes: list[Manifest], priority: int) -> None:
    assert pod(spec, *classes).spec.priority == priority


def test_null_is_as_good_as_absent() -> None:
    found = pod({"nodeSelector": None, "containers": [{"name": "c", "resources": None}], "tolerations": None})
    assert found.spec.node_selector == {}
    assert found.spec.tolerations == []


def test_timestamps_of_yaml_stay_text() -> None:
    text = b"{apiVersion: v1, kind: Pod, metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}}"
    (found,) = manifest.read([("file", text)]).objects
    assert found.metadata.creation_timestamp == "2026-01-01T00:00:00Z"


def test_our_own_kinds_are_read() -> None:
    policy = {
        "apiVersion": "stowplan.dev/v1alpha1", "kind": "SchedulingPolicy",
        "metadata": {"name": "ha", "namespace": "prod"},
        "spec": {"failureDomains": [{"name": "zone", "topologyKey": "zone"}]},
    }  # fmt: skip
    found = read({"apiVersion": "v1", "kind": "List", "items": [policy, POD]})
    assert ([each.metadata.name for each in found.policies], len(found.objects)) == (["ha"], 1)


def test_an_error_names_the_file_the_object_and_the_field() -> None:
    with pytest.raises(errors.UsageError, match=r"^file: Pod p: spec\.priority: Expected `int`, got `str`$"):
        pod({"priority": "high"})


CLAIM: Manifest = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}}


def storage_class(name: str, *, default: bool = False, created: str = "2026-01-01T00:00:00Z") -> Manifest:
    notes = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    metadata = {"name": name, "annotations": notes, "creationTimestamp": created}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata, "provisioner": "x"}


@pytest.mark.parametrize(
    ("claim", "classes", "expected"),
    [
        pytest.param({"spec": {}}, [storage_class("plain"), storage_class("std", default=True)], "std", id="none"),
        pytest.param({"spec": {}}, [storage_class("plain")], None, id="none, and no default"),
        pytest.param({"spec": {}}, [storage_class("b", default=True), storage_class("a", default=True)], "a",
                     id="two defaults of one age"),
        pytest.param({"spec": {}}, [storage_class("b", default=True, created="2026-01-02T00:00:00Z"),
                                    storage_class("a", default=True)], "b", id="the newest default"),
        pytest.param({"spec": {"storageClassName": "mine"}}, [storage_class("std", default=True)], "mine", id="one"),
        pytest.param({"spec": {"storageClassName": ""}}, [storage_class("std", default=True)], "", id="said: none"),
        pytest.param({"spec": {"volumeName": "pv"}}, [storage_class("std", default=True)], None, id="bound"),
        pytest.param({"metadata": {"name": "c", "annotations": {"volume.beta.kubernetes.io/storage-class": "old"}}},
                     [storage_class("std", default=True)], None, id="by annotation"),
    ],
)  # fmt: skip
def test_a_claim_without_a_class_gets_the_default_one(
    claim: Manifest, classes: list[Manifest], expected: str | None
) -> None:
    found = read({**CLAIM, **claim}, *classes).objects[0]
    assert isinstance(found, objects.PersistentVolumeClaim)
    assert found.spec.storage_class_name == expected
