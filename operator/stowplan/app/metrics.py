"""The metrics of one process: kube-scheduler's under its own names, and Stowplan's.

The wiring makes one :class:`Metrics` and hands its methods to whoever has something to report; the server in
:mod:`stowplan.app.health` renders it. What starts with ``scheduler_`` has the name, the labels, the buckets and the
help text's sense of kube-scheduler 1.36 (pkg/scheduler/metrics/metrics.go), so that its dashboards and alerts fit.

A method costs a microsecond: histograms are our own (``histogram``), the labelled children of counters are kept in
dictionaries, and what a queue or a cache knows anyway is read when somebody scrapes (:class:`Sources`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import prometheus_client
from prometheus_client import core, registry

import stowplan
from stowplan.app.histogram import Histogram

Result = Literal["scheduled", "unschedulable", "error"]

PLUGIN_SAMPLE: Final = 10
"""Plugins are timed in one cycle of this many (pluginMetricsSamplePercent in pkg/scheduler/schedule_one.go)."""
MAX_ATTEMPTS_LABEL: Final = 15
"""From here on the ``attempts`` label of the SLI is ``15+`` (getAttemptsLabel in pkg/scheduler/schedule_one.go)."""


def exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    """Bucket bounds as client_golang's ExponentialBuckets makes them: by repeated multiplication."""
    bounds = []
    for _ in range(count):
        bounds.append(start)
        start *= factor
    return tuple(bounds)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where gauges and running counts are read from when /metrics is asked for: quickly, in the event loop."""

    pending_pods: Callable[[], Mapping[str, int]]
    """Pods by queue: active, backoff, unschedulable, gated; each of them always there."""
    incoming_pods: Callable[[], Mapping[tuple[str, str], int]]
    """Pods that have ever entered a queue, by (queue, event)."""
    vain_retries: Callable[[], Mapping[str, int]]
    """Tries that ended with the same reasons as the one before, by the event that woke the pod."""
    unschedulable_pods: Callable[[], Mapping[tuple[str, str], int]]
    """Pods by (plugin, profile); a pod counts for each plugin that rejected it."""
    cache_size: Callable[[], Mapping[str, int]]
    """Objects by type: nodes, pods, assumed_pods."""
    binds_in_flight: Callable[[], int]
    watch_age: Callable[[], Mapping[str, float]]
    """Seconds since the API server last said something, by resource."""
    leader: Callable[[], bool]
    plugin_errors: Callable[[], Mapping[tuple[str, str], int]]
    """Failures of plugins ever, by (plugin, extension point)."""
    plugins_cut_off: Callable[[], Iterable[tuple[str, str, str]]]
    """(plugin, extension point, profile) of what is not called any more."""


class _Children(dict[tuple[str, ...], prometheus_client.Counter]):
    """The children of a counter by label values; ``counter.labels()`` alone costs more than counting."""

    def __init__(self, family: prometheus_client.Counter) -> None:
        super().__init__()
        self._family = family

    def __missing__(self, values: tuple[str, ...]) -> prometheus_client.Counter:
        child = self[values] = self._family.labels(*values)
        return child


class _Sampled(registry.Collector):
    """Yields what was last read from the sources."""

    def __init__(self) -> None:
        self.families: tuple[core.Metric, ...] = ()

    def collect(self) -> Iterable[core.Metric]:
        return self.families


class Metrics:
    """All metrics, in a registry of their own; the recording methods may be called from any thread."""

    def __init__(self) -> None:
        # Without this each series gets a companion that says when it was made; nothing of Kubernetes has or reads them.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry.CollectorRegistry()
        self._sources: Sources | None = None
        self._sampled = _Sampled()
        self._registry.register(self._sampled)
        prometheus_client.ProcessCollector(registry=self._registry)
        self._cycles = 0
        counter, histogram = self._counter, self._histogram

        # kube-scheduler's.
        self._attempts = _Children(counter(
            "scheduler_schedule_attempts_total",
            "Number of attempts to schedule pods, by the result: 'unschedulable' is no node, 'error' is a defect.",
            "result", "profile",
        ))  # fmt: skip
        self._attempt_seconds = histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "Scheduling attempt latency in seconds (scheduling algorithm + binding).",
            exponential(0.001, 2, 15), "result", "profile",
        )  # fmt: skip
        self._algorithm_seconds = histogram(
            "scheduler_scheduling_algorithm_duration_seconds",
            "Scheduling algorithm latency in seconds.",
            exponential(0.001, 2, 15),
        )
        self._pod_attempts = histogram(
            "scheduler_pod_scheduling_attempts",
            "Number of attempts to successfully schedule a pod.",
            exponential(1, 2, 5),
        )
        self._pod_seconds = histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "Time from when a pod enters the scheduling queue until it is bound, over all attempts.",
            exponential(0.01, 2, 20), "attempts",
        )  # fmt: skip
        self._point_seconds = histogram(
            "scheduler_framework_extension_point_duration_seconds",
            "Latency for running all plugins of a specific extension point.",
            exponential(0.0001, 2, 12), "extension_point", "status", "profile",
        )  # fmt: skip
        self._plugin_seconds = histogram(
            "scheduler_plugin_execution_duration_seconds",
            "Duration for running a plugin at a specific extension point, in one cycle of ten.",
            exponential(0.00001, 1.5, 20), "plugin", "extension_point", "status",
        )  # fmt: skip
        self._preemptions = counter("scheduler_preemption_attempts_total", "Total preemption attempts till now.")
        self._victims = histogram(
            "scheduler_preemption_victims", "Number of selected preemption victims.", exponential(1, 2, 7)
        )

        # Stowplan's.
        self._bind_seconds = histogram(
            "stowplan_bind_duration_seconds",
            "Time from the request that binds a pod to its answer, by the result.",
            exponential(0.001, 2, 14), "result",
        )  # fmt: skip
        self._gangs = _Children(counter(
            "stowplan_gang_decisions_total",
            "What became of gangs, each time one was tried: 'bound', 'waiting', or 'undone' before any bind.",
            "result",
        ))  # fmt: skip
        self._joint_seconds = histogram(
            "stowplan_joint_placement_duration_seconds",
            "Time that the solver took for members of a group that did not fit one after the other, by the answer.",
            exponential(0.001, 2, 13), "answer",
        )  # fmt: skip
        self._loop_lag = histogram(
            "stowplan_event_loop_lag_seconds",
            "How much later than asked for a timer fires: the time that one step kept everything else waiting.",
            exponential(0.001, 2, 14),
        )
        self._reconciles = _Children(counter(
            "stowplan_reconcile_total",
            "Reconciliations of an object, by the result: 'error' is tried again, 'defect' is one.",
            "controller", "result",
        ))  # fmt: skip
        self._reconcile_seconds = histogram(
            "stowplan_reconcile_duration_seconds",
            "Time of one reconciliation, its writes included.",
            exponential(0.001, 2, 14), "controller",
        )  # fmt: skip
        self._requests = _Children(counter(
            "stowplan_api_requests_total",
            "Requests to the API server, by the HTTP status; code is 'none' where no answer came.",
            "method", "resource", "code",
        ))  # fmt: skip
        self._request_seconds = histogram(
            "stowplan_api_request_duration_seconds",
            "Time from a request to its answer; a watch counts until it is established.",
            exponential(0.001, 2, 14), "method", "resource",
        )  # fmt: skip

    def attempt(self, result: Result, profile: str, seconds: float) -> None:
        """A scheduling attempt has ended: with a bind, without a node, or by a defect."""
        self._attempts[result, profile].inc()
        self._attempt_seconds.observe(seconds, (result, profile))

    def algorithm(self, seconds: float) -> None:
        """The placement alone has been decided: from filter to score."""
        self._algorithm_seconds.observe(seconds)

    def pod_scheduled(self, attempts: int, seconds: float) -> None:
        """A pod is bound after so many attempts and seconds in the queue."""
        label = str(attempts) if attempts < MAX_ATTEMPTS_LABEL else f"{MAX_ATTEMPTS_LABEL}+"
        self._pod_attempts.observe(attempts)
        self._pod_seconds.observe(seconds, (label,))

    def extension_point(self, point: str, status: str, profile: str, seconds: float) -> None:
        """All plugins of one extension point have run; ``status`` is kube-scheduler's code, such as Success."""
        self._point_seconds.observe(seconds, (point, status, profile))

    def sample_plugins(self) -> bool:
        """Whether to time each plugin of the cycle that begins now: true once in ten."""
        self._cycles = (self._cycles + 1) % PLUGIN_SAMPLE
        return self._cycles == 0

    def plugin(self, name: str, point: str, status: str, seconds: float) -> None:
        """A plugin has run, in a cycle for which :meth:`sample_plugins` was true."""
        self._plugin_seconds.observe(seconds, (name, point, status))

    def preemption(self, victims: int) -> None:
        """Preemption was tried; ``victims`` pods have to go, none where it would not help."""
        self._preemptions.inc()
        if victims:
            self._victims.observe(victims)

    def bind(self, result: str, seconds: float) -> None:
        """A bind was answered: ``bound``, or why not."""
        self._bind_seconds.observe(seconds, (result,))

    def gang(self, result: str) -> None:
        """A gang was tried."""
        self._gangs[result,].inc()

    def joint_placement(self, answer: str, seconds: float) -> None:
        """The solver has answered: ``Proposal``, ``Conflict`` or ``Unknown``."""
        self._joint_seconds.observe(seconds, (answer,))

    def loop_lag(self, seconds: float) -> None:
        """A timer of the event loop came late by so much."""
        self._loop_lag.observe(seconds)

    def reconcile(self, controller: str, result: str, seconds: float) -> None:
        """A controller has looked at an object of ours and done what was to do."""
        self._reconciles[controller, result].inc()
        self._reconcile_seconds.observe(seconds, (controller,))

    def api_request(self, method: str, resource: str, code: int | None, seconds: float) -> None:
        """The API server answered a request, or did not (``code`` None)."""
        self._requests[method, resource, "none" if code is None else str(code)].inc()
        self._request_seconds.observe(seconds, (method, resource))

    def attach(self, sources: Sources) -> None:
        """Say where the gauges are read from; before that there are none."""
        self._sources = sources

    def sample(self) -> None:
        """Read the sources; in the thread that owns what they read."""
        if self._sources is not None:
            self._sampled.families = tuple(_sampled(self._sources))

    def render(self) -> bytes:
        """The text format, with the gauges as last sampled: some 10 µs a line, so better in another thread."""
        return prometheus_client.generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
        made = Histogram(name, text, bounds, labels)
        self._registry.register(made)
        return made


def _sampled(sources: Sources) -> Iterator[core.Metric]:
    yield _gauge(
        "scheduler_pending_pods",
        "Number of pending pods, by the queue: 'active', 'backoff', 'unschedulable' (tried and failed) or 'gated'.",
        [((queue,), pods) for queue, pods in sources.pending_pods().items()],
        "queue",
    )
    yield _counter(
        "scheduler_queue_incoming_pods_total",
        "Number of pods added to scheduling queues by event and queue type.",
        sources.incoming_pods().items(),
        "queue",
        "event",
    )
    yield _counter(
        "stowplan_queue_vain_retries_total",
        "Number of attempts that an event led to and that ended with the same reasons as the one before.",
        [((event,), retries) for event, retries in sources.vain_retries().items()],
        "event",
    )
    yield _gauge(
        "scheduler_unschedulable_pods",
        "Number of unschedulable pods by the plugin that rejected them; a pod counts once for each such plugin.",
        sources.unschedulable_pods().items(),
        "plugin",
        "profile",
    )
    yield _gauge(
        "scheduler_cache_size",
        "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
        [((kind,), size) for kind, size in sources.cache_size().items()],
        "type",
    )
    yield _gauge(
        "stowplan_binds_in_flight",
        "Binds that the API server has not answered yet.",
        [((), sources.binds_in_flight())],
    )
    yield _gauge(
        "stowplan_watch_age_seconds",
        "Time since the API server last said something about a resource.",
        [((resource,), age) for resource, age in sources.watch_age().items()],
        "resource",
    )
    yield _counter(
        "stowplan_plugin_errors_total",
        "Failures of plugins: exceptions, and answers that no plugin may give.",
        sources.plugin_errors().items(),
        "plugin",
        "extension_point",
    )
    yield _gauge(
        "stowplan_plugin_cut_off",
        "Plugins that are not called any more, as they failed for too many pods in a row.",
        [(call, 1) for call in sources.plugins_cut_off()],
        "plugin",
        "extension_point",
        "profile",
    )
    yield _gauge("stowplan_leader", "Whether this replica is the one that writes.", [((), sources.leader())])
    yield _gauge("stowplan_build_info", "The version that runs.", [((stowplan.__version__,), 1)], "version")


def _counter(
    name: str, text: str, values: Iterable[tuple[tuple[str, ...], float]], *labels: str
) -> core.CounterMetricFamily:
    family = core.CounterMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _gauge(
    name: str, text: str, values: Iterable[tuple[tuple[str, ...], float]], *labels: str
) -> core.GaugeMetricFamily:
    family = core.GaugeMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family
