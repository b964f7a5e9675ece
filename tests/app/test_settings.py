"""The configuration file is read strictly, and what is wrong with it is said in one line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from stowplan import errors
from stowplan.app import fields, plugin_config, profile, settings
from stowplan.profiles import selection

HEADER = "apiVersion: config.stowplan.dev/v1alpha1\nkind: StowplanConfiguration\n"


def write(folder: Path, body: str, *, header: str = HEADER) -> Path:
    path = folder / "config.yaml"
    path.write_text(header + body)
    return path


def test_a_file_with_nothing_but_its_header_means_the_defaults(tmp_path: Path) -> None:
    assert settings.load(write(tmp_path, "")) == settings.load(None) == settings.Settings()


def test_the_defaults_are_those_of_kube_scheduler() -> None:
    loaded = settings.load(None)
    election = loaded.leader_election
    assert (election.lease_duration, election.renew_deadline, election.retry_period) == (
        timedelta(seconds=15),
        timedelta(seconds=10),
        timedelta(seconds=2),
    )
    assert (loaded.pod_initial_backoff_seconds, loaded.pod_max_backoff_seconds) == (1, 10)
    assert loaded.bind_timeout == timedelta(minutes=10)
    assert loaded.volume_timeout == timedelta(minutes=10)
    assert plugin_config.InterPodAffinityArgs().hard_pod_affinity_weight == 1
    strategy = plugin_config.NodeResourcesFitArgs().scoring_strategy
    assert strategy.type == "LeastAllocated"
    assert {resource.name: resource.weight for resource in strategy.resources} == {"cpu": 1, "memory": 1}


def test_every_field_can_be_set(tmp_path: Path) -> None:
    loaded = settings.load(
        write(
            tmp_path,
            """
schedulerName: other
leaderElection:
  leaderElect: true
  leaseDuration: 1m30s
  renewDeadline: 20s
  retryPeriod: 500ms
  resourceName: lock
  resourceNamespace: system
clientConnection: {kubeconfig: /etc/kubeconfig, qps: 12.5}
metricsBindAddress: "[::1]:9000"
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
bindTimeout: 1h
log: {level: debug, format: text}
scoring: {weights: {PodTopologySpread: 5}}
pluginConfig:
- name: InterPodAffinity
  args: {hardPodAffinityWeight: 7}
- name: NodeResourcesFit
  args:
    scoringStrategy:
      type: RequestedToCapacityRatio
      resources: [{name: cpu, weight: 3}, {name: nvidia.com/gpu, weight: 0}]
      requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]}
""",
        )
    )
    assert loaded.scheduler_name == "other"
    assert loaded.leader_election == settings.LeaderElection(
        lease_duration=timedelta(seconds=90),
        renew_deadline=timedelta(seconds=20),
        retry_period=timedelta(milliseconds=500),
        resource_name="lock",
        resource_namespace="system",
    )
    assert loaded.client_connection == settings.ClientConnection(kubeconfig="/etc/kubeconfig", qps=12.5)
    assert loaded.metrics_bind_address == fields.Address("::1", 9000)
    assert (loaded.pod_initial_backoff_seconds, loaded.pod_max_backoff_seconds) == (2, 20)
    assert loaded.bind_timeout == timedelta(hours=1)
    assert loaded.log == settings.Log(level="debug", format="text")
    assert loaded.scoring.weights == {"PodTopologySpread": 5}
    (only,) = loaded.each_profile
    affinity, fit = only.args(plugin_config.InterPodAffinityArgs), only.args(plugin_config.NodeResourcesFitArgs)
    assert affinity is not None
    assert affinity.hard_pod_affinity_weight == 7
    assert fit is not None
    strategy = fit.scoring_strategy
    assert [(resource.name, resource.effective_weight) for resource in strategy.resources] == [
        ("cpu", 3),
        ("nvidia.com/gpu", 1),
    ]
    assert strategy.requested_to_capacity_ratio is not None
    assert [(point.utilization, point.score) for point in strategy.requested_to_capacity_ratio.shape] == [
        (0, 0),
        (100, 10),
    ]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        pytest.param("schedulername: x", "schedulername: unknown field", id="misspelt key"),
        pytest.param("scheduler_name: x", "scheduler_name: unknown field", id="name as in Python"),
        pytest.param(
            "schedulerName: a\nschedulerName: b", "line 4, column 1: schedulerName is there twice", id="twice"
        ),
        pytest.param("a: [", "line 3, column 5: while parsing a flow node, expected the node content", id="not YAML"),
        pytest.param("log: quiet", "log: must be a mapping", id="section is a word"),
        pytest.param("log: {level: trace}", "log.level: should be 'debug', 'info', 'warning' or 'error'", id="level"),
        pytest.param("schedulerName: 5", "schedulerName: should be a valid string, not 5", id="number for a string"),
        pytest.param("schedulerName: ''", "schedulerName: String should have at least 1 character", id="empty name"),
        pytest.param(
            "leaderElection: {leaderElect: 'yes'}",
            "leaderElection.leaderElect: should be a valid boolean, not 'yes'",
            id="word for a boolean",
        ),
        pytest.param(
            "leaderElection: {retryPeriod: 2}",
            "leaderElection.retryPeriod: 2 is not a duration such as 15s, 1m30s or 500ms",
            id="duration without a unit",
        ),
        pytest.param("bindTimeout: -1s", "bindTimeout: '-1s' is not a duration", id="negative duration"),
        pytest.param(
            "leaderElection: {retryPeriod: 0s}",
            "leaderElection: retryPeriod must be greater than zero",
            id="no retry period",
        ),
        pytest.param(
            "leaderElection: {renewDeadline: 2.4s}",
            "leaderElection: renewDeadline must be greater than 1.2 times retryPeriod",
            id="no time to renew twice",
        ),
        pytest.param(
            "leaderElection: {leaseDuration: 10s}",
            "leaderElection: leaseDuration must be greater than renewDeadline",
            id="two leaders possible",
        ),
        pytest.param("metricsBindAddress: localhost", "metricsBindAddress: 'localhost' is not HOST:PORT", id="no port"),
        pytest.param(
            "metricsBindAddress: :70000", "metricsBindAddress: ':70000' is not HOST:PORT", id="port too large"
        ),
        pytest.param("metricsBindAddress: ::1:80", "metricsBindAddress: '::1:80' is not HOST:PORT", id="bare IPv6"),
        pytest.param("clientConnection: {qps: -1}", "clientConnection.qps: should be greater than", id="negative qps"),
        pytest.param("clientConnection: {qps: .nan}", "clientConnection.qps: should be", id="qps is no number"),
        pytest.param(
            "podInitialBackoffSeconds: 11",
            "podMaxBackoffSeconds must not be less than podInitialBackoffSeconds",
            id="backoff shrinks",
        ),
        pytest.param("podInitialBackoffSeconds: 0", "podInitialBackoffSeconds: should be greater", id="no backoff"),
        pytest.param(
            "scoring: {weights: {ImageLocality: 101}}", "scoring.weights.ImageLocality: should be", id="weight"
        ),
        pytest.param("pluginConfig: {}", "pluginConfig: must be a list", id="mapping for a list"),
        pytest.param("pluginConfig: [{args: {}}]", "pluginConfig[0].name: is required", id="plugin without a name"),
        pytest.param(
            "pluginConfig: [{name: InterPodAffinity, args: {}}, {name: InterPodAffinity, args: {}}]",
            "pluginConfig: InterPodAffinity is there twice",
            id="plugin twice",
        ),
        pytest.param(
            "pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]",
            "pluginConfig[0].args.hardPodAffinityWeight: should be less than or equal to 100, not 101",
            id="affinity weight",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: RequestedToCapacityRatio}}}]",
            "pluginConfig[0].args.scoringStrategy: requestedToCapacityRatio is required when type is",
            id="ratio without a shape",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {requestedToCapacityRatio: "
            "{shape: [{utilization: 0, score: 0}]}}}}]",
            "requestedToCapacityRatio must be left out when type is LeastAllocated",
            id="shape without the ratio",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: RequestedToCapacityRatio, "
            "requestedToCapacityRatio: {shape: [{utilization: 5, score: 0}, {utilization: 5, score: 1}]}}}}]",
            "requestedToCapacityRatio.shape: utilization must increase from point to point",
            id="shape goes back",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {resources: [{name: a}, {name: a}]}}}]",
            "pluginConfig[0].args.scoringStrategy: resources: a is there twice",
            id="resource twice",
        ),
        pytest.param(
            "pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: x, labelSelector: {}}}]",
            "pluginConfig[0].args.hardPodAffinityWeight: should be a valid integer, not 'x'; "
            "pluginConfig[0].args.labelSelector: unknown field",
            id="two problems in one line",
        ),
        pytest.param("parallelism: 16", "parallelism: one call judges all nodes: leave it out", id="parallelism"),
        pytest.param(
            "extenders: []", "extenders: no webhooks are called: write a plugin, see docs/plugins.md", id="web"
        ),
        pytest.param(
            "percentageOfNodesToScore: 50",
            "percentageOfNodesToScore: every feasible node is scored: leave it out, or say 100",
            id="some nodes",
        ),
        pytest.param(
            "clientConnection: {burst: 9}", "clientConnection: burst: there is no burst beside qps", id="burst"
        ),
        pytest.param("profiles: {}", "profiles: must be a list", id="one profile for a list"),
        pytest.param("profiles: [{}]", "profiles[0].schedulerName: is required", id="profile without a name"),
        pytest.param(
            "profiles: [{schedulerName: a}, {schedulerName: a}]", "profiles: a is there twice", id="profile twice"
        ),
        pytest.param(
            "schedulerName: a\nprofiles: [{schedulerName: a}]",
            "schedulerName: say it in each of the profiles instead",
            id="name beside profiles",
        ),
        pytest.param(
            "scoring: {}\nprofiles: [{schedulerName: a}]",
            "scoring: say it in each of the profiles instead",
            id="weights beside profiles",
        ),
        pytest.param(
            "profiles: [{schedulerName: a, plugins: {flter: {}}}]",
            "profiles[0].plugins.flter: unknown field",
            id="misspelt extension point",
        ),
        pytest.param(
            "profiles: [{schedulerName: a, plugins: {score: {enabled: [{name: X, weight: -1}]}}}]",
            "profiles[0].plugins.score.enabled[0].weight: should be greater than or equal to 0, not -1",
            id="negative weight",
        ),
        pytest.param(
            "profiles: [{schedulerName: a, plugins: {score: {disabled: [{name: X, weight: 1}]}}}]",
            "profiles[0].plugins.score.disabled[0]: weight: a plugin that is off has none",
            id="weight of a plugin that is off",
        ),
        pytest.param(
            "profiles: [{schedulerName: a, percentageOfNodesToScore: 5}]",
            "profiles[0].percentageOfNodesToScore: every feasible node is scored",
            id="some nodes of a profile",
        ),
        pytest.param(
            "profiles: [{schedulerName: a, pluginConfig: [{name: InterPodAffinity, args: {kind: NodeAffinityArgs}}]}]",
            "profiles[0].pluginConfig[0].args: kind: must be InterPodAffinityArgs, not 'NodeAffinityArgs'",
            id="arguments of another plugin",
        ),
        pytest.param(
            "bindTimeout: 60s\npluginConfig: [{name: VolumeBinding, args: {bindTimeoutSeconds: 30}}]",
            "bindTimeout, and VolumeBinding's bindTimeoutSeconds in each profile, must say the same, not 30 and 60",
            id="two timeouts",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeResourcesFit, args: {ignoredResourceGroups: [a/b]}}]",
            "pluginConfig[0].args.ignoredResourceGroups: 'a/b' must not contain '/'",
            id="group with a slash",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeResourcesBalancedAllocation, args: {resources: [{name: cpu, weight: 2}]}}]",
            "pluginConfig[0].args.resources[0].weight: should be 1, not 2",
            id="balance with weights",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeAffinity, args: {addedAffinity: "
            "{requiredDuringSchedulingIgnoredDuringExecution: "
            "{nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In}]}]}}}}]",
            "nodeSelectorTerms[0].matchExpressions[0]: In and NotIn need at least one value",
            id="affinity to nothing",
        ),
        pytest.param(
            "pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: "
            "[{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}]",
            "pluginConfig[0].args: defaultingType must be List where there are defaultConstraints",
            id="constraints beside the system's",
        ),
        pytest.param(
            "pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: "
            "[{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]}}]",
            "pluginConfig[0].args.defaultConstraints[0]: labelSelector: leave it out",
            id="constraint with a selector",
        ),
        pytest.param(
            "pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: "
            "[{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}, "
            "{maxSkew: 2, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]}}]",
            "defaultConstraints: zone with DoNotSchedule is there twice",
            id="constraint twice",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line_with_the_file_and_the_field(tmp_path: Path, body: str, complaint: str) -> None:
    path = write(tmp_path, body)
    with pytest.raises(errors.UsageError) as caught:
        settings.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "expected a mapping with apiVersion", id="empty"),
        pytest.param("- a", "expected a mapping with apiVersion", id="list"),
        pytest.param(
            "kind: StowplanConfiguration", "apiVersion: must be config.stowplan.dev/v1alpha1", id="no version"
        ),
        pytest.param(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration",
            "apiVersion: must be config.stowplan.dev/v1alpha1, not 'kubescheduler.config.k8s.io/v1'",
            id="the other scheduler's file",
        ),
        pytest.param(HEADER + "---\n" + HEADER, "expected a single document", id="two documents"),
        pytest.param("\x00", "not YAML: ", id="binary"),
        pytest.param(HEADER + "? [a]\n: b", "line 3, column 3: a key must be a word", id="a list for a key"),
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path, text, header="")
    with pytest.raises(errors.UsageError) as caught:
        settings.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        pytest.param("missing.yaml", "No such file or directory", id="missing"),
        pytest.param(".", "Is a directory", id="folder"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(errors.UsageError, match=complaint):
        settings.load(tmp_path / name)


def test_flags_override_the_file_and_leave_the_rest_of_a_section(tmp_path: Path) -> None:
    path = write(tmp_path, "leaderElection: {resourceName: lock}\nclientConnection: {qps: 5}\nschedulerName: a")
    loaded = settings.load(
        path, scheduler_name="b", leader_elect=False, metrics_address=":0", qps=0.0, kubeconfig="other"
    )
    assert loaded.scheduler_name == "b"
    assert loaded.leader_election == settings.LeaderElection(leader_elect=False, resource_name="lock")
    assert loaded.metrics_bind_address == fields.Address("", 0)
    assert loaded.client_connection == settings.ClientConnection(qps=0.0, kubeconfig="other")


def test_a_bad_flag_is_named_rather_than_the_file(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match=r"^--metrics-address: metricsBindAddress: 'x' is not HOST:PORT$"):
        settings.load(write(tmp_path, ""), metrics_address="x")


def test_durations_are_not_compared_when_nobody_is_elected(tmp_path: Path) -> None:
    loaded = settings.load(write(tmp_path, "leaderElection: {leaderElect: false, leaseDuration: 1s}"))
    assert loaded.leader_election.lease_duration == timedelta(seconds=1)


@hypothesis.given(
    host=st.sampled_from(["", "localhost", "127.0.0.1", "::", "fe80::1", "a.example"]),
    port=st.integers(min_value=0, max_value=65535),
)
def test_an_address_reads_back_as_it_was_written(host: str, port: int) -> None:
    address = fields.Address(host, port)
    assert fields.parse_address(str(address)) == address


PASTED = """
profiles:
- schedulerName: default-scheduler
  percentageOfNodesToScore: 100
  pluginConfig:
  - name: DefaultOnly
    args: {anything: [1, {else: true}]}
- schedulerName: packed
  plugins:
    multiPoint: {enabled: [{name: DefaultOnly}]}
    score: {enabled: [{name: NodeResourcesFit, weight: 5}], disabled: [{name: "*"}]}
    preScore: {disabled: [{name: "*"}]}
  pluginConfig:
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy: {type: MostAllocated}
  - name: VolumeBinding
    args: {bindTimeoutSeconds: 30}
"""


def test_the_profiles_of_a_kube_scheduler_configuration_can_be_pasted(tmp_path: Path) -> None:
    loaded = settings.load(write(tmp_path, PASTED))
    assert loaded.scheduler_names == ("default-scheduler", "packed")
    first, second = loaded.each_profile
    assert first.args(plugin_config.NodeResourcesFitArgs) is None
    fit = second.args(plugin_config.NodeResourcesFitArgs)
    assert fit is not None
    assert fit.scoring_strategy.type == "MostAllocated"
    sets = second.plugins.sets()
    assert sets["score"] == selection.PluginSet((selection.Enabled("NodeResourcesFit", 5),), frozenset("*"))
    assert sets["multiPoint"].enabled == (selection.Enabled("DefaultOnly"),)
    assert loaded.volume_timeout == timedelta(seconds=30)


def test_each_extension_point_can_be_named_as_kube_scheduler_names_it() -> None:
    assert set(profile.Plugins().sets()) == {
        "multiPoint", "preEnqueue", "queueSort", "preFilter", "filter", "postFilter", "preScore", "score", "reserve",
        "permit", "preBind", "bind", "postBind", "placementGenerate", "placementScore",
    }  # fmt: skip
