from __future__ import annotations

import msgspec
import pytest
from tests.reconcile.world import World, node_set

from stowplan.model import objects
from stowplan.reconcile.classify import State
from stowplan.reconcile.observed import NodeView, Pod, pinned_hosts

START = "2026-01-01T00:00:00Z"


def ready(status: str, since: str = START) -> dict[str, str]:
    return {"type": "Ready", "status": status, "lastTransitionTime": since}


def waiting(reason: str) -> list[dict[str, object]]:
    return [{"name": "main", "state": {"waiting": {"reason": reason, "message": "no luck"}}}]


OURS = {"controller": True, "kind": "StatefulCluster", "name": "db", "uid": "cluster-1"}


@pytest.mark.parametrize(
    ("pod", "state", "reason"),
    [
        pytest.param({"spec": {}}, State.PENDING, "it waits to be placed", id="not seen by a scheduler yet"),
        pytest.param(
            {"spec": {}, "status": {"conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/9 nodes"}]}},
            State.UNSCHEDULABLE, "0/9 nodes", id="no node takes it",
        ),
        pytest.param(
            {"spec": {}, "status": {"conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}},
            State.PENDING, "it waits to be placed", id="gated",
        ),
        pytest.param({"status": {"phase": "Pending"}}, State.STARTING, "it is starting", id="just bound"),
        pytest.param(
            {"status": {"startTime": START, "conditions": [ready("False")]}},
            State.STARTING, "it is starting", id="not ready since its start",
        ),
        pytest.param(
            {"status": {"startTime": START, "conditions": [ready("False", "2026-01-01T01:00:00Z")]}},
            State.NOT_READY, "it was ready and is not any more", id="not ready since later",
        ),
        pytest.param({"status": {"conditions": [ready("True")]}}, State.READY, "", id="ready"),
        pytest.param(
            {"status": {"conditions": [ready("False")], "containerStatuses": waiting("ImagePullBackOff")}},
            State.BROKEN, "container main: ImagePullBackOff: no luck", id="no such image",
        ),
        pytest.param(
            {"status": {"conditions": [ready("False")], "initContainerStatuses": waiting("CrashLoopBackOff")}},
            State.BROKEN, "container main: CrashLoopBackOff: no luck", id="an init container in a crash loop",
        ),
        pytest.param(
            {"status": {"conditions": [ready("False")], "containerStatuses": waiting("ContainerCreating")}},
            State.STARTING, "it is starting", id="a container that is being made",
        ),
        pytest.param(
            {"status": {"phase": "Failed", "reason": "Evicted", "message": "no memory"}},
            State.FAILED, "Evicted: no memory", id="evicted by its kubelet",
        ),
        pytest.param({"status": {"phase": "Succeeded"}}, State.SUCCEEDED, "its containers have ended", id="ended well"),
        pytest.param(
            {"metadata": {"deletionTimestamp": START}, "status": {"conditions": [ready("True")]}},
            State.TERMINATING, "its pod is being deleted", id="being deleted",
        ),
        pytest.param(
            {"spec": {"nodeName": "gone"}}, State.LOST, "its node gone does not exist any more", id="node gone"
        ),
        pytest.param(
            {"spec": {"nodeName": "gone"}, "metadata": {"deletionTimestamp": START}},
            State.LOST, "its node gone does not exist any more", id="being deleted on a node that is gone",
        ),
        pytest.param(
            {"spec": {"nodeName": "dark"}, "status": {"conditions": [ready("True")]}},
            State.UNREACHABLE, "its node dark is not ready", id="node not ready",
        ),
        pytest.param(
            {"spec": {"nodeName": "off"}}, State.LOST, "its node off is out of service", id="node out of service"
        ),
        pytest.param(
            {"spec": {"nodeName": "doubted"}, "status": {"conditions": [ready("True")]}},
            State.READY, "", id="a node that is called out of service and reports all the same",
        ),
        pytest.param(
            {"metadata": {"ownerReferences": [{**OURS, "uid": "cluster-0"}]}},
            State.FOREIGN, "the pod db-data-0 belongs to StatefulCluster db (cluster-0)", id="of an earlier cluster",
        ),
    ],
)  # fmt: skip
def test_a_member_is(pod: dict[str, dict[str, object]], state: State, reason: str) -> None:
    world = World(node_set("data", 1))
    labels = {"stowplan.dev/cluster": "db", "stowplan.dev/node-set": "data", "stowplan.dev/member": "0"}
    metadata = {"name": "db-data-0", "labels": labels, "ownerReferences": [OURS], **pod.get("metadata", {})}
    manifest = {"spec": {"nodeName": "a00"}, **pod, "metadata": metadata}
    world.pods["db-data-0"] = msgspec.convert(manifest, Pod)
    world.nodes |= {
        "dark": NodeView(name="dark", labels={}, ready=False),
        "off": NodeView(name="off", labels={}, ready=False, out_of_service=True),
        "doubted": NodeView(name="doubted", labels={}, out_of_service=True),
    }
    (member,) = world.groups()["data"].every
    assert (member.state, member.reason) == (state, reason)


def term(key: str, *values: str, fields: bool = False) -> dict[str, object]:
    requirement = {"key": key, "operator": "In", "values": list(values)}
    return {"matchFields" if fields else "matchExpressions": [requirement]}


@pytest.mark.parametrize(
    ("terms", "hosts"),
    [
        pytest.param([], set(), id="a volume that can be used anywhere"),
        pytest.param([term("topology.kubernetes.io/zone", "a")], set(), id="a zonal volume"),
        pytest.param([term("kubernetes.io/hostname", "n1")], {"n1"}, id="a disk of one host"),
        pytest.param([term("metadata.name", "n1", fields=True)], {"n1"}, id="a disk of one node, by its name"),
        pytest.param([term("kubernetes.io/hostname", "n1", "n2")], {"n1", "n2"}, id="one that two hosts share"),
        pytest.param(
            [term("kubernetes.io/hostname", "n1"), term("topology.kubernetes.io/zone", "a")], set(), id="host or zone"
        ),
    ],
)
def test_a_volume_is_tied_to_the_hosts(terms: list[dict[str, object]], hosts: set[str]) -> None:
    spec: dict[str, object] = {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}} if terms else {}
    assert pinned_hosts(msgspec.convert({"spec": spec}, objects.PersistentVolume)) == hosts
