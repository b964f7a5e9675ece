"""Which policy governs a pod, what becomes of the others, and how the plugins are put together."""

from __future__ import annotations

import pytest
from tests.builders import node, pod, snapshot
from tests.profiles.world import EVERYTHING, World, policy, spread

from stowplan import errors
from stowplan.api import common
from stowplan.api.cluster import StatefulCluster
from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.plugin import CycleState
from stowplan.model.pods import PodInfo
from stowplan.plugins.group_size import DeclaredSet
from stowplan.profiles import WEIGHTS, Backlog, Cluster, PluginArgs, Policies, cluster_of

DB = {"app": "db"}
SELECT_DB = {"matchLabels": DB}


def policies(*found: SchedulingPolicy, clusters: tuple[Cluster, ...] = ()) -> Policies:
    return Policies(found, clusters, PluginArgs(), Backlog())


def names(policy_name: str) -> dict[str, str]:
    return {common.ANNOTATION_POLICY: policy_name}


ORDERS = Cluster("default/orders", "of-cluster", ())
MEMBER = {**DB, common.LABEL_CLUSTER: "orders"}


@pytest.mark.parametrize(
    ("asked", "found", "expected"),
    [
        pytest.param(pod("p"), [policy("one", selector=SELECT_DB)], "", id="not selected"),
        pytest.param(pod("p", labels=DB), [policy("one", selector=SELECT_DB)], "default/one", id="selected"),
        pytest.param(pod("p"), [policy("one", selector=EVERYTHING)], "default/one", id="an empty selector takes all"),
        pytest.param(pod("p"), [policy("one")], "", id="no selector takes none"),
        pytest.param(
            pod("p", labels=DB, namespace="other"), [policy("one", selector=EVERYTHING)], "", id="another namespace"
        ),
        pytest.param(
            pod("p", labels=DB),
            [policy("old", selector=SELECT_DB, precedence=1), policy("new", selector=EVERYTHING, precedence=2)],
            "default/new",
            id="the highest precedence wins",
        ),
        pytest.param(
            pod("p", labels=DB),
            [
                policy("a", selector=SELECT_DB, created="2026-02-01T00:00:00Z"),
                policy("b", selector=SELECT_DB, created="2026-01-01T00:00:00Z"),
            ],
            "default/b",
            id="the oldest wins among equals",
        ),
        pytest.param(
            pod("p", labels=DB, annotations=names("named")),
            [policy("one", selector=SELECT_DB, precedence=9), policy("named")],
            "default/named",
            id="the one that the pod names",
        ),
        pytest.param(
            pod("p", labels=MEMBER),
            [policy("one", selector=SELECT_DB, precedence=9), policy("of-cluster")],
            "default/of-cluster",
            id="the one of its cluster",
        ),
        pytest.param(
            pod("p", labels=MEMBER, annotations=names("named")),
            [policy("named"), policy("of-cluster")],
            "default/named",
            id="the pod's own word before its cluster's",
        ),
        pytest.param(
            pod("p", labels={**DB, common.LABEL_CLUSTER: "unknown"}),
            [policy("one", selector=SELECT_DB)],
            "default/one",
            id="a cluster that nobody knows says nothing",
        ),
        pytest.param(
            pod("p", labels=DB),
            [policy("dry", selector=SELECT_DB, mode="DryRun", precedence=9), policy("one", selector=SELECT_DB)],
            "default/one",
            id="DryRun governs nothing",
        ),
        pytest.param(
            pod("p", labels=DB, annotations=names("dry")),
            [policy("dry", mode="DryRun"), policy("one", selector=SELECT_DB)],
            "default/one",
            id="not even who names it",
        ),
    ],
)
def test_the_policy_of_a_pod(asked: PodInfo, found: list[SchedulingPolicy], expected: str) -> None:
    governed = policies(*found, clusters=(ORDERS,))
    assert governed.key_for(asked.cls) == expected
    assert governed.key_for(asked.cls) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(pod("p", labels=DB), {"default/one"}, id="the one that governs it"),
        pytest.param(pod("p", labels={"app": "cache"}), {"default/near"}, id="one that wants to be near it"),
        pytest.param(pod("p", labels={**DB, "tier": "cache"}), {"default/one", "default/close"}, id="both"),
        pytest.param(pod("p", labels={"app": "cache"}, namespace="other"), set(), id="nobody's, in another namespace"),
        pytest.param(pod("p", labels={"app": "log"}), set(), id="one that others would only like to be near"),
    ],
)
def test_the_policies_that_count_a_pod(asked: PodInfo, expected: set[str]) -> None:
    def near(**labels: str) -> dict[str, object]:
        return {"name": "-".join(labels.values()), "domain": "zone", "with": {"matchLabels": labels}}

    governed = policies(
        policy("one", selector=SELECT_DB),
        policy("near", colocate=[near(app="cache"), {**near(app="log"), "enforcement": "Preferred", "weight": 1}]),
        policy("close", colocate=[near(tier="cache")]),
        policy("dry", mode="DryRun", colocate=[near(app="cache")]),
    )
    assert governed.counting(asked.cls) == expected
    assert governed.counting(asked.cls) == expected


def test_a_pod_that_names_a_policy_that_does_not_exist_waits_for_it() -> None:
    governed = policies(policy("one", selector=EVERYTHING))
    nodes = snapshot([node("n1")])
    asked = pod("p", annotations=names("absent"))
    framework = governed.framework_for(asked.cls)
    diagnosis = framework.diagnose(asked, nodes, CycleState())
    assert governed.key_for(asked.cls) == ""
    assert diagnosis.message == ("0/1 nodes are available: waiting for SchedulingPolicy absent, which does not exist.")
    assert list(diagnosis.plugins) == ["PolicyMissing"]


def test_a_member_whose_cluster_names_a_policy_that_does_not_exist_waits_for_it() -> None:
    governed = policies(clusters=(ORDERS,))
    assert [each.name for each in governed.framework_for(pod("p", labels=MEMBER).cls).plugins] == ["PolicyMissing"]


def test_pods_without_a_policy_get_kube_schedulers_plugins_and_weights() -> None:
    framework = policies().framework_for(pod("p").cls)
    assert [each.name for each in framework.plugins] == [
        "NodeUnschedulable",
        "NodeName",
        "TaintToleration",
        "NodeAffinity",
        "NodePorts",
        "DynamicResources",
        "NodeResourcesFit",
        "VolumeRestrictions",
        "NodeVolumeLimits",
        "VolumeBinding",
        "VolumeZone",
        "PodTopologySpread",
        "InterPodAffinity",
        "DefaultPreemption",
        "NodeResourcesBalancedAllocation",
        "ImageLocality",
        "NodeDeclaredFeatures",
        "FailureDomain",
    ]
    assert framework.weights == WEIGHTS


def test_pods_of_one_policy_share_its_plugins() -> None:
    governed = policies(policy("one", selector=EVERYTHING, spread=[spread()]))
    one, two = (governed.framework_for(pod("p", labels={"n": n}).cls) for n in "12")
    assert one is two
    assert [each.name for each in one.plugins][-1] == "PolicySpread"


def test_weights_of_the_policy_override_the_configurations_and_those_the_defaults() -> None:
    weighted = policy("one", selector=EVERYTHING, scoring={"weights": {"ImageLocality": 7}})
    args = PluginArgs(weights={"ImageLocality": 5, "NodeAffinity": 4})
    governed = Policies([weighted], [], args, Backlog())
    weights = governed.framework_for(pod("p").cls).weights
    assert (weights["ImageLocality"], weights["NodeAffinity"], weights["InterPodAffinity"]) == (7, 4, 2)
    assert governed.framework_for(pod("p", namespace="other").cls).weights["ImageLocality"] == 5


def test_a_weight_for_a_plugin_that_there_is_not_is_a_problem_of_that_policy_alone() -> None:
    odd = policy("odd", selector=EVERYTHING, scoring={"weights": {"NodeResourceFit": 3, "ImageLocality": 7}})
    governed = policies(odd, policy("fine"))
    assert list(governed.problems) == ["default/odd"]
    assert "no score plugin is called NodeResourceFit" in governed.problems["default/odd"]
    weights = governed.framework_for(pod("p").cls).weights
    assert "NodeResourceFit" not in weights
    assert weights["ImageLocality"] == 7


def test_such_a_weight_in_the_configuration_is_an_error() -> None:
    with pytest.raises(errors.UsageError, match=r"scoring\.weights: no score plugin is called Fit; there are"):
        PluginArgs(weights={"Fit": 3})


# ---------------------------------------------------------------- conflicts


def test_the_policy_whose_pods_another_takes_is_told_who() -> None:
    governed = policies(
        policy("db", selector=SELECT_DB),
        policy("gold", selector={"matchLabels": {"tier": "gold"}}, precedence=1),
        policy("web", selector={"matchLabels": {"app": "web"}}),
    )
    assert governed.conflicts([]) == {}
    both = pod("p", labels={**DB, "tier": "gold"})
    assert governed.conflicts([both.cls, pod("q", labels=DB).cls]) == {"default/db": frozenset({"gold"})}


def test_a_policy_that_can_never_govern_a_pod_is_told_before_there_is_one() -> None:
    governed = policies(
        policy("all", selector=EVERYTHING, created="2026-01-01T00:00:00Z"),
        policy("db", selector=SELECT_DB, created="2026-01-02T00:00:00Z"),
        policy("elsewhere", namespace="other", selector=SELECT_DB),
        policy("dry", selector=SELECT_DB, mode="DryRun"),
    )
    assert governed.conflicts([]) == {"default/db": frozenset({"all"})}


def test_naming_a_policy_is_no_conflict() -> None:
    gold = policy("gold", selector={"matchLabels": {"tier": "gold"}})
    governed = policies(policy("db", selector=SELECT_DB), policy("named"), gold)
    asked = pod("p", labels={**DB, "tier": "gold"}, annotations=names("named"))
    assert governed.conflicts([asked.cls]) == {}


# ---------------------------------------------------------------- StatefulClusters


def test_the_declared_sets_of_a_cluster_carry_the_labels_of_its_members() -> None:
    raw = {
        "metadata": {"name": "orders", "namespace": "prod"},
        "spec": {
            "schedulingPolicyRef": {"name": "ha"},
            "nodeSets": [
                {
                    "name": "data",
                    "roles": ["data", "replica"],
                    "replicas": 3,
                    "template": {
                        "metadata": {"labels": {"app": "orders"}},
                        "spec": {"containers": [{"name": "db", "image": "db:1"}]},
                    },
                }
            ],
        },
    }
    labels = {
        "app": "orders",
        "stowplan.dev/cluster": "orders",
        "stowplan.dev/node-set": "data",
        "role.stowplan.dev/data": "true",
        "role.stowplan.dev/replica": "true",
    }
    expected = Cluster("prod/orders", "ha", (DeclaredSet(labels, 3),))
    assert cluster_of(StatefulCluster.model_validate(raw)) == expected


def test_other_policies_take_effect_with_the_next_decision() -> None:
    nodes = [node("a", zone="a"), node("b", zone="b")]
    world = World(nodes, [policy(selector=EVERYTHING)], running=[pod("o", on="a")])
    assert world.feasible(pod("p")) == {"a", "b"}
    world.policies = Policies([policy(selector=EVERYTHING, spread=[spread()])], [], PluginArgs(), world.backlog)
    world.policies.govern(world.nodes)
    assert world.feasible(pod("p")) == {"b"}
    assert world.nodes.check() == []


def test_who_is_governed_is_counted_anew_when_the_policies_change() -> None:
    rule = spread(maxSkew=9, maxPerDomain="40%")
    web = {"app": "web"}
    there = [pod(f"web-{index}", on="a", labels=web) for index in range(3)]
    world = World(
        [node("a", zone="a"), node("b", zone="b")], [policy(selector=EVERYTHING, spread=[rule])], running=there
    )
    asked = pod("p", labels=DB)
    world.expect(asked, *(pod("q", labels=web) for _ in range(6)))
    assert world.feasible(asked) == {"a", "b"}  # 3 of at most 4 of 10
    world.nodes.add_pod(pod("web-3", on="a", labels=web))
    assert world.feasible(asked) == {"b"}
    world.policies = Policies([policy(selector=SELECT_DB, spread=[rule])], [], PluginArgs(), world.backlog)
    world.policies.govern(world.nodes)
    assert world.feasible(asked) == {"a", "b"}
    world.nodes.add_pod(pod("db-0", on="a", labels=DB))
    assert world.feasible(asked) == {"b"}  # 1 of at most 1 of 2
