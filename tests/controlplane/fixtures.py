"""Pytest fixtures for tests on a real control plane; loaded by tests/conftest.py.

One control plane per pytest process (that is, per pytest-xdist worker), started by the first test that wants it: it
takes 5 s and 600 MB, and two that work at the same time fill two cores. A test works in a namespace of its own and in
objects that carry its own names; one that breaks the cluster (crashes the API server, silences nodes) starts its own
with `new_control_plane`.

Tests never touch a cluster that they did not start: the KUBECONFIG of the environment, the one in the home directory
and a pod's in-cluster settings are out of reach while they run.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from tests.controlplane import binaries
from tests.controlplane.api import Api
from tests.controlplane.plane import ControlPlane, Options

NewControlPlane = Callable[[Options], ControlPlane]
"""Type of the fixture `new_control_plane`."""

_NEEDS = frozenset({"control_plane", "new_control_plane"})
_REPORT = pytest.StashKey[list[ControlPlane]]()


def pytest_configure(config: pytest.Config) -> None:
    """Put every cluster of the user out of reach."""
    config.stash[_REPORT] = []
    os.environ["KUBECONFIG"] = os.devnull
    for variable in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        os.environ.pop(variable, None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a control plane `e2e`, so that `-m 'not e2e'` can be relied on."""
    for item in items:
        if isinstance(item, pytest.Function) and _NEEDS & set(item.fixturenames):
            item.add_marker(pytest.mark.e2e)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs before the first test, whose time limit does not allow for ten minutes of compiling."""
    if session.config.option.collectonly or not any(item.get_closest_marker("e2e") for item in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        binaries.ensure()
        return
    with capture.global_and_fixture_disabled():
        binaries.ensure()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the logs are when something failed."""
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        for plane in config.stash[_REPORT]:
            terminalreporter.write_line(f"logs of the control plane: {plane.directory / 'logs'}")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[ControlPlane]:
    """The control plane that the tests of this process share: 60 nodes, the fake CSI driver, no kube-scheduler."""
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    pytestconfig.stash[_REPORT].append(plane)
    with plane:
        yield plane


@pytest.fixture
def new_control_plane(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[NewControlPlane]:
    """Starts control planes for this test alone: `new_control_plane(Options(scheduler=True))`."""
    planes: list[ControlPlane] = []

    def start(options: Options) -> ControlPlane:
        plane = ControlPlane(tmp_path_factory.mktemp("control-plane"), options)
        planes.append(plane)
        pytestconfig.stash[_REPORT].append(plane)
        plane.start()
        return plane

    yield start
    for plane in planes:
        plane.stop()


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[Api]:
    """The shared control plane's API, as administrator."""
    async with control_plane.api() as api:
        yield api


@pytest.fixture
async def namespace(request: pytest.FixtureRequest, control_plane: ControlPlane, api: Api) -> AsyncIterator[str]:
    """A namespace for this test alone, deleted afterwards with all that is in it."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    name = f"{words[:50].strip('-')}-{secrets.token_hex(3)}"
    await control_plane.create_namespace(name)
    yield name
    await api.delete(f"/api/v1/namespaces/{name}")
