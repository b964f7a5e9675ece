"""The operator as a whole: kopf, the queues and the thread, on a real API server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from tests.controlplane.api import Api, wait_until
from tests.controlplane.nodes import Manifest
from tests.controlplane.plane import ControlPlane
from tests.handlers import audit
from tests.handlers.bench import PATIENCE, Bench, FixedWorld, node_set, said
from tests.handlers.test_policies import manifest

from stowplan.handlers.operator import Operator, OperatorFailed, Timing
from stowplan.handlers.queue import OnRun
from stowplan.kube import config
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.reconcile.observed import Sight
from stowplan.reconcile.policy_status import PolicyFacts

pytestmark = pytest.mark.e2e

OFTEN = Timing(resync=0.5, policy_status=0.1)
SELDOM = Timing(resync=3600, policy_status=0.1)


def ungoverned(pod: PodInfo) -> tuple[str, ...]:
    return ()


def unheard(*_: object) -> None:
    """Who counts runs and requests is tested with the process."""


@contextlib.asynccontextmanager
async def running(
    target: config.Cluster, world: FixedWorld, timing: Timing, *, on_run: OnRun = unheard
) -> AsyncIterator[Operator]:
    operator = Operator(target, world, ungoverned, timing=timing, instance="test", on_run=on_run, on_request=unheard)
    task = asyncio.create_task(operator.run())
    try:
        await asyncio.to_thread(operator.ready.wait, PATIENCE)
        yield operator
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def ready(manifest: Manifest) -> bool:
    return said(manifest, "Ready") == "True"


async def test_a_cluster_becomes_ready_and_is_marked_by_nobody(
    target: config.Cluster, world: FixedWorld, bench: Bench
) -> None:
    async with running(target, world, OFTEN):
        await bench.create(node_set("data", 2, claim="zonal"))
        found = await bench.api.wait(bench.path, ready, within=PATIENCE)
        assert "annotations" not in found["metadata"]
        assert "finalizers" not in found["metadata"]
        await bench.change(nodeSets=[node_set("data", 3, claim="zonal")])
        await bench.api.wait(bench.path, lambda it: it["status"]["summary"]["ready"] == "3/3", within=PATIENCE)


async def test_at_rest_nobody_writes_anything(
    quiet_plane: ControlPlane, target: config.Cluster, world: FixedWorld, bench: Bench
) -> None:
    runs: Counter[str] = Counter()
    async with running(target, world, OFTEN, on_run=lambda name, *_: runs.update([name])):
        await bench.create(node_set("data", 2, claim="zonal"), node_set("master", 3, quorum=True))
        await bench.api.wait(bench.path, ready, within=PATIENCE)
        await bench.wait_event("AllMembersReady")
        before = audit.writes(quiet_plane, bench.namespace)
        assert f"patch {bench.path}/status" in before
        looked = runs["clusters"]
        await asyncio.sleep(6)
        assert runs["clusters"] >= looked + 6, "it has looked again and again"
        assert audit.writes(quiet_plane, bench.namespace) == before


async def test_what_is_done_to_the_members_is_told_in_events(
    target: config.Cluster, world: FixedWorld, bench: Bench
) -> None:
    async with running(target, world, OFTEN):
        await bench.create(node_set("data", 1, claim="zonal"), updateStrategy={"order": ["mster"]})
        await bench.wait_event("AllMembersReady")
        await bench.change(nodeSets=[node_set("data", 1, claim="zonal", image="v2")])
        await bench.wait_event("SuccessfulDelete")
        await bench.api.wait(bench.path, ready, within=PATIENCE)
    told = {(each["type"], each["reason"], each["note"]) for each in await bench.events()}
    assert {
        ("Normal", "SuccessfulCreate", "created PersistentVolumeClaim vol-db-data-0"),
        ("Normal", "SuccessfulCreate", "created Pod db-data-0"),
        ("Normal", "SuccessfulDelete", "deleted Pod db-data-0: it has an older template"),
        ("Normal", "AllMembersReady", "the only member is ready"),
        ("Warning", "QuestionableSpec",
         "spec.updateStrategy.order[0]: mster is neither a node set nor a role of one"),
    } <= told  # fmt: skip


async def test_a_rollout_is_told_in_one_event_for_each_thing_that_was_done(
    quiet_plane: ControlPlane, target: config.Cluster, world: FixedWorld, bench: Bench
) -> None:
    def sets(image: str) -> list[Manifest]:
        return [node_set("master", 3, quorum=True, image=image), node_set("data", 2, claim="zonal", image=image)]

    members = ["db-data-0", "db-data-1", "db-master-0", "db-master-1", "db-master-2"]
    expected = {
        "all 5 members are ready",
        *(f"created PersistentVolumeClaim vol-{name}" for name in members[:2]),
        *(f"created Pod {name}" for name in members),
        *(f"deleted Pod {name}: it has an older template" for name in members),
    }

    async def all_told() -> bool | None:
        return {each["note"] for each in await bench.events()} >= expected or None

    async with running(target, world, OFTEN):
        await bench.create(*sets("v1"))
        await bench.wait_event("AllMembersReady")
        before = len(audit.writes(quiet_plane, bench.namespace))
        await bench.change(nodeSets=sets("v2"))
        await bench.api.wait(bench.path, ready, within=PATIENCE)
        await wait_until(all_told, what="all events", within=PATIENCE)
    told = await bench.events()
    assert sorted(each["note"] for each in told) == sorted(expected)
    assert all(each.get("series", {}).get("count", 1) <= 2 for each in told), "created twice, and ready twice"
    status = [each for each in audit.writes(quiet_plane, bench.namespace)[before:] if each.endswith("db/status")]
    assert len(status) <= 5 * len(members), "the status changes with the members, not by itself"


async def test_what_the_scheduling_loop_sees_wakes_the_cluster(
    target: config.Cluster, world: FixedWorld, bench: Bench
) -> None:
    async with running(target, world, SELDOM) as operator:
        await bench.create(node_set("data", 1))
        await bench.api.wait(bench.pod("db-data-0"), lambda _: True, within=PATIENCE)
        meta = objects.ObjectMeta(name="db-data-0", namespace=bench.namespace, labels={"stowplan.dev/cluster": "db"})
        member = objects.Pod(metadata=meta)

        async def nudge() -> None:
            while True:
                operator.object_changed(member)
                await asyncio.sleep(0.2)

        nudging = asyncio.create_task(nudge())
        try:
            await bench.api.wait(bench.path, ready, within=PATIENCE)
        finally:
            nudging.cancel()


@pytest.mark.parametrize(
    "counted",
    [
        pytest.param(("even",), id="broken again, as it was at the count before"),
        pytest.param((), id="kept again, as it was at the count before"),
    ],
)
async def test_a_cluster_looks_again_where_its_policy_counts_what_it_has_not_seen(
    target: config.Cluster,
    world: FixedWorld,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    counted: tuple[str, ...],
) -> None:
    """A change by pods of others, between two counts with the same result: nothing but the second one can tell."""
    policy, says = f"{bench.namespace}/ha", {(): "True", ("even",): "False"}
    between = () if counted else ("even",)

    def sees(broken: tuple[str, ...]) -> None:
        monkeypatch.setattr(world, "sees", Sight(policy=policy, broken=broken))

    async def satisfied(broken: tuple[str, ...]) -> None:
        await bench.api.wait(bench.path, lambda it: said(it, "PlacementSatisfied") == says[broken], within=PATIENCE)

    monkeypatch.setattr(world, "known", PolicyFacts(broken={bench.key: counted}))
    sees(counted)
    await bench.api.create(manifest(bench.namespace))
    async with running(target, world, SELDOM) as operator:
        await bench.create(node_set("data", 1))
        await bench.api.wait(bench.path, ready, within=PATIENCE)
        await satisfied(counted)
        sees(between)
        await bench.change(paused=True)  # it looks, and its policy does not
        await satisfied(between)
        sees(counted)
        operator.policy_changed(policy)
        await satisfied(counted)


async def test_a_cluster_that_changed_while_nobody_looked_is_seen_to_at_the_start(
    target: config.Cluster, world: FixedWorld, bench: Bench
) -> None:
    await bench.create(node_set("data", 1))
    async with running(target, world, OFTEN):
        await bench.api.wait(bench.path, ready, within=PATIENCE)
    await bench.change(nodeSets=[node_set("data", 2)])
    async with running(target, world, OFTEN):
        await bench.api.wait(bench.path, lambda it: it["status"]["summary"]["ready"] == "2/2", within=PATIENCE)


async def test_it_leaves_no_thread_behind(target: config.Cluster, world: FixedWorld, quiet_api: Api) -> None:
    async with running(target, world, OFTEN):
        assert "operator" in {each.name for each in threading.enumerate()}
    assert "operator" not in {each.name for each in threading.enumerate()}


async def test_a_defect_in_its_thread_ends_it_with_a_word(target: config.Cluster, world: FixedWorld) -> None:
    broken = Timing(workers=-1)
    with pytest.raises(OperatorFailed, match="the operator has stopped: "):
        await Operator(
            target, world, ungoverned, instance="test", timing=broken, on_run=unheard, on_request=unheard
        ).run()
