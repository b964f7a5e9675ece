"""A pod that fits nowhere is tried again as soon as something changes that can help it, not only after minutes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.controlplane.api import Api, wait_until
from tests.live import objects
from tests.live.conftest import OwnClass, OwnNode, OwnProcess
from tests.process import Replica

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("stowplan")]

TAINT = {"key": "example.com/maintenance", "value": "disk", "effect": "NoSchedule"}


async def waits_then_fits(
    api: Api, namespace: str, spec: dict[str, Any], *, saying: str, change: Callable[[], Awaitable[object]]
) -> str:
    """A pod first waits for that reason, then gets a node by the change: its name."""
    await api.create(objects.pod(namespace, "patient", **spec))
    await objects.unschedulable(api, namespace, "patient", saying=saying)
    await change()
    pod = await objects.bound(api, namespace, "patient")
    node: str = pod["spec"]["nodeName"]
    return node


async def test_a_new_node(api: Api, namespace: str, own_node: OwnNode) -> None:
    created: list[str] = []

    async def change() -> None:
        created.append(await own_node("late"))

    spec: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}}
    node = await waits_then_fits(api, namespace, spec, saying="didn't match Pod's node affinity", change=change)
    assert [node] == created


async def test_a_taint_is_removed(api: Api, namespace: str, own_node: OwnNode) -> None:
    name = await own_node("n", taints=[TAINT])
    spec: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}}
    await waits_then_fits(
        api, namespace, spec, saying="1 node(s) had untolerated taint",
        change=lambda: api.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": None}}),
    )  # fmt: skip


async def test_a_node_is_uncordoned(api: Api, namespace: str, own_node: OwnNode) -> None:
    name = await own_node("n", unschedulable=True)
    spec: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}}
    await waits_then_fits(
        api, namespace, spec, saying="1 node(s) were unschedulable",
        change=lambda: api.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": None}}),
    )  # fmt: skip


async def test_a_node_gets_a_label(api: Api, namespace: str, own_node: OwnNode) -> None:
    name = await own_node("n")
    spec: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace, "example.com/tier": "gold"}}
    await waits_then_fits(
        api, namespace, spec, saying="didn't match Pod's node affinity",
        change=lambda: api.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {"example.com/tier": "gold"}}}),
    )  # fmt: skip


async def test_a_node_gets_more_to_offer(api: Api, namespace: str, own_node: OwnNode) -> None:
    name = await own_node("n", cpu="1")
    spec: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}, "cpu": "2"}
    await waits_then_fits(
        api, namespace, spec, saying="1 Insufficient cpu",
        change=lambda: api.patch(f"/api/v1/nodes/{name}/status", {"status": {"allocatable": {"cpu": "3"}}}),
    )  # fmt: skip


async def test_a_kubelet_comes_back_that_can_do_more(api: Api, namespace: str, own_node: OwnNode) -> None:
    name = await own_node("n")
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    container = {"name": "main", "image": "example.com/none", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    spec: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}, "containers": [container]}
    features = {"status": {"declaredFeatures": ["RestartAllContainersOnContainerExits"]}}
    await waits_then_fits(
        api, namespace, spec, saying="1 node(s) didn't match Pod's required features",
        change=lambda: api.patch(f"/api/v1/nodes/{name}/status", features),
    )  # fmt: skip


async def test_a_pod_makes_room(api: Api, namespace: str, own_node: OwnNode) -> None:
    await own_node("n", cpu="2")
    spec: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}, "cpu": "1500m"}
    await api.create(objects.pod(namespace, "first", cpu="1500m", nodeSelector={objects.OWN: namespace}))
    await objects.bound(api, namespace, "first")
    await waits_then_fits(
        api, namespace, spec, saying="1 Insufficient cpu",
        change=lambda: api.delete(objects.pod_path(namespace, "first")),
    )  # fmt: skip


async def test_a_pod_that_has_finished_makes_room(api: Api, namespace: str, own_node: OwnNode) -> None:
    await own_node("n", cpu="2")
    spec: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}, "cpu": "1500m"}
    selector = {objects.OWN: namespace}
    await api.create(objects.pod(namespace, "first", cpu="1500m", nodeSelector=selector, restartPolicy="Never"))
    await objects.bound(api, namespace, "first")
    fails = {"metadata": {"annotations": {"example.com/fails": "true"}}}
    await waits_then_fits(
        api, namespace, spec, saying="1 Insufficient cpu",
        change=lambda: api.patch(objects.pod_path(namespace, "first"), fails),
    )  # fmt: skip


async def test_the_pod_comes_that_it_wants_to_be_with(api: Api, namespace: str) -> None:
    affinity = objects.beside("kubernetes.io/hostname", {"app": "cache"})
    await waits_then_fits(
        api, namespace, {"affinity": affinity}, saying="didn't match pod affinity rules",
        change=lambda: api.create(objects.pod(namespace, "cache", labels={"app": "cache"})),
    )  # fmt: skip
    cache, patient = await objects.all_bound(api, namespace, 2)
    assert cache["spec"]["nodeName"] == patient["spec"]["nodeName"]


async def test_its_claim_comes(api: Api, namespace: str) -> None:
    await waits_then_fits(
        api, namespace, {"claims": ["data"]}, saying='persistentvolumeclaim "data" not found',
        change=lambda: api.create(objects.claim(namespace, "data", "local")),
    )  # fmt: skip


async def test_the_storage_class_comes(api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass) -> None:
    node = await own_node("n")
    await api.create(objects.claim(namespace, "data", f"pool-{namespace[-6:]}"))
    got = await waits_then_fits(
        api, namespace, {"claims": ["data"]}, saying="unbound immediate PersistentVolumeClaims",
        change=lambda: own_class("pool", nodes=[node]),
    )  # fmt: skip
    assert got == node


async def test_the_namespace_gets_the_label_that_is_asked_for(api: Api, namespace: str) -> None:
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"app": "cache"}},
        "namespaceSelector": {"matchLabels": {"example.com/team": namespace}},
    }
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    await api.create(objects.pod(namespace, "cache", labels={"app": "cache"}))
    await objects.bound(api, namespace, "cache")
    await waits_then_fits(
        api, namespace, {"affinity": affinity}, saying="didn't match pod affinity rules",
        change=lambda: api.patch(f"/api/v1/namespaces/{namespace}",
                                 {"metadata": {"labels": {"example.com/team": namespace}}}),
    )  # fmt: skip


async def test_the_pod_itself_is_changed(api: Api, namespace: str, own_node: OwnNode) -> None:
    """Tolerations can be added to a pod that waits."""
    await own_node("n", taints=[TAINT])
    tolerations = [{"key": TAINT["key"], "operator": "Exists"}]
    spec: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}}

    async def change() -> None:
        path = objects.pod_path(namespace, "patient")
        existing = (await api.get(path))["spec"].get("tolerations", [])
        await api.patch(path, {"spec": {"tolerations": [*existing, *tolerations]}})

    await waits_then_fits(api, namespace, spec, saying="1 node(s) had untolerated taint", change=change)


async def test_what_cannot_help_is_no_reason_to_try_again(
    api: Api, namespace: str, own_node: OwnNode, stowplan: Replica
) -> None:
    await api.create(objects.pod(namespace, "lost", nodeSelector={"example.com/such": "nowhere"}))
    await objects.unschedulable(api, namespace, "lost")

    def tried() -> float:
        return stowplan.metric("scheduler_schedule_attempts_total", result="unschedulable")

    before = tried()
    await api.create(objects.pod(namespace, "other"))
    await objects.bound(api, namespace, "other")
    await api.create(objects.claim(namespace, "data", "local"))
    await api.delete(objects.pod_path(namespace, "other"))
    await api.create(objects.pod(namespace, "third", claims=["data"]))
    await objects.bound(api, namespace, "third")
    assert tried() == before


async def test_no_pod_is_tried_in_vain_while_others_come_and_go(
    api: Api, namespace: str, own_node: OwnNode, own: OwnProcess
) -> None:
    """Fifty pods of one kind that fit nowhere; others come and go, and only what may help wakes any of them."""
    release, replica = own({})
    node = await own_node("n", cpu="2")
    here: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}, "scheduler": release.name}
    await objects.create_all(api, (objects.pod(namespace, f"large-{number}", cpu="3", **here) for number in range(50)))
    for number in range(50):
        await objects.unschedulable(api, namespace, f"large-{number}", saying="1 Insufficient cpu")

    def tried() -> float:
        return replica.metric("scheduler_schedule_attempts_total", result="unschedulable")

    before = tried()
    for turn in range(5):
        names = [f"small-{turn}-{number}" for number in range(4)]
        await objects.create_all(api, (objects.pod(namespace, name, cpu="100m", **here) for name in names))
        for name in names:
            await objects.bound(api, namespace, name)
            await api.delete(objects.pod_path(namespace, name))
        labels = {"metadata": {"labels": {"example.com/turn": str(turn)}}}
        await api.patch(f"/api/v1/nodes/{node}", labels)
    assert tried() == before
    assert replica.values("stowplan_queue_vain_retries_total", "event") == []
    await api.patch(f"/api/v1/nodes/{node}/status", {"status": {"allocatable": {"cpu": "7"}}})

    async def two() -> bool | None:
        pods = await api.list(objects.pods_path(namespace))
        return True if sum("nodeName" in each["spec"] for each in pods) == 2 else None

    await wait_until(two, what="two of the large pods bound", within=objects.PATIENCE)


async def test_what_a_pod_waits_for_now_is_said_though_it_was_not_tried(
    api: Api, namespace: str, own_node: OwnNode, own: OwnProcess
) -> None:
    release, replica = own({})
    node = await own_node("n", cpu="2")
    here: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}, "scheduler": release.name}
    await api.create(objects.pod(namespace, "patient", cpu="3", **here))
    await objects.unschedulable(api, namespace, "patient", saying="1 Insufficient cpu")
    before = replica.metric("scheduler_schedule_attempts_total", result="unschedulable")
    await api.patch(f"/api/v1/nodes/{node}", {"spec": {"taints": [TAINT]}})
    await api.patch(f"/api/v1/nodes/{node}/status", {"status": {"allocatable": {"cpu": "7"}}})
    await objects.unschedulable(api, namespace, "patient", saying="1 node(s) had untolerated taint")
    assert replica.metric("scheduler_schedule_attempts_total", result="unschedulable") == before
    await api.patch(f"/api/v1/nodes/{node}", {"spec": {"taints": None}})
    await objects.bound(api, namespace, "patient")


async def test_a_node_that_is_made_anew_under_its_name(api: Api, namespace: str, own_node: OwnNode) -> None:
    name = await own_node("n", taints=[TAINT])

    async def change() -> None:
        await api.delete(f"/api/v1/nodes/{name}")
        await objects.ready_node(api, objects.node(name, own=namespace))

    spec: dict[str, Any] = {"nodeSelector": {objects.OWN: namespace}}
    got = await waits_then_fits(api, namespace, spec, saying="1 node(s) had untolerated taint", change=change)
    assert got == name
