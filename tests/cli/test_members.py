"""`plan` on files with StatefulClusters: members that are not there yet are planned as the operator would make them."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Invoke, Write
from tests.controlplane.nodes import Manifest
from tests.live import objects

from stowplan.api import common

NODES = [objects.node(f"n{zone}", own="x", zone=zone, cpu="4") for zone in "abc"]
POLICY: Manifest = {
    "apiVersion": "stowplan.dev/v1alpha1",
    "kind": "SchedulingPolicy",
    "metadata": {"name": "ha", "namespace": "shop"},
    "spec": {
        "failureDomains": [{"name": "zone", "topologyKey": "topology.kubernetes.io/zone"}],
        "spread": [{"name": "over-zones", "domain": "zone", "enforcement": "Required"}],
    },
}
CONTAINER = {"name": "main", "image": "example.com/db", "resources": {"limits": {"cpu": "1"}}}


def cluster(*node_sets: Manifest, uid: str = "", **spec: object) -> Manifest:
    return {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "StatefulCluster",
        "metadata": {"name": "db", "namespace": "shop", **({"uid": uid} if uid else {})},
        "spec": {"schedulingPolicyRef": {"name": "ha"}, "nodeSets": list(node_sets), **spec},
    }


def node_set(name: str, replicas: int, **more: object) -> Manifest:
    return {"name": name, "replicas": replicas, "template": {"spec": {"containers": [CONTAINER]}}, **more}


def member(node_set_: str, ordinal: int, *, on: str, uid: str) -> Manifest:
    """A pod that the operator has made, as `kubectl get` shows it."""
    labels = {
        common.LABEL_CLUSTER: "db", common.LABEL_NODE_SET: node_set_, common.LABEL_MEMBER: str(ordinal),
    }  # fmt: skip
    made = objects.pod("shop", f"db-{node_set_}-{ordinal}", labels=labels, cpu="1", nodeName=on)
    owner = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "StatefulCluster", "name": "db", "uid": uid}
    made["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    made["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return made


def placed(answer: Manifest) -> dict[str, str]:
    return {each["pod"]: each["node"] for each in answer["placements"]}


def test_members_of_a_new_cluster_are_made_and_spread(invoke: Invoke, write: Write) -> None:
    file = write("cluster.yaml", *NODES, POLICY, cluster(node_set("data", 3), node_set("master", 2, roles=["master"])))
    done = invoke("plan", "-f", file, "-o", "json")
    assert (done.status, done.err) == (0, "")
    assert [each["pod"] for each in done.json["placements"]] == [
        "shop/db-data-0", "shop/db-data-1", "shop/db-data-2", "shop/db-master-0", "shop/db-master-1",
    ]  # fmt: skip
    assert done.json["unschedulable"] == []
    (row,) = done.json["domains"]
    assert sorted(row["counts"].values()) == [1, 2, 2]


def test_pods_that_wait_already_go_first(invoke: Invoke, write: Write) -> None:
    waiting = objects.pod("shop", "waits", cpu="4")
    waiting["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    file = write("cluster.yaml", *NODES, POLICY, cluster(node_set("data", 3)), waiting)
    done = invoke("plan", "-f", file, "-o", "json")
    assert next(iter(placed(done.json))) == "shop/waits"
    assert done.status == 1
    assert len(done.json["unschedulable"]) == 1, "the zone of that pod has no room for a member"


@pytest.mark.parametrize("uid", [pytest.param("u1", id="as it is dumped"), pytest.param("", id="as it is written")])
def test_members_that_are_there_stay_and_those_that_lack_are_made(invoke: Invoke, write: Write, uid: str) -> None:
    """The cluster of the second file is the one of the first with another size."""
    old = [cluster(node_set("data", 2), uid="u1"), *(member("data", at, on=f"n{'ab'[at]}", uid="u1") for at in (0, 1))]
    dump = write("dump.json", *NODES, POLICY, *old)
    assert placed(invoke("plan", "-f", dump, "-o", "json").json) == {}
    done = invoke("plan", "-f", dump, "-f", write("new.yaml", cluster(node_set("data", 3), uid=uid)), "-o", "json")
    assert done.status == 0
    assert placed(done.json) == {"shop/db-data-2": "nc"}


def test_members_get_claims_of_the_default_class_and_the_priority_of_their_class(invoke: Invoke, write: Write) -> None:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    classes: list[Manifest] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "local", "annotations": default},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "urgent"},
            "value": 1000,
        },
    ]
    volume: Manifest = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pv"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["nb"]}]}
                    ]
                }
            },
        },
        "status": {"phase": "Available"},
    }
    claimed = {"metadata": {"name": "vol"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    template = {"spec": {"containers": [CONTAINER], "priorityClassName": "urgent"}}
    one = cluster(node_set("data", 1, template=template, volumeClaimTemplates=[claimed]))
    first = objects.pod("shop", "first", cpu="4", nodeSelector={"kubernetes.io/hostname": "nb"})
    file = write("cluster.yaml", *NODES, POLICY, *classes, volume, one, first)
    done = invoke("plan", "-f", file, "-o", "json")
    assert placed(done.json) == {"shop/db-data-0": "nb"}, "where its volume is, and before a pod of no priority"
    assert [each["pod"] for each in done.json["unschedulable"]] == ["shop/first"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param([cluster(node_set("data", 1))], "SchedulingPolicy ha not found", id="no policy"),
        pytest.param([POLICY, cluster(node_set("data", 1), paused=True)], "spec.paused is true", id="paused"),
        pytest.param(
            [POLICY, cluster(node_set("data", 1, template={"metadata": {}}))],
            "spec.nodeSets[0].template.spec: a pod needs at least one container: no member of this set can be made",
            id="a template without a pod",
        ),
    ],
)
def test_members_that_would_not_be_made_say_why(
    invoke: Invoke, write: Write, given: list[Manifest], reason: str
) -> None:
    file = write("cluster.yaml", *NODES, *given)
    done = invoke("plan", "-f", file, "-o", "json")
    assert (done.status, done.json["placements"]) == (1, [])
    assert done.json["unschedulable"] == [{"pod": "shop/db-data-0", "reason": reason}]
    elsewhere = invoke("plan", "-f", file, "-n", "default", "-o", "json")
    assert (elsewhere.status, elsewhere.json["unschedulable"]) == (0, [])


def test_a_part_that_cannot_be_understood_is_named(invoke: Invoke, write: Write) -> None:
    odd = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": "db-data-1", "namespace": "shop", "labels": {common.LABEL_CLUSTER: "db"}},
        "revision": "one",
    }
    done = invoke("plan", "-f", write("cluster.yaml", *NODES, POLICY, cluster(node_set("data", 1)), odd))
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: ControllerRevision db-data-1: Expected `int`, got `str`")
