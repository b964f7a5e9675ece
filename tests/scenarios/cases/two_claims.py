"""Two claims of a pod come out of one pool: both must fit where the pod goes.

Three hosts with 100Gi of local disk each. Two of them have 60Gi left, the third has all of it but is busy. The member
has two volumes of 40Gi. Users expect it on the third host. kube-scheduler compares each claim with the capacity for
itself, so an idle host with 60Gi will do; there the first volume is made, the second is refused, and the first ties the
member to that host for ever.
"""

from __future__ import annotations

from tests.controlplane import storage
from tests.controlplane.nodes import Layout, Manifest
from tests.scenarios.manifests import NAMESPACE, Service, claim_template, disks, filler, policy
from tests.scenarios.scenario import Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=1, claims={"data": ("pool", "40Gi"), "log": ("pool", "40Gi")})
SMALL, LARGE = ("a-1-r1-h1", "a-1-r1-h2"), "a-1-r1-h3"


async def before(stage: Stage) -> None:
    """Fill two of the pools, and load the node of the third."""
    claims = []
    for node in SMALL:
        claim = claim_template(f"other-{node}", "pool", "40Gi")
        claim["metadata"] |= {"namespace": NAMESPACE, "annotations": {storage.SELECTED_NODE: node}}
        claims.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
    await stage.apply([disks("pool", capacity="100Gi"), *claims, filler("busy", LARGE, "8")])
    path = f"/apis/storage.k8s.io/v1/namespaces/{storage.NAMESPACE}/csistoragecapacities"
    for node, left in [(SMALL[0], 60), (SMALL[1], 60), (LARGE, 100)]:
        await stage.api.wait(
            f"{path}/pool.{node}",
            lambda it, left=left: storage.parse(it["capacity"]) == left * 2**30,  # type: ignore[misc]
        )


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN:
            return SERVICE.stateful_set()
        case Setup.EXPERT:
            return SERVICE.stateful_set(parallel=True)
        case Setup.OURS:
            return [policy(storage={"requireCapacity": True}), SERVICE.stateful_cluster()]


async def happens(stage: Stage) -> None:
    """Nothing more."""


async def check(stage: Stage) -> None:
    await stage.running(1)


SCENARIO = Scenario(
    name="two-claims",
    issue="",
    title="two claims, one pool",
    layout=Layout(zones=1, power_domains=1, racks=1, hosts=3),
    before=before,
    objects=objects,
    happens=happens,
    check=check,
)
