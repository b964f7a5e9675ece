"""Operator and scheduler as one process with the chart's rights: a cluster from nothing to Ready and down again."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
import yaml
from tests.controlplane.api import Api, condition, wait_until
from tests.controlplane.nodes import Manifest
from tests.controlplane.plane import ControlPlane
from tests.handlers.bench import PATIENCE, cluster, node_set, reason, said, template
from tests.process import Replica

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stowplan")]


def ready(manifest: Manifest) -> bool:
    return said(manifest, "Ready") == "True"


@pytest.fixture
async def paths(api: Api, namespace: str) -> tuple[str, str]:
    """The example's policy and cluster, created: where they are."""
    for name in ("policy.yaml", "cluster.yaml"):
        manifest = yaml.safe_load((EXAMPLES / name).read_text())
        manifest["metadata"]["namespace"] = namespace
        await api.create(manifest)
    base = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}"
    return f"{base}/schedulingpolicies/search-ha", f"{base}/statefulclusters/search"


async def test_the_example_becomes_ready_as_its_policy_says_and_then_nothing_is_written(
    control_plane: ControlPlane, api: Api, namespace: str, paths: tuple[str, str], stowplan: Replica
) -> None:
    policy_path, cluster_path = paths
    found = await api.wait(cluster_path, ready, within=2 * PATIENCE)
    status = found["status"]
    assert status["summary"] == {"ready": "11/11", "updated": "11/11", "survives": ",".join(status["survives"])}
    assert {"zone", "host"} <= set(status["survives"])
    zones = next(each for each in status["placement"] if each["domain"] == "zone")
    assert sum(zones["counts"].values()) == 11
    policy = await api.wait(
        policy_path,
        lambda it: it.get("status", {}).get("pods", {}) == {"governed": 11, "bound": 11, "pending": 0},
        within=PATIENCE,
    )
    assert ready(policy)
    assert policy["status"]["violations"] == 0

    listed = control_plane.kubectl("get", "stc", "search", "-n", namespace).split()
    assert listed[:5] == ["NAME", "READY", "UPDATED", "SURVIVES", "POLICY"]
    assert listed[6:9] == ["search", "11/11", "11"]
    assert "11/11" in control_plane.kubectl("get", "schpol", "search-ha", "-n", namespace)

    before = await versions(api, namespace, paths)
    await asyncio.sleep(5)
    assert await versions(api, namespace, paths) == before


async def versions(api: Api, namespace: str, paths: tuple[str, str]) -> dict[str, str]:
    found = [await api.get(each) for each in paths]
    for collection in ("pods", "persistentvolumeclaims", "services"):
        found += await api.list(f"/api/v1/namespaces/{namespace}/{collection}")
    found += await api.list(f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets")
    return {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in found}


async def test_a_lost_member_goes_back_to_its_volume_and_a_set_shrinks_evenly(
    api: Api, namespace: str, paths: tuple[str, str]
) -> None:
    _, path = paths
    await api.wait(path, ready, within=2 * PATIENCE)
    pod = f"/api/v1/namespaces/{namespace}/pods/search-data-2"
    before = await api.get(pod)
    await api.delete(pod)
    again = await api.wait(
        pod,
        lambda it: it["metadata"]["uid"] != before["metadata"]["uid"] and bool(it["spec"].get("nodeName")),
        within=PATIENCE,
    )
    assert again["spec"]["nodeName"] == before["spec"]["nodeName"], "its volume is a disk of that node"
    found = await api.wait(path, ready, within=PATIENCE)
    node_sets = found["spec"]["nodeSets"]
    for each in node_sets:
        each["replicas"] = {"data": 3}.get(each["name"], each["replicas"])
    await api.patch(path, {"spec": {"nodeSets": node_sets}})
    await api.wait(path, ready, within=PATIENCE)
    zones = []
    for member in await api.list(f"/api/v1/namespaces/{namespace}/pods", labelSelector="stowplan.dev/node-set=data"):
        node = await api.get(f"/api/v1/nodes/{member['spec']['nodeName']}")
        zones.append(node["metadata"]["labels"]["topology.kubernetes.io/zone"])
    assert sorted(zones) == ["a", "b", "c"]


ZONE = "topology.kubernetes.io/zone"


async def member_zones(api: Api, namespace: str) -> dict[str, str]:
    """Zone by member."""
    zones = {each["metadata"]["name"]: each["metadata"]["labels"][ZONE] for each in await api.list("/api/v1/nodes")}
    pods = await api.list(f"/api/v1/namespaces/{namespace}/pods", labelSelector="stowplan.dev/cluster=db")
    return {each["metadata"]["name"]: zones[each["spec"]["nodeName"]] for each in pods if each["spec"].get("nodeName")}


async def taint(api: Api, zone: str, taints: list[Manifest] | None) -> None:
    for each in await api.list("/api/v1/nodes", labelSelector=f"{ZONE}={zone}"):
        await api.patch(f"/api/v1/nodes/{each['metadata']['name']}", {"spec": {"taints": taints}})


async def test_a_zone_goes_and_comes_back_and_so_do_the_members(api: Api, namespace: str) -> None:
    spread = {"name": "zones", "domain": "zone", "maxSkew": 1, "whenDomainDown": {"action": "Relax", "after": "1s"}}
    await api.create({
        "apiVersion": "stowplan.dev/v1alpha1", "kind": "SchedulingPolicy",
        "metadata": {"name": "ha", "namespace": namespace},
        "spec": {"failureDomains": [{"name": "zone", "topologyKey": ZONE}], "spread": [spread]},
    })  # fmt: skip
    data = node_set("data", 6, scheduler="stowplan")
    await api.create(cluster(namespace, data, schedulingPolicyRef={"name": "ha"}))
    path = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/statefulclusters/db"
    await api.wait(path, ready, within=PATIENCE)
    assert Counter((await member_zones(api, namespace)).values()) == {"a": 2, "b": 2, "c": 2}
    try:
        await taint(api, "c", [{"key": "example.com/down", "effect": "NoExecute"}])

        async def moved() -> bool | None:
            zones = Counter((await member_zones(api, namespace)).values())
            return True if zones == {"a": 3, "b": 3} else None

        await wait_until(moved, what="the members to be in the other zones", within=PATIENCE)
        await api.wait(path, ready, within=PATIENCE)
        before = await member_zones(api, namespace)
    finally:
        await taint(api, "c", None)

    async def back() -> dict[str, str] | None:
        zones = await member_zones(api, namespace)
        return zones if Counter(zones.values()) == {"a": 2, "b": 2, "c": 2} else None

    after = await wait_until(back, what="the members to be even again", within=PATIENCE)
    assert sum(before[name] != zone for name, zone in after.items()) == 2, "no more members have moved than need be"
    found = await api.wait(path, ready, within=PATIENCE)
    assert found["status"]["pendingChanges"] == []


@pytest.mark.parametrize(
    ("collection", "name"), [("services", "db"), ("poddisruptionbudgets", "db-data")], ids=["Service", "budget"]
)
async def test_what_somebody_deletes_is_there_again_at_once(
    api: Api, namespace: str, collection: str, name: str
) -> None:
    """Long before a cluster is looked at for no reason, which happens once a minute."""
    await api.create(cluster(namespace, node_set("data", 1, scheduler="stowplan")))
    await api.wait(f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/statefulclusters/db", ready, within=PATIENCE)
    group = "/apis/policy/v1" if collection == "poddisruptionbudgets" else "/api/v1"
    path = f"{group}/namespaces/{namespace}/{collection}/{name}"
    before = await api.get(path)
    await api.delete(path)
    await api.wait(path, lambda it: it["metadata"]["uid"] != before["metadata"]["uid"], within=10)


@pytest.mark.parametrize(
    ("collection", "name", "change"),
    [
        pytest.param(
            "services", "db", {"selector": {"app": "other"}, "publishNotReadyAddresses": False}, id="Service"
        ),
        pytest.param(
            "poddisruptionbudgets", "db-data", {"minAvailable": 0, "selector": {"matchLabels": {"app": "other"}}},
            id="budget",
        ),
    ],
)  # fmt: skip
async def test_what_somebody_changes_is_as_it_was_at_once(
    api: Api, namespace: str, collection: str, name: str, change: Manifest
) -> None:
    await api.create(cluster(namespace, node_set("data", 2, scheduler="stowplan")))
    await api.wait(f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/statefulclusters/db", ready, within=PATIENCE)
    group = "/apis/policy/v1" if collection == "poddisruptionbudgets" else "/api/v1"
    path = f"{group}/namespaces/{namespace}/{collection}/{name}"
    before = (await api.get(path))["spec"]
    changed = await api.patch(path, {"spec": change})
    assert changed["spec"] != before
    await api.wait(path, lambda it: it["spec"] == before, within=10)


async def test_kubectl_wait_returns_when_the_change_is_done_and_not_before(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    one = {key: value for key, value in node_set("data", scheduler="stowplan").items() if key != "replicas"}
    await api.create(cluster(namespace, one, replicas=1))
    for replicas in (1, 3, 2):
        await asyncio.to_thread(control_plane.kubectl, "scale", "stc/db", f"--replicas={replicas}", "-n", namespace)
        ready_by = ("--for=condition=Ready", f"--timeout={PATIENCE}s")
        await asyncio.to_thread(control_plane.kubectl, "wait", "stc/db", *ready_by, "-n", namespace)
        pods = await api.list(f"/api/v1/namespaces/{namespace}/pods")
        assert [condition(each, "Ready") for each in pods] == ["True"] * replicas
    shown = await asyncio.to_thread(control_plane.kubectl, "describe", "stc", "db", "-n", namespace)
    assert "all 2 members are ready" in shown.partition("Events:")[0]


async def test_a_member_that_lost_its_labels_gets_them_again_and_is_not_made_twice(api: Api, namespace: str) -> None:
    await api.create(cluster(namespace, node_set("data", 2, scheduler="stowplan")))
    path = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/statefulclusters/db"
    await api.wait(path, ready, within=PATIENCE)
    pod = f"/api/v1/namespaces/{namespace}/pods/db-data-0"
    before = (await api.get(pod))["metadata"]
    lost = {"stowplan.dev/cluster": None, "stowplan.dev/member": "7"}
    await api.patch(pod, {"metadata": {"labels": lost}})
    after = await api.wait(pod, lambda it: it["metadata"]["labels"] == before["labels"], within=10)
    assert after["metadata"]["uid"] == before["uid"]
    found = await api.wait(path, ready, within=PATIENCE)
    assert found["status"]["summary"]["ready"] == "2/2"


async def test_members_whose_cluster_names_no_policy_any_more_belong_to_the_one_that_selects_them(
    api: Api, namespace: str
) -> None:
    base = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}"
    kind = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "SchedulingPolicy"}
    specs: dict[str, Manifest] = {"named": {}, "selecting": {"selector": {}}}
    for name, spec in specs.items():
        await api.create({**kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})
    data = node_set("data", 2, scheduler="stowplan")
    await api.create(cluster(namespace, data, schedulingPolicyRef={"name": "named"}))

    async def governs(name: str, count: int) -> None:
        wanted = {"governed": count, "bound": count, "pending": 0}
        await api.wait(
            f"{base}/schedulingpolicies/{name}", lambda it: it.get("status", {}).get("pods") == wanted, within=10
        )

    await governs("named", 2)
    await api.patch(f"{base}/statefulclusters/db", {"spec": {"schedulingPolicyRef": None}})
    await governs("named", 0)
    await governs("selecting", 2)


async def test_what_others_do_to_the_placement_of_the_members_is_told_by_their_cluster(
    api: Api, namespace: str
) -> None:
    """The pod that they shall be near goes, and another one comes."""
    near = {"name": "near", "domain": "zone", "with": {"matchLabels": {"app": "cache"}}}
    domains = [{"name": "zone", "topologyKey": ZONE}]
    base = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}"
    await api.create({
        "apiVersion": "stowplan.dev/v1alpha1", "kind": "SchedulingPolicy",
        "metadata": {"name": "ha", "namespace": namespace}, "spec": {"failureDomains": domains, "colocate": [near]},
    })  # fmt: skip

    async def cache(name: str) -> None:
        spec = {**template()["spec"], "schedulerName": "stowplan", "nodeSelector": {ZONE: "a"}}
        meta = {"name": name, "namespace": namespace, "labels": {"app": "cache"}}
        await api.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})

    async def placement_is(word: str) -> None:
        await api.wait(f"{base}/statefulclusters/db", lambda it: reason(it, "PlacementSatisfied")[0] == word, within=15)

    await cache("one")
    await api.create(cluster(namespace, node_set("data", 1, scheduler="stowplan"), schedulingPolicyRef={"name": "ha"}))
    await api.wait(f"{base}/statefulclusters/db", ready, within=PATIENCE)
    await api.delete(f"/api/v1/namespaces/{namespace}/pods/one")
    await placement_is("RulesViolated")
    await cache("two")
    await placement_is("Satisfied")


async def test_a_node_that_is_deleted_wakes_the_clusters_with_a_member_on_it(api: Api, namespace: str) -> None:
    await api.create(cluster(namespace, node_set("data", 1, scheduler="stowplan")))
    base = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/statefulclusters/db"
    await api.wait(base, ready, within=PATIENCE)
    pod = await api.get(f"/api/v1/namespaces/{namespace}/pods/db-data-0")
    path = f"/api/v1/nodes/{pod['spec']['nodeName']}"
    node = await api.get(path)
    await api.delete(path)
    try:
        await api.wait(
            f"/api/v1/namespaces/{namespace}/pods/db-data-0",
            lambda it: it["metadata"]["uid"] != pod["metadata"]["uid"], within=10,
        )  # fmt: skip
        await api.wait(base, ready, within=PATIENCE)
    finally:
        meta = {"name": node["metadata"]["name"], "labels": node["metadata"]["labels"]}
        await api.create({"apiVersion": "v1", "kind": "Node", "metadata": meta, "status": node["status"]})
        await api.wait(
            path, lambda it: condition(it, "Ready") == "True" and not it["spec"].get("taints"), within=PATIENCE
        )
