"""Pods of a real API server get their nodes, and it is told why."""

from __future__ import annotations

import re

import pytest
from tests.controlplane.api import Api, condition, wait_until
from tests.controlplane.nodes import DISK, RACK, ZONE
from tests.controlplane.plane import ControlPlane
from tests.live import objects
from tests.process import Release, Replica

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("stowplan")]


async def test_a_pod_is_bound_and_says_by_whom_and_why(api: Api, namespace: str, release: Release) -> None:
    await api.create(objects.pod(namespace, "web"))
    pod = await objects.bound(api, namespace, "web")
    assert condition(pod, "PodScheduled") == "True"

    why, nodes = objects.why(pod), await api.list("/api/v1/nodes")
    assert why["nodes"] == why["feasible"] == len(nodes)
    assert isinstance(why["score"], int)
    assert why["score"] >= why["runnerUp"]["score"]
    assert why["runnerUp"]["node"] in {each["metadata"]["name"] for each in nodes} - {pod["spec"]["nodeName"]}
    assert all(isinstance(plugin, str) for plugin in why.get("plugins", []))

    lease = await api.get(release.lease)
    fence = f"{lease['spec']['holderIdentity']}/{lease['spec'].get('leaseTransitions', 0)}"
    assert pod["metadata"]["annotations"]["stowplan.dev/fence"] == fence

    event = await objects.event(api, pod, "Scheduled")
    assert event["note"] == f"Successfully assigned {namespace}/web to {pod['spec']['nodeName']}"
    assert (event["type"], event["action"], event["reportingController"]) == ("Normal", "Binding", "stowplan")


async def test_a_pod_of_another_scheduler_is_left_alone(api: Api, namespace: str) -> None:
    await api.create(objects.pod(namespace, "theirs", scheduler="somebody-else"))
    await api.create(objects.pod(namespace, "ours"))
    await objects.bound(api, namespace, "ours")  # the watch has shown the other one before
    theirs = await api.get(objects.pod_path(namespace, "theirs"))
    assert "nodeName" not in theirs["spec"]
    assert condition(theirs, "PodScheduled") is None


async def test_pods_are_spread_over_the_zones(api: Api, namespace: str) -> None:
    labels = {"app": "spread"}
    for number in range(7):
        rules = [objects.spread(ZONE, labels)]
        await api.create(objects.pod(namespace, f"p{number}", labels=labels, topologySpreadConstraints=rules))
    pods = await objects.all_bound(api, namespace, 7)
    assert sorted(objects.counts(pods, await api.list("/api/v1/nodes"), ZONE).values()) == [2, 2, 3]


async def test_pods_that_shun_each_other_get_racks_of_their_own(api: Api, namespace: str) -> None:
    labels = {"app": "shy"}
    for number in range(8):
        await api.create(objects.pod(namespace, f"p{number}", labels=labels, affinity=objects.apart(RACK, labels)))
    pods = await objects.all_bound(api, namespace, 8)
    assert max(objects.counts(pods, await api.list("/api/v1/nodes"), RACK).values()) == 1


async def test_pods_are_placed_where_their_node_affinity_says(api: Api, namespace: str) -> None:
    terms = [
        {"key": ZONE, "operator": "In", "values": ["b"]},
        {"key": DISK, "operator": "NotIn", "values": ["hdd", "ssd"]},
    ]
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": terms}]}
        }
    }
    await api.create(objects.pod(namespace, "picky", affinity=affinity))
    pod = await objects.bound(api, namespace, "picky")
    node = await api.get(f"/api/v1/nodes/{pod['spec']['nodeName']}")
    assert (node["metadata"]["labels"][ZONE], node["metadata"]["labels"][DISK]) == ("b", "nvme")


async def test_a_host_port_is_given_out_once_per_node(api: Api, namespace: str) -> None:
    rack = {RACK: "c-2-r5"}  # two hosts
    for name in ("first", "second", "third"):
        await api.create(objects.pod(namespace, name, ports=[31999], nodeSelector=rack))
    message = await _the_one_left_over(api, namespace, ["first", "second", "third"])
    assert "2 node(s) didn't have free ports for the requested pod ports" in message


async def _the_one_left_over(api: Api, namespace: str, names: list[str]) -> str:
    """Two of the pods are bound to different nodes; what the third one's condition says."""

    async def look() -> str | None:
        pods = {name: await api.get(objects.pod_path(namespace, name)) for name in names}
        nodes = [each["spec"]["nodeName"] for each in pods.values() if "nodeName" in each["spec"]]
        waiting = [name for name, each in pods.items() if condition(each, "PodScheduled") == "False"]
        if len(nodes) < 2 or len(waiting) != 1:
            return None
        assert len(set(nodes)) == 2
        return await objects.unschedulable(api, namespace, waiting[0])

    return await wait_until(look, what="two bound pods and one that waits", within=objects.PATIENCE)


async def test_a_gated_pod_waits_until_its_last_gate_is_opened(api: Api, namespace: str, stowplan: Replica) -> None:
    gates = [{"name": "example.com/quota"}, {"name": "example.com/review"}]
    await api.create(objects.pod(namespace, "gated", schedulingGates=gates))
    await api.create(objects.pod(namespace, "other"))
    await objects.bound(api, namespace, "other")  # the watch has shown the gated one before
    path = objects.pod_path(namespace, "gated")
    assert stowplan.metric("scheduler_pending_pods", queue="gated") == 1

    await api.patch(path, {"spec": {"schedulingGates": gates[1:]}})
    assert "nodeName" not in (await api.get(path))["spec"]
    await api.patch(path, {"spec": {"schedulingGates": []}})
    await objects.bound(api, namespace, "gated")
    assert stowplan.metric("scheduler_pending_pods", queue="gated") == 0


async def test_what_is_not_supported_yet_is_said(api: Api, namespace: str) -> None:
    claims = [{"name": "gpu", "resourceClaimName": "shared-gpu"}]
    await api.create(objects.pod(namespace, "gpu", resourceClaims=claims))
    message = await objects.unschedulable(api, namespace, "gpu")
    assert re.fullmatch(r"0/\d+ nodes are available: .*resourceClaims.*not support.*", message), message


async def test_a_pod_that_fits_nowhere_says_so_in_kube_schedulers_words(
    api: Api, namespace: str, control_plane: ControlPlane
) -> None:
    await api.create(objects.pod(namespace, "lost", nodeSelector={"example.com/such": "nowhere"}))
    message = await objects.unschedulable(api, namespace, "lost")
    count = len(await api.list("/api/v1/nodes"))
    said = f"{count} node(s) didn't match Pod's node affinity/selector"
    assert message.startswith(f"0/{count} nodes are available: {said}.")

    pod = await api.get(objects.pod_path(namespace, "lost"))
    event = await objects.event(api, pod, "FailedScheduling")
    assert (event["type"], event["note"]) == ("Warning", message)
    described = control_plane.kubectl("describe", "pod", "lost", "-n", namespace)
    assert "FailedScheduling" in described
    assert said in described


async def test_reasons_are_counted_over_all_nodes(api: Api, namespace: str) -> None:
    """Some nodes are too small, the others are in the wrong zone."""
    await api.create(objects.pod(namespace, "huge", cpu="900", nodeSelector={ZONE: "a"}))
    message = await objects.unschedulable(api, namespace, "huge")
    nodes = await api.list("/api/v1/nodes")
    inside = sum(each["metadata"]["labels"][ZONE] == "a" for each in nodes)
    assert f"{inside} Insufficient cpu" in message
    assert f"{len(nodes) - inside} node(s) didn't match Pod's node affinity/selector" in message
