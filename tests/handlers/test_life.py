"""What happens to StatefulClusters in the course of their life, on a real API server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.controlplane.api import STRATEGIC, ApiFailure
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import Manifest
from tests.controlplane.plane import ControlPlane
from tests.handlers.bench import PATIENCE, Bench, cluster, node_set, reason, said, template
from tests.handlers.serving import at_least, serves

pytestmark = pytest.mark.e2e

NEVER_READY = {"example.com/ready": "false"}


def broken(image: str) -> Manifest:
    """A template that never gets ready."""
    return template(image, annotations=NEVER_READY, schedulerName="default-scheduler")


def held(manifest: Manifest) -> dict[str, str]:
    """What waits, and what holds it."""
    return {each["target"]: each.get("heldBy", "") for each in manifest["status"]["pendingChanges"]}


# --- rollout ----------------------------------------------------------------------------------------------------


async def test_a_template_that_never_gets_ready_stops_after_its_first_victim_and_goes_on_when_it_is_mended(
    bench: Bench,
) -> None:
    good = node_set("master", 3, quorum=True)
    await bench.create(good)
    await bench.settle()
    async with at_least(bench.api, bench.namespace, 2):
        await bench.change(nodeSets=[{**good, "template": broken("v2")}])
        found = await bench.until(
            lambda it: "db-master-2 is not ready: it is starting" in held(it).get("db-master-1", "")
        )
        assert reason(found, "Progressing")[0] == "RollingOut"
        assert "db-master-1 waits: db-master-2 is not ready" in reason(found, "Progressing")[1]
        later = datetime.timedelta(minutes=11)
        await bench.reconcile(ahead=later)
        found = await bench.api.get(bench.path)
        assert reason(found, "Progressing")[0] == "Stalled"
        assert said(found, "Degraded") == "True"
    await bench.api.delete(bench.pod("db-master-0"))  # an accident: it comes back with the template that serves
    await bench.until(lambda it: it["status"]["summary"]["ready"] == "2/3")
    images = {each: (await bench.api.get(bench.pod(each)))["spec"]["containers"][0]["image"] for each in
              ("db-master-0", "db-master-1", "db-master-2")}  # fmt: skip
    assert images == {
        "db-master-0": "example.com/db:v1", "db-master-1": "example.com/db:v1", "db-master-2": "example.com/db:v2",
    }  # fmt: skip
    async with at_least(bench.api, bench.namespace, 2):
        await bench.change(nodeSets=[node_set("master", 3, quorum=True, image="v3")])
        found = await bench.settle()
        assert found["status"]["summary"]["updated"] == "3/3"


async def test_a_broken_template_is_rolled_back_without_anybody_deleting_a_pod(bench: Bench) -> None:
    await bench.create(node_set("data", 2))
    await bench.settle()
    before = await bench.uids("pods")
    await bench.change(nodeSets=[{**node_set("data", 2), "template": broken("v2")}])
    await bench.until(lambda it: "db-data-1 is not ready: it is starting" in held(it).get("db-data-0", ""))
    await bench.change(nodeSets=[node_set("data", 2)])
    await bench.settle()
    after = await bench.uids("pods")
    assert after["db-data-0"] == before["db-data-0"], "it never had another template"
    assert after["db-data-1"] != before["db-data-1"]


async def test_each_step_waits_for_readiness_gates(bench: Bench) -> None:
    gated = template("v2", schedulerName="default-scheduler", readinessGates=[{"conditionType": "example.com/joined"}])
    await bench.create(node_set("data", 2))
    await bench.settle()
    await bench.change(nodeSets=[{**node_set("data", 2), "template": gated}])
    for name, others in (("db-data-1", "db-data-0"), ("db-data-0", "db-data-1")):
        await bench.until_pod(name, lambda pod: "readinessGates" in pod["spec"] and bool(pod["status"].get("podIP")))
        found = await bench.api.get(bench.path)
        assert found["status"]["summary"]["ready"] != "2/2"
        assert serves(await bench.api.get(bench.pod(others)))
        joined = {"type": "example.com/joined", "status": "True"}
        await bench.api.patch(f"{bench.pod(name)}/status", {"status": {"conditions": [joined]}}, content_type=STRATEGIC)
    await bench.settle()


async def test_a_member_below_the_partition_comes_back_as_it_was(bench: Bench) -> None:
    await bench.create(node_set("data", 2), updateStrategy={"partition": 1})
    await bench.settle()
    await bench.change(nodeSets=[node_set("data", 2, image="v2")])
    await bench.settle()
    await bench.api.delete(bench.pod("db-data-0"))
    found = await bench.settle()
    assert found["status"]["summary"]["updated"] == "1/2"
    assert (await bench.api.get(bench.pod("db-data-0")))["spec"]["containers"][0]["image"] == "example.com/db:v1"
    await bench.change(updateStrategy={"partition": 0})
    assert (await bench.settle())["status"]["summary"]["updated"] == "2/2"
    assert len(await bench.names("controllerrevisions")) == 1


async def test_paused_nothing_changes_and_what_waits_is_told(bench: Bench) -> None:
    await bench.create(node_set("data", 1))
    await bench.settle()
    before = await bench.uids("pods")
    await bench.change(paused=True, nodeSets=[node_set("data", 2, image="v2")])
    await bench.reconcile()
    assert await bench.uids("pods") == before
    found = await bench.api.get(bench.path)
    assert reason(found, "Ready")[0] == "Paused"
    assert held(found)["db-data-1"] == "spec.paused is true"
    await bench.change(paused=False)
    await bench.settle()


async def test_a_rollout_and_a_drain_at_once_never_break_a_quorum(bench: Bench) -> None:
    """Somebody evicts every member of the set again and again while it is updated twice."""
    await bench.create(node_set("master", 3, quorum=True))
    await bench.settle()
    evicted = 0

    async def drain() -> None:
        nonlocal evicted
        while True:
            for name in await bench.names("pods"):
                body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
                try:
                    await bench.api.request("POST", f"{bench.pod(name)}/eviction", body)
                    evicted += 1
                except ApiFailure as failure:
                    if failure.status not in {404, 429, 500}:  # gone; no budget; it has changed meanwhile
                        raise
                await asyncio.sleep(0.05)

    async with at_least(bench.api, bench.namespace, 2):
        draining = asyncio.create_task(drain())
        try:
            for image in ("v2", "v3"):
                await bench.change(nodeSets=[node_set("master", 3, quorum=True, image=image)])
                await bench.until(lambda it: it["status"]["summary"]["updated"] == "3/3")
        finally:
            draining.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await draining
    assert evicted
    await bench.settle()


# --- identity ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["Background", "Foreground", "Orphan"])
async def test_a_cluster_that_is_deleted_and_made_again_has_its_members_again(bench: Bench, how: str) -> None:
    odd = template(annotations={"example.com/note": '<&> "é\u2028'}, schedulerName="default-scheduler")
    data = {**node_set("data", 2, claim="zonal"), "template": odd}
    await bench.create(data)
    await bench.settle()
    pods, claims = await bench.uids("pods"), await bench.uids("persistentvolumeclaims")
    await bench.api.delete(bench.path, propagationPolicy=how)
    await bench.api.wait_gone(bench.path, within=PATIENCE)
    await bench.create(data)
    await bench.settle()
    assert await bench.uids("persistentvolumeclaims") == claims
    assert (await bench.uids("pods") == pods) is (how == "Orphan")
    mine = (await bench.api.get(bench.path))["metadata"]["uid"]
    (kept,) = await bench.names("controllerrevisions")
    for path in (
        bench.pod("db-data-0"), bench.of("services", "db"), bench.of("poddisruptionbudgets", "db-data"),
        bench.of("controllerrevisions", kept),
    ):  # fmt: skip
        (owner,) = (await bench.api.get(path))["metadata"]["ownerReferences"]
        assert owner["uid"] == mine


@pytest.mark.parametrize("how", ["Background", "Orphan"])
async def test_a_cluster_whose_claims_go_with_it_is_made_again_at_once(bench: Bench, how: str) -> None:
    """While the garbage collector still takes away what the first one had, unless that was orphaned."""
    data, delete = node_set("data", 2, claim="zonal"), {"whenDeleted": "Delete"}
    await bench.create(data, persistentVolumeClaimRetentionPolicy=delete)
    await bench.settle()
    claims = await bench.uids("persistentvolumeclaims")
    await bench.api.delete(bench.path, propagationPolicy=how)
    if how == "Orphan":
        await bench.api.wait_gone(bench.path, within=PATIENCE)
    await bench.create(data, persistentVolumeClaimRetentionPolicy=delete)
    await bench.settle()
    after = await bench.uids("persistentvolumeclaims")
    assert after.keys() == claims.keys()
    assert set(after.values()) & set(claims.values()) == (set(claims.values()) if how == "Orphan" else set())
    mine = (await bench.api.get(bench.path))["metadata"]["uid"]
    for name in claims:
        (owner,) = (await bench.api.get(bench.of("persistentvolumeclaims", name)))["metadata"]["ownerReferences"]
        assert owner["uid"] == mine


async def test_two_clusters_whose_members_would_have_one_name_do_not_share_it(bench: Bench) -> None:
    await bench.create(node_set("b-c", 1))
    await bench.settle()
    before = await bench.uids("pods")
    other = cluster(bench.namespace, node_set("c", 1))
    await bench.api.create({**other, "metadata": {**other["metadata"], "name": "db-b"}})
    await bench.reconcile(name="db-b")
    found = await bench.api.get(bench.path.removesuffix("db") + "db-b")
    assert said(found, "Ready") == "False"
    assert "db-b-c exists and belongs to StatefulCluster db" in reason(found, "Ready")[1]
    assert await bench.uids("pods") == before
    await bench.settle()


# --- scale ------------------------------------------------------------------------------------------------------


async def test_kubectl_scale_and_an_autoscaler_work_on_a_cluster_with_one_set(
    quiet_plane: ControlPlane, bench: Bench
) -> None:
    one = {key: value for key, value in node_set("data").items() if key != "replicas"}
    await bench.create(one, replicas=1)
    await bench.settle()
    quiet_plane.kubectl("scale", "stc/db", "--replicas=3", "-n", bench.namespace)
    found = await bench.settle()
    assert found["status"]["summary"]["ready"] == "3/3"
    scale = await bench.api.get(f"{bench.path}/scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
    assert scale["status"]["selector"] == "stowplan.dev/cluster=db"
    await bench.api.request("PUT", f"{bench.path}/scale", {**scale, "spec": {"replicas": 2}})  # as the HPA does
    assert (await bench.settle())["status"]["summary"]["ready"] == "2/2"


async def test_several_sets_are_not_scaled_as_one(quiet_plane: ControlPlane, bench: Bench) -> None:
    await bench.create(node_set("data", 1), node_set("ingest", 1))
    with pytest.raises(ControlPlaneError, match="this one has several"):
        quiet_plane.kubectl("scale", "stc/db", "--replicas=3", "-n", bench.namespace)
    with pytest.raises(ApiFailure, match=r"this one has several: set nodeSets\[\]\.replicas instead"):
        await bench.change(replicas=3)


# --- volumes ----------------------------------------------------------------------------------------------------


async def test_a_member_is_restarted_when_its_file_system_does_not_grow_while_it_is_mounted(bench: Bench) -> None:
    await bench.create(node_set("data", 2, claim="zonal"))
    await bench.settle()
    before = await bench.uids("pods")
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=5)
    waits = {"type": "FileSystemResizePending", "status": "True", "lastTransitionTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    path = bench.of("persistentvolumeclaims", "vol-db-data-0")
    await bench.api.patch(f"{path}/status", {"status": {"conditions": [waits]}}, content_type=STRATEGIC)
    assert await bench.reconcile() == []
    await bench.reconcile(ahead=datetime.timedelta(minutes=3))
    await bench.api.patch(f"{path}/status", {"status": {"conditions": []}})
    await bench.settle()
    after = await bench.uids("pods")
    assert after["db-data-0"] != before["db-data-0"]
    assert after["db-data-1"] == before["db-data-1"]


async def test_a_volume_on_a_node_that_is_gone_is_given_up_where_the_spec_says_so(
    bench: Bench,
) -> None:
    await bench.create(node_set("data", 1, claim="local"), nodeFailure={"volumes": "Keep"})
    await bench.settle()
    before = await bench.uids("persistentvolumeclaims")
    name = (await bench.api.get(bench.pod("db-data-0")))["spec"]["nodeName"]
    async with bench.without_node(name):
        found = await bench.until(lambda it: "vol-db-data-0" in held(it))
        assert held(found)["vol-db-data-0"] == "its node does not exist any more, and nodeFailure.volumes is Keep"
        await bench.change(nodeFailure={"volumes": "ReplaceIfNodeGone"})
        await bench.settle()
        assert await bench.uids("persistentvolumeclaims") != before
        assert (await bench.api.get(bench.pod("db-data-0")))["spec"]["nodeName"] != name


async def test_a_claim_template_that_is_added_is_rolled_out(bench: Bench) -> None:
    await bench.create(node_set("data", 2, claim="zonal"))
    await bench.settle()
    more = node_set("data", 2, claim="zonal")
    log = {
        "metadata": {"name": "log"},
        "spec": {"storageClassName": "zonal", "resources": {"requests": {"storage": "1Gi"}}},
    }
    more["volumeClaimTemplates"].append(log)
    async with at_least(bench.api, bench.namespace, 1):
        await bench.change(nodeSets=[more])
        await bench.settle()
    assert await bench.names("persistentvolumeclaims") == [
        f"{each}-db-data-{ordinal}" for each in ("log", "vol") for ordinal in (0, 1)
    ]


# --- drain ------------------------------------------------------------------------------------------------------


async def _is_about_to_shrink(bench: Bench, drain: Manifest) -> None:
    """Of two members the second one, which answers on this machine, is to go; it has been asked to drain once."""
    await bench.create(node_set("data", 2, drain=drain), scaleDown={"victim": "HighestOrdinal"})
    await bench.settle()
    address = {"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    await bench.api.patch(f"{bench.pod('db-data-1')}/status", address)
    await bench.change(nodeSets=[node_set("data", 1, drain=drain)])
    await bench.reconcile()


async def test_a_member_is_asked_to_drain_before_it_is_removed(bench: Bench) -> None:
    answers = iter([503, 202, 200])
    asked: list[str] = []

    async def leave(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path}")
        assert (await bench.api.get(bench.pod("db-data-1")))["metadata"].get("deletionTimestamp") is None
        return web.Response(status=next(answers), text="moving shards")

    application = web.Application()
    application.router.add_post("/leave", leave)
    async with TestServer(application) as member:
        drain = {"httpPost": {"path": "/leave", "port": member.port}}
        await _is_about_to_shrink(bench, drain)
        found = await bench.api.get(bench.path)
        assert f"http://127.0.0.1:{member.port}/leave answers 503 Service Unavailable: moving shards" in [
            each["heldBy"] for each in found["status"]["pendingChanges"]
        ]
        await bench.settle()
    assert asked == ["POST /leave"] * 3
    assert await bench.names("pods") == ["db-data-0"]


@pytest.mark.parametrize("on_timeout", ["Hold", "Continue"])
async def test_a_member_that_does_not_drain_in_time(bench: Bench, on_timeout: str) -> None:
    async def busy(request: web.Request) -> web.Response:
        return web.Response(status=503, text="moving shards")

    application = web.Application()
    application.router.add_post("/", busy)
    async with TestServer(application) as member:
        drain = {"httpPost": {"port": member.port}, "timeout": "5m", "onTimeout": on_timeout}
        await _is_about_to_shrink(bench, drain)
        await bench.reconcile(ahead=datetime.timedelta(minutes=4))
        assert await bench.names("pods") == ["db-data-0", "db-data-1"]
        await bench.reconcile(ahead=datetime.timedelta(minutes=6))
        if on_timeout == "Hold":
            assert await bench.names("pods") == ["db-data-0", "db-data-1"]
            found = await bench.api.get(bench.path)
            assert reason(found, "Ready")[0] == "DrainTimedOut"
            assert "db-data-1 has not drained within 5m" in reason(found, "Degraded")[1]
            await bench.change(nodeSets=[node_set("data", 2, drain=drain)])  # taken back
        else:
            await bench.api.wait_gone(bench.pod("db-data-1"), within=PATIENCE)
        await bench.settle()
