"""StatefulClusters on a real API server, one reconcile at a time."""

from __future__ import annotations

import dataclasses

import pytest
from tests.controlplane.api import condition
from tests.controlplane.plane import ControlPlane
from tests.handlers.bench import PATIENCE, Bench, node_set, reason, said, template

from stowplan.api.cluster import StatefulCluster
from stowplan.reconcile import specs

pytestmark = pytest.mark.e2e


async def test_a_cluster_gets_its_service_budgets_claims_and_pods_and_becomes_ready(bench: Bench) -> None:
    await bench.create(node_set("master", 3, quorum=True, claim="zonal"), node_set("data", 2, roles=["data"]))
    found = await bench.settle()
    assert await bench.names("pods") == ["db-data-0", "db-data-1", "db-master-0", "db-master-1", "db-master-2"]
    assert await bench.names("persistentvolumeclaims") == [f"vol-db-master-{ordinal}" for ordinal in range(3)]
    assert await bench.names("services") == ["db"]
    service = (await bench.api.get(bench.of("services", "db")))["spec"]
    assert (service["clusterIP"], service["selector"]) == ("None", {"stowplan.dev/cluster": "db"})
    assert await bench.names("poddisruptionbudgets") == ["db-data", "db-master"]
    status = found["status"]
    assert status["observedGeneration"] == found["metadata"]["generation"]
    assert status["summary"]["ready"] == "5/5"
    assert status["nodeSets"] == [
        {"name": "master", "replicas": 3, "scheduled": 3, "ready": 3, "updated": 3},
        {"name": "data", "replicas": 2, "scheduled": 2, "ready": 2, "updated": 2},
    ]
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "Ready": "True", "Progressing": "False", "Degraded": "False", "PlacementSatisfied": "True",
        "VolumesReady": "True",
    }  # fmt: skip


async def test_at_rest_nothing_is_written(bench: Bench) -> None:
    await bench.create(node_set("data", 2, claim="zonal"))
    await bench.settle()
    assert await bench.reconcile() == []


async def test_killed_after_every_single_write_it_ends_in_the_same_state(bench: Bench) -> None:
    await bench.create(node_set("data", 2, claim="zonal"), node_set("ingest", 1))
    await bench.settle(allowed=1)
    assert await bench.names("pods") == ["db-data-0", "db-data-1", "db-ingest-0"]
    assert await bench.names("persistentvolumeclaims") == ["vol-db-data-0", "vol-db-data-1"]
    assert await bench.names("poddisruptionbudgets") == ["db-data", "db-ingest"]
    await bench.change(
        nodeSets=[node_set("data", 1, claim="zonal", image="v2"), node_set("ingest", 2)],
        persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete", "whenDeleted": "Delete"},
        scaleDown={"victim": "HighestOrdinal"},
    )
    found = await bench.settle(allowed=1)
    assert found["status"]["summary"]["updated"] == "3/3"
    assert await bench.names("pods") == ["db-data-0", "db-ingest-0", "db-ingest-1"]
    assert await bench.names("persistentvolumeclaims") == ["vol-db-data-0"]


async def test_a_deleted_pod_is_replaced_and_has_its_volume_again(bench: Bench) -> None:
    await bench.create(node_set("data", 2, claim="zonal"))
    await bench.settle()
    pods, claims = await bench.uids("pods"), await bench.uids("persistentvolumeclaims")
    await bench.api.delete(bench.pod("db-data-1"))
    await bench.settle()
    assert (await bench.uids("pods"))["db-data-1"] != pods["db-data-1"]
    assert await bench.uids("persistentvolumeclaims") == claims


async def test_a_failed_pod_is_replaced(bench: Bench) -> None:
    await bench.create(node_set("data", 1))
    await bench.settle()
    before = await bench.uids("pods")
    await bench.api.patch(bench.pod("db-data-0"), {"metadata": {"annotations": {"example.com/fails": "true"}}})
    await bench.api.wait(bench.pod("db-data-0"), lambda pod: pod["status"]["phase"] == "Failed", within=PATIENCE)
    await bench.settle()
    assert await bench.uids("pods") != before


@pytest.mark.parametrize(
    ("kept", "left"),
    [
        pytest.param("Retain", [f"vol-db-data-{ordinal}" for ordinal in range(3)], id="claims retained"),
        pytest.param("Delete", ["vol-db-data-0"], id="claims deleted"),
    ],
)
async def test_a_set_shrinks_to_one_with_its(bench: Bench, kept: str, left: list[str]) -> None:
    await bench.create(
        node_set("data", 3, claim="zonal"),
        scaleDown={"victim": "HighestOrdinal"},
        persistentVolumeClaimRetentionPolicy={"whenScaled": kept},
    )
    await bench.settle()
    await bench.change(nodeSets=[node_set("data", 1, claim="zonal")])
    await bench.settle()
    assert await bench.names("pods") == ["db-data-0"]
    remaining = await bench.names("persistentvolumeclaims")
    assert remaining == left
    await bench.change(nodeSets=[node_set("data", 3, claim="zonal")])
    await bench.settle()
    assert len(await bench.names("pods")) == 3


@pytest.mark.parametrize(("when_deleted", "left"), [("Retain", ["vol-db-data-0"]), ("Delete", [])])
async def test_claims_of_a_deleted_cluster(bench: Bench, when_deleted: str, left: list[str]) -> None:
    await bench.create(
        node_set("data", 1, claim="zonal"), persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain"}
    )
    await bench.settle()
    await bench.change(persistentVolumeClaimRetentionPolicy={"whenDeleted": when_deleted})
    await bench.settle()
    await bench.api.request("DELETE", bench.path, {"propagationPolicy": "Foreground"})
    await bench.api.wait_gone(bench.path, within=PATIENCE)
    assert await bench.names("pods") == []
    assert await bench.names("persistentvolumeclaims") == left


async def test_a_cluster_that_is_made_again_finds_its_volumes(bench: Bench) -> None:
    await bench.create(node_set("data", 2, claim="zonal"))
    await bench.settle()
    claims = await bench.uids("persistentvolumeclaims")
    await bench.api.delete(bench.path)
    await bench.create(node_set("data", 2, claim="zonal"))
    await bench.settle()
    assert await bench.uids("persistentvolumeclaims") == claims


async def test_a_new_template_reaches_a_quorum_set_through_evictions(bench: Bench) -> None:
    await bench.create(node_set("master", 3, quorum=True))
    await bench.settle()
    before = await bench.uids("pods")
    await bench.change(nodeSets=[node_set("master", 3, quorum=True, image="v2")])
    found = await bench.settle()
    assert found["status"]["summary"]["updated"] == "3/3"
    assert not set((await bench.uids("pods")).values()) & set(before.values())


async def test_a_template_that_the_api_server_refuses_is_reported_and_nobody_is_restarted(bench: Bench) -> None:
    await bench.create(node_set("data", 2))
    await bench.settle()
    before = await bench.uids("pods")
    await bench.change(nodeSets=[{**node_set("data", 2), "template": template("v2", restartPolicy="Sometimes")}])
    await bench.reconcile()
    found = await bench.api.get(bench.path)
    assert said(found, "Ready") == "False"
    word, message = reason(found, "Progressing")
    assert word == "TemplateRefused"
    assert 'spec.restartPolicy: Unsupported value: "Sometimes"' in message
    assert await bench.uids("pods") == before
    await bench.change(nodeSets=[node_set("data", 2)])
    await bench.settle()
    assert await bench.uids("pods") == before


async def test_while_a_template_is_refused_members_that_lose_their_pod_come_back_as_they_were(bench: Bench) -> None:
    await bench.create(node_set("data", 2))
    await bench.settle()
    await bench.change(nodeSets=[{**node_set("data", 2), "template": template("v2", restartPolicy="Sometimes")}])
    await bench.reconcile()
    for name in ("db-data-0", "db-data-1"):
        await bench.api.delete(bench.pod(name))
    found = await bench.until(lambda it: it["status"]["summary"]["ready"] == "2/2")
    assert reason(found, "Ready")[0] == "TemplateRefused"
    assert found["status"]["summary"]["updated"] == "0/2"


async def test_pods_that_the_api_server_refuses_are_reported_until_the_spec_is_mended(bench: Bench) -> None:
    bad = {**node_set("data", 2), "template": template(restartPolicy="Sometimes", schedulerName="default-scheduler")}
    await bench.create(bad, node_set("ingest", 1))
    await bench.reconcile()
    found = await bench.api.get(bench.path)
    assert reason(found, "Ready")[0] == "Refused"
    assert found["status"]["pendingChanges"][0]["change"] == "create Pod"
    assert await bench.names("pods") == ["db-ingest-0"]
    await bench.change(nodeSets=[node_set("data", 2), node_set("ingest", 1)])
    await bench.settle()


async def test_a_misspelt_field_of_a_template_is_refused_like_one_of_a_pod(bench: Bench) -> None:
    """The CRD keeps what it does not know of a template, so nobody else would notice."""
    typo = {**node_set("data", 1), "template": template(restartPolicie="Always")}
    await bench.create(typo)
    await bench.reconcile()
    word, message = reason(await bench.api.get(bench.path), "Ready")
    assert word == "Refused"
    assert 'unknown field "spec.restartPolicie"' in message
    assert await bench.names("pods") == []
    await bench.change(nodeSets=[node_set("data", 1)])
    await bench.settle()
    before = await bench.uids("pods")

    await bench.change(nodeSets=[typo])
    await bench.reconcile()
    word, message = reason(await bench.api.get(bench.path), "Progressing")
    assert word == "TemplateRefused"
    assert 'unknown field "spec.restartPolicie"' in message
    assert await bench.uids("pods") == before


async def test_members_whose_template_has_served_with_a_misspelt_field_come_back(bench: Bench) -> None:
    """An older Stowplan has made them, and has kept their template."""
    misspelt = template(restartPolicie="Always", schedulerName="default-scheduler")
    await bench.create({**node_set("data", 1), "template": misspelt})
    made = StatefulCluster.model_validate(await bench.api.get(bench.path))
    await bench.api.create(specs.controller_revision(made, made.spec.node_sets[0], 1))
    await bench.settle()
    await bench.api.delete(bench.pod("db-data-0"))
    await bench.settle()


async def test_a_policy_that_does_not_exist_is_named_and_waited_for(bench: Bench) -> None:
    await bench.create(node_set("data", 1), schedulingPolicyRef={"name": "ha"})
    await bench.reconcile()
    found = await bench.api.get(bench.path)
    assert reason(found, "PlacementSatisfied") == ("PolicyNotFound", "SchedulingPolicy ha not found")
    assert await bench.names("pods") == []
    zone = {"name": "zone", "topologyKey": "topology.kubernetes.io/zone"}
    await bench.api.create({
        "apiVersion": "stowplan.dev/v1alpha1", "kind": "SchedulingPolicy",
        "metadata": {"name": "ha", "namespace": bench.namespace}, "spec": {"failureDomains": [zone]},
    })  # fmt: skip
    found = await bench.settle()
    assert [each["domain"] for each in found["status"]["placement"]] == ["zone"]
    pod = await bench.api.get(bench.pod("db-data-0"))
    assert pod["metadata"]["annotations"]["stowplan.dev/policy"] == "ha"


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": {"clusterIP": "None"}},
            id="Service",
        ),
        pytest.param(
            {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "vol-db-data-0"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            },
            id="PersistentVolumeClaim",
        ),
        pytest.param(
            {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db-data-0"},
                "spec": {"containers": [{"name": "main", "image": "example.com/other"}]},
            },
            id="Pod",
        ),
        pytest.param(
            {
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "db-data"},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "other"}}},
            },
            id="PodDisruptionBudget",
        ),
    ],
)  # fmt: skip
async def test_an_object_of_somebody_else_is_named_and_left_alone(
    bench: Bench, manifest: dict[str, dict[str, str]]
) -> None:
    there = await bench.api.create({**manifest, "metadata": {**manifest["metadata"], "namespace": bench.namespace}})
    await bench.create(node_set("data", 1, claim="zonal"))
    await bench.reconcile()
    found = await bench.api.get(bench.path)
    assert said(found, "Ready") == "False"
    assert said(found, "Degraded") == "True"
    assert f"the {there['kind']} {there['metadata']['name']} exists" in reason(found, "Ready")[1]


async def test_members_of_a_deleted_node_come_back_elsewhere(bench: Bench) -> None:
    await bench.create(node_set("data", 2))
    await bench.settle()
    name = (await bench.api.get(bench.pod("db-data-0")))["spec"]["nodeName"]
    async with bench.without_node(name):
        await bench.settle()
        assert (await bench.api.get(bench.pod("db-data-0")))["spec"]["nodeName"] != name


async def test_a_member_on_a_silent_node_is_replaced_once_somebody_vouches_that_it_is_off(
    quiet_plane: ControlPlane, bench: Bench
) -> None:
    await bench.create(node_set("data", 2, claim="zonal"), nodeFailure={"replaceAfter": "1ms"})
    await bench.settle()
    pod = await bench.api.get(bench.pod("db-data-0"))
    name = pod["spec"]["nodeName"]
    await quiet_plane.silence_node(name)
    bench.world.nodes[name] = dataclasses.replace(bench.world.nodes[name], ready=False)
    path = f"/api/v1/nodes/{name}"
    try:
        await bench.api.wait(path, lambda it: "timeAdded" in str(it["spec"].get("taints")), within=PATIENCE)
        await bench.reconcile()
        dying = await bench.api.get(bench.pod("db-data-0"))
        assert dying["metadata"]["uid"] == pod["metadata"]["uid"]
        assert "deletionTimestamp" in dying["metadata"]
        (waits,) = (await bench.api.get(bench.path))["status"]["pendingChanges"]
        assert waits["target"] == "db-data-0"
        assert f"its node {name} is not ready and cannot confirm that the pod has stopped" in waits["heldBy"]
        taints = [{"key": "node.kubernetes.io/out-of-service", "value": "off", "effect": "NoExecute"}]
        node = await bench.api.get(path)
        await bench.api.patch(path, {"spec": {"taints": [*node["spec"].get("taints", []), *taints]}})
        await bench.settle()
        assert (await bench.api.get(bench.pod("db-data-0")))["spec"]["nodeName"] != name
    finally:
        node = await bench.api.get(path)
        kept = [each for each in node["spec"].get("taints", []) if "out-of-service" not in each["key"]]
        await bench.api.patch(path, {"spec": {"taints": kept}})
        await quiet_plane.wake_node(name)
        await bench.api.wait(path, lambda it: condition(it, "Ready") == "True", within=PATIENCE)


async def test_claims_grow(bench: Bench) -> None:
    await bench.create(node_set("data", 1, claim="zonal"))
    await bench.settle()
    bigger = node_set("data", 1, claim="zonal")
    bigger["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = "2Gi"
    await bench.change(nodeSets=[bigger])
    await bench.reconcile()
    claim = await bench.api.get(f"/api/v1/namespaces/{bench.namespace}/persistentvolumeclaims/vol-db-data-0")
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
