"""The operator is killed in the middle of a rollout, and another replica goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests import process
from tests.controlplane.api import wait_until
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.nodes import Layout, Manifest
from tests.controlplane.plane import Options
from tests.handlers.bench import PATIENCE, cluster, node_set, said
from tests.handlers.serving import at_least
from tests.process import Replica
from tests.process_fixtures import NAMESPACE, NewReplica

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SHORT = {"leaderElection": {"leaseDuration": "3s", "renewDeadline": "2s", "retryPeriod": "500ms"}}
PATH = "/apis/stowplan.dev/v1alpha1/namespaces/default/statefulclusters/db"


def sets(image: str) -> list[Manifest]:
    return [
        node_set("master", 3, quorum=True, image=image, claim="zonal", scheduler="stowplan"),
        node_set("data", 2, image=image, claim="zonal", scheduler="stowplan"),
    ]


CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


def updated(least: int) -> Callable[[Manifest], bool]:
    """Whether so many members have the template of the spec."""

    def holds(found: Manifest) -> bool:
        status = found["status"]
        acted_on: bool = status["observedGeneration"] == found["metadata"]["generation"]
        return acted_on and int(status["updatedReplicas"]) >= least

    return holds


async def leader(replicas: list[Replica]) -> Replica:
    async def look() -> Replica | None:
        return next((each for each in replicas if each.alive and each.leads()), None)

    return await wait_until(look, what="a leader", within=PATIENCE)


async def test_leaders_that_die_during_a_rollout_cost_no_member_its_identity(
    new_control_plane: NewControlPlane, new_replica: NewReplica
) -> None:
    plane = new_control_plane(Options(layout=Layout(zones=3, power_domains=1, racks=2, hosts=2)))
    release = await asyncio.to_thread(process.install, plane, namespace=NAMESPACE)
    replicas = [await asyncio.to_thread(new_replica, release, SHORT) for _ in range(2)]
    async with plane.api() as api:
        await api.create(cluster("default", *sets("v1")))
        await api.wait(PATH, lambda it: said(it, "Ready") == "True", within=PATIENCE)
        claims = {each["metadata"]["uid"] for each in await api.list(CLAIMS)}
        async with at_least(api, "default", 2, node_set="master"):
            await api.patch(PATH, {"spec": {"nodeSets": sets("v2")}})
            for least in (1, 3):
                await api.wait(PATH, updated(least), within=PATIENCE)
                victim = await leader(replicas)
                victim.kill()
                victim.start()
            await api.wait(PATH, lambda it: updated(5)(it) and said(it, "Ready") == "True", within=2 * PATIENCE)
        pods = await api.list("/api/v1/namespaces/default/pods")
        assert sorted(each["metadata"]["name"] for each in pods) == [
            "db-data-0", "db-data-1", "db-master-0", "db-master-1", "db-master-2",
        ]  # fmt: skip
        assert {each["metadata"]["uid"] for each in await api.list(CLAIMS)} == claims
