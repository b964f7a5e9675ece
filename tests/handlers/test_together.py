"""Operator and scheduler as one process with the chart's rights: a cluster from nothing to Ready and down again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml
from tests.controlplane.api import Api
from tests.controlplane.nodes import Manifest
from tests.controlplane.plane import ControlPlane
from tests.handlers.bench import PATIENCE, said
from tests.process import Replica

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stowplan")]


def ready(manifest: Manifest) -> bool:
    return said(manifest, "Ready") == "True"


@pytest.fixture
async def paths(api: Api, namespace: str) -> tuple[str, str]:
    """The example's policy and cluster, created: where they are."""
    for name in ("policy.yaml", "cluster.yaml"):
        manifest = yaml.safe_load((EXAMPLES / name).read_text())
        manifest["metadata"]["namespace"] = namespace
        await api.create(manifest)
    base = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}"
    return f"{base}/schedulingpolicies/search-ha", f"{base}/statefulclusters/search"


async def test_the_example_becomes_ready_as_its_policy_says_and_then_nothing_is_written(
    control_plane: ControlPlane, api: Api, namespace: str, paths: tuple[str, str], stowplan: Replica
) -> None:
    policy_path, cluster_path = paths
    cluster = await api.wait(cluster_path, ready, within=2 * PATIENCE)
    status = cluster["status"]
    assert status["summary"] == {"ready": "11/11", "updated": "11/11", "survives": ",".join(status["survives"])}
    assert {"zone", "host"} <= set(status["survives"])
    zones = next(each for each in status["placement"] if each["domain"] == "zone")
    assert sum(zones["counts"].values()) == 11
    policy = await api.wait(
        policy_path,
        lambda it: it.get("status", {}).get("pods", {}) == {"governed": 11, "bound": 11, "pending": 0},
        within=PATIENCE,
    )
    assert ready(policy)
    assert policy["status"]["violations"] == 0

    listed = control_plane.kubectl("get", "stc", "search", "-n", namespace).split()
    assert listed[:5] == ["NAME", "READY", "UPDATED", "SURVIVES", "POLICY"]
    assert listed[6:9] == ["search", "11/11", "11"]
    assert "11/11" in control_plane.kubectl("get", "schpol", "search-ha", "-n", namespace)

    before = await versions(api, namespace, paths)
    await asyncio.sleep(5)
    assert await versions(api, namespace, paths) == before


async def versions(api: Api, namespace: str, paths: tuple[str, str]) -> dict[str, str]:
    found = [await api.get(each) for each in paths]
    for collection in ("pods", "persistentvolumeclaims", "services"):
        found += await api.list(f"/api/v1/namespaces/{namespace}/{collection}")
    found += await api.list(f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets")
    return {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in found}


async def test_a_lost_member_goes_back_to_its_volume_and_a_set_shrinks_evenly(
    api: Api, namespace: str, paths: tuple[str, str]
) -> None:
    _, path = paths
    await api.wait(path, ready, within=2 * PATIENCE)
    pod = f"/api/v1/namespaces/{namespace}/pods/search-data-2"
    before = await api.get(pod)
    await api.delete(pod)
    again = await api.wait(
        pod,
        lambda it: it["metadata"]["uid"] != before["metadata"]["uid"] and bool(it["spec"].get("nodeName")),
        within=PATIENCE,
    )
    assert again["spec"]["nodeName"] == before["spec"]["nodeName"], "its volume is a disk of that node"
    cluster = await api.wait(path, ready, within=PATIENCE)
    node_sets = cluster["spec"]["nodeSets"]
    for node_set in node_sets:
        node_set["replicas"] = {"data": 3}.get(node_set["name"], node_set["replicas"])
    await api.patch(path, {"spec": {"nodeSets": node_sets}})
    cluster = await api.wait(path, ready, within=PATIENCE)
    zones = []
    for member in await api.list(f"/api/v1/namespaces/{namespace}/pods", labelSelector="stowplan.dev/node-set=data"):
        node = await api.get(f"/api/v1/nodes/{member['spec']['nodeName']}")
        zones.append(node["metadata"]["labels"]["topology.kubernetes.io/zone"])
    assert sorted(zones) == ["a", "b", "c"]
