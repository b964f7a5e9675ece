"""A slow provisioner against anti-affinity: kubernetes 129632.

Three members with a disk of their host each, one to a host; one of the three hosts is still cordoned, so one member
waits. Making a volume takes longer than the scheduler waits for it (its bind timeout, set to 2 s in all setups), so the
placements come to nothing while the volumes are still being made. Users expect that no two members end with their
volumes on one host. With podManagementPolicy Parallel kube-scheduler forgets where the first member was to go, gives
its host to the waiting one, and has a volume made there, too: whichever has a pod there keeps the other one waiting for
ever. With OrderedReady, the default and here the expert's choice, nobody waits meanwhile.
"""

from __future__ import annotations

from tests.controlplane import storage
from tests.controlplane.nodes import HOSTNAME, Layout, Manifest
from tests.scenarios.invariants import Apart
from tests.scenarios.manifests import Service, apart, disks, policy
from tests.scenarios.scenario import Scenario, Setup
from tests.scenarios.stage import Stage

SERVICE = Service(replicas=3, claims={"data": ("slow", "1Gi")})
CORDONED = "a-1-r1-h3"
TIMEOUT = """
profiles:
- pluginConfig:
  - name: VolumeBinding
    args: {bindTimeoutSeconds: 2}
"""


async def before(stage: Stage) -> None:
    """The class of slow volumes, with what the driver has to say about it."""
    await stage.apply([disks("slow", capacity="10Gi", annotations={storage.DELAY: "5"})])
    path = f"/apis/storage.k8s.io/v1/namespaces/{storage.NAMESPACE}/csistoragecapacities"
    for node in await stage.nodes():
        await stage.api.wait(f"{path}/slow.{node}", lambda _: True)
    await stage.cordon([CORDONED])


def objects(setup: Setup) -> list[Manifest]:
    match setup:
        case Setup.PLAIN | Setup.EXPERT:
            return SERVICE.stateful_set(affinity=apart(HOSTNAME))
        case Setup.OURS:
            return [policy(separate=[{"name": "one-per-host", "domain": "host"}]), SERVICE.stateful_cluster()]


async def happens(stage: Stage) -> None:
    await stage.running(2, what="while a host is cordoned")
    await stage.promise_quorum(2)
    await stage.cordon([CORDONED], undo=True)


async def check(stage: Stage) -> None:
    await stage.running(3)


SCENARIO = Scenario(
    name="slow-provisioner",
    issue="kubernetes 129632",
    title="slow provisioner against anti-affinity",
    layout=Layout(zones=1, power_domains=1, racks=1, hosts=3),
    before=before,
    objects=objects,
    happens=happens,
    check=check,
    rules=(Apart(HOSTNAME),),
    scheduler={Setup.PLAIN: TIMEOUT, Setup.EXPERT: TIMEOUT},
    settings={"bindTimeout": "2s"},
)
