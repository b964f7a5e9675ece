"""One KubeSchedulerConfiguration, read by kube-scheduler and by Stowplan: its profile decides the same in both."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.parity import kube_scheduler, world
from tests.parity.compare import compare
from tests.parity.kube_scheduler import Oracle

from stowplan.app import arguments, settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]  # the oracle is built on first use

STATES = 60
EXTENDED = "{name: example.com/gpu, weight: 3}"


@pytest.mark.parametrize(
    ("profile", "features"),
    [
        pytest.param(
            "pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated, "
            f"resources: [{{name: cpu, weight: 5}}, {{name: memory, weight: 1}}, {EXTENDED}]}}}}}}]",
            "resources",
            id="the fullest node",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: LeastAllocated, "
            f"resources: [{{name: memory, weight: 2}}, {EXTENDED}, {{name: hugepages-2Mi, weight: 1}}]}}}}}}]",
            "resources",
            id="the emptiest node by other resources",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: RequestedToCapacityRatio, "
            f"resources: [{{name: cpu, weight: 1}}, {EXTENDED}], requestedToCapacityRatio: {{shape: "
            "[{utilization: 0, score: 3}, {utilization: 40, score: 10}, {utilization: 90, score: 1}]}}}}]",
            "resources",
            id="a line of its own",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeResourcesFit, args: {ignoredResources: [example.com/fpga], "
            "ignoredResourceGroups: [example.com]}}]",
            "resources",
            id="resources that are left to others",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeResourcesBalancedAllocation, args: {resources: [{name: memory, weight: 1}, "
            "{name: example.com/gpu, weight: 1}, {name: example.com/fpga, weight: 1}]}}]",
            "resources",
            id="balance of other resources",
        ),
        pytest.param(
            "pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 40}}]",
            "podaffinity",
            id="a weight for required affinity",
        ),
        pytest.param(
            "pluginConfig: [{name: InterPodAffinity, args: {ignorePreferredTermsOfExistingPods: true}}]",
            "podaffinity",
            id="no preferences of others",
        ),
        pytest.param(
            "pluginConfig: [{name: NodeAffinity, args: {addedAffinity: {"
            "requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
            "[{matchExpressions: [{key: example.com/rack, operator: NotIn, values: [r1]}]}]}, "
            "preferredDuringSchedulingIgnoredDuringExecution: [{weight: 7, preference: {matchExpressions: "
            "[{key: example.com/disk, operator: In, values: [ssd]}]}}]}}}]",
            "nodeaffinity,spread",
            id="an affinity of the profile",
        ),
        pytest.param(
            "pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: "
            "[{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}, "
            "{maxSkew: 2, topologyKey: example.com/rack, whenUnsatisfiable: ScheduleAnyway}]}}]",
            "workloads",
            id="default constraints",
        ),
        pytest.param(
            "plugins: {multiPoint: {disabled: [{name: ImageLocality}, {name: TaintToleration}]}, "
            "score: {disabled: [{name: NodeAffinity}], enabled: [{name: PodTopologySpread, weight: 9}]}}",
            "taints,nodeaffinity,spread",
            id="plugins and weights",
        ),
        pytest.param(
            "plugins: {multiPoint: {disabled: [{name: '*'}], enabled: [{name: PrioritySort}, {name: DefaultBinder}, "
            "{name: DefaultPreemption}, "
            "{name: PodTopologySpread, weight: 3}, {name: NodeResourcesFit}, {name: TaintToleration, weight: 2}]}}",
            "resources,spread,taints",
            id="few plugins, in another order",
        ),
    ],
)
def test_a_profile_decides_as_it_does_in_kube_scheduler(profile: str, features: str, tmp_path: Path) -> None:
    said = {"profiles": [{"schedulerName": "stowplan", **yaml.safe_load(profile)}]}
    theirs = tmp_path / "kube-scheduler.yaml"
    version = "kubescheduler.config.k8s.io/v1"
    theirs.write_text(yaml.safe_dump({"apiVersion": version, "kind": "KubeSchedulerConfiguration", **said}))
    raw = {"apiVersion": settings.API_VERSION, "kind": settings.KIND, **said}
    (ours,) = arguments.profiles(settings.Settings.model_validate(raw, by_alias=True, by_name=False))
    matters = False
    with Oracle(kube_scheduler.program(), theirs) as oracle:
        for number in range(STATES):
            seed, of = f"profile-{number}", features.split(",")
            items, _ = world.state(seed, of)
            found = compare(oracle, items, before=world.earlier(items, seed, of), args=ours)
            assert not found.invalid
            assert not found.differences, f"{seed}: {found.differences}"
            matters = matters or bool(compare(oracle, items).differences)
    assert matters, "the default profile says something else of some pod"
