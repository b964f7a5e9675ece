"""`explain` and `plan` on a cluster: as from its `kubectl get` output, and as `run` then does it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable

import pytest
from tests.cli.command import Done, run
from tests.controlplane.api import Api
from tests.controlplane.nodes import HOSTNAME, RACK, ZONE, Manifest
from tests.controlplane.plane import ControlPlane
from tests.live import objects
from tests.live.conftest import OwnClass, OwnNode
from tests.live.test_policies import policy
from tests.process import Release
from tests.process_fixtures import NewReplica

pytestmark = pytest.mark.timeout(180)

KINDS = (
    "nodes,namespaces,pods,persistentvolumes,persistentvolumeclaims,storageclasses,csinodes,csidrivers,"
    "csistoragecapacities,volumeattachments,poddisruptionbudgets,priorityclasses,schedulingpolicies,statefulclusters"
)


async def ask(plane: ControlPlane, *arguments: str, stdin: str = "") -> Done:
    """The command on this control plane (or on standard input)."""
    environment = {} if stdin else {"KUBECONFIG": str(plane.kubeconfig)}
    return await asyncio.to_thread(run, *arguments, stdin=stdin, environment=environment)


@dataclasses.dataclass(frozen=True)
class Idle:
    """A release that no process runs for, so that its pods wait, until one is started."""

    release: Release
    _start: NewReplica

    @property
    def name(self) -> str:
        """The schedulerName of its pods."""
        return self.release.name

    def start(self) -> None:
        """Let its pods be placed."""
        self._start(self.release)


@pytest.fixture
def idle(new_release: Callable[[], Release], new_replica: NewReplica) -> Idle:
    return Idle(new_release(), new_replica)


async def test_a_cluster_and_its_dump_give_the_same_answers(
    api: Api, namespace: str, control_plane: ControlPlane, idle: Idle
) -> None:
    name, labels = idle.name, {"app": "db"}
    rule = {"name": "over-racks", "domain": "rack", "maxSkew": 1, "enforcement": "Required"}
    await api.create(policy(namespace, "ha", selector={"matchLabels": labels}, spread=[rule]))
    await api.create(objects.claim(namespace, "data", "local-nvme", size="10Gi"))
    for pod in (
        objects.pod(namespace, "db-0", labels=labels, claims=["data"], scheduler=name),
        objects.pod(namespace, "db-1", labels=labels, affinity=objects.apart(RACK, labels), scheduler=name),
        objects.pod(namespace, "lost", nodeSelector={"example.com/such": "nowhere"}, scheduler=name),
        objects.pod(namespace, "bound", cpu="2", nodeName="a-1-r1-h1"),
    ):
        await api.create(pod)

    for asked, status in ((["explain", "--all-pending"], 1), (["plan"], 1), (["explain", "bound", "-n", namespace], 0)):
        arguments = [*asked, "--scheduler-name", name, "-o", "json"]
        live = await ask(control_plane, *arguments)
        dump = await asyncio.to_thread(control_plane.kubectl, "get", KINDS, "-A", "-o", "json")
        filed = await ask(control_plane, *arguments, "-f", "-", stdin=dump)
        assert (live.status, live.err) == (filed.status, filed.err) == (status, "")
        assert live.json == filed.json
        assert live.json.get("pods", True)
        assert live.json.get("placements", True)


async def test_what_is_planned_is_what_happens(
    api: Api, namespace: str, control_plane: ControlPlane, idle: Idle, own_node: OwnNode
) -> None:  # fmt: skip
    """Nodes of different sizes, so that one is always best; one pod too many."""
    nodes = [await own_node("large", cpu="16"), await own_node("medium", cpu="4"), await own_node("small", cpu="2")]
    labels = {"app": "db"}
    for number in range(4):
        await api.create(
            objects.pod(
                namespace, f"p{number}", cpu="1", labels=labels, scheduler=idle.name,
                affinity=objects.apart(HOSTNAME, labels), nodeSelector={objects.OWN: namespace},
            )
        )  # fmt: skip
    planned = await ask(control_plane, "plan", "-n", namespace, "--scheduler-name", idle.name, "-o", "json")
    assert planned.status == 1
    expected = [{"pod": f"{namespace}/p{number}", "node": node} for number, node in enumerate(nodes)]
    assert planned.json["placements"] == expected
    assert (await api.get(objects.pod_path(namespace, "p0")))["spec"].get("nodeName") is None  # nothing was written

    idle.start()
    for each in expected:
        pod = await objects.bound(api, *each["pod"].split("/"))
        assert pod["spec"]["nodeName"] == each["node"]
    (left,) = planned.json["unschedulable"]
    assert left["pod"] == f"{namespace}/p3"
    told = await objects.unschedulable(api, namespace, "p3")
    assert told.partition(" preemption: ")[0] == left["reason"]  # what is only planned makes nobody leave

    done = await ask(control_plane, "explain", "p0", "-n", namespace, "-o", "json")
    answer = done.json["pods"][f"{namespace}/p0"]
    assert (done.status, answer["feasible"], answer["chosen"]) == (0, [nodes[0]], nodes[0])


@pytest.mark.usefixtures("stowplan")
async def test_what_is_planned_of_a_cluster_in_a_file_is_what_the_operator_does(
    api: Api, control_plane: ControlPlane, own_node: OwnNode, own_class: OwnClass, namespace: str
) -> None:
    """Nodes of different sizes, so that one is always best."""
    sizes = {"large": ("a", "16"), "medium": ("b", "8"), "small": ("c", "4")}
    nodes = [await own_node(name, zone=zone, cpu=cpu) for name, (zone, cpu) in sizes.items()]
    local = await own_class("local", nodes=nodes)
    even = {"name": "over-zones", "domain": "zone", "enforcement": "Required"}
    apart = {"name": "one-per-host", "domain": "host", "enforcement": "Required"}
    written = [
        policy(namespace, "ha", spread=[even], separate=[apart]),
        stateful(namespace, data=(2, local), master=(1, "")),
    ]
    dump = await asyncio.to_thread(control_plane.kubectl, "get", KINDS, "-A", "-o", "json")
    given = f"{dump}{json.dumps(written)}"
    planned = await ask(control_plane, "plan", "-f", "-", "-n", namespace, "-o", "json", stdin=given)
    assert (planned.status, planned.err) == (0, "")
    members = ("db-data-0", "db-data-1", "db-master-0")
    expected = [{"pod": f"{namespace}/{name}", "node": node} for name, node in zip(members, nodes, strict=True)]
    assert planned.json["placements"] == expected
    (row,) = planned.json["domains"]
    assert row["counts"] == {"a": 1, "b": 1, "c": 1}

    for manifest in written:
        await api.create(manifest)
    for each in expected:
        pod = await objects.bound(api, *each["pod"].split("/"))
        assert pod["spec"]["nodeName"] == each["node"]
    assert {each["metadata"]["name"] for each in await api.list(objects.pods_path(namespace))} == set(members)


def stateful(namespace: str, **sets: tuple[int, str]) -> Manifest:
    """A StatefulCluster `db` on the test's own nodes: by name of the node set, how many, and the class of a volume."""
    container = {"name": "main", "image": "none", "resources": {"requests": {"cpu": "1"}}}
    template = {"spec": {"containers": [container], "nodeSelector": {objects.OWN: namespace}}}
    node_sets = []
    for name, (replicas, storage_class) in sets.items():
        size = {"storageClassName": storage_class, "resources": {"requests": {"storage": "1Gi"}}}
        claims = [{"metadata": {"name": "vol"}, "spec": size}] if storage_class else []
        node_sets.append({"name": name, "replicas": replicas, "template": template, "volumeClaimTemplates": claims})
    return {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "StatefulCluster",
        "metadata": {"name": "db", "namespace": namespace},
        "spec": {"schedulingPolicyRef": {"name": "ha"}, "nodeSets": node_sets},
    }


async def test_a_user_may_be_forbidden_to_look(control_plane: ControlPlane, release: Release) -> None:
    """Whoever may not list nodes is told so in one line."""
    kubeconfig = control_plane.service_account(release.namespace, "default")
    done = await asyncio.to_thread(run, "plan", "--kubeconfig", str(kubeconfig))
    assert (done.status, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("error: ")
    assert "is forbidden" in line
    assert line.endswith("; ask for that right")


@pytest.mark.usefixtures("stowplan")
async def test_the_table_is_no_larger_than_it_needs_to_be(
    api: Api, namespace: str, control_plane: ControlPlane
) -> None:
    await api.create(objects.pod(namespace, "web", nodeSelector={ZONE: "a"}))
    await objects.bound(api, namespace, "web")
    done = await ask(control_plane, "explain", "web", "-n", namespace)
    lines = done.out.splitlines()
    assert "nodes are feasible, the best is a-" in lines[0]
    assert any(line.startswith("… and 10 more") for line in lines)
    assert any(line.split()[1:2] == ["NodeAffinity"] for line in lines)
    assert len(lines) < 30
