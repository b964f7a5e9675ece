"""The metrics are kube-scheduler's where it has them, and cheap enough to be taken for each pod."""

from __future__ import annotations

import pytest
from prometheus_client import parser

from stowplan.app import metrics

Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


def scrape(measured: metrics.Metrics) -> tuple[dict[str, str], Samples]:
    """Types by metric, and values by sample name and labels, as Prometheus reads them."""
    measured.sample()
    types: dict[str, str] = {}
    samples: Samples = {}
    for family in parser.text_string_to_metric_families(measured.render().decode()):
        types[family.name] = family.type
        for sample in family.samples:
            samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return types, samples


def of(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


def everything() -> metrics.Metrics:
    """Metrics in which each method has been called once."""
    measured = metrics.Metrics()
    measured.attempt("scheduled", "stowplan", 0.003)
    measured.algorithm(0.002)
    measured.pod_scheduled(1, 0.02)
    measured.extension_point("Filter", "Success", "stowplan", 0.0003)
    measured.plugin("NodeResourcesFit", "Filter", "Success", 0.00002)
    measured.preemption(2)
    measured.bind("bound", 0.004)
    measured.gang("bound")
    measured.joint_placement("Proposal", 0.01)
    measured.loop_lag(0.001)
    measured.reconcile("clusters", "success", 0.1)
    measured.api_request("POST", "pods/binding", 201, 0.004)
    measured.attach(
        metrics.Sources(
            pending_pods=lambda: {"active": 3, "backoff": 2, "unschedulable": 1, "gated": 0},
            incoming_pods=lambda: {("active", "UnschedulablePodAdd"): 6},
            vain_retries=lambda: {"AssignedPodDelete": 2},
            unschedulable_pods=lambda: {("NodeResourcesFit", "stowplan"): 1},
            cache_size=lambda: {"nodes": 60, "pods": 11, "assumed_pods": 0},
            binds_in_flight=lambda: 4,
            watch_age=lambda: {"pods": 1.5},
            leader=lambda: True,
            plugin_errors=lambda: {("DiskType", "Score"): 7},
            plugins_cut_off=lambda: [("DiskType", "Score", "stowplan")],
        )
    )
    return measured


# Name, labels and first, second, last finite bucket and their number, from pkg/scheduler/metrics/metrics.go of 1.36.3
# (and test/instrumentation/testdata/stable-metrics-list.yaml).
UPSTREAM = [
    pytest.param("schedule_attempts", "counter", {"result", "profile"}, None, id="schedule_attempts_total"),
    pytest.param(
        "scheduling_attempt_duration_seconds",
        "histogram",
        {"result", "profile"},
        (0.001, 0.002, 16.384, 15),
        id="attempt",
    ),
    pytest.param(
        "scheduling_algorithm_duration_seconds", "histogram", set(), (0.001, 0.002, 16.384, 15), id="algorithm"
    ),
    pytest.param("pending_pods", "gauge", {"queue"}, None, id="pending_pods"),
    pytest.param("pod_scheduling_attempts", "histogram", set(), (1.0, 2.0, 16.0, 5), id="pod_scheduling_attempts"),
    pytest.param("pod_scheduling_sli_duration_seconds", "histogram", {"attempts"}, (0.01, 0.02, 5242.88, 20), id="sli"),
    pytest.param(
        "framework_extension_point_duration_seconds",
        "histogram",
        {"extension_point", "status", "profile"},
        (0.0001, 0.0002, 0.2048, 12),
        id="extension point",
    ),
    pytest.param(
        "plugin_execution_duration_seconds",
        "histogram",
        {"plugin", "extension_point", "status"},
        (0.00001, 0.000015, 0.02216837806, 20),
        id="plugin",
    ),
    pytest.param("queue_incoming_pods", "counter", {"queue", "event"}, None, id="queue_incoming_pods_total"),
    pytest.param("preemption_attempts", "counter", set(), None, id="preemption_attempts_total"),
    pytest.param("preemption_victims", "histogram", set(), (1.0, 2.0, 64.0, 7), id="preemption_victims"),
    pytest.param("unschedulable_pods", "gauge", {"plugin", "profile"}, None, id="unschedulable_pods"),
    pytest.param("cache_size", "gauge", {"type"}, None, id="cache_size"),
]


@pytest.mark.parametrize(("name", "kind", "labels", "buckets"), UPSTREAM)
def test_a_metric_of_kube_scheduler_keeps_its_type_labels_and_buckets(
    name: str, kind: str, labels: set[str], buckets: tuple[float, float, float, int] | None
) -> None:
    types, samples = scrape(everything())
    assert types[f"scheduler_{name}"] == kind
    suffix = {"counter": "_total", "gauge": "", "histogram": "_count"}[kind]
    assert {key for sample in samples[f"scheduler_{name}{suffix}"] for key, _ in sample} == labels
    if buckets is not None:
        bounds = sorted({float(dict(sample)["le"]) for sample in samples[f"scheduler_{name}_bucket"]})[:-1]
        assert (bounds[0], bounds[1], bounds[-1]) == pytest.approx(buckets[:3])
        assert len(bounds) == buckets[3]


def test_what_was_reported_is_what_is_scraped() -> None:
    _, samples = scrape(everything())
    assert samples["scheduler_schedule_attempts_total"] == {of(result="scheduled", profile="stowplan"): 1}
    assert samples["scheduler_scheduling_attempt_duration_seconds_sum"] == {
        of(result="scheduled", profile="stowplan"): 0.003
    }
    assert samples["scheduler_pending_pods"] == {
        of(queue="active"): 3,
        of(queue="backoff"): 2,
        of(queue="unschedulable"): 1,
        of(queue="gated"): 0,
    }
    assert samples["scheduler_unschedulable_pods"] == {of(plugin="NodeResourcesFit", profile="stowplan"): 1}
    assert samples["scheduler_preemption_victims_sum"] == {of(): 2}
    assert samples["stowplan_binds_in_flight"] == {of(): 4}
    assert samples["stowplan_watch_age_seconds"] == {of(resource="pods"): 1.5}
    assert samples["stowplan_leader"] == {of(): 1}
    assert samples["stowplan_reconcile_total"] == {of(controller="clusters", result="success"): 1}
    assert samples["stowplan_api_requests_total"] == {of(method="POST", resource="pods/binding", code="201"): 1}


def test_gauges_are_read_anew_for_each_scrape() -> None:
    measured = everything()
    pending = {"active": 1}
    measured.attach(
        metrics.Sources(
            pending_pods=lambda: pending,
            incoming_pods=dict,
            vain_retries=dict,
            unschedulable_pods=dict,
            cache_size=dict,
            binds_in_flight=lambda: 0,
            watch_age=dict,
            leader=lambda: False,
            plugin_errors=dict,
            plugins_cut_off=list,
        )
    )
    before = scrape(measured)[1]["scheduler_pending_pods"]
    pending["active"] = 2
    after = scrape(measured)[1]["scheduler_pending_pods"]
    assert (before, after) == ({of(queue="active"): 1}, {of(queue="active"): 2})


def test_two_processes_worth_of_metrics_do_not_share_anything() -> None:
    one, other = metrics.Metrics(), metrics.Metrics()
    one.preemption(1)
    assert scrape(one)[1]["scheduler_preemption_attempts_total"] == {of(): 1}
    assert scrape(other)[1]["scheduler_preemption_attempts_total"] == {of(): 0}


def test_every_series_is_kube_schedulers_ours_or_the_processs() -> None:
    types, _ = scrape(everything())
    assert {name.partition("_")[0] for name in types} == {"scheduler", "stowplan", "process"}
    assert not [name for name in types if name.endswith("_created")]


@pytest.mark.parametrize(
    ("attempts", "label"),
    [
        pytest.param(1, "1", id="first"),
        pytest.param(14, "14", id="last of its own"),
        pytest.param(15, "15+", id="fifteenth"),
        pytest.param(900, "15+", id="many"),
    ],
)
def test_the_attempts_of_the_sli_end_at_fifteen(attempts: int, label: str) -> None:
    measured = metrics.Metrics()
    measured.pod_scheduled(attempts, 1.0)
    assert scrape(measured)[1]["scheduler_pod_scheduling_sli_duration_seconds_count"] == {of(attempts=label): 1}


def test_preemption_without_victims_counts_as_an_attempt_only() -> None:
    measured = metrics.Metrics()
    measured.preemption(0)
    _, samples = scrape(measured)
    assert samples["scheduler_preemption_attempts_total"] == {of(): 1}
    assert samples["scheduler_preemption_victims_count"] == {of(): 0}


def test_a_request_without_an_answer_has_no_code() -> None:
    measured = metrics.Metrics()
    measured.api_request("GET", "pods", None, 5.0)
    assert scrape(measured)[1]["stowplan_api_requests_total"] == {of(method="GET", resource="pods", code="none"): 1}


def test_one_cycle_in_ten_times_its_plugins() -> None:
    measured = metrics.Metrics()
    assert sum(measured.sample_plugins() for _ in range(100)) == 10


@pytest.mark.parametrize(
    ("start", "factor", "count", "expected"),
    [
        pytest.param(1, 2, 5, (1, 2, 4, 8, 16), id="doubling"),
        pytest.param(0.01, 2, 3, (0.01, 0.02, 0.04), id="hundredths"),
    ],
)
def test_buckets_grow_by_a_factor(start: float, factor: float, count: int, expected: tuple[float, ...]) -> None:
    assert metrics.exponential(start, factor, count) == expected


def test_a_label_value_may_contain_anything() -> None:
    measured = metrics.Metrics()
    measured.bind('no "such"\nthing', 0.1)
    assert scrape(measured)[1]["stowplan_bind_duration_seconds_count"] == {of(result='no "such"\nthing'): 1}


def test_there_are_no_gauges_before_somebody_says_where_they_come_from() -> None:
    measured = metrics.Metrics()
    assert "scheduler_pending_pods" not in scrape(measured)[0]
