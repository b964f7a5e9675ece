"""Two schedulers compete for the last slot: kubernetes 72043.

A node with room for one member, taken by somebody else; two services of one member each wait for it. Then it is free.
Users expect one member there, and the other one to go on waiting. Two schedulers hear of it at the same moment and both
take it, and the API server does not mind: the kubelet is the one who refuses a member, after it was placed.

Plainly, each service has a scheduler of its own, as the documentation of Kubernetes describes it for multiple
schedulers. The expert has one kube-scheduler with two profiles. Ours are two replicas of Stowplan, of which one leads.
(Stowplan beside a kube-scheduler on the same full nodes competes as any two schedulers do.)
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

from tests.controlplane import binaries, components
from tests.controlplane.api import condition
from tests.controlplane.nodes import Layout, Manifest
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import Process
from tests.scenarios import history
from tests.scenarios.manifests import NAMESPACE, Service, filler, policy
from tests.scenarios.scenario import Failed, Scenario, Setup
from tests.scenarios.stage import Stage

ONE, TWO = (Service(name=name, replicas=1, cpu="9") for name in ("one", "two"))
NODE = "a-1-r1-h1"
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


async def before(stage: Stage) -> None:
    await stage.apply([filler("busy", NODE, "9")])


async def happens(stage: Stage) -> None:
    async def both_wait() -> bool | None:
        waiting = [each for each in await stage.pods() if condition(each, "PodScheduled") == "False"]
        return True if len(waiting) == 2 else None

    await stage.until(both_wait, "the members do not wait")
    await stage.api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/busy", gracePeriodSeconds=0)
    await stage.until(functools.partial(placed, stage), "nobody took the slot")


async def placed(stage: Stage) -> list[str] | None:
    """Names of the members that have a node, once there are any."""
    return [each["metadata"]["name"] for each in await stage.pods() if history.node_of(each)] or None


async def check(stage: Stage) -> None:
    async def shared() -> list[str] | None:
        there = await placed(stage) or []
        return there if len(there) > 1 else None

    there = await stage.unless_settled(shared)
    if there:
        raise Failed(f"{' and '.join(there)} share a node that has room for one")


SCENARIO = Scenario(
    name="two-schedulers",
    issue="kubernetes 72043",
    title="two schedulers compete for the last slot",
    layout=Layout(zones=1, power_domains=1, racks=1, hosts=1),
    before=before,
    objects=objects,
    happens=happens,
    check=check,
    others=others,
    scheduler={Setup.EXPERT: f"profiles: [{{schedulerName: default-scheduler}}, {{schedulerName: {SECOND}}}]\n"},
    replicas=2,
)
