"""What is compared, and how each is started on a control plane.

Every system gets a control plane of its own, a ``schedulerName`` of its own, and the rights that it has in a real
cluster: kube-scheduler its built-in role, Stowplan its chart's service account. None of them is an administrator: for
those the API server skips authorization and its fairness queues.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import workloads
from tests.controlplane import binaries, components
from tests.controlplane.api import ApiFailure, wait_until
from tests.controlplane.plane import ControlPlane

ROOT = Path(__file__).parent.parent.parent
_RELEASE, _RELEASE_NAMESPACE = "stowplan", "stowplan-system"


@dataclasses.dataclass(frozen=True)
class System:
    """Something that binds pods.

    Attributes:
        name: as the tables show it.
        scheduler_name: ``spec.schedulerName`` of its pods.
        prepare: writes what it needs to find in the cluster (CRDs, rights) and returns its command.
    """

    name: str
    scheduler_name: str
    prepare: Callable[[ControlPlane], list[str]]


def profiled(system: System, output: Path) -> System:
    """The same under cProfile, which makes it slow; only for what is started as ``python -m …``.

    Args:
        system: Stowplan or bare binding.
        output: for ``pstats``; written when the process ends by itself.
    """

    def prepare(plane: ControlPlane) -> list[str]:
        python, _, module, *arguments = system.prepare(plane)
        return [python, "-m", "tests.bench.profiled", str(output), module, *arguments]

    return dataclasses.replace(system, prepare=prepare)


def _bare(plane: ControlPlane) -> list[str]:
    kubeconfig = plane.directory / "kube-scheduler.kubeconfig"
    return [
        sys.executable, "-m", "tests.bench.bare", "--kubeconfig", str(kubeconfig), "--namespace", workloads.NAMESPACE,
    ]  # fmt: skip


def _kube_scheduler(plane: ControlPlane) -> list[str]:
    configuration = plane.directory / "kube-scheduler.yaml"
    configuration.write_text(components.scheduler_configuration(plane.directory / "kube-scheduler.kubeconfig"))
    return components.kube_scheduler(binaries.ensure()["kube-scheduler"], configuration=configuration)


def _stowplan(plane: ControlPlane) -> list[str]:
    chart = str(ROOT / "charts" / "stowplan")
    plane.helm("install", _RELEASE, chart, "--namespace", _RELEASE_NAMESPACE, "--create-namespace")
    asyncio.run(_served(plane))
    kubeconfig = plane.service_account(_RELEASE_NAMESPACE, _RELEASE)
    return [
        sys.executable, "-m", "stowplan", "run", "--no-leader-elect", "--metrics-address", "127.0.0.1:0",
        "--kubeconfig", str(kubeconfig),
    ]  # fmt: skip


async def _served(plane: ControlPlane) -> None:
    """Waits until the API server serves the new kinds: for a moment it turns requests away."""
    async with plane.api() as api:

        async def look() -> bool | None:
            try:
                for kind in ("schedulingpolicies", "statefulclusters"):
                    await api.get(f"/apis/stowplan.dev/v1alpha1/{kind}")
            except ApiFailure:
                return None
            return True

        await wait_until(look, what="the kinds of the chart", within=60)


SYSTEMS = (
    System("bare", "bare", _bare),
    System("kube-scheduler", "default-scheduler", _kube_scheduler),
    System("stowplan", "stowplan", _stowplan),
)
PROFILABLE = frozenset({"bare", "stowplan"})
BY_NAME = {each.name: each for each in SYSTEMS}
