"""Pytest fixtures with the running product; loaded by tests/conftest.py.

`stowplan` is one process that all tests of the pytest process share, on the shared `control_plane`, and that schedules
every pod with schedulerName `stowplan` there. Who wants to stop it, to configure it or to have several, starts others
with `new_replica`, of a `new_release`: that has a schedulerName of its own, so that they do not take each other's pods.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Generator, Iterator
from typing import Protocol

import pytest
from tests import process
from tests.controlplane.plane import ControlPlane
from tests.process import Release, Replica, Settings

NAMESPACE = "stowplan-system"

_REPLICAS = pytest.StashKey[list[Replica]]()


class NewReplica(Protocol):
    """Type of the fixture `new_replica`."""

    def __call__(
        self, release: Release, settings: Settings | None = None, *, server: str = "", wait: bool = True
    ) -> Replica:
        """Start a replica of a release; with `wait` it is ready."""


def pytest_configure(config: pytest.Config) -> None:
    """Nothing runs yet."""
    config.stash[_REPLICAS] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes have logged last when a test has failed."""
    report = yield
    if report.failed:
        for replica in item.config.stash[_REPLICAS]:
            report.sections.append((f"log of {replica.name}", replica.tail()))
    return report


@pytest.fixture(scope="session")
def release(control_plane: ControlPlane) -> Release:
    """The chart, installed on the shared control plane."""
    return process.install(control_plane, namespace=NAMESPACE)


@pytest.fixture(scope="session")
def _shared(release: Release, pytestconfig: pytest.Config) -> Iterator[Replica]:
    replica = release.replica()
    with _known(pytestconfig, replica), replica:
        replica.wait_ready()
        replica.wait_leads()
        yield replica


@pytest.fixture
def stowplan(_shared: Replica) -> Replica:
    """The running process that tests share: it leads, and its pods are those with schedulerName `stowplan`."""
    assert _shared.alive, f"the shared process has ended\n{_shared.tail()}"
    return _shared


@pytest.fixture
def new_release(control_plane: ControlPlane) -> Iterator[Callable[[], Release]]:
    """Installs further releases on the shared control plane, each with a schedulerName and a lease of its own.

    They place pods and no more: StatefulClusters and every status are left to the one of `release`.
    """
    releases: list[Release] = []

    def install() -> Release:
        name = f"stowplan-{secrets.token_hex(3)}"
        values = {"config": {"schedulerName": name, "controllers": False}, "rbac": {"aggregateClusterRoles": False}}
        releases.append(process.install(control_plane, namespace=name, name=name, values=values))
        return releases[-1]

    yield install
    for one in releases:
        one.uninstall()
        control_plane.kubectl("delete", "namespace", one.namespace, "--wait=false")


@pytest.fixture
def new_replica(pytestconfig: pytest.Config) -> Iterator[NewReplica]:
    """Starts processes for this test alone."""
    with contextlib.ExitStack() as running:

        def start(
            release: Release, settings: Settings | None = None, *, server: str = "", wait: bool = True
        ) -> Replica:
            replica = release.replica(f"stowplan-{secrets.token_hex(3)}", settings, server=server)
            running.enter_context(_known(pytestconfig, replica))
            running.enter_context(replica)
            if wait:
                replica.wait_ready()
            return replica

        yield start


@contextlib.contextmanager
def _known(config: pytest.Config, replica: Replica) -> Iterator[None]:
    """Its log is shown when a test fails meanwhile."""
    config.stash[_REPLICAS].append(replica)
    try:
        yield
    finally:
        config.stash[_REPLICAS].remove(replica)
