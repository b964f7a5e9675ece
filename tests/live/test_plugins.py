"""Several profiles in one process, with a plugin by others, and with one that fails."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterator

import pytest
from tests import process
from tests.cli.command import run
from tests.controlplane.api import Api
from tests.controlplane.nodes import ZONE
from tests.controlplane.plane import ControlPlane
from tests.live import objects
from tests.live.conftest import OwnNode
from tests.process import Replica
from tests.tutorial import package

from stowplan.framework.conduct import LIMIT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

EXAMPLE = process.ROOT / "examples" / "plugin"
EVENLY = {
    "defaultingType": "List",
    "defaultConstraints": [{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}],
}
BROKEN = '''
class Broken:
    """Raises wherever it is asked."""

    name = "Broken"

    def filter(self, pod, nodes, state):
        raise LookupError("no such thing")

    def score(self, pod, nodes, state, rows):
        raise LookupError("no such thing")
'''
PROJECT = """
[project]
name = "broken"
version = "1.0"
[project.entry-points."stowplan.plugins"]
Broken = "broken:Broken"
[tool.hatch.build.targets.wheel]
include = ["broken.py"]
"""


@pytest.fixture(scope="module")
def name() -> str:
    """The release, and how the names of its profiles begin."""
    return f"stowplan-{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def replica(control_plane: ControlPlane, name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Profiles: plain, picky (the example's plugin), strict (a failing rule), sloppy (a failing score), spread."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "broken.py").write_text(BROKEN)
    (folder / "pyproject.toml").write_text(PROJECT)
    package.install(folder, folder / "installed")
    package.install(EXAMPLE, folder / "installed")
    example = [{"name": "DiskType", "args": {"ranking": ["nvme"]}}]
    profiles = [
        {"schedulerName": f"{name}-plain"},
        {
            "schedulerName": f"{name}-picky",
            "plugins": {"multiPoint": {"enabled": [{"name": "DiskType", "weight": 100}]}},
            "pluginConfig": example,
        },
        {"schedulerName": f"{name}-strict", "plugins": {"filter": {"enabled": [{"name": "Broken"}]}}},
        {"schedulerName": f"{name}-sloppy", "plugins": {"score": {"enabled": [{"name": "Broken"}]}}},
        {"schedulerName": f"{name}-spread", "pluginConfig": [{"name": "PodTopologySpread", "args": EVENLY}]},
    ]
    release = process.install(
        control_plane,
        namespace=name,
        name=name,
        values={"config": {"profiles": profiles, "controllers": False}, "rbac": {"aggregateClusterRoles": False}},
    )
    with contextlib.ExitStack() as stack:
        stack.callback(release.uninstall)
        running = release.replica(name, environment={"PYTHONPATH": str(folder / "installed")})
        stack.enter_context(running)
        running.wait_ready()
        running.wait_leads()
        yield running
        assert running.alive


async def test_each_pod_is_placed_by_the_plugins_of_its_scheduler_name(
    api: Api, namespace: str, replica: Replica, name: str, own_node: OwnNode
) -> None:
    tape = await own_node("tape", labels={"disk": "tape"})
    nvme = await own_node("nvme", labels={"disk": "nvme"})
    own = {objects.OWN: namespace}
    wish = {"example.com/disk-type": "tape"}
    await api.create(objects.pod(namespace, "a", scheduler=f"{name}-picky", annotations=wish, nodeSelector=own))
    await api.create(objects.pod(namespace, "b", scheduler=f"{name}-picky", nodeSelector=own))
    missing = {"example.com/disk-type": "drum"}
    await api.create(objects.pod(namespace, "c", scheduler=f"{name}-picky", annotations=missing, nodeSelector=own))
    await api.create(objects.pod(namespace, "d", scheduler=f"{name}-plain", annotations=missing, nodeSelector=own))

    assert (await objects.bound(api, namespace, "a"))["spec"]["nodeName"] == tape
    ranked = await objects.bound(api, namespace, "b")
    assert ranked["spec"]["nodeName"] == nvme
    assert objects.why(ranked)["plugins"][0] == "DiskType"
    assert "2 node(s) had another disk type" in await objects.unschedulable(api, namespace, "c")
    assert (await objects.bound(api, namespace, "d"))["spec"]["nodeName"] in {tape, nvme}
    assert replica.metric("scheduler_schedule_attempts_total", profile=f"{name}-picky", result="scheduled") == 2
    assert replica.metric("scheduler_schedule_attempts_total", profile=f"{name}-plain", result="scheduled") == 1
    assert replica.metric("scheduler_unschedulable_pods", plugin="DiskType", profile=f"{name}-picky") == 1
    for pod, reason, profile in (("b", "Scheduled", "picky"), ("c", "FailedScheduling", "picky"),
                                 ("d", "Scheduled", "plain")):  # fmt: skip
        there = await api.get(objects.pod_path(namespace, pod))
        assert (await objects.event(api, there, reason))["reportingController"] == f"{name}-{profile}"


async def test_a_pod_that_waits_is_woken_by_a_node_that_the_plugin_likes(
    api: Api, namespace: str, replica: Replica, name: str, own_node: OwnNode
) -> None:
    wish = {"example.com/disk-type": "punched-card"}
    await api.create(objects.pod(namespace, "old", scheduler=f"{name}-picky", annotations=wish))
    await objects.unschedulable(api, namespace, "old")
    node = await own_node("old", labels={"disk": "punched-card"})
    assert (await objects.bound(api, namespace, "old"))["spec"]["nodeName"] == node


async def test_a_rule_that_fails_loses_no_pod_and_is_cut_off(
    api: Api, namespace: str, replica: Replica, name: str
) -> None:
    for number in range(LIMIT + 2):
        await api.create(objects.pod(namespace, f"p{number}", scheduler=f"{name}-strict"))
    message = await objects.unschedulable(api, namespace, "p0", reason="SchedulerError")
    assert "plugin Broken" in message
    assert "LookupError: no such thing" in message
    said = await asyncio.to_thread(replica.wait_said, "plugin cut off")
    assert (said["plugin"], said["extension_point"], said["profile"]) == ("Broken", "Filter", f"{name}-strict")
    assert len(replica.said("plugin failed", profile=f"{name}-strict")) == 1, "once, not for each pod"
    assert replica.metric("stowplan_plugin_cut_off", plugin="Broken", profile=f"{name}-strict") == 1
    assert replica.metric("stowplan_plugin_errors_total", plugin="Broken", extension_point="Filter") >= LIMIT
    last = await objects.unschedulable(api, namespace, f"p{LIMIT + 1}", reason="SchedulerError")
    assert "plugin Broken" in last

    await api.create(objects.pod(namespace, "other", scheduler=f"{name}-plain"))
    await objects.bound(api, namespace, "other")
    assert replica.ask("/healthz")[0] == 200


@pytest.mark.usefixtures("replica")
async def test_pods_of_a_service_are_spread_by_the_default_constraints(api: Api, namespace: str, name: str) -> None:
    await api.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }
    )
    await api.create(objects.pod(namespace, "first", scheduler=f"{name}-spread"))
    await objects.bound(api, namespace, "first")  # it is in no Service; the watch has shown the Service before
    for number in range(6):
        await api.create(objects.pod(namespace, f"p{number}", scheduler=f"{name}-spread", labels={"app": "web"}))
    pods = await objects.all_bound(api, namespace, 7)
    mine = [each for each in pods if each["metadata"]["name"] != "first"]
    assert sorted(objects.counts(mine, await api.list("/api/v1/nodes"), ZONE).values()) == [2, 2, 2]


@pytest.mark.usefixtures("replica")
async def test_pods_of_a_replica_set_are_spread_over_nodes_without_a_word_in_the_configuration(
    api: Api, namespace: str, name: str, own_node: OwnNode
) -> None:
    """The larger one of two nodes always has more room: only kube-scheduler's own defaults speak for the other."""
    nodes = [await own_node("large", cpu="64"), await own_node("small", cpu="4")]
    own, labels = {objects.OWN: namespace}, {"app": "web"}
    plain = f"{name}-plain"
    for number in range(2):
        await api.create(objects.pod(namespace, f"alone{number}", scheduler=plain, cpu="200m", nodeSelector=own))
        assert (await objects.bound(api, namespace, f"alone{number}"))["spec"]["nodeName"] == nodes[0]
    spec = objects.pod(namespace, "web", scheduler=plain, cpu="200m", nodeSelector=own)["spec"]
    await api.create(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
    )
    await api.create(objects.pod(namespace, "first", scheduler=plain))
    await objects.bound(api, namespace, "first")  # the watch has shown the ReplicaSet before
    await api.patch(f"/apis/apps/v1/namespaces/{namespace}/replicasets/web", {"spec": {"replicas": 4}})
    pods = [each for each in await objects.all_bound(api, namespace, 7) if each["metadata"].get("ownerReferences")]
    assert sorted(each["spec"]["nodeName"] for each in pods) == sorted(2 * nodes)


async def test_a_score_that_fails_is_left_out(api: Api, namespace: str, replica: Replica, name: str) -> None:
    for number in range(LIMIT + 2):
        await api.create(objects.pod(namespace, f"p{number}", scheduler=f"{name}-sloppy"))
    await objects.all_bound(api, namespace, LIMIT + 2)
    assert replica.metric("stowplan_plugin_errors_total", plugin="Broken", extension_point="Score") == LIMIT
    await asyncio.to_thread(replica.wait_said, "plugin cut off", profile=f"{name}-sloppy")
    assert replica.metric("stowplan_plugin_cut_off", plugin="Broken", profile=f"{name}-sloppy") == 1


def test_a_configuration_that_names_no_plugin_there_is_ends_the_process_with_one_line() -> None:
    done = run("run", f"--config={EXAMPLE / 'config.yaml'}")
    assert done.status == 2
    (line,) = done.errors
    assert line.startswith(
        "error: profile stowplan: plugins.multiPoint.enabled: there is no plugin DiskType; there are "
    )
