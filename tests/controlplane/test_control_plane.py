from __future__ import annotations

import pytest
from tests.controlplane.api import Api, ApiFailure, condition
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
