"""Conditions, nominations, claims and volumes: each write changes its own fields only, and not behind one's back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.kube.test_binder import create_pod

from stowplan.errors import ApiError, Conflict
from stowplan.kube import resources, session, writes
from stowplan.model.objects import PersistentVolume, PersistentVolumeClaim, Pod, PodCondition

pytestmark = pytest.mark.e2e


def unschedulable(message: str) -> PodCondition:
    return PodCondition(type="PodScheduled", status="False", reason="Unschedulable", message=message)


async def condition(api: session.Api, pod: Pod) -> dict[str, Any]:
    now = await api.get(resources.PODS.of(pod), dict[str, Any])
    found: list[dict[str, Any]] = [one for one in now["status"]["conditions"] if one["type"] == "PodScheduled"]
    assert len(found) == 1
    return found[0]


async def test_condition_is_written_once_and_keeps_its_transition_time(kube: session.Api, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")

    assert await writes.patch_pod_status(kube, pod, condition=unschedulable("no node"))
    first = await condition(kube, pod)
    pod = await kube.get(resources.PODS.of(pod), Pod)
    assert not await writes.patch_pod_status(kube, pod, condition=unschedulable("no node"))
    assert await writes.patch_pod_status(kube, pod, condition=unschedulable("still no node"))
    second = await condition(kube, pod)

    assert (first["status"], first["reason"], first["message"]) == ("False", "Unschedulable", "no node")
    assert second["message"] == "still no node"
    assert second["lastTransitionTime"] == first["lastTransitionTime"]
    assert second["observedGeneration"] == 1


async def test_other_conditions_stay(kube: session.Api, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")
    ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    path = resources.PODS.of(pod, "status")
    await kube.patch(path, ready, msgspec.Raw, content_type=session.STRATEGIC_PATCH)

    await writes.patch_pod_status(kube, pod, condition=unschedulable("no node"))

    now = await kube.get(resources.PODS.of(pod), Pod)
    assert {one.type for one in now.status.conditions} == {"Ready", "PodScheduled"}


async def test_nomination_is_set_and_cleared(kube: session.Api, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")

    assert await writes.patch_pod_status(kube, pod, nominated="node-1")
    nominated = await kube.get(resources.PODS.of(pod), Pod)
    assert nominated.status.nominated_node_name == "node-1"
    assert not await writes.patch_pod_status(kube, nominated, nominated="node-1")
    assert await writes.patch_pod_status(kube, nominated, nominated="")
    assert (await kube.get(resources.PODS.of(pod), Pod)).status.nominated_node_name == ""


async def test_status_of_a_pod_made_again_is_not_touched(kube: session.Api, namespace: str) -> None:
    old = await create_pod(kube, namespace, "db-0")
    await kube.delete(resources.PODS.of(old), grace_seconds=0)
    await create_pod(kube, namespace, "db-0")

    with pytest.raises(Conflict):
        await writes.patch_pod_status(kube, old, nominated="node-1")


async def create_claim(api: session.Api, namespace: str) -> PersistentVolumeClaim:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "manual-for-this-test",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    body = {"metadata": {"name": "data"}, "spec": spec}
    return await api.post(resources.CLAIMS.path(namespace), body, PersistentVolumeClaim)


async def test_selected_node_is_written_on_the_claim_as_it_was_read_only(kube: session.Api, namespace: str) -> None:
    claim = await create_claim(kube, namespace)

    chosen = await writes.select_node(kube, claim, "node-1")
    assert chosen.metadata.annotations[writes.SELECTED_NODE] == "node-1"
    with pytest.raises(Conflict):
        await writes.select_node(kube, claim, "node-2")
    undone = await writes.select_node(kube, chosen, None)
    assert writes.SELECTED_NODE not in undone.metadata.annotations


async def test_volume_is_reserved_for_one_claim_and_given_back(bare: session.Api) -> None:
    claim = await create_claim(bare, "default")
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "manual-for-this-test",
        "hostPath": {"path": "/nowhere"},
    }
    name = "disk"
    volume = await bare.post(resources.VOLUMES.path(), {"metadata": {"name": name}, "spec": spec}, PersistentVolume)
    try:
        reserved = await writes.reserve_volume(bare, volume, claim)
        assert reserved.spec.claim_ref is not None
        assert (reserved.spec.claim_ref.name, reserved.spec.claim_ref.uid) == ("data", claim.metadata.uid)
        assert reserved.metadata.annotations[writes.BOUND_BY_CONTROLLER] == "yes"
        with pytest.raises(Conflict):
            await writes.reserve_volume(bare, volume, claim)
        released = await writes.release_volume(bare, reserved)
        assert released.spec.claim_ref is None
        assert writes.BOUND_BY_CONTROLLER not in released.metadata.annotations
    finally:
        await bare.delete(resources.VOLUMES.path(name=name))
        await bare.delete(resources.CLAIMS.of(claim))


async def test_refusal_is_one_line_that_names_the_field(kube: session.Api, namespace: str) -> None:
    with pytest.raises(ApiError) as caught:
        await create_pod(kube, namespace, "db-0", priority="high")

    assert "\n" not in str(caught.value)
    assert "priority" in str(caught.value)
