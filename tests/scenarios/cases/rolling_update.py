"""Skew during and after a rolling update: kubernetes 98215.

Six members, two to a zone, get a new template. Users expect the zones to be even at every moment but for the one member
that is being replaced, and even afterwards. (The issue is about a Deployment, whose new pods are placed while the old
ones still count. A StatefulSet takes away the old member first.)
"""

from __future__ import annotations

from tests.controlplane.nodes import ZONE, Layout, Manifest
from tests.scenarios.invariants import Even
from tests.scenarios.manifests import Service, policy, spread, template_of
from tests.scenarios.scenario import Failed, Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=6)


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN:
            return SERVICE.stateful_set(topologySpreadConstraints=[spread(ZONE)])
        case Setup.EXPERT:
            constraint = spread(ZONE, nodeTaintsPolicy="Honor")
            return SERVICE.stateful_set(parallel=True, topologySpreadConstraints=[constraint])
        case Setup.OURS:
            return [
                policy(spread=[{"name": "over-zones", "domain": "zone", "maxSkew": 1}]),
                SERVICE.stateful_cluster(),
            ]


def renewed(workload: Manifest) -> None:
    template_of(workload)["spec"]["containers"][0]["image"] = "example.com/db:2"


async def happens(stage: Stage) -> None:
    old = {each["metadata"]["uid"] for each in await stage.running(6)}
    stage.marked = await stage.revision()
    await stage.promise_quorum(4)
    await stage.edit(renewed)
    await stage.running(6, without=old)


async def check(stage: Stage) -> None:
    counts = await stage.counts(ZONE)
    if set(counts.values()) != {2}:
        raise Failed(f"zones hold {' / '.join(map(str, counts.values()))} after the update")
    worst = await stage.most_uneven(ZONE, stage.marked)
    if worst > 1:
        raise Failed(f"zones differed by {worst} during the update")


SCENARIO = Scenario(
    name="rolling-update",
    issue="kubernetes 98215",
    title="skew during and after a rolling update",
    layout=Layout(zones=3, power_domains=1, racks=1, hosts=2),
    objects=objects,
    happens=happens,
    check=check,
    rules=(Even(ZONE),),
)
