"""Whatever is killed, and whenever: in the end every pod is bound, and every rule holds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from tests.controlplane.api import Api, wait_until
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.nodes import ZONE, Layout
from tests.controlplane.plane import Options
from tests.live import objects
from tests.process import Release, install
from tests.process_fixtures import NAMESPACE, NewReplica

pytestmark = pytest.mark.timeout(300)

COUNT = 290
"""Pods of 3 CPUs; the 60 nodes of 16 CPUs have room for 300."""
LABELS = {"app": "many"}
ALONE = {"leaderElection": {"leaderElect": False}}


async def create_many(api: Api, namespace: str, scheduler: str) -> None:
    rules = [objects.spread(ZONE, LABELS)]
    await objects.create_all(
        api,
        (
            objects.pod(namespace, f"p{number}", cpu="3", labels=LABELS, scheduler=scheduler,
                        topologySpreadConstraints=rules)
            for number in range(COUNT)
        ),
    )  # fmt: skip


async def bound_count(api: Api, namespace: str, least: int) -> int:
    """How many pods are bound, once there are so many."""

    async def look() -> int | None:
        pods = await api.list(objects.pods_path(namespace))
        count = sum("nodeName" in pod["spec"] for pod in pods)
        return count if count >= least else None

    return await wait_until(look, what=f"{least} bound pods", within=90)


async def assert_placed_well(api: Api, namespace: str) -> None:
    pods = await objects.all_bound(api, namespace, COUNT, within=90)
    assert await objects.overbooked(api) == {}
    numbers = objects.counts(pods, await api.list("/api/v1/nodes"), ZONE).values()
    assert max(numbers) - min(numbers) <= 1


async def test_it_may_be_killed_at_any_moment(
    api: Api, namespace: str, new_release: Callable[[], Release], new_replica: NewReplica
) -> None:
    """SIGKILL in the middle of binding, again and again; the next one finds what there is and goes on."""
    moments = sorted(random.sample(range(1, 200), 4))
    release = new_release()
    await create_many(api, namespace, release.name)
    replica = new_replica(release, ALONE, wait=False)
    killed_at = []
    for moment in moments:
        killed_at.append(await bound_count(api, namespace, moment))
        replica.kill()
        replica.start()
    assert killed_at[0] < COUNT, f"all was done before the first kill, at {moments}"
    await assert_placed_well(api, namespace)
    replica.wait_ready()
    replica.check()


async def test_the_api_server_may_be_killed_in_the_middle(
    new_control_plane: NewControlPlane, new_replica: NewReplica
) -> None:
    """The same process goes on when it is back: nothing is lost, nothing is done twice."""
    plane = new_control_plane(Options(layout=Layout(zones=3, power_domains=1, racks=1, hosts=20), provisioner=False))
    release = install(plane, namespace=NAMESPACE)
    async with plane.api() as api:
        await plane.create_namespace("busy")
        await create_many(api, "busy", "stowplan")
        replica = new_replica(release, ALONE, wait=False)
        assert await bound_count(api, "busy", 50) < COUNT, "all was done before the crash"
    await asyncio.to_thread(plane.restart, "kube-apiserver")
    async with plane.api() as api:
        await assert_placed_well(api, "busy")
    assert replica.alive
    assert len(replica.said("serving")) == 1
    replica.wait_ready()
    replica.check()
