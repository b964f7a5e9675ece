"""The configuration file of ``stowplan run`` and what it means.

``stowplan run --config F`` reads one YAML document::

    apiVersion: config.stowplan.dev/v1alpha1
    kind: StowplanConfiguration
    schedulerName: stowplan
    leaderElection: {leaseDuration: 15s, renewDeadline: 10s, retryPeriod: 2s}

The names, the units and the rules are those of KubeSchedulerConfiguration v1 wherever it has the same thing
(kube-scheduler/config/v1/types.go, types_pluginargs.go and pkg/scheduler/apis/config/validation), so that a
``pluginConfig`` block can be copied over. Every field has a default; an unknown key is an error, because a
misspelt key that is silently ignored is found in production only.

:func:`load` is called by the command line, with the flags that were given; the wiring reads the result.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import pydantic
from pydantic import Field
from pydantic.alias_generators import to_camel

from stowplan import errors
from stowplan.api import common
from stowplan.app import documents, fields

API_VERSION: Literal["config.stowplan.dev/v1alpha1"] = "config.stowplan.dev/v1alpha1"
KIND: Literal["StowplanConfiguration"] = "StowplanConfiguration"


class Section(pydantic.BaseModel):
    """A mapping of the file: camelCase keys, nothing unknown, no conversion between types, immutable."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
    )


class LeaderElection(Section):
    """Who of several replicas may write: the holder of a Lease."""

    leader_elect: bool = True
    lease_duration: fields.Duration = timedelta(seconds=15)
    """How long the others wait after the last renewal that they saw before they take over."""
    renew_deadline: fields.Duration = timedelta(seconds=10)
    """How long the leader tries to renew before it stops."""
    retry_period: fields.Duration = timedelta(seconds=2)
    resource_name: Annotated[str, Field(min_length=1)] = "stowplan"
    resource_namespace: Annotated[str, Field(min_length=1)] | None = None
    """None: the namespace that the process runs in."""

    @pydantic.model_validator(mode="after")
    def _durations_leave_room(self) -> Self:
        """A leader stops before the others may start (component-base/config/validation/validation.go)."""
        if not self.leader_elect:
            return self
        if not self.retry_period:
            raise ValueError("retryPeriod must be greater than zero")
        if self.renew_deadline <= self.retry_period * 1.2:
            raise ValueError("renewDeadline must be greater than 1.2 times retryPeriod")
        if self.lease_duration <= self.renew_deadline:
            raise ValueError("leaseDuration must be greater than renewDeadline")
        return self


class ClientConnection(Section):
    """How the API server is reached."""

    kubeconfig: Annotated[str, Field(min_length=1)] | None = None
    """None: KUBECONFIG, or else the service account of the pod, or else ~/.kube/config."""
    qps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Requests per second at most; 0 is unlimited: the API server's priority and fairness is the limit."""


class Log(Section):
    """What is logged, and how it is written."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Scoring(Section):
    """Weights of the score plugins, for pods whose policy sets none."""

    weights: dict[str, Annotated[int, Field(ge=0, le=100)]] = {}
    """Plugin name to weight; a plugin that is not named keeps its default, 0 turns it off."""


class ResourceSpec(Section):
    """One resource of a scoring strategy."""

    name: Annotated[str, Field(min_length=1)]
    weight: Annotated[int, Field(ge=0, le=100)] = 1
    """0 means 1, as for kube-scheduler (pkg/scheduler/apis/config/v1/defaults.go)."""

    @property
    def effective_weight(self) -> int:
        """The weight to multiply with, 1 to 100."""
        return self.weight or 1


class ShapePoint(Section):
    """A point of a piecewise linear function from utilization (percent) to score (0 to 10)."""

    utilization: Annotated[int, Field(ge=0, le=100)]
    score: Annotated[int, Field(ge=0, le=10)]


class RequestedToCapacityRatio(Section):
    """The function of the strategy of the same name."""

    shape: Annotated[tuple[ShapePoint, ...], Field(min_length=1, strict=False)]

    @pydantic.field_validator("shape")
    @classmethod
    def _increases(cls, shape: tuple[ShapePoint, ...]) -> tuple[ShapePoint, ...]:
        if any(a.utilization >= b.utilization for a, b in itertools.pairwise(shape)):
            raise ValueError("utilization must increase from point to point")
        return shape


CPU_AND_MEMORY = (ResourceSpec(name="cpu"), ResourceSpec(name="memory"))


class ScoringStrategy(Section):
    """How NodeResourcesFit scores a node by what is requested on it."""

    type: Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"] = "LeastAllocated"
    resources: Annotated[tuple[ResourceSpec, ...], Field(min_length=1, strict=False)] = CPU_AND_MEMORY
    requested_to_capacity_ratio: RequestedToCapacityRatio | None = None

    @pydantic.model_validator(mode="after")
    def _shape_belongs_to_the_ratio(self) -> Self:
        fields.refuse_duplicates("resources", (resource.name for resource in self.resources))
        wanted = self.type == "RequestedToCapacityRatio"
        if wanted and self.requested_to_capacity_ratio is None:
            raise ValueError("requestedToCapacityRatio is required when type is RequestedToCapacityRatio")
        if not wanted and self.requested_to_capacity_ratio is not None:
            raise ValueError(f"requestedToCapacityRatio must be left out when type is {self.type}")
        return self


class NodeResourcesFitArgs(Section):
    """Arguments of NodeResourcesFit."""

    scoring_strategy: ScoringStrategy = ScoringStrategy()


class InterPodAffinityArgs(Section):
    """Arguments of InterPodAffinity."""

    hard_pod_affinity_weight: Annotated[int, Field(ge=0, le=100)] = 1
    """What a required affinity term of a running pod that matches the incoming one counts when scoring."""


class NodeResourcesFitConfig(Section):
    """An item of ``pluginConfig``."""

    name: Literal["NodeResourcesFit"]
    args: NodeResourcesFitArgs


class InterPodAffinityConfig(Section):
    """An item of ``pluginConfig``."""

    name: Literal["InterPodAffinity"]
    args: InterPodAffinityArgs


PluginConfig = Annotated[NodeResourcesFitConfig | InterPodAffinityConfig, Field(discriminator="name")]
Args = TypeVar("Args", NodeResourcesFitArgs, InterPodAffinityArgs)


class Settings(Section):
    """The whole file."""

    api_version: Literal["config.stowplan.dev/v1alpha1"] = API_VERSION
    kind: Literal["StowplanConfiguration"] = KIND
    scheduler_name: Annotated[str, Field(min_length=1, pattern=r"^\S+$")] = common.SCHEDULER_NAME
    """Pods with this ``spec.schedulerName`` are placed."""
    leader_election: LeaderElection = LeaderElection()
    client_connection: ClientConnection = ClientConnection()
    metrics_bind_address: fields.BindAddress = fields.Address("127.0.0.1", 10251)
    """Where /metrics, /healthz and /readyz are served. ``:PORT`` is every interface, port 0 any free one."""
    pod_initial_backoff_seconds: Annotated[int, Field(ge=1)] = 1
    pod_max_backoff_seconds: Annotated[int, Field(ge=1)] = 10
    bind_timeout: fields.Duration = timedelta(seconds=600)
    """How long a pod waits for its volumes before it is tried elsewhere; kube-scheduler's bindTimeoutSeconds."""
    log: Log = Log()
    scoring: Scoring = Scoring()
    plugin_config: Annotated[tuple[PluginConfig, ...], Field(strict=False)] = ()

    @pydantic.model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.pod_max_backoff_seconds < self.pod_initial_backoff_seconds:
            raise ValueError("podMaxBackoffSeconds must not be less than podInitialBackoffSeconds")
        fields.refuse_duplicates("pluginConfig", (item.name for item in self.plugin_config))
        return self

    def plugin_args(self, kind: type[Args]) -> Args:
        """The arguments of the plugin that takes this kind: as configured, or the defaults."""
        for item in self.plugin_config:
            if isinstance(item.args, kind):
                return item.args
        return kind()


# Keyword of load() -> (the flag that the user typed, the field it overrides).
FLAGS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "scheduler_name": ("--scheduler-name", ("schedulerName",)),
    "leader_elect": ("--no-leader-elect", ("leaderElection", "leaderElect")),
    "metrics_address": ("--metrics-address", ("metricsBindAddress",)),
    "qps": ("--qps", ("clientConnection", "qps")),
    "kubeconfig": ("--kubeconfig", ("clientConnection", "kubeconfig")),
}


def load(
    path: Path | None,
    *,
    scheduler_name: str | None = None,
    leader_elect: bool | None = None,
    metrics_address: str | None = None,
    qps: float | None = None,
    kubeconfig: str | None = None,
) -> Settings:
    """Read the file, if there is one, and let the flags that were given override it.

    Args:
        path: The configuration file; None means the defaults.
        scheduler_name: ``--scheduler-name``.
        leader_elect: False for ``--no-leader-elect``.
        metrics_address: ``--metrics-address``, HOST:PORT.
        qps: ``--qps``.
        kubeconfig: ``--kubeconfig``.

    Raises:
        UsageError: Unreadable, not YAML, an unknown key or a bad value: one line that names file (or flag) and field.
    """
    given = {
        "scheduler_name": scheduler_name,
        "leader_elect": leader_elect,
        "metrics_address": metrics_address,
        "qps": qps,
        "kubeconfig": kubeconfig,
    }
    document: dict[str, object] = {} if path is None else documents.read(path, api_version=API_VERSION, kind=KIND)
    settings = _validate(document, source=str(path))
    for keyword, value in given.items():
        if value is not None:
            flag, field = FLAGS[keyword]
            document = _with(document, field, value)
            settings = _validate(document, source=flag)
    return settings


def _with(document: Mapping[str, object], field: tuple[str, ...], value: object) -> dict[str, object]:
    """The document with one field replaced; its sections are mappings, as it has been validated."""
    key, *rest = field
    if rest:
        section = document.get(key, {})
        assert isinstance(section, Mapping)
        value = _with(section, tuple(rest), value)
    return {**document, key: value}


def _validate(document: Mapping[str, object], *, source: str) -> Settings:
    try:
        return Settings.model_validate(document, by_alias=True, by_name=False)
    except pydantic.ValidationError as error:
        raise errors.UsageError(f"{source}: {documents.describe(error)}") from error
