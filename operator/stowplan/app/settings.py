"""The configuration file of ``stowplan run`` and what it means.

``stowplan run --config F`` reads one YAML document::

    apiVersion: config.stowplan.dev/v1alpha1
    kind: StowplanConfiguration
    schedulerName: stowplan
    leaderElection: {leaseDuration: 15s, renewDeadline: 10s, retryPeriod: 2s}

The names, the units and the rules are those of KubeSchedulerConfiguration v1 wherever it has the same thing
(kube-scheduler/config/v1/types.go, types_pluginargs.go and pkg/scheduler/apis/config/validation), so that
``profiles`` and ``pluginConfig`` can be copied over. Every field has a default; an unknown key is an error, because a
misspelt key that is silently ignored is found in production only, and so is a field of kube-scheduler that cannot act
here. Whether there is such a plugin is found out when the profiles are made (:mod:`stowplan.app.arguments`).

:func:`load` is called by the command line, with the flags that were given; the wiring reads the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

import pydantic
from pydantic import Field

from stowplan import errors
from stowplan.api import common
from stowplan.app import documents, fields, profile
from stowplan.app.plugin_config import PluginConfigs, VolumeBindingArgs
from stowplan.app.section import Section

API_VERSION: Literal["config.stowplan.dev/v1alpha1"] = "config.stowplan.dev/v1alpha1"
KIND: Literal["StowplanConfiguration"] = "StowplanConfiguration"


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
    resource_lock: Literal["leases"] = "leases"

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

    cannot_act: ClassVar[Mapping[str, str]] = {
        "burst": "there is no burst beside qps: leave it out",
        "acceptContentTypes": "the content type cannot be chosen: leave it out",
        "contentType": "the content type cannot be chosen: leave it out",
    }

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

    weights: dict[str, Annotated[int, Field(ge=0, le=100)]] = Field(default_factory=dict)
    """Plugin name to weight; a plugin that is not named keeps its default, 0 turns it off."""


NOT_BESIDE_PROFILES: Final = {
    "scheduler_name": "schedulerName",
    "scoring": "scoring",
    "plugin_config": "pluginConfig",
}
"""What a profile has, and the file as a whole therefore not where it has profiles."""
PROFILING: Final = "there is no profiling over HTTP: leave it out"


class Settings(Section):
    """The whole file."""

    cannot_act: ClassVar[Mapping[str, str]] = {
        "parallelism": "one call judges all nodes: leave it out",
        "extenders": "no webhooks are called: write a plugin, see docs/plugins.md",
        "delayCacheUntilActive": "all replicas keep their caches: leave it out",
        "enableProfiling": PROFILING,
        "enableContentionProfiling": PROFILING,
    }

    api_version: Literal["config.stowplan.dev/v1alpha1"] = API_VERSION
    kind: Literal["StowplanConfiguration"] = KIND
    scheduler_name: profile.SchedulerName = common.SCHEDULER_NAME
    """Pods with this ``spec.schedulerName`` are placed, by the one profile that there is without ``profiles``."""
    controllers: bool = True
    """Look after StatefulClusters and write status. One Stowplan of a cluster does; a second one, with schedulerNames
    of its own, leaves that to the first: False."""
    leader_election: LeaderElection = LeaderElection()
    client_connection: ClientConnection = ClientConnection()
    metrics_bind_address: fields.BindAddress = fields.Address("127.0.0.1", 10251)
    """Where /metrics, /healthz and /readyz are served. ``:PORT`` is every interface, port 0 any free one."""
    pod_initial_backoff_seconds: Annotated[int, Field(ge=1)] = 1
    pod_max_backoff_seconds: Annotated[int, Field(ge=1)] = 10
    bind_timeout: fields.Duration = timedelta(seconds=600)
    """How long a pod waits for its volumes before it is tried elsewhere; kube-scheduler's bindTimeoutSeconds."""
    log: Log = Log()
    percentage_of_nodes_to_score: profile.Percentage = None
    scoring: Scoring = Scoring()
    plugin_config: PluginConfigs = ()
    profiles: Annotated[tuple[profile.Profile, ...], Field(strict=False)] = ()
    """One for each schedulerName; none: one profile with what is said above."""

    @pydantic.model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.pod_max_backoff_seconds < self.pod_initial_backoff_seconds:
            raise ValueError("podMaxBackoffSeconds must not be less than podInitialBackoffSeconds")
        fields.refuse_duplicates("pluginConfig", (item.name for item in self.plugin_config))
        fields.refuse_duplicates("profiles", (each.scheduler_name for each in self.profiles))
        beside = [name for field, name in NOT_BESIDE_PROFILES.items() if field in self.model_fields_set]
        if self.profiles and beside:
            raise ValueError(f"{beside[0]}: say it in each of the profiles instead, or leave the profiles out")
        self._check_timeouts()
        return self

    def _check_timeouts(self) -> None:
        said = {str(seconds) for seconds in self._timeouts()}
        if said and "bind_timeout" in self.model_fields_set:
            said.add(f"{self.bind_timeout.total_seconds():g}")
        if len(said) > 1:
            raise ValueError(
                "bindTimeout, and VolumeBinding's bindTimeoutSeconds in each profile, must say the same,"
                f" not {' and '.join(sorted(said))} seconds"
            )

    def _timeouts(self) -> set[int]:
        args = (each.args(VolumeBindingArgs) for each in self.each_profile)
        return {
            each.bind_timeout_seconds for each in args if each is not None and each.bind_timeout_seconds is not None
        }

    @property
    def volume_timeout(self) -> timedelta:
        """How long a pod waits for its volumes, wherever the file says it."""
        return next((timedelta(seconds=seconds) for seconds in self._timeouts()), self.bind_timeout)

    @property
    def each_profile(self) -> tuple[profile.Profile, ...]:
        """The profiles, at least one."""
        return self.profiles or (profile.Profile(scheduler_name=self.scheduler_name, plugin_config=self.plugin_config),)

    @property
    def scheduler_names(self) -> tuple[str, ...]:
        """The ``spec.schedulerName`` of the pods that are placed, those of the first profile first."""
        return tuple(each.scheduler_name for each in self.each_profile)


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
