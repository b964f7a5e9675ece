"""A bad zone does not block the rest: kubernetes 116978.

Three members in three zones; the nodes of one zone fall silent. The service needs more members just now: it is scaled
to five. Users expect the two new ones in the zones that are well. A StatefulSet with OrderedReady makes no member
while another one is not ready.
"""

from __future__ import annotations

import asyncio

from tests.controlplane.nodes import ZONE, Layout, Manifest
from tests.scenarios import history
from tests.scenarios.invariants import Even
from tests.scenarios.manifests import RELAX, Service, policy, spread
from tests.scenarios.scenario import Failed, Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=3)


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN:
            return SERVICE.stateful_set(topologySpreadConstraints=[spread(ZONE)])
        case Setup.EXPERT:
            constraint = spread(ZONE, nodeTaintsPolicy="Honor")
            return SERVICE.stateful_set(parallel=True, topologySpreadConstraints=[constraint])
        case Setup.OURS:
            rule = {"name": "over-zones", "domain": "zone", "maxSkew": 1, "whenDomainDown": RELAX}
            return [policy(spread=[rule]), SERVICE.stateful_cluster()]


async def happens(stage: Stage) -> None:
    await stage.running(3)
    await stage.promise_quorum(2)
    silent = await stage.in_domain(ZONE, "b")
    await asyncio.gather(*(stage.plane.silence_node(name) for name in silent))
    for pod in await stage.pods():
        if history.node_of(pod) in silent:
            await stage.doubt(pod)

    async def noticed() -> bool | None:
        nodes = await stage.nodes()
        return None if any(history.usable(nodes[name]) for name in silent) else True

    await stage.until(noticed, "the outage was not noticed")
    await stage.scale(5)
    await stage.running(4, what="while a zone is out")


async def check(stage: Stage) -> None:
    counts = await stage.counts(ZONE)
    if counts != {"a": 2, "b": 1, "c": 2}:
        raise Failed(f"zones hold {' / '.join(map(str, counts.values()))}")


SCENARIO = Scenario(
    name="bad-zone",
    issue="kubernetes 116978",
    title="a bad zone does not block the rest",
    layout=Layout(zones=3, power_domains=1, racks=1, hosts=2),
    objects=objects,
    happens=happens,
    check=check,
    rules=(Even(ZONE),),
)
