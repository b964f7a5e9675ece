"""A broken rollout is rolled back: kubernetes 67250.

Three members get a template with which they never become ready; the first of them is replaced and stays unready. Users
put the old template back and expect the service to recover by itself. A StatefulSet with OrderedReady waits for the
broken pod to become ready before it does anything, and that pod never gets the good template.
"""

from __future__ import annotations

from tests.controlplane.nodes import HOSTNAME, Layout, Manifest
from tests.scenarios import history
from tests.scenarios.invariants import Apart
from tests.scenarios.manifests import Service, apart, policy, template_of
from tests.scenarios.scenario import Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=3)


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN:
            return SERVICE.stateful_set(affinity=apart(HOSTNAME))
        case Setup.EXPERT:
            return SERVICE.stateful_set(parallel=True, affinity=apart(HOSTNAME))
        case Setup.OURS:
            return [
                policy(separate=[{"name": "one-per-host", "domain": "host"}]),
                SERVICE.stateful_cluster(quorum=True),
            ]


def broken(workload: Manifest) -> None:
    """An image that never becomes ready: the kubelets of this control plane go by an annotation."""
    template_of(workload)["metadata"]["annotations"] = {"example.com/ready": "false"}


def mended(workload: Manifest) -> None:
    del template_of(workload)["metadata"]["annotations"]


async def happens(stage: Stage) -> None:
    await stage.running(3)
    await stage.promise_quorum(2)
    await stage.edit(broken)

    async def stuck() -> set[str] | None:
        pods = await stage.pods()
        bad = {each["metadata"]["uid"] for each in pods if history.node_of(each) and not history.ready(each)
               and "example.com/ready" in each["metadata"].get("annotations", {})}  # fmt: skip
        return bad or None

    bad = await stage.until(stuck, "the broken template reached nobody")
    await stage.edit(mended)
    await stage.running(3, without=bad, what="after the rollback")


async def check(stage: Stage) -> None:
    await stage.running(3)


SCENARIO = Scenario(
    name="rollback",
    issue="kubernetes 67250",
    title="broken rollout rolled back",
    layout=Layout(zones=3, power_domains=1, racks=1, hosts=2),
    objects=objects,
    happens=happens,
    check=check,
    rules=(Apart(HOSTNAME),),
)
