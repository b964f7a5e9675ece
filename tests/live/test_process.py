"""The process as its operator sees it: health, metrics, signals, and what it says when it cannot start."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import parser
from tests.cli.command import run
from tests.controlplane.api import Api, wait_until
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.plane import ControlPlane, Options
from tests.live import objects
from tests.live.conftest import OwnNode, OwnProcess
from tests.process import Release, Replica
from tests.process_fixtures import NewReplica

pytestmark = pytest.mark.timeout(180)

METRICS = {
    "scheduler_schedule_attempts_total",
    "scheduler_scheduling_attempt_duration_seconds",
    "scheduler_pending_pods",
    "scheduler_pod_scheduling_attempts",
    "scheduler_pod_scheduling_sli_duration_seconds",
    "scheduler_framework_extension_point_duration_seconds",
    "scheduler_plugin_execution_duration_seconds",
    "scheduler_queue_incoming_pods_total",
    "scheduler_preemption_attempts_total",
    "scheduler_preemption_victims",
    "scheduler_unschedulable_pods",
}
"""What dashboards made for kube-scheduler look for; part of the contract."""


async def test_the_metrics_tell_what_has_happened(api: Api, namespace: str, own: OwnProcess) -> None:
    release, replica = own({})
    selector = {"example.com/such": "nowhere"}
    for number in range(12):
        await api.create(objects.pod(namespace, f"p{number}", scheduler=release.name))
    await api.create(objects.pod(namespace, "lost", scheduler=release.name, nodeSelector=selector))
    await api.create(objects.pod(namespace, "gated", scheduler=release.name, schedulingGates=[{"name": "a.b/c"}]))
    for number in range(12):
        pod = await objects.bound(api, namespace, f"p{number}")
        await objects.event(api, pod, "Scheduled")
    await objects.unschedulable(api, namespace, "lost")

    status, text = replica.ask("/metrics")
    assert status == 200
    served = {family.name for family in parser.text_string_to_metric_families(text)}
    assert {name.removesuffix("_total") for name in METRICS} <= served

    profile = release.name
    assert replica.metric("scheduler_schedule_attempts_total", result="scheduled", profile=profile) == 12
    assert replica.metric("scheduler_schedule_attempts_total", result="unschedulable", profile=profile) >= 1
    assert replica.metric("scheduler_pod_scheduling_attempts_sum") == 12
    assert replica.metric("scheduler_pod_scheduling_sli_duration_seconds_count") == 12
    assert 0 < replica.metric("scheduler_pod_scheduling_sli_duration_seconds_sum") < 12 * objects.PATIENCE
    assert 0 < replica.metric("scheduler_scheduling_attempt_duration_seconds_sum", result="scheduled") < 60
    assert replica.metric("scheduler_framework_extension_point_duration_seconds_count", extension_point="Filter") >= 13
    entered = "scheduler_queue_incoming_pods_total"
    assert replica.metric(entered, queue="active", event="UnschedulablePodAdd") == 13
    assert replica.metric(entered, queue="unschedulable", event="UnschedulablePodAdd") == 1  # the gated one
    assert replica.metric(entered, queue="unschedulable", event="ScheduleAttemptFailure") >= 1

    async def settled() -> bool | None:
        """Whatever changes on the cluster may wake the pod that waits for a moment."""
        rejected = {
            plugin: count for plugin, count in replica.values("scheduler_unschedulable_pods", "plugin") if count
        }
        pending = dict(replica.values("scheduler_pending_pods", "queue"))
        wanted = {"active": 0, "backoff": 0, "unschedulable": 1, "gated": 1}
        return True if (pending, rejected) == (wanted, {"NodeAffinity": 1}) else None

    await wait_until(settled, what="one unschedulable and one gated pod", within=objects.PATIENCE)
    assert replica.metric("stowplan_leader") == 1
    assert replica.metric("scheduler_cache_size", type="nodes") == len(await api.list("/api/v1/nodes"))


def test_health_is_told_check_by_check(stowplan: Replica) -> None:
    status, text = stowplan.ask("/readyz")
    assert (status, text.splitlines()[-1]) == (200, "ok")
    status, body = stowplan.ask("/healthz", accept="application/json")
    assert status == 200
    told = json.loads(body)
    assert (told["ok"], told["leader"]) == (True, True)
    assert set(told["checks"]) == {"loop", "watches"}


async def test_pods_that_wait_at_the_start_go_by_priority(
    api: Api, namespace: str, own_node: OwnNode, new_release: Callable[[], Release], new_replica: NewReplica
) -> None:
    """There is room for two of five; the names are in another order."""
    release = new_release()
    await own_node("n", cpu="2")
    priorities = {"a": 10, "b": 1000, "c": 0, "d": 1000, "e": 10}
    suffix = namespace[-6:]
    for value in set(priorities.values()) - {0}:
        await api.create({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": value,
            "metadata": {"name": f"p{value}-{suffix}"},
        })  # fmt: skip
    try:
        for name, value in priorities.items():
            spec: dict[str, Any] = {"priorityClassName": f"p{value}-{suffix}"} if value else {}
            selector = {objects.OWN: namespace}
            await api.create(
                objects.pod(namespace, name, cpu="900m", scheduler=release.name, nodeSelector=selector, **spec)
            )
        new_replica(release)
        for name in ("b", "d"):
            await objects.bound(api, namespace, name)
        for name in ("a", "c", "e"):
            assert "1 Insufficient cpu" in await objects.unschedulable(api, namespace, name)
    finally:
        for value in set(priorities.values()) - {0}:
            await api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/p{value}-{suffix}")


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, id="SIGTERM"), pytest.param(signal.SIGINT, id="^C")])
async def test_it_ends_at_once_when_told_to(api: Api, namespace: str, own: OwnProcess, number: signal.Signals) -> None:
    release, replica = own({})
    lease = (await api.get(release.lease))["spec"]
    assert lease["holderIdentity"] == replica.said("serving")[0]["identity"]

    await objects.create_all(api, (objects.pod(namespace, f"p{each}", scheduler=release.name) for each in range(20)))
    started = time.monotonic()
    replica.signal(number)
    assert replica.wait() == 0
    assert time.monotonic() - started < 5
    assert [record["msg"] for record in replica.lines()][-2:] == ["lease released", "stopped"]
    assert "Traceback" not in replica.output()
    assert (await api.get(release.lease))["spec"].get("holderIdentity", "") == ""
    events = await api.list(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
    told = {each["regarding"]["name"] for each in events if each["reason"] == "Scheduled"}
    for each in replica.said("bound"):  # whatever it says it has done is done, and told
        pod = await api.get(objects.pod_path(*each["pod"].split("/")))
        assert pod["spec"]["nodeName"] == each["node"]
        assert pod["metadata"]["name"] in told


async def test_it_ends_at_once_while_another_one_leads(own: OwnProcess, new_replica: NewReplica) -> None:
    release, leader = own({})
    standby = new_replica(release)
    assert not standby.leads()
    started = time.monotonic()
    assert standby.stop() == 0
    assert time.monotonic() - started < 5
    assert leader.leads()


# ---------------------------------------------------------------- what keeps it from starting


def test_missing_crds_are_named_in_one_line(new_control_plane: NewControlPlane) -> None:
    plane = new_control_plane(Options(layout=None, controllers=False, kwok=False, provisioner=False))
    done = run("run", "--metrics-address=127.0.0.1:0", "--kubeconfig", str(plane.kubeconfig))
    assert done.status == 2
    missing = "schedulingpolicies.stowplan.dev, statefulclusters.stowplan.dev"
    remedy = "install the Helm chart, or kubectl apply -f crds/"
    assert done.errors == [f"error: the cluster has no CRD {missing}: {remedy}"]


def test_an_address_in_use_is_named_in_one_line(control_plane: ControlPlane) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("run", f"--metrics-address=127.0.0.1:{port}", "--kubeconfig", str(control_plane.kubeconfig))
    assert done.status == 2
    (line,) = done.errors
    assert line.startswith(f"error: cannot listen at 127.0.0.1:{port}: ")


def test_an_account_without_rights_is_told_so(control_plane: ControlPlane, release: Release, tmp_path: Path) -> None:
    content = json.loads(control_plane.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": "nobody-knows-this-one"}
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(content))
    done = run("run", "--metrics-address=127.0.0.1:0", "--kubeconfig", str(file))
    assert done.status == 2
    assert done.errors == ["error: the API server does not accept the credentials that it was given: Unauthorized"]
