"""The greedy trap: one after the other fails although there is a place for everybody.

Two nodes, and two members that each fill one. The cache can use either, the data only the one with an NVMe disk, which
is also the emptier one. The cache comes first and takes it. Users expect both to run. An expert gives the pickier one a
higher priority, so that it is tried first, or takes the place of the other; ours is a policy that calls them a gang,
whose members are placed jointly, and nobody is restarted.
"""

from __future__ import annotations

from tests.controlplane.nodes import DISK, Layout, Manifest
from tests.scenarios.manifests import NAME, NAMESPACE, Service, filler, policy
from tests.scenarios.scenario import Scenario, Setup
from tests.scenarios.stage import Stage

CACHE = Service(name="cache", replicas=1, cpu="9")
DATA = Service(name="data", replicas=1, cpu="9", pod={"nodeSelector": {DISK: "nvme"}})


async def before(stage: Stage) -> None:
    """One of the nodes has the disk and nothing to do, the other one has no such disk and some work."""
    await stage.api.patch("/api/v1/nodes/a-1-r1-h2", {"metadata": {"labels": {DISK: "hdd"}}})
    await stage.apply([filler("busy", "a-1-r1-h2", "5")])


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN:
            return CACHE.stateful_set()
        case Setup.EXPERT:
            return CACHE.stateful_set(parallel=True)
        case Setup.OURS:
            sets = [{"name": each.name, "replicas": 1, "template": each.template()} for each in (CACHE, DATA)]
            cluster = {
                "apiVersion": "stowplan.dev/v1alpha1", "kind": "StatefulCluster",
                "metadata": {"name": NAME, "namespace": NAMESPACE},
                "spec": {"schedulingPolicyRef": {"name": NAME}, "nodeSets": sets},
            }  # fmt: skip
            return [policy(gang={"minMember": 2, "groupBy": ["app"]}), cluster]


def picky(setup: Setup) -> list[Manifest]:
    """The second StatefulSet; the StatefulCluster has both members."""
    priority = {
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "picky"}, "value": 1000,
    }  # fmt: skip
    match setup:
        case Setup.PLAIN:
            return DATA.stateful_set()
        case Setup.EXPERT:
            return [priority, *DATA.stateful_set(parallel=True, priorityClassName="picky")]
        case Setup.OURS:
            return []


async def happens(stage: Stage) -> None:
    async def come() -> bool | None:
        return True if await stage.pods() else None

    await stage.until(come, "no member was made")
    await stage.apply(picky(stage.setup))
    await stage.running(2)


async def check(stage: Stage) -> None:
    await stage.running(2)


SCENARIO = Scenario(
    name="greedy-trap",
    issue="",
    title="greedy trap: a joint placement exists",
    layout=Layout(zones=1, power_domains=1, racks=1, hosts=2, disks=("nvme",)),
    before=before,
    objects=objects,
    happens=happens,
    check=check,
)
