"""Our own client on the real API server, and ways to break what lies between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.controlplane.plane import ControlPlane, Options
from tests.kube.proxy import Proxy

from stowplan.kube import config, session


@pytest.fixture(scope="session")
def bare_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd and kube-apiserver only, to be stopped and restarted; every test leaves it running."""
    arguments = {"kube-apiserver": ["--disable-admission-plugins=ServiceAccount"]}
    options = Options(layout=None, controllers=False, kwok=False, provisioner=False, arguments=arguments)
    with ControlPlane(tmp_path_factory.mktemp("bare-plane"), options) as plane:
        yield plane


@pytest.fixture
async def cluster(control_plane: ControlPlane) -> config.Cluster:
    """The shared control plane, as its administrator."""
    return await config.load(kubeconfig=str(control_plane.kubeconfig))


@pytest.fixture
async def kube(cluster: config.Cluster) -> AsyncIterator[session.Api]:
    """Our client of the shared control plane."""
    async with session.Api(cluster) as api:
        yield api


@pytest.fixture
async def bare_cluster(bare_plane: ControlPlane) -> config.Cluster:
    """The control plane that may be broken, as its administrator."""
    return await config.load(kubeconfig=str(bare_plane.kubeconfig))


@pytest.fixture
async def bare(bare_cluster: config.Cluster) -> AsyncIterator[session.Api]:
    """Our client of the control plane that may be broken."""
    async with session.Api(bare_cluster) as api:
        yield api


@pytest.fixture
async def proxy(cluster: config.Cluster) -> AsyncIterator[Proxy]:
    """A breakable wire to the shared control plane."""
    async with Proxy(cluster) as wire:
        yield wire
