"""Volumes of drivers that grow only what nobody uses, on a real API server."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import AsyncIterator

import pytest
from tests.controlplane.api import Api, path_of
from tests.controlplane.nodes import Manifest
from tests.handlers.bench import Bench, node_set
from tests.handlers.resizer import resizing, zonal_volumes
from tests.handlers.serving import at_least

pytestmark = pytest.mark.e2e

ZONE = "topology.kubernetes.io/zone"


@pytest.fixture
async def storage_class(quiet_api: Api) -> AsyncIterator[str]:
    """A StorageClass with one volume in each zone; nobody but the test grows them."""
    made = zonal_volumes(f"offline-{secrets.token_hex(3)}", ["a", "b", "c"])
    for each in made:
        await quiet_api.create(each)
    yield str(made[0]["metadata"]["name"])
    for each in made:
        await quiet_api.delete(path_of(each))


def sized(storage_class: str, size: str) -> Manifest:
    made = node_set("data", 3, claim=storage_class, quorum=True)
    made["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = size
    return made


def stopped(found: Manifest) -> set[str]:
    """Members that have no pod, so that their volumes can grow."""
    said = "is to grow from 1Gi to 2Gi, which its driver does only while nobody uses it"
    return {each["target"] for each in found["status"]["pendingChanges"] if each.get("heldBy", "").endswith(said)}


async def zones(bench: Bench) -> dict[str, str]:
    """The zone of each member."""
    pods = await bench.api.list(f"/api/v1/namespaces/{bench.namespace}/pods")
    return {each["metadata"]["name"]: bench.world.nodes[each["spec"]["nodeName"]].labels[ZONE] for each in pods}


def volumes(found: Manifest) -> str:
    """The reason of the condition VolumesReady."""
    (one,) = (each for each in found["status"]["conditions"] if each["type"] == "VolumesReady")
    reason: str = one["reason"]
    return reason


async def test_members_stop_one_after_the_other_so_that_their_volumes_grow(bench: Bench, storage_class: str) -> None:
    await bench.create(sized(storage_class, "1Gi"))
    await bench.settle()
    before, claims = await zones(bench), await bench.uids("persistentvolumeclaims")
    assert set(before.values()) == {"a", "b", "c"}
    async with resizing(bench.api, bench.namespace) as resizer, at_least(bench.api, bench.namespace, 2):
        await bench.change(nodeSets=[sized(storage_class, "2Gi")])
        await bench.until(
            lambda it: (
                len(resizer.grown) == 3 and it["status"]["summary"]["ready"] == "3/3" and volumes(it) == "AllBound"
            )
        )
        await bench.settle()
    assert sorted(resizer.refused) == sorted(resizer.grown) == sorted(claims)
    assert await zones(bench) == before, "each is where its volume is"
    assert await bench.uids("persistentvolumeclaims") == claims
    for claim in claims:
        kept = await bench.api.get(bench.of("persistentvolumeclaims", claim))
        assert kept["status"]["capacity"]["storage"] == "2Gi"
        assert "stowplan.dev/growing" not in kept["metadata"].get("annotations", {})


async def test_a_driver_that_does_not_do_it_then_either_gets_no_second_outage(bench: Bench, storage_class: str) -> None:
    """The resizer has said that the volume is in use, and is not there any more when it is not."""
    await bench.create(sized(storage_class, "1Gi"))
    await bench.settle()
    async with resizing(bench.api, bench.namespace) as resizer:
        await bench.change(nodeSets=[sized(storage_class, "2Gi")])
        await bench.reconcile(allowed=3)
        while len(resizer.refused) < 3:
            await bench.reconcile(allowed=0)
    (first,) = stopped(await bench.until(lambda it: bool(stopped(it))))
    await bench.reconcile(
        ahead=datetime.timedelta(minutes=11)
    )  # its time is up: it comes back, and the next one is tried
    back = await bench.api.wait(bench.pod(first), lambda pod: bool(pod["spec"].get("nodeName")))
    found = await bench.until(lambda it: bool(stopped(it)))
    assert stopped(found) != {first}
    (waits,) = [each for each in found["status"]["pendingChanges"] if each["target"] == f"vol-{first}"]
    assert "take its annotation stowplan.dev/growing away to try again" in waits["heldBy"]
    assert (await bench.uids("pods"))[first] == back["metadata"]["uid"]
