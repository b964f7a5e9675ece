"""A cluster of the demo's own: a control plane with fake nodes, and the chart installed by helm."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import Layout, Manifest
from tests.controlplane.plane import ControlPlane, Options
from tests.demo.fitting import Fitted
from tests.demo.screen import Screen
from tests.demo.stage import NAMESPACE, ROOT, Stage

LAYOUT: Final = Layout(zones=3, power_domains=2, racks=5, hosts=2)
RELEASE, SYSTEM = "stowplan", "stowplan-system"


@contextlib.contextmanager
def stage(directory: Path, screen: Screen) -> Iterator[Stage]:
    """Start the cluster; stop it at the end."""
    nodes = LAYOUT.zones * LAYOUT.power_domains * LAYOUT.racks * LAYOUT.hosts
    told = {
        "nodes": f"{nodes} nodes: {LAYOUT.zones} zones, {LAYOUT.power_domains} power domains in each,"
        f" {LAYOUT.racks} racks in each, {LAYOUT.hosts} hosts in each",
        "kwok": "kwok, the kubelets of the nodes",
        "kube-scheduler": "kube-scheduler, for everything that is not Stowplan's",
    }
    plane = ControlPlane(directory, Options(layout=LAYOUT, scheduler=True))
    try:
        plane.start(told=lambda step: screen.step(told.get(step, step)))
        screen.step(f"helm install {RELEASE} charts/stowplan --namespace {SYSTEM} --create-namespace")
        plane.helm("install", RELEASE, str(ROOT / "charts" / "stowplan"), "-n", SYSTEM, "--create-namespace")
        plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd",
                      "schedulingpolicies.stowplan.dev", "statefulclusters.stowplan.dev")  # fmt: skip
        plane.kubectl("create", "namespace", NAMESPACE)
        yield Stage(
            kubeconfig=plane.kubeconfig,
            kubectl=plane.kubectl,
            reader=plane.api,
            pause=0.2,
            config=_config(plane, directory / "config.yaml"),
            rights=plane.service_account(SYSTEM, RELEASE),
            acting="the configuration and the rights of the chart's pods",
            environment={},
            fit=_as_it_is,
            check=lambda: _check(plane),
        )
    finally:
        plane.stop()


def _config(plane: ControlPlane, path: Path) -> Path:
    """The file that the chart's pods would mount."""
    found = json.loads(plane.kubectl("get", "configmap", RELEASE, "-n", SYSTEM, "-o", "json"))
    path.write_text(found["data"]["config.yaml"])
    return path


def _as_it_is(policy: Manifest, cluster: Manifest) -> Fitted:
    return Fitted(policy, cluster, ())


def _check(plane: ControlPlane) -> None:
    for process in plane.processes.values():
        if not process.alive:
            raise ControlPlaneError(f"{process.name} has ended\n{process.tail()}")
