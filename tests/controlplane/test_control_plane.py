from __future__ import annotations

import pytest
from tests.controlplane.api import STRATEGIC, Api, ApiFailure, condition
from tests.controlplane.nodes import Manifest
from tests.controlplane.plane import ControlPlane


def pod(namespace: str, name: str, node: str, **annotations: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "example.com/none"}]},
    }


async def test_sixty_nodes_are_ready_and_lie_in_their_domains(api: Api) -> None:
    nodes = await api.list("/api/v1/nodes")
    assert len(nodes) == 60
    assert {condition(node, "Ready") for node in nodes} == {"True"}
    assert not any(node["spec"].get("taints") for node in nodes)


async def test_a_pod_with_a_node_name_becomes_running_and_ready(api: Api, namespace: str) -> None:
    await api.create(pod(namespace, "a", "a-1-r1-h1"))
    running = await api.wait(f"/api/v1/namespaces/{namespace}/pods/a", lambda it: condition(it, "Ready") == "True")
    assert running["status"]["phase"] == "Running"


READY = "example.com/ready"


async def test_a_pod_told_so_runs_without_being_ready_until_told_otherwise(api: Api, namespace: str) -> None:
    where = f"/api/v1/namespaces/{namespace}/pods/a"
    await api.create(pod(namespace, "a", "a-1-r1-h1", **{READY: "false"}))
    await api.wait(where, lambda it: (it["status"]["phase"], condition(it, "Ready")) == ("Running", "False"))
    await api.patch(where, {"metadata": {"annotations": {READY: None}}})
    await api.wait(where, lambda it: condition(it, "Ready") == "True")
    await api.patch(where, {"metadata": {"annotations": {READY: "false"}}})
    await api.wait(where, lambda it: condition(it, "Ready") == "False")


async def test_a_pod_told_so_fails(api: Api, namespace: str) -> None:
    where = f"/api/v1/namespaces/{namespace}/pods/a"
    await api.create(pod(namespace, "a", "a-1-r1-h1", **{"example.com/fails": "true"}))
    await api.wait(where, lambda it: bool(it["status"]["phase"] == "Failed"))


async def test_a_pod_waits_for_its_readiness_gates(api: Api, namespace: str) -> None:
    where = f"/api/v1/namespaces/{namespace}/pods/a"
    gated = pod(namespace, "a", "a-1-r1-h1")
    gated["spec"]["readinessGates"] = [{"conditionType": "example.com/gate"}]
    await api.create(gated)
    await api.wait(where, lambda it: (condition(it, "ContainersReady"), condition(it, "Ready")) == ("True", "False"))
    opened = {"status": {"conditions": [{"type": "example.com/gate", "status": "True"}]}}
    await api.patch(f"{where}/status", opened, content_type=STRATEGIC)
    await api.wait(where, lambda it: condition(it, "Ready") == "True")


async def test_the_pods_of_a_job_end_well(api: Api, namespace: str) -> None:
    template = {"spec": {"nodeName": "a-1-r1-h1", "restartPolicy": "Never", "containers": [
        {"name": "main", "image": "example.com/none"}]}}  # fmt: skip
    await api.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": namespace},
                      "spec": {"template": template}})  # fmt: skip
    await api.wait(f"/apis/batch/v1/namespaces/{namespace}/jobs/j", lambda it: condition(it, "Complete") == "True")


async def test_a_deleted_pod_is_gone_at_once(api: Api, namespace: str) -> None:
    where = f"/api/v1/namespaces/{namespace}/pods/a"
    await api.create(pod(namespace, "a", "a-1-r1-h1"))
    await api.wait(where, lambda it: condition(it, "Ready") == "True")
    await api.delete(where)
    await api.wait_gone(where)


@pytest.mark.parametrize(
    ("user", "token", "status"),
    [
        pytest.param("nobody", None, 403, id="a user without rights"),
        pytest.param("admin", "", 403, id="anonymous"),
        pytest.param("admin", "no-such-token", 401, id="an unknown token"),
    ],
)
async def test_nodes_are_hidden_from(control_plane: ControlPlane, user: str, token: str | None, status: int) -> None:
    async with control_plane.api(user, token=token) as api:
        with pytest.raises(ApiFailure) as refused:
            await api.list("/api/v1/nodes")
    assert refused.value.status == status
