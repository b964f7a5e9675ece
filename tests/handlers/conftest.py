"""The controllers in this process, on a control plane where no other Stowplan runs."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.controlplane.api import Api
from tests.controlplane.nodes import Layout
from tests.controlplane.plane import ControlPlane, Options
from tests.handlers import audit
from tests.handlers.bench import Bench, FixedWorld, node_views

from stowplan.kube import config

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="session")
def quiet_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """12 nodes, kube-scheduler, our CRDs, and nobody who looks after them."""
    directory = tmp_path_factory.mktemp("quiet-plane")
    options = Options(
        layout=Layout(zones=3, power_domains=1, racks=2, hosts=2),
        scheduler=True,
        arguments={
            "kube-apiserver": audit.arguments(directory),
            "kube-controller-manager": ["--horizontal-pod-autoscaler-sync-period=1s"],
        },
    )
    with ControlPlane(directory, options) as plane:
        plane.kubectl("apply", "--server-side", "-f", str(CRDS))
        # Not --for=condition=…, which fails where there are no conditions yet.
        established = '--for=jsonpath={.status.conditions[?(@.type=="Established")].status}=True'
        plane.kubectl("wait", established, "--timeout=60s", "crd", "--all")
        plane.restart("kube-controller-manager")  # it looks for new kinds twice a minute only
        yield plane


@pytest.fixture
async def quiet_api(quiet_plane: ControlPlane) -> AsyncIterator[Api]:
    """Its API, as administrator."""
    async with quiet_plane.api() as api:
        yield api


@pytest.fixture
async def room(quiet_plane: ControlPlane, quiet_api: Api) -> AsyncIterator[str]:
    """A namespace for this test alone."""
    name = f"room-{secrets.token_hex(4)}"
    await quiet_plane.create_namespace(name)
    yield name
    await quiet_api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
async def target(quiet_plane: ControlPlane) -> config.Cluster:
    """Where our client connects to."""
    return await config.load(kubeconfig=str(quiet_plane.kubeconfig))


@pytest.fixture
async def world(quiet_api: Api) -> FixedWorld:
    """The nodes of the control plane."""
    return FixedWorld(await node_views(quiet_api))


@pytest.fixture
def bench(target: config.Cluster, world: FixedWorld, quiet_api: Api, room: str) -> Bench:
    """The controllers, and a cluster to try them on."""
    return Bench(target, world, quiet_api, room)
