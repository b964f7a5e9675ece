"""Two schedulers compete for the last slot: kubernetes 72043.

Eight nodes with room for one member each, and two services of four members that are made at the same moment. Users
expect each node to get one member. Two schedulers that each see a free node both take it, and the API server does not
mind: the kubelet is the one who refuses a member, after it was placed.

Plainly, each service has a scheduler of its own, as the documentation of Kubernetes describes it for multiple
schedulers. The expert has one kube-scheduler with two profiles. Ours are two replicas of Stowplan, of which one leads.
(Stowplan beside a kube-scheduler on the same full nodes competes as any two schedulers do.)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tests.controlplane import binaries, components
from tests.controlplane.nodes import Layout, Manifest
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import Process
from tests.scenarios.manifests import Service, policy
from tests.scenarios.scenario import Scenario, Setup
from tests.scenarios.stage import Stage

ONE, TWO = (Service(name=name, replicas=4, cpu="9") for name in ("one", "two"))
SECOND = "second-scheduler"


@contextlib.contextmanager
def others(plane: ControlPlane, setup: Setup) -> Iterator[None]:
    """The second kube-scheduler, where there is one."""
    if setup is not Setup.PLAIN:
        yield
        return
    configuration = plane.directory / f"{SECOND}.yaml"
    text = components.scheduler_configuration(plane.directory / "kube-scheduler.kubeconfig")
    configuration.write_text(f"{text}profiles: [{{schedulerName: {SECOND}}}]\n")
    process = Process(
        SECOND,
        components.kube_scheduler(binaries.ensure()["kube-scheduler"], configuration=configuration),
        log=plane.directory / "logs" / f"{SECOND}.log",
        directory=plane.directory,
        environment={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(plane.directory)},
    )
    process.start()
    try:
        yield
    finally:
        process.stop(grace=0)


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN | Setup.EXPERT:
            second = TWO.stateful_set(parallel=True, schedulerName=SECOND)
            return [*ONE.stateful_set(parallel=True), *second]
        case Setup.OURS:
            return [policy(), ONE.stateful_cluster(), TWO.stateful_cluster()]


async def happens(stage: Stage) -> None:
    await stage.running(8)


async def check(stage: Stage) -> None:
    await stage.running(8)


SCENARIO = Scenario(
    name="two-schedulers",
    issue="kubernetes 72043",
    title="two schedulers compete for the last slot",
    layout=Layout(zones=1, power_domains=1, racks=2, hosts=4),
    objects=objects,
    happens=happens,
    check=check,
    others=others,
    scheduler={Setup.EXPERT: f"profiles: [{{schedulerName: default-scheduler}}, {{schedulerName: {SECOND}}}]\n"},
    replicas=2,
)
