"""A release of the chart on the shared control plane."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest
from tests.chart import rendering
from tests.controlplane.api import Api
from tests.controlplane.plane import ControlPlane


@dataclasses.dataclass(frozen=True)
class Release:
    """An installed release. Its service account, its lease and its other objects are called `name`."""

    name: str
    namespace: str
    plane: ControlPlane

    def api(self) -> Api:
        """The API as the chart's service account: no test grants it anything."""
        token = self.plane.kubectl("create", "token", self.name, "-n", self.namespace, "--duration=1h").strip()
        return self.plane.api(token=token)

    def helm(self, verb: str, *arguments: str) -> None:
        """`helm install` or `upgrade`, as cheap as it gets: no CRDs, no waiting for pods that nobody schedules."""
        self.plane.helm(
            verb, self.name, str(rendering.CHART), "-n", self.namespace, "--skip-crds",
            "--set", "rbac.aggregateClusterRoles=false", *arguments,
        )  # fmt: skip


@pytest.fixture
async def release(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Release]:
    """The chart with a fence, in a namespace of its own. Nobody schedules its pods: tests act in their place."""
    release = Release(f"stowplan-{namespace[-6:]}", namespace, control_plane)
    release.helm(
        "install", "--set", f"fencing.enabled=true,config.controllers=false,config.schedulerName={release.name}"
    )
    yield release
    control_plane.helm("uninstall", release.name, "-n", namespace)
