"""A claim template is grown and another one is added: enhancements 4650.

Three members with a volume each. The volume gets twice its size, and each member a second volume for its log. Users
expect the change of the spec to do it, without a member losing its data. The claim templates of a StatefulSet are
immutable.
"""

from __future__ import annotations

from tests.controlplane.nodes import HOSTNAME, Layout, Manifest
from tests.scenarios import history
from tests.scenarios.invariants import Apart
from tests.scenarios.manifests import Service, apart, claim_template, claim_templates_of, policy
from tests.scenarios.scenario import Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=3, claims={"data": ("zonal", "1Gi")})


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


def grown(workload: Manifest) -> None:
    templates = claim_templates_of(workload)
    templates[0]["spec"]["resources"]["requests"]["storage"] = "2Gi"
    templates.append(claim_template("log", "zonal", "1Gi"))


async def happens(stage: Stage) -> None:
    await stage.running(3)
    await stage.promise_quorum(2)
    await stage.edit(grown)


async def check(stage: Stage) -> None:
    async def done() -> bool | None:
        pods, claims = await stage.pods(), await stage.claims()
        for pod in pods:
            sizes = {
                volume["name"]: claims.get(volume["persistentVolumeClaim"]["claimName"], {}).get("status", {})
                .get("capacity", {}).get("storage")
                for volume in pod["spec"]["volumes"]
                if "persistentVolumeClaim" in volume
            }  # fmt: skip
            if sizes != {"data": "2Gi", "log": "1Gi"} or not history.healthy(pod):
                return None
        return True if len(pods) == 3 else None

    await stage.until(done, "not every member has both volumes")


SCENARIO = Scenario(
    name="claim-templates",
    issue="enhancements 4650",
    title="claim template grown and added",
    layout=Layout(zones=3, power_domains=1, racks=1, hosts=2),
    objects=objects,
    happens=happens,
    check=check,
    rules=(Apart(HOSTNAME),),
)
