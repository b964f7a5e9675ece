"""Scale-down keeps the zones balanced: kubernetes 124149.

Six members lie two to a zone. Two of them are restarted at a time, with all nodes cordoned for a moment, until they
have changed places, as happens sooner or later; the zones are still even. Then the service shrinks to three. Users
expect one member in each zone. A StatefulSet always takes the highest ordinals, wherever they are.
"""

from __future__ import annotations

import functools

from tests.controlplane.nodes import ZONE, Layout, Manifest
from tests.scenarios.invariants import Even
from tests.scenarios.manifests import Service, policy, spread
from tests.scenarios.scenario import Failed, Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=6)
RESTARTS = 12


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN:
            return SERVICE.stateful_set(topologySpreadConstraints=[spread(ZONE)])
        case Setup.EXPERT:
            constraint = spread(ZONE, nodeTaintsPolicy="Honor")
            return SERVICE.stateful_set(parallel=True, topologySpreadConstraints=[constraint])
        case Setup.OURS:
            rule = {"name": "over-zones", "domain": "zone", "maxSkew": 1}
            return [policy(spread=[rule]), SERVICE.stateful_cluster()]


async def happens(stage: Stage) -> None:
    await stage.running(6)
    nodes = await stage.nodes()
    for _ in range(RESTARTS):
        zones = await stage.domains(ZONE)
        first, *rest = sorted(zones)
        last = next(name for name in reversed(rest) if zones[name] != zones[first])
        await stage.cordon(nodes)
        gone = await stage.delete_pods([first, last])
        again = functools.partial(_again, stage, first, gone)
        await stage.until(again, f"{first} was not made anew")
        await stage.cordon(nodes, undo=True)
        await stage.running(6, without=gone, what="after a restart")
        if (await stage.domains(ZONE))[first] != zones[first]:
            break
    await stage.promise_quorum(3)
    await stage.scale(3)


async def _again(stage: Stage, name: str, gone: set[str]) -> bool | None:
    """The pod has been made anew, and none of the old ones is left."""
    pods = {each["metadata"]["uid"]: each["metadata"]["name"] for each in await stage.pods()}
    return True if name in pods.values() and not gone & pods.keys() else None


async def check(stage: Stage) -> None:
    await stage.running(3)
    counts = await stage.counts(ZONE)
    if set(counts.values()) != {1}:
        raise Failed(f"zones hold {' / '.join(map(str, counts.values()))} after the scale-down")


SCENARIO = Scenario(
    name="scale-down",
    issue="kubernetes 124149",
    title="scale-down keeps zones balanced",
    layout=Layout(zones=3, power_domains=1, racks=1, hosts=2),
    objects=objects,
    happens=happens,
    check=check,
    rules=(Even(ZONE),),
)
