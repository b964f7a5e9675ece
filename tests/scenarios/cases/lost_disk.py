"""A local volume on a node that was deleted: kubernetes 113139.

Three members with a disk of their host each, one to a host, and a fourth host. The host of a member dies for good and
its node is deleted. Users expect the member on the fourth host, with a new volume, since the old one is gone with the
machine and the service has its data twice more. A StatefulSet makes the pod anew with the old claim, whose volume is
tied to a node that does not exist, and it waits for ever. (kube-controller-manager deletes the pod of a deleted node
after a minute; here that is done at once.)
"""

from __future__ import annotations

from tests.controlplane.nodes import HOSTNAME, Layout, Manifest
from tests.scenarios import history
from tests.scenarios.invariants import Apart
from tests.scenarios.manifests import Service, apart, policy
from tests.scenarios.scenario import Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=3, claims={"data": ("local", "1Gi")})


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN:
            return SERVICE.stateful_set(affinity=apart(HOSTNAME))
        case Setup.EXPERT:
            return SERVICE.stateful_set(parallel=True, affinity=apart(HOSTNAME))
        case Setup.OURS:
            failure = {"replaceAfter": "1s", "volumes": "ReplaceIfNodeGone"}
            return [
                policy(separate=[{"name": "one-per-host", "domain": "host"}]),
                SERVICE.stateful_cluster(nodeFailure=failure),
            ]


async def happens(stage: Stage) -> None:
    pods = await stage.running(3)
    await stage.promise_quorum(2)
    lost = pods[1]
    (claim,) = (each["persistentVolumeClaim"]["claimName"] for each in lost["spec"]["volumes"]
                if "persistentVolumeClaim" in each)  # fmt: skip
    stage.given_up.add(claim)
    await stage.api.delete(f"/api/v1/nodes/{history.node_of(lost)}")
    await stage.forget_pod(lost)
    await stage.running(3, without={lost["metadata"]["uid"]})


async def check(stage: Stage) -> None:
    await stage.running(3)


SCENARIO = Scenario(
    name="lost-disk",
    issue="kubernetes 113139",
    title="local volume on a deleted node",
    layout=Layout(zones=1, power_domains=1, racks=1, hosts=4),
    objects=objects,
    happens=happens,
    check=check,
    rules=(Apart(HOSTNAME),),
)
