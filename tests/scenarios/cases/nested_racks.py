"""Racks within zones: kubernetes 114243.

Fault domains are numbered anew in each zone, as a cloud does it: FD-1 of one zone has nothing to do with FD-1 of
another, and zones have three, one and two of them. Nine members. Users expect three in each zone, and inside a zone as
even as its own fault domains allow. A topology spread constraint knows one label: it takes the FD-1 of all zones for
one, and compares across zones.
"""

from __future__ import annotations

import collections

from tests.controlplane.nodes import RACK, ZONE, Layout, Manifest
from tests.scenarios import history
from tests.scenarios.invariants import Even
from tests.scenarios.manifests import Service, policy, spread
from tests.scenarios.scenario import Failed, Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=9)
FAULT_DOMAIN = "example.com/fault-domain"
NUMBERS = {"a": 3, "b": 1, "c": 2}


async def before(stage: Stage) -> None:
    """Number the racks of each zone anew, as many as it shall have."""
    for name, node in (await stage.nodes()).items():
        zone, number = history.label(node, ZONE), int(history.label(node, RACK).rpartition("r")[2])
        domain = f"FD-{(number - 1) % NUMBERS[zone] + 1}"
        await stage.api.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {FAULT_DOMAIN: domain}}})


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN:
            return SERVICE.stateful_set(topologySpreadConstraints=[spread(ZONE), spread(FAULT_DOMAIN)])
        case Setup.EXPERT:
            constraints = [spread(ZONE, nodeTaintsPolicy="Honor"), spread(FAULT_DOMAIN, soft=True)]
            return SERVICE.stateful_set(parallel=True, topologySpreadConstraints=constraints)
        case Setup.OURS:
            domains = [{"name": "zone", "topologyKey": ZONE}, {"name": "fault", "topologyKey": FAULT_DOMAIN}]
            rules = [
                {"name": "over-zones", "domain": "zone", "maxSkew": 1},
                {"name": "over-fault-domains", "domain": "fault", "within": "zone", "maxSkew": 1},
            ]
            return [policy(domains=domains, spread=rules), SERVICE.stateful_cluster()]


async def happens(stage: Stage) -> None:
    await stage.running(9)


async def check(stage: Stage) -> None:
    zones, faults = await stage.domains(ZONE), await stage.domains(FAULT_DOMAIN)
    counts = await stage.counts(ZONE)
    if set(counts.values()) != {3}:
        raise Failed(f"zones hold {' / '.join(map(str, counts.values()))}")
    held = collections.Counter((zones[name], faults[name]) for name in zones)
    for zone, number in NUMBERS.items():
        inside = [held[zone, f"FD-{each}"] for each in range(1, number + 1)]
        if max(inside) - min(inside) > 1:
            raise Failed(f"fault domains of zone {zone} hold {' / '.join(map(str, inside))}")


SCENARIO = Scenario(
    name="nested-racks",
    issue="kubernetes 114243",
    title="racks within zones",
    layout=Layout(zones=3, power_domains=1, racks=3, hosts=1),
    before=before,
    objects=objects,
    happens=happens,
    check=check,
    rules=(Even(ZONE), Even(FAULT_DOMAIN, within=ZONE)),
)
