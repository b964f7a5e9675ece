"""Nodes and storage classes of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.controlplane import storage
from tests.controlplane.api import Api, path_of
from tests.controlplane.nodes import DRIVER, HOSTNAME, Layout, Manifest
from tests.live import objects
from tests.process import Release, Replica, Settings
from tests.process_fixtures import NewReplica

OwnNode = Callable[..., Awaitable[str]]
"""`await own_node("n1", cpu="2")` returns the name; arguments as for `objects.node`."""
OwnClass = Callable[..., Awaitable[str]]
"""`await own_class("pool", capacity="10Gi")` returns the name."""

OwnProcess = Callable[[Settings], tuple[Release, Replica]]
"""`release, replica = own({"bindTimeout": "2s"})`; its schedulerName is the release's name."""


@pytest.fixture
def own(new_release: Callable[[], Release], new_replica: NewReplica) -> OwnProcess:
    """Starts a leader with settings of the test's own."""

    def start(settings: Settings) -> tuple[Release, Replica]:
        release = new_release()
        replica = new_replica(release, settings)
        replica.wait_leads()
        return release, replica

    return start


@pytest.fixture
async def own_node(api: Api, namespace: str) -> AsyncIterator[OwnNode]:
    """Makes nodes with the label `OWN: <namespace>`, with the fake CSI driver, and deletes them afterwards."""
    names: list[str] = []

    async def create(name: str, **arguments: object) -> str:
        full = f"{name}-{namespace[-6:]}"
        manifest = objects.node(full, own=namespace, **arguments)  # type: ignore[arg-type]
        names.append(full)
        await objects.ready_node(api, manifest)
        registered = await api.get(f"/api/v1/nodes/{full}")
        await api.create(Layout().csi_node(registered))
        return full

    yield create
    for name in names:
        await api.delete(f"/api/v1/nodes/{name}")


@pytest.fixture
async def own_class(api: Api, namespace: str) -> AsyncIterator[OwnClass]:
    """Makes StorageClasses of the fake CSI driver whose volumes lie on single nodes of the test's own."""
    made: list[Manifest] = []

    async def create(
        name: str, *, nodes: list[str], capacity: str = "10Gi", delay: float = 0.0, provisioner: str = DRIVER
    ) -> str:
        allowed = [{"matchLabelExpressions": [{"key": HOSTNAME, "values": nodes}]}]
        manifest: Manifest = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": f"{name}-{namespace[-6:]}",
                "annotations": {f"{DRIVER}/delay": str(delay)} if delay else {},
            },
            "provisioner": provisioner,
            "parameters": {"topologyKey": HOSTNAME, "capacity": capacity},
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": allowed,
        }
        made.append(await api.create(manifest))
        if provisioner == DRIVER:
            path = f"/apis/storage.k8s.io/v1/namespaces/{storage.NAMESPACE}/csistoragecapacities"
            for each in nodes:
                await api.wait(f"{path}/{made[-1]['metadata']['name']}.{each}", lambda _: True, within=objects.PATIENCE)
        found: str = made[-1]["metadata"]["name"]
        return found

    yield create
    for manifest in made:
        await api.delete(path_of(manifest))
