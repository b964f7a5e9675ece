"""A second release never works against the first: Helm refuses it, or it does something else."""

from __future__ import annotations

import pytest
from tests.chart import rendering
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.plane import ControlPlane, Options

NAMES = "stowplan.dev:"


def install(plane: ControlPlane, name: str, *settings: str) -> str:
    return plane.helm(
        "install", name, str(rendering.CHART), "-n", f"{name}-system", "--create-namespace",
        *(part for each in settings for part in ("--set", each)),
    )  # fmt: skip


def taken(plane: ControlPlane) -> set[str]:
    roles = plane.kubectl("get", "clusterroles", "-o", "name").split()
    names = (role.partition("/")[2] for role in roles)
    return {name.removeprefix(NAMES) for name in names if name.startswith(NAMES)}


@pytest.mark.timeout(120)
def test_of_two_releases_that_would_do_the_same_the_second_is_refused(new_control_plane: NewControlPlane) -> None:
    plane = new_control_plane(Options(layout=None, kwok=False, provisioner=False))
    install(plane, "first")
    assert taken(plane) == {"controllers", "scheduler:stowplan"}
    first = "the release first in the namespace first-system already"

    with pytest.raises(ControlPlaneError, match=f"{first} looks after .*; set config.controllers=false and a config"):
        install(plane, "second", "config.schedulerName=other")
    with pytest.raises(ControlPlaneError, match=f"{first} places the pods with schedulerName stowplan; set another"):
        install(plane, "second", "config.controllers=false")
    profiles = (
        "config.controllers=false",
        "config.profiles[0].schedulerName=other",
        "config.profiles[1].schedulerName=stowplan",
    )
    with pytest.raises(ControlPlaneError, match=f"{first} places the pods with schedulerName stowplan"):
        install(plane, "second", *profiles)
    assert taken(plane) == {"controllers", "scheduler:stowplan"}

    install(plane, "second", "config.controllers=false", "config.schedulerName=other")
    assert taken(plane) == {"controllers", "scheduler:stowplan", "scheduler:other"}
    plane.helm("upgrade", "first", str(rendering.CHART), "-n", "first-system", "--set", "replicaCount=5")
    with pytest.raises(ControlPlaneError, match="the release first in the namespace first-system already looks after"):
        plane.helm(
            "upgrade", "second", str(rendering.CHART), "-n", "second-system", "--set", "config.schedulerName=other"
        )

    plane.helm("uninstall", "first", "-n", "first-system")
    plane.helm("upgrade", "second", str(rendering.CHART), "-n", "second-system", "--reset-values")
    assert taken(plane) == {"controllers", "scheduler:stowplan"}


@pytest.mark.timeout(120)
def test_where_helm_cannot_look_the_api_server_refuses_the_name(new_control_plane: NewControlPlane) -> None:
    """Two people who install at the same moment: neither finds the other's names, one is too late to make them."""
    plane = new_control_plane(Options(layout=None, kwok=False, provisioner=False))
    plane.kubectl("create", "clusterrole", f"{NAMES}controllers", "--verb=get", "--resource=pods")
    with pytest.raises(ControlPlaneError, match=r"ClusterRole .*stowplan\.dev:controllers"):
        install(plane, "late")
