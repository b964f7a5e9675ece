from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.controlplane import storage
from tests.controlplane.api import Api, condition, wait_until
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.nodes import HOSTNAME, ZONE, Layout, Manifest
from tests.controlplane.plane import Options
from tests.controlplane.test_control_plane import pod

GI = 2**30


def claim(namespace: str, name: str, storage_class: str, size: str = "10Gi", node: str | None = None) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {} if node is None else {storage.SELECTED_NODE: node},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        },
    }


def path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"


def is_bound(manifest: Manifest) -> bool:
    return bool(manifest.get("status", {}).get("phase") == "Bound")


async def capacity_left(api: Api, storage_class: str, segment: str) -> int:
    where = f"/apis/storage.k8s.io/v1/namespaces/kube-system/csistoragecapacities/{storage_class}.{segment}"
    return storage.parse((await api.get(where))["capacity"])


async def capacity_becomes(api: Api, storage_class: str, segment: str, expected: int) -> None:
    where = f"/apis/storage.k8s.io/v1/namespaces/kube-system/csistoragecapacities/{storage_class}.{segment}"
    await api.wait(where, lambda found: storage.parse(found["capacity"]) == expected)


@pytest.fixture
async def small(api: Api, namespace: str) -> AsyncIterator[str]:
    """A StorageClass of 15Gi on every node of zone a, for one test."""
    await api.create({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": namespace},
        "provisioner": "csi.example.com",
        "parameters": {"topologyKey": HOSTNAME, "capacity": "15Gi"},
        "allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["a"]}]}],
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    })  # fmt: skip
    await capacity_becomes(api, namespace, "a-1-r1-h1", 15 * GI)
    yield namespace
    await api.delete(f"/apis/storage.k8s.io/v1/storageclasses/{namespace}")


async def test_a_claim_without_a_selected_node_waits(api: Api, namespace: str) -> None:
    await api.create(claim(namespace, "early", "local"))
    await api.create(claim(namespace, "placed", "local", node="a-1-r1-h1"))
    await api.wait(path(namespace, "placed"), is_bound)
    assert not is_bound(await api.get(path(namespace, "early")))


async def test_a_claim_with_a_selected_node_is_bound_there_and_takes_its_space(
    api: Api, namespace: str, small: str
) -> None:
    await api.create(claim(namespace, "data", small, node="a-1-r1-h2"))
    bound = await api.wait(path(namespace, "data"), is_bound)
    volume = await api.get(f"/api/v1/persistentvolumes/{bound['spec']['volumeName']}")
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": HOSTNAME, "operator": "In", "values": ["a-1-r1-h2"]}]
    await capacity_becomes(api, small, "a-1-r1-h2", 5 * GI)
    assert await capacity_left(api, small, "a-1-r1-h1") == 15 * GI


async def test_space_comes_back_when_the_claim_is_deleted(api: Api, namespace: str, small: str) -> None:
    await api.create(claim(namespace, "data", small, node="a-1-r1-h1"))
    bound = await api.wait(path(namespace, "data"), is_bound)
    await api.delete(path(namespace, "data"))
    await api.wait_gone(f"/api/v1/persistentvolumes/{bound['spec']['volumeName']}")
    await capacity_becomes(api, small, "a-1-r1-h1", 15 * GI)


async def test_a_claim_too_large_for_its_node_loses_the_node_and_says_why(api: Api, namespace: str, small: str) -> None:
    await api.create(claim(namespace, "data", small, size="16Gi", node="a-1-r1-h1"))
    await api.wait(path(namespace, "data"), _has_no_node)
    assert not is_bound(await api.get(path(namespace, "data")))
    assert str(16 * GI) in await _complaint(api, namespace)


async def test_a_node_outside_the_allowed_topologies_is_refused(api: Api, namespace: str, small: str) -> None:
    await api.create(claim(namespace, "data", small, node="b-1-r1-h1"))
    await api.wait(path(namespace, "data"), _has_no_node)


async def test_a_node_told_to_refuse_refuses_whatever_its_capacity(api: Api, namespace: str, small: str) -> None:
    node = "/api/v1/nodes/a-2-r5-h2"
    await api.patch(node, {"metadata": {"annotations": {storage.REFUSE: "true"}}})
    await api.create(claim(namespace, "data", small, node="a-2-r5-h2"))
    await api.wait(path(namespace, "data"), _has_no_node)
    await api.patch(node, {"metadata": {"annotations": {storage.REFUSE: None}}})

    async def try_again() -> bool | None:
        """As a scheduler does: the driver may see the claim again before it sees the node's change."""
        seen = await api.get(path(namespace, "data"))
        if _has_no_node(seen):
            await api.patch(
                path(namespace, "data"), {"metadata": {"annotations": {storage.SELECTED_NODE: "a-2-r5-h2"}}}
            )
        return is_bound(seen) or None

    await wait_until(try_again, what="the claim to be bound")


async def test_a_delayed_volume_holds_its_space_while_it_is_made(api: Api, namespace: str, small: str) -> None:
    slow = claim(namespace, "slow", small, node="a-1-r1-h1")
    slow["metadata"]["annotations"][storage.DELAY] = "1"
    await api.create(slow)
    await capacity_becomes(api, small, "a-1-r1-h1", 5 * GI)
    assert not is_bound(await api.get(path(namespace, "slow")))
    await api.wait(path(namespace, "slow"), is_bound)


async def test_an_immediate_claim_is_bound_without_any_pod(api: Api, namespace: str) -> None:
    await api.create(claim(namespace, "data", "immediate"))
    await api.wait(path(namespace, "data"), is_bound)


async def test_a_bound_claim_grows(api: Api, namespace: str, small: str) -> None:
    await api.create(claim(namespace, "data", small, node="a-1-r2-h1"))
    await api.wait(path(namespace, "data"), is_bound)
    await api.patch(path(namespace, "data"), {"spec": {"resources": {"requests": {"storage": "12Gi"}}}})
    await api.wait(path(namespace, "data"), lambda found: found["status"]["capacity"]["storage"] == "12Gi")
    await capacity_becomes(api, small, "a-1-r2-h1", 3 * GI)


async def test_kube_scheduler_places_a_pod_with_a_claim_once_the_driver_stops_refusing(
    new_control_plane: NewControlPlane,
) -> None:
    layout = Layout(zones=1, power_domains=1, racks=1, hosts=2)
    plane = await asyncio.to_thread(new_control_plane, Options(layout=layout, scheduler=True))
    async with plane.api() as api:
        nodes = [f"/api/v1/nodes/{name}" for *_, name in layout.names()]
        for node in nodes:
            await api.patch(node, {"metadata": {"annotations": {storage.REFUSE: "true"}}})
        await api.create(claim("default", "data", "local-nvme"))
        user = pod("default", "user", "")
        del user["spec"]["nodeName"]
        user["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        await api.create(user)
        assert "is out of space" in await _complaint(api, "default")
        for node in nodes:
            await api.patch(node, {"metadata": {"annotations": {storage.REFUSE: None}}})
        await api.wait("/api/v1/namespaces/default/pods/user", lambda it: condition(it, "Ready") == "True", within=40)
        assert is_bound(await api.get(path("default", "data")))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        pytest.param("5", 5, id="bytes"),
        pytest.param("3k", 3000, id="decimal"),
        pytest.param("10Gi", 10 * GI, id="binary"),
        pytest.param("1.5Gi", 3 * GI // 2, id="fraction"),
    ],
)
def test_a_quantity_is_read(text: str, size: int) -> None:
    assert storage.parse(text) == size


def _has_no_node(found: Manifest) -> bool:
    return storage.SELECTED_NODE not in found["metadata"].get("annotations", {})


async def _complaint(api: Api, namespace: str) -> str:
    async def look() -> str | None:
        events = await api.list(f"/api/v1/namespaces/{namespace}/events", fieldSelector="reason=ProvisioningFailed")
        return events[0]["message"] if events else None

    return await wait_until(look, what="an event that says why")
