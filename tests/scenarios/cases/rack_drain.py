"""The drain of a whole rack keeps the quorum.

Three members on two racks, so one rack has two of them; all its nodes are drained at once. Users expect the drain to
end, with two members serving at every moment. Without a PodDisruptionBudget both go together; with one, and a spread
constraint that counts the drained rack, the drain never ends.
"""

from __future__ import annotations

from tests.controlplane.nodes import RACK, Layout, Manifest
from tests.scenarios.invariants import Even
from tests.scenarios.manifests import RELAX, Service, budget, policy, spread
from tests.scenarios.scenario import Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=3)


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN:
            return SERVICE.stateful_set(topologySpreadConstraints=[spread(RACK)])
        case Setup.EXPERT:
            constraint = spread(RACK, nodeTaintsPolicy="Honor")
            workload = SERVICE.stateful_set(parallel=True, topologySpreadConstraints=[constraint])
            return [*workload, budget(minAvailable=2, unhealthyPodEvictionPolicy="AlwaysAllow")]
        case Setup.OURS:
            rule = {"name": "over-racks", "domain": "rack", "maxSkew": 1, "whenDomainDown": RELAX}
            return [policy(spread=[rule]), SERVICE.stateful_cluster(quorum=True)]


async def happens(stage: Stage) -> None:
    await stage.running(3)
    await stage.promise_quorum(2)
    counts = await stage.counts(RACK)
    fullest = max(counts, key=lambda rack: counts[rack])
    await stage.drain(await stage.in_domain(RACK, fullest))


async def check(stage: Stage) -> None:
    await stage.running(3, what="after the drain")


SCENARIO = Scenario(
    name="rack-drain",
    issue="",
    title="drain of a whole rack keeps quorum",
    layout=Layout(zones=1, power_domains=1, racks=2, hosts=3),
    objects=objects,
    happens=happens,
    check=check,
    rules=(Even(RACK),),
)
