"""In which order a changed template reaches the members, and what stops it, on a real API server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.controlplane.api import Api
from tests.controlplane.nodes import Manifest
from tests.handlers.bench import Bench, node_set, reason, said
from tests.handlers.serving import at_least, serves

pytestmark = pytest.mark.e2e


def held(manifest: Manifest) -> dict[str, str]:
    """What waits, and what holds it."""
    return {each["target"]: each.get("heldBy", "") for each in manifest["status"]["pendingChanges"]}


async def images(bench: Bench) -> dict[str, str]:
    """The image of each member."""
    pods = await bench.api.list(f"/api/v1/namespaces/{bench.namespace}/pods")
    return {each["metadata"]["name"]: each["spec"]["containers"][0]["image"].partition(":")[2] for each in pods}


@contextlib.asynccontextmanager
async def first_ready(api: Api, namespace: str, image: str) -> AsyncIterator[list[str]]:
    """While this goes on, the names of pods with an image are noted in the order in which they get ready."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    listed = await api.request("GET", path)
    names: list[str] = []

    async def follow() -> None:
        async for event in api.watch(path, listed["metadata"]["resourceVersion"]):
            pod = event["object"]
            name = pod["metadata"]["name"]
            if serves(pod) and pod["spec"]["containers"][0]["image"].endswith(f":{image}") and name not in names:
                names.append(name)

    following = asyncio.create_task(follow())
    try:
        yield names
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        pytest.param([], ["ingest", "data", "master"], id="as they stand in the spec"),
        pytest.param(["master", "data"], ["master", "data", "ingest"], id="by name, the rest after them"),
        pytest.param(["voter", "entry"], ["master", "ingest", "data"], id="by role"),
    ],
)
async def test_node_sets_are_updated_one_after_the_other(bench: Bench, order: list[str], expected: list[str]) -> None:
    def sets(image: str) -> list[Manifest]:
        return [
            node_set("ingest", 1, image=image, roles=["entry"]),
            node_set("data", 2, image=image),
            node_set("master", 3, image=image, roles=["voter"], quorum=True),
        ]

    await bench.create(*sets("v1"), updateStrategy={"order": order})
    await bench.settle()
    async with first_ready(bench.api, bench.namespace, "v2") as names:
        await bench.change(nodeSets=sets("v2"))
        await bench.settle()
    sizes = {"ingest": 1, "data": 2, "master": 3}
    assert names == [f"db-{name}-{ordinal}" for name in expected for ordinal in reversed(range(sizes[name]))]


async def test_a_set_that_never_gets_ready_holds_up_those_after_it_and_no_others(bench: Bench) -> None:
    def sets(image: str, **annotations: str) -> list[Manifest]:
        middle = node_set("data", 2, image=image)
        middle["template"]["metadata"]["annotations"] = annotations
        return [node_set("master", 1, image=image), middle, node_set("ingest", 1, image=image)]

    await bench.create(*sets("v1"))
    await bench.settle()
    await bench.change(nodeSets=sets("v2", **{"example.com/ready": "false"}))
    await bench.until(lambda it: "db-data-1 is not ready" in held(it).get("db-data-0", ""))
    assert await images(bench) == {"db-master-0": "v2", "db-data-0": "v1", "db-data-1": "v2", "db-ingest-0": "v1"}
    found = await bench.api.get(bench.path)
    assert held(found)["db-ingest-0"] == "node set data is updated first"
    await bench.change(nodeSets=sets("v3"))
    assert (await bench.settle())["status"]["summary"]["updated"] == "4/4"
    assert set((await images(bench)).values()) == {"v3"}


async def test_with_on_delete_a_member_gets_the_new_template_when_somebody_deletes_its_pod(bench: Bench) -> None:
    await bench.create(node_set("data", 3), updateStrategy={"type": "OnDelete"})
    await bench.settle()
    before = await bench.uids("pods")
    await bench.change(nodeSets=[node_set("data", 3, image="v2")])
    found = await bench.settle()
    assert await bench.uids("pods") == before
    assert found["status"]["summary"]["updated"] == "0/3"
    assert set(held(found).values()) == {"updateStrategy.type is OnDelete: delete the pod"}
    await bench.api.delete(bench.pod("db-data-1"))
    found = await bench.settle()
    assert found["status"]["summary"] == {**found["status"]["summary"], "ready": "3/3", "updated": "1/3"}
    assert await images(bench) == {"db-data-0": "v1", "db-data-1": "v2", "db-data-2": "v1"}
    assert held(found).keys() == {"db-data-0", "db-data-2"}
    await bench.change(updateStrategy={"type": "RollingUpdate"})
    async with at_least(bench.api, bench.namespace, 2):
        assert (await bench.settle())["status"]["summary"]["updated"] == "3/3"


async def test_paused_half_way_through_it_stands_still_and_can_be_rolled_back(bench: Bench) -> None:
    await bench.create(node_set("data", 3, claim="zonal"))
    await bench.settle()
    before = await bench.uids("pods")
    slow = node_set("data", 3, claim="zonal", image="v2")
    slow["template"]["metadata"]["annotations"] = {"example.com/ready": "false"}
    await bench.change(nodeSets=[slow])
    await bench.until(lambda it: "db-data-2 is not ready: it is starting" in held(it).get("db-data-1", ""))
    await bench.change(paused=True)
    await bench.api.patch(bench.pod("db-data-2"), {"metadata": {"annotations": {"example.com/ready": None}}})
    found = await bench.until(lambda it: it["status"]["summary"]["ready"] == "3/3")
    assert await bench.reconcile() == []
    assert await images(bench) == {"db-data-0": "v1", "db-data-1": "v1", "db-data-2": "v2"}
    assert reason(found, "Ready")[0] == "Paused"
    assert held(found)["db-data-1"] == "spec.paused is true"
    await bench.api.delete(bench.pod("db-data-0"))
    await bench.until(lambda it: it["status"]["summary"]["ready"] == "2/3")
    found = await bench.api.get(bench.path)
    assert {"target": "db-data-0", "change": "create Pod", "heldBy": "spec.paused is true"} in (
        found["status"]["pendingChanges"]
    )
    await bench.change(paused=False, nodeSets=[node_set("data", 3, claim="zonal")])
    await bench.settle(allowed=1)  # and the operator dies after every write
    assert set((await images(bench)).values()) == {"v1"}
    assert (await bench.uids("pods"))["db-data-1"] == before["db-data-1"], "it never had another template"
    assert said(await bench.api.get(bench.path), "Progressing") == "False"
