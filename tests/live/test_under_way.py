"""What a pod was placed on changes, before it is bound or after: nothing is placed on what is not there any more."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.controlplane.api import Api, path_of
from tests.controlplane.nodes import HOSTNAME, Manifest
from tests.controlplane.plane import ControlPlane
from tests.controlplane.storage import NAMESPACE
from tests.live import objects
from tests.live.conftest import OwnClass, OwnNode
from tests.live.test_volumes import NO_SPACE, disk, nothing_left, selected, volume_of
from tests.process import Replica

pytestmark = pytest.mark.timeout(180)

HOLD = "example.com/hold"
"""A finalizer: what has it is deleted when the test lets it go."""


def here(namespace: str, name: str, *, cpu: str = "1", claims: tuple[str, ...] = (), scheduler: str = objects.SCHEDULER,
         hold: bool = False) -> Manifest:  # fmt: skip
    """A pod for the test's own nodes."""
    found = objects.pod(
        namespace, name, cpu=cpu, claims=claims, scheduler=scheduler, nodeSelector={objects.OWN: namespace}
    )
    if hold:
        found["metadata"]["finalizers"] = [HOLD]
    return found


async def placed(api: Api, namespace: str, name: str, **arguments: object) -> str:
    """Such a pod gets a node: its name."""
    await api.create(here(namespace, name, **arguments))  # type: ignore[arg-type]
    node: str = (await objects.bound(api, namespace, name))["spec"]["nodeName"]
    return node


async def waits(api: Api, namespace: str, name: str, *, saying: str, **arguments: object) -> None:
    """Such a pod does not get one, for that reason."""
    await api.create(here(namespace, name, **arguments))  # type: ignore[arg-type]
    await objects.unschedulable(api, namespace, name, saying=saying)


async def bind(api: Api, namespace: str, name: str, node: str) -> None:
    """As another scheduler does it, which asks nobody."""
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
    await api.request("POST", f"{objects.pod_path(namespace, name)}/binding", binding)


# ---------------------------------------------------------------- nodes and the pods on them


async def test_a_node_that_shrinks_below_what_runs_there(
    api: Api, namespace: str, own_node: OwnNode, stowplan: Replica
) -> None:
    """Whoever is there stays and counts; others fit again when there is room in what is left."""
    node = await own_node("n", cpu="4")
    await placed(api, namespace, "large", cpu="3")
    await api.patch(f"/api/v1/nodes/{node}/status", {"status": {"allocatable": {"cpu": "2"}}})
    await waits(api, namespace, "small", cpu="500m", saying="1 Insufficient cpu")
    stowplan.check()
    await api.delete(objects.pod_path(namespace, "large"))
    assert (await objects.bound(api, namespace, "small"))["spec"]["nodeName"] == node
    await waits(api, namespace, "more", cpu="1600m", saying="1 Insufficient cpu")
    stowplan.check()


async def test_a_node_that_is_made_anew_with_another_size(
    api: Api, namespace: str, own_node: OwnNode, stowplan: Replica
) -> None:
    """The pods on the old one count on the new one, as long as they are there."""
    node = await own_node("n", cpu="4")
    await placed(api, namespace, "old", cpu="1500m")
    await api.delete(f"/api/v1/nodes/{node}")
    await objects.ready_node(api, objects.node(node, own=namespace, cpu="2"))
    assert await placed(api, namespace, "small", cpu="500m") == node
    await waits(api, namespace, "large", cpu="1500m", saying="1 Insufficient cpu")
    await waits(api, namespace, "larger", cpu="3", saying="1 Insufficient cpu")
    await api.delete(objects.pod_path(namespace, "old"))
    assert (await objects.bound(api, namespace, "large"))["spec"]["nodeName"] == node
    await objects.unschedulable(api, namespace, "larger", saying="1 Insufficient cpu")
    stowplan.check()


async def test_a_pod_that_is_leaving_counts_until_it_is_gone(
    api: Api, namespace: str, own_node: OwnNode, stowplan: Replica
) -> None:
    node = await own_node("n", cpu="2")
    await placed(api, namespace, "first", cpu="1500m", hold=True)
    await api.delete(objects.pod_path(namespace, "first"))
    await waits(api, namespace, "next", saying="1 Insufficient cpu")
    await api.patch(objects.pod_path(namespace, "first"), {"metadata": {"finalizers": None}})
    assert (await objects.bound(api, namespace, "next"))["spec"]["nodeName"] == node
    stowplan.check()


async def test_pods_of_other_schedulers_count(api: Api, namespace: str, own_node: OwnNode, stowplan: Replica) -> None:
    """From their bind on; one that waits for a node takes no room."""
    node = await own_node("n", cpu="2")
    await api.create(here(namespace, "theirs", cpu="1500m", scheduler="somebody-else"))
    await placed(api, namespace, "ours", cpu="1500m")
    await api.delete(objects.pod_path(namespace, "ours"))
    await bind(api, namespace, "theirs", node)
    await waits(api, namespace, "late", saying="1 Insufficient cpu")
    await api.delete(objects.pod_path(namespace, "theirs"))
    assert (await objects.bound(api, namespace, "late"))["spec"]["nodeName"] == node
    stowplan.check()


async def test_another_scheduler_takes_the_room_of_a_pod_in_flight(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    """As in kube-scheduler, what was decided stays decided, and whether both can run is for the kubelet to say.

    Both are counted: nobody else is placed there until there is room again.
    """
    node = await own_node("n", cpu="2")
    pool = await own_class("slow", nodes=[node], delay=2)
    await api.create(objects.claim(namespace, "data", pool))
    await api.create(here(namespace, "ours", cpu="1500m", claims=("data",)))
    assert await selected(api, namespace, "data") == node
    await api.create(here(namespace, "theirs", cpu="1500m", scheduler="somebody-else"))
    await bind(api, namespace, "theirs", node)
    await waits(api, namespace, "late", cpu="500m", saying="1 Insufficient cpu")
    assert (await objects.bound(api, namespace, "ours"))["spec"]["nodeName"] == node
    await nothing_left(api, stowplan)
    await api.delete(objects.pod_path(namespace, "theirs"))
    await objects.bound(api, namespace, "late")
    stowplan.check()


# ---------------------------------------------------------------- storage


async def test_two_pods_in_flight_do_not_count_on_the_same_space(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    """10 GiB, and 6 for each; the volume of the first one is still in the making when the second one comes."""
    node = await own_node("n")
    pool = await own_class("slow", nodes=[node], capacity="10Gi", delay=2)
    for name in ("first", "second"):
        await api.create(objects.claim(namespace, name, pool, size="6Gi"))
        await api.create(here(namespace, name, claims=(name,)))
    in_flight = {name: await api.get(objects.pod_path(namespace, name)) for name in ("first", "second")}
    assert not any("nodeName" in each["spec"] for each in in_flight.values())
    await objects.unschedulable(api, namespace, "second", saying=f"1 {NO_SPACE}")
    assert (await objects.bound(api, namespace, "first"))["spec"]["nodeName"] == node
    await nothing_left(api, stowplan)
    second = await api.get(objects.claim_path(namespace, "second"))
    assert second["status"]["phase"] == "Pending"


@pytest.fixture
async def pool(api: Api, namespace: str, own_node: OwnNode) -> AsyncIterator[tuple[str, str, str]]:
    """A node with 1 GiB of a driver that reports its capacity and makes nothing: node, class, path of the capacity."""
    node, name = await own_node("n"), f"own-{namespace[-6:]}"
    capacity = {
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "storageClassName": name, "capacity": "1Gi", "nodeTopology": {"matchLabels": {HOSTNAME: node}},
    }  # fmt: skip
    made = [
        {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": name},
         "spec": {"storageCapacity": True}},
        {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, "provisioner": name,
         "volumeBindingMode": "WaitForFirstConsumer"},
        capacity,
    ]  # fmt: skip
    for each in made:
        await api.create(each)
    yield node, name, path_of(capacity)
    for each in made:
        await api.delete(path_of(each))


async def test_storage_that_grows_wakes_the_pod_and_storage_that_shrinks_is_respected(
    api: Api, namespace: str, pool: tuple[str, str, str], stowplan: Replica
) -> None:
    node, storage_class, capacity = pool
    for name in ("first", "second"):
        await api.create(objects.claim(namespace, name, storage_class, size="5Gi"))
    await waits(api, namespace, "first", claims=("first",), saying=f"1 {NO_SPACE}")
    await api.patch(capacity, {"capacity": "20Gi"})
    assert await selected(api, namespace, "first") == node
    await api.patch(capacity, {"capacity": "4Gi"})
    await waits(api, namespace, "second", claims=("second",), saying=f"1 {NO_SPACE}")
    assert "annotations" not in (await api.get(objects.claim_path(namespace, "second")))["metadata"]
    await api.delete(objects.pod_path(namespace, "first"))
    await nothing_left(api, stowplan)


async def test_a_volume_that_is_deleted_while_a_pod_waits_for_it(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    """The pod is told, and placed once the volume is there again: its claim is bound to that very name."""
    node = await own_node("n")
    await api.create(objects.claim(namespace, "data", await own_class("pool", nodes=[node])))
    await placed(api, namespace, "first", claims=("data",))
    volume = await volume_of(api, namespace, "data")
    await api.delete(objects.pod_path(namespace, "first"))
    await api.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})
    await waits(api, namespace, "next", claims=("data",), saying="1 node(s) were unschedulable")

    path = f"/api/v1/persistentvolumes/{volume['metadata']['name']}"
    await api.delete(path)
    await api.patch(path, {"metadata": {"finalizers": None}})
    await api.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": None}})
    await objects.unschedulable(api, namespace, "next", saying="bound to non-existent persistentvolume")
    again = {key: volume[key] for key in ("apiVersion", "kind", "spec")}
    metadata = {"name": volume["metadata"]["name"], "annotations": volume["metadata"]["annotations"]}
    await api.create({**again, "metadata": metadata})
    assert (await objects.bound(api, namespace, "next"))["spec"]["nodeName"] == node
    await nothing_left(api, stowplan)


async def test_a_claim_that_is_deleted_while_its_volume_is_made(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    """The pod in flight gives up its node, and is placed with the next claim of that name."""
    node = await own_node("n", cpu="2")
    slow, quick = await own_class("slow", nodes=[node], delay=3600), await own_class("quick", nodes=[node])
    await api.create(objects.claim(namespace, "data", slow))
    await api.create(here(namespace, "db", cpu="1500m", claims=("data",)))
    assert await selected(api, namespace, "data") == node
    await api.delete(objects.claim_path(namespace, "data"))  # goes at once: nothing that runs uses it
    await objects.unschedulable(api, namespace, "db", saying='persistentvolumeclaim "data" not found')
    await nothing_left(api, stowplan)
    await api.create(objects.claim(namespace, "data", quick))
    assert (await objects.bound(api, namespace, "db"))["spec"]["nodeName"] == node
    await nothing_left(api, stowplan)


async def test_a_volume_that_is_deleted_between_the_decision_and_the_bind(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica, *, control_plane: ControlPlane
) -> None:
    """Nobody binds claims for a moment. The volume that was chosen for the claim goes; the pod takes the next one."""
    node = await own_node("n", cpu="2")
    disks = await own_class("disks", nodes=[node], provisioner="kubernetes.io/no-provisioner")
    first, second = (disk(f"disk-{number}-{namespace[-6:]}", node, disks, "5Gi") for number in (1, 2))
    await api.create(first)
    await api.create(objects.claim(namespace, "data", disks))
    await api.wait(path_of(first), lambda each: each["status"].get("phase") == "Available")
    control_plane.kill("kube-controller-manager")
    try:
        await api.create(here(namespace, "db", cpu="1500m", claims=("data",)))
        await api.wait(path_of(first), lambda each: "claimRef" in each["spec"], within=objects.PATIENCE)
        await api.delete(path_of(first))
        await api.patch(path_of(first), {"metadata": {"finalizers": None}})
        await objects.unschedulable(api, namespace, "db", saying="didn't find available persistent volumes to bind")
        await nothing_left(api, stowplan)
        assert "nodeName" not in (await api.get(objects.pod_path(namespace, "db")))["spec"]
    finally:
        control_plane.restart("kube-controller-manager")
    await api.create(second)
    try:
        assert (await objects.bound(api, namespace, "db"))["spec"]["nodeName"] == node
        assert (await volume_of(api, namespace, "data"))["metadata"]["name"] == second["metadata"]["name"]
        await nothing_left(api, stowplan)
    finally:
        await api.delete(path_of(second))
