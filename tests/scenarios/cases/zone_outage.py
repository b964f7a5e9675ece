"""Zonal volumes and spread after a zone outage: kubernetes 128832.

A zone is out when the service is made; users expect the members to be placed in the others meanwhile. Then the zone is
back, and two members are lost at once, one in each of the zones that were well. Each has its volume in its zone, and
users expect each to come back to it, in whatever order they are made, although the volumes lie unevenly: the volume is
the fact, the spread a wish that came too late. With a spread constraint in the pod, a member that would make the zones
more uneven than maxSkew waits for ever, and with OrderedReady it keeps all others from being made.
"""

from __future__ import annotations

from tests.controlplane.nodes import ZONE, Layout, Manifest
from tests.scenarios.invariants import Even
from tests.scenarios.manifests import RELAX, Service, policy, spread
from tests.scenarios.scenario import Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=6, claims={"data": ("zonal", "1Gi")})


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
    await stage.running(6, what="while a zone is out")
    await stage.promise_quorum(4)
    await stage.fail_zone("c", undo=True)
    zones = await stage.domains(ZONE)
    lost = [next(name for name in sorted(zones) if zones[name] == zone) for zone in ("a", "b")]
    before = await stage.delete_pods(lost)
    await stage.running(6, without=before, what="after the outage")


async def check(stage: Stage) -> None:
    await stage.running(6)


async def before(stage: Stage) -> None:
    await stage.fail_zone("c")


SCENARIO = Scenario(
    name="zone-outage",
    issue="kubernetes 128832",
    title="zonal volumes and spread after a zone outage",
    layout=Layout(zones=3, power_domains=1, racks=1, hosts=2),
    before=before,
    objects=objects,
    happens=happens,
    check=check,
    rules=(Even(ZONE),),
)
