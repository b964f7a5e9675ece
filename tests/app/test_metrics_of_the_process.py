"""Every metric of the contract moves when what it counts happens: scraped from the running process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import Metric, parser
from tests.controlplane.api import Api, condition, wait_until
from tests.process import Replica

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 60.0

FED = {
    "scheduler_schedule_attempts",
    "scheduler_scheduling_attempt_duration_seconds",
    "scheduler_scheduling_algorithm_duration_seconds",
    "scheduler_pending_pods",
    "scheduler_pod_scheduling_attempts",
    "scheduler_pod_scheduling_sli_duration_seconds",
    "scheduler_framework_extension_point_duration_seconds",
    "scheduler_plugin_execution_duration_seconds",
    "scheduler_queue_incoming_pods",
    "scheduler_preemption_attempts",
    "scheduler_unschedulable_pods",
    "scheduler_cache_size",
    "stowplan_leader",
    "stowplan_watch_age_seconds",
    "stowplan_event_loop_lag_seconds",
    "stowplan_bind_duration_seconds",
    "stowplan_reconcile",
    "stowplan_reconcile_duration_seconds",
    "stowplan_api_requests",
    "stowplan_api_request_duration_seconds",
    "stowplan_build_info",
}
"""What moves when a cluster is placed and one pod fits nowhere. Victims, gangs and plugins that fail have tests of
their own."""


def moved(family: Metric) -> bool:
    """Whether something other than zero was counted, observed or read."""
    suffix = {"counter": "_total", "histogram": "_count"}.get(family.type, "")
    return any(each.value > 0 for each in family.samples if each.name == f"{family.name}{suffix}")


async def test_after_a_cluster_was_placed_every_metric_has_moved(api: Api, namespace: str, stowplan: Replica) -> None:
    for file in ("policy.yaml", "cluster.yaml"):
        manifest = yaml.safe_load((EXAMPLES / file).read_text())
        manifest["metadata"]["namespace"] = namespace
        await api.create(manifest)
    await api.wait(
        f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/statefulclusters/search",
        lambda it: condition(it, "Ready") == "True",
        within=PATIENCE,
    )
    container = {"name": "main", "image": "example.com/none", "resources": {"requests": {"cpu": "1000"}}}
    spec = {"schedulerName": "stowplan", "containers": [container]}
    await api.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "large", "namespace": namespace}, "spec": spec}
    )
    await api.wait(
        f"/api/v1/namespaces/{namespace}/pods/large",
        lambda it: condition(it, "PodScheduled") == "False",
        within=PATIENCE,
    )

    async def still() -> set[str]:
        families = parser.text_string_to_metric_families(stowplan.ask("/metrics")[1])
        return FED - {family.name for family in families if moved(family)}

    async def all_moved() -> bool | None:
        return None if await still() else True

    await wait_until(all_moved, what="every metric to move", within=PATIENCE)
    bind = {"method": "POST", "resource": "pods/binding", "code": "201"}
    assert stowplan.metric("stowplan_api_requests_total", **bind) >= 11
    assert stowplan.metric("stowplan_api_request_duration_seconds_count", method="POST", resource="pods/binding") >= 11
    assert stowplan.metric("stowplan_api_requests_total", method="GET", resource="pods", code="200") >= 2
    assert stowplan.metric("stowplan_api_requests_total", resource="leases") >= 1
    for controller in ("clusters", "policies", "policy status"):
        assert stowplan.metric("stowplan_reconcile_total", controller=controller, result="success") >= 1
        assert stowplan.metric("stowplan_reconcile_duration_seconds_count", controller=controller) >= 1


async def test_requests_have_few_enough_labels_to_be_kept(stowplan: Replica) -> None:
    """Names of objects must never become labels."""
    resources = {name for name, _ in stowplan.values("stowplan_api_requests_total", "resource")}
    assert all(re.fullmatch(r"[a-z]+(/[a-z]+)?", name) for name in resources), resources
    assert len(resources) < 40
