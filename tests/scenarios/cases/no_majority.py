"""At most so many, or no majority, in one domain: kubernetes 40358.

Five members that need a majority of three. Users expect two things: no zone ever holds three of them, and whatever
else can run runs. First a zone is out when the service is made. Later it is back with room for one member, and one node
of another zone is drained. A topology spread constraint limits the difference between zones instead: with maxSkew 1
too few run while a zone is empty, with maxSkew 2 a zone gets three when no other one is.
"""

from __future__ import annotations

from tests.controlplane.nodes import ZONE, Layout, Manifest
from tests.scenarios import history
from tests.scenarios.invariants import AtMost
from tests.scenarios.manifests import RELAX, Service, budget, filler, policy, spread
from tests.scenarios.scenario import Failed, Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=5, cpu="2")


async def before(stage: Stage) -> None:
    """Zone c is out, and its nodes are full but for the room that one member takes."""
    roomy, full = await stage.in_domain(ZONE, "c")
    await stage.apply([filler("busy-1", roomy, "13"), filler("busy-2", full, "15")])
    await stage.fail_zone("c")


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN:
            return SERVICE.stateful_set(topologySpreadConstraints=[spread(ZONE)])
        case Setup.EXPERT:
            workload = SERVICE.stateful_set(parallel=True, topologySpreadConstraints=[spread(ZONE, skew=2)])
            return [*workload, budget(minAvailable=3)]
        case Setup.OURS:
            rule = {"name": "no-majority", "domain": "zone", "maxPerDomain": "Minority", "whenDomainDown": RELAX}
            return [policy(spread=[rule]), SERVICE.stateful_cluster(quorum=True)]


async def happens(stage: Stage) -> None:
    await stage.running(4, what="while a zone is out")
    await stage.promise_quorum(3)
    await stage.fail_zone("c", undo=True)
    await stage.running(5)
    domains = await stage.domains(ZONE)
    pods = {each["metadata"]["name"]: each for each in await stage.pods()}
    moved = next(name for name in sorted(pods) if domains[name] == "b")
    await stage.cordon(await stage.in_domain(ZONE, "b"))
    if not await stage.evict(moved):
        raise Failed(f"{moved} could not be evicted")
    uid = pods[moved]["metadata"]["uid"]

    async def decided() -> bool | None:
        """Its successor has a node, or is told that there is none."""
        for each in await stage.pods():
            told = any(one["type"] == "PodScheduled" for one in each["status"].get("conditions", []))
            if each["metadata"]["name"] == moved and each["metadata"]["uid"] != uid:
                return True if history.node_of(each) or told else None
        return None

    await stage.until(decided, f"{moved} was not made anew")


async def check(stage: Stage) -> None:
    counts = await stage.counts(ZONE)
    if max(counts.values()) > 2:
        raise Failed(f"zones hold {' / '.join(map(str, counts.values()))}: one has a majority")
    await stage.running(4)


SCENARIO = Scenario(
    name="no-majority",
    issue="kubernetes 40358",
    title="at most N, or no majority, in a domain",
    layout=Layout(zones=3, power_domains=1, racks=1, hosts=2),
    before=before,
    objects=objects,
    happens=happens,
    check=check,
    rules=(AtMost(ZONE, 2),),
)
