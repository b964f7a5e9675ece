"""Volumes are found or made where the pod goes, and given back when that comes to nothing."""

from __future__ import annotations

import pytest
from tests.controlplane.api import Api, wait_until
from tests.controlplane.nodes import DISK, HOSTNAME, ZONE, Manifest
from tests.controlplane.storage import REFUSE, SELECTED_NODE
from tests.live import objects
from tests.live.conftest import OwnClass, OwnNode, OwnProcess
from tests.process import Replica

pytestmark = pytest.mark.timeout(180)

NO_SPACE = "node(s) did not have enough free storage"


def where(volume: Manifest) -> tuple[str, list[str]]:
    """Label and values of the nodes that can use a volume of the fake driver."""
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    (expression,) = term["matchExpressions"]
    return expression["key"], expression["values"]


async def volume_of(api: Api, namespace: str, claim: str) -> Manifest:
    found = await api.wait(
        objects.claim_path(namespace, claim), lambda each: each["status"].get("phase") == "Bound",
        within=objects.PATIENCE,
    )  # fmt: skip
    return await api.get(f"/api/v1/persistentvolumes/{found['spec']['volumeName']}")


async def selected(api: Api, namespace: str, claim: str) -> str:
    """The node that the claim's volume is to be made for, once one is selected."""
    found = await api.wait(
        objects.claim_path(namespace, claim),
        lambda each: SELECTED_NODE in each["metadata"].get("annotations", {}),
        within=objects.PATIENCE,
    )
    node: str = found["metadata"]["annotations"][SELECTED_NODE]
    return node


async def nothing_left(api: Api, stowplan: Replica) -> None:
    """Nothing is assumed any more, and what is kept is what a recount gives."""

    async def look() -> bool | None:
        return True if stowplan.metric("scheduler_cache_size", type="assumed_pods") == 0 else None

    await wait_until(look, what="no assumed pods", within=objects.PATIENCE)
    stowplan.check()


@pytest.mark.usefixtures("stowplan")
async def test_a_local_volume_is_made_on_the_pods_node(api: Api, namespace: str) -> None:
    await api.create(objects.claim(namespace, "data", "local-nvme", size="100Gi"))
    await api.create(objects.pod(namespace, "db", claims=["data"]))
    pod = await objects.bound(api, namespace, "db")
    node = await api.get(f"/api/v1/nodes/{pod['spec']['nodeName']}")
    assert node["metadata"]["labels"][DISK] == "nvme"
    assert where(await volume_of(api, namespace, "data")) == (HOSTNAME, [node["metadata"]["name"]])


@pytest.mark.usefixtures("stowplan")
async def test_a_zonal_volume_is_made_in_the_pods_zone_and_holds_the_next_pod_there(api: Api, namespace: str) -> None:
    await api.create(objects.claim(namespace, "data", "zonal"))
    await api.create(objects.pod(namespace, "first", claims=["data"], nodeSelector={ZONE: "b"}))
    await objects.bound(api, namespace, "first")
    assert where(await volume_of(api, namespace, "data")) == (ZONE, ["b"])

    await api.delete(objects.pod_path(namespace, "first"))
    await api.create(objects.pod(namespace, "second", claims=["data"]))
    second = await objects.bound(api, namespace, "second")
    node = await api.get(f"/api/v1/nodes/{second['spec']['nodeName']}")
    assert node["metadata"]["labels"][ZONE] == "b"


async def test_pods_go_where_there_is_room_for_their_volumes(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    """Three pods with 6 GiB each, two nodes with 10 GiB each."""
    nodes = [await own_node("n1"), await own_node("n2")]
    pool = await own_class("pool", nodes=nodes, capacity="10Gi")
    for name in ("first", "second"):
        await api.create(objects.claim(namespace, name, pool, size="6Gi"))
        await api.create(objects.pod(namespace, name, claims=[name]))
    first, second = await objects.all_bound(api, namespace, 2)
    assert {first["spec"]["nodeName"], second["spec"]["nodeName"]} == set(nodes)

    await api.create(objects.claim(namespace, "third", pool, size="6Gi"))
    await api.create(objects.pod(namespace, "third", claims=["third"]))
    message = await objects.unschedulable(api, namespace, "third")
    assert f"2 {NO_SPACE}" in message

    await api.delete(objects.pod_path(namespace, "first"))
    await api.delete(objects.claim_path(namespace, "first"))
    third = await objects.bound(api, namespace, "third")
    assert third["spec"]["nodeName"] == first["spec"]["nodeName"]
    await nothing_left(api, stowplan)


@pytest.mark.usefixtures("stowplan")
async def test_the_claims_of_a_pod_must_fit_together(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass
) -> None:
    """One pool has 10 GiB: two claims of 6 GiB do not go there, two of 4 GiB do."""
    node = await own_node("n")
    pool = await own_class("pool", nodes=[node], capacity="10Gi")
    for name, size in (("large-1", "6Gi"), ("large-2", "6Gi"), ("small-1", "4Gi"), ("small-2", "4Gi")):
        await api.create(objects.claim(namespace, name, pool, size=size))
    await api.create(objects.pod(namespace, "large", claims=["large-1", "large-2"]))
    assert f"1 {NO_SPACE}" in await objects.unschedulable(api, namespace, "large")
    await api.create(objects.pod(namespace, "small", claims=["small-1", "small-2"]))
    assert (await objects.bound(api, namespace, "small"))["spec"]["nodeName"] == node


async def test_a_pod_goes_elsewhere_when_the_driver_refuses(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, own: OwnProcess,
) -> None:  # fmt: skip
    """The driver reports space on three nodes and has some on one. No pod is sent to the same node twice."""
    release, replica = own({})
    refusing = [await own_node(name, annotations={REFUSE: "true"}) for name in ("n1", "n2")]
    good = await own_node("n3")
    pool = await own_class("pool", nodes=[*refusing, good])
    names = [f"p{number}" for number in range(5)]
    for name in names:
        await api.create(objects.claim(namespace, name, pool))
        await api.create(objects.pod(namespace, name, claims=[name], scheduler=release.name))
    pods = await objects.all_bound(api, namespace, len(names), within=90)
    assert {pod["spec"]["nodeName"] for pod in pods} == {good}
    errors = replica.counted("scheduler_schedule_attempts_total", result="error")
    assert errors <= len(names) * len(refusing)
    await nothing_left(api, replica)


async def test_a_node_that_refused_is_tried_again_later(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, own: OwnProcess,
) -> None:  # fmt: skip
    """There is no other. Nothing else happens when the time is over, and nobody waits for the flush."""
    release, _ = own({})
    node = await own_node("n1", annotations={REFUSE: "true"})
    pool = await own_class("pool", nodes=[node])
    await api.create(objects.claim(namespace, "data", pool))
    await api.create(objects.pod(namespace, "db", claims=["data"], scheduler=release.name))
    await objects.unschedulable(api, namespace, "db", saying="1 node(s) where the volume could not be provisioned")
    await api.patch(f"/api/v1/nodes/{node}", {"metadata": {"annotations": {REFUSE: None}}})
    assert (await objects.bound(api, namespace, "db"))["spec"]["nodeName"] == node


async def test_a_volume_that_does_not_come_in_time_is_given_back_and_tried_again(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, own: OwnProcess,
) -> None:  # fmt: skip
    """Making the volume takes longer than bindTimeout. When it is there at last, the pod gets it."""
    release, replica = own({"bindTimeout": "2s", "podMaxBackoffSeconds": 1})
    pool = await own_class("slow", nodes=[await own_node("n1"), await own_node("n2")], delay=6)
    created = await api.create(objects.claim(namespace, "data", pool))
    await api.create(objects.pod(namespace, "db", claims=["data"], scheduler=release.name))

    history: list[str | None] = []
    claims = objects.claim_path(namespace, "").rstrip("/")
    async for seen in api.watch(claims, created["metadata"]["resourceVersion"]):
        history.append(seen["object"]["metadata"].get("annotations", {}).get(SELECTED_NODE))
        if history[-1] is None and any(history):
            break
    assert [each for each in history if each is not None]

    await objects.unschedulable(api, namespace, "db", saying="no volume within 2 s", reason="SchedulerError")
    pod = await objects.bound(api, namespace, "db")
    assert where(await volume_of(api, namespace, "data")) == (HOSTNAME, [pod["spec"]["nodeName"]])
    await nothing_left(api, replica)


async def test_a_pod_that_is_deleted_while_its_volume_is_made_leaves_nothing_behind(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    node = await own_node("n", cpu="2")
    pool = await own_class("slow", nodes=[node], delay=4)
    await api.create(objects.claim(namespace, "data", pool))
    await api.create(objects.pod(namespace, "gone", cpu="1500m", claims=["data"]))
    assert await selected(api, namespace, "data") == node
    await api.delete(objects.pod_path(namespace, "gone"))

    # Its CPU is free at once, though the volume is still in the making.
    await api.create(objects.pod(namespace, "next", cpu="1500m", nodeSelector={objects.OWN: namespace}))
    await objects.bound(api, namespace, "next")
    await volume_of(api, namespace, "data")
    await nothing_left(api, stowplan)


async def test_pods_that_share_a_claim_follow_its_volume(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    """All of them are decided before the volume exists."""
    nodes = [await own_node("n1"), await own_node("n2"), await own_node("n3")]
    pool = await own_class("slow", nodes=nodes, delay=1)
    await api.create(objects.claim(namespace, "shared", pool))
    for number in range(4):
        await api.create(objects.pod(namespace, f"p{number}", claims=["shared"]))
    pods = await objects.all_bound(api, namespace, 4)
    (node,) = {pod["spec"]["nodeName"] for pod in pods}
    assert where(await volume_of(api, namespace, "shared")) == (HOSTNAME, [node])
    await nothing_left(api, stowplan)
    events = await api.list(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
    assert not [each["note"] for each in events if each["reason"] == "FailedScheduling"]


@pytest.mark.usefixtures("stowplan")
async def test_a_claim_for_one_pod_alone_is_handed_over_when_that_pod_is_gone(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass
) -> None:
    """A pod that is on its way out still has it."""
    node = await own_node("n")
    pool = await own_class("pool", nodes=[node])
    claim = objects.claim(namespace, "data", pool)
    claim["spec"]["accessModes"] = ["ReadWriteOncePod"]
    await api.create(claim)
    first = objects.pod(namespace, "first", claims=["data"])
    first["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(first)
    await objects.bound(api, namespace, "first")
    await api.create(objects.pod(namespace, "second", claims=["data"]))
    await objects.unschedulable(api, namespace, "second", saying="already in-use by another pod")
    await api.delete(objects.pod_path(namespace, "first"))
    await objects.unschedulable(api, namespace, "second", saying="already in-use by another pod")
    await api.patch(objects.pod_path(namespace, "first"), {"metadata": {"finalizers": None}})
    assert (await objects.bound(api, namespace, "second"))["spec"]["nodeName"] == node


async def test_existing_volumes_are_found_for_claims(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    """Each node has a disk; the smallest that is large enough is taken, and what has no provisioner is not made."""
    nodes = [await own_node("n1"), await own_node("n2")]
    disks = await own_class("disks", nodes=nodes, provisioner="kubernetes.io/no-provisioner")
    suffix = namespace[-6:]
    for node, size in zip(nodes, ("20Gi", "5Gi"), strict=True):
        await api.create(disk(f"disk-{size.lower()}-{suffix}", node, disks, size))
    try:
        await api.create(objects.claim(namespace, "small", disks, size="4Gi"))
        await api.create(objects.claim(namespace, "large", disks, size="10Gi"))
        await api.create(objects.claim(namespace, "more", disks, size="1Gi"))
        for name in ("large", "small"):
            await api.create(objects.pod(namespace, name, claims=[name]))
            await objects.bound(api, namespace, name)
        got = {name: (await volume_of(api, namespace, name))["metadata"]["name"] for name in ("small", "large")}
        assert got == {"small": f"disk-5gi-{suffix}", "large": f"disk-20gi-{suffix}"}

        await api.create(objects.pod(namespace, "more", claims=["more"]))
        message = await objects.unschedulable(api, namespace, "more")
        assert "node(s) didn't find available persistent volumes to bind" in message
        await nothing_left(api, stowplan)
    finally:
        for size in ("20gi", "5gi"):
            await api.delete(f"/api/v1/persistentvolumes/disk-{size}-{suffix}")


def disk(name: str, node: str, storage_class: str, size: str) -> Manifest:
    """A volume that exists, on one node."""
    expression = {"key": HOSTNAME, "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": f"/mnt/{name}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
    }
