"""Spread rules of a policy: which nodes they leave, which they prefer, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from tests.builders import RACK, ZONE, node, pod, toleration
from tests.profiles.world import EVERYTHING, Spec, World, policy, racks, spread

from stowplan.api import common
from stowplan.model.pods import PodInfo
from stowplan.plugins.group_size import DeclaredSet
from stowplan.profiles import Cluster

THREE = [node("a", zone="a"), node("b", zone="b"), node("c", zone="c")]


def running(counts: Mapping[str, int], **rest: object) -> list[PodInfo]:
    """So many pods on each node."""
    labels = rest.get("labels", {})
    assert isinstance(labels, dict)
    kind = "-".join(map(str, labels.values()))
    return [
        pod(f"running-{kind}-{name}-{index}", on=name, labels=labels, terminating=bool(rest.get("terminating")))
        for name, count in counts.items()
        for index in range(count)
    ]


@pytest.mark.parametrize(
    ("rule", "counts", "expected"),
    [
        pytest.param(spread(), {}, "abc", id="nobody is there"),
        pytest.param(spread(), {"a": 1}, "bc", id="one is there"),
        pytest.param(spread(maxSkew=2), {"a": 1}, "abc", id="maxSkew 2"),
        pytest.param(spread(maxSkew=2), {"a": 2, "b": 1}, "bc", id="maxSkew 2, two there"),
        pytest.param(spread(), {"a": 1, "b": 1, "c": 1}, "abc", id="even"),
        pytest.param(spread(minDomains=4), {"a": 1, "b": 1, "c": 1}, "", id="fewer domains than minDomains"),
        pytest.param(spread(maxSkew=9, maxPerDomain=2), {"a": 2, "b": 1}, "bc", id="at most two in a domain"),
        pytest.param(spread(enforcement="Preferred", weight=10), {"a": 9}, "abc", id="Preferred rejects nothing"),
    ],
)
def test_a_rule_admits(rule: Spec, counts: Mapping[str, int], expected: str) -> None:
    world = World(THREE, [policy(selector=EVERYTHING, spread=[rule])], running=running(counts))
    assert world.feasible(pod("p")) == set(expected)


def test_reasons_are_in_the_users_words_one_for_each_rule() -> None:
    rules = [
        spread(name="members-over-zones"),
        spread("rack", name="racks-in-zones", within="zone", maxSkew=2, maxPerDomain="40%"),
    ]
    nodes = [*racks(["a"], racks=2), *racks(["b"], racks=1), node("nowhere", zone="b")]
    there = running({"a1-1": 3, "a2-1": 1, "b1-1": 1})
    world = World(nodes, [policy("database-ha", selector=EVERYTHING, spread=rules)], running=there)
    world.expect(pod("p"))
    broken = "node(s) would break spread rule"
    assert world.why(pod("p")) == {
        f"{broken} members-over-zones of policy database-ha (zone, maxSkew 1)": 2,
        f"{broken} racks-in-zones of policy database-ha (rack in zone, maxSkew 2)": 1,
        f"{broken} racks-in-zones of policy database-ha (rack in zone, maxPerDomain 40%)": 1,
        f"{broken} racks-in-zones of policy database-ha (no label {ZONE} and {RACK})": 1,
    }


def test_within_a_zone_racks_of_the_same_name_in_another_do_not_count() -> None:
    nodes = racks(["a", "b"], racks=2)
    inside = World(
        nodes,
        [policy(selector=EVERYTHING, spread=[spread("rack", within="zone")])],
        running=running({"a1-1": 1, "b2-1": 3, "b1-1": 3}),
    )
    assert inside.feasible(pod("p")) == {"a2-1", "b1-1", "b2-1"}
    everywhere = World(
        nodes,
        [policy(selector=EVERYTHING, spread=[spread("rack")])],
        running=running({"a1-1": 1, "b2-1": 3, "b1-1": 2}),
    )
    assert everywhere.feasible(pod("p")) == {"a1-1", "a2-1", "b1-1", "b2-1"}


def test_min_domains_within_a_zone_is_about_the_domains_of_that_zone() -> None:
    nodes = [*racks(["a"], racks=3), *racks(["b"], racks=1)]
    rule = spread("rack", within="zone", minDomains=2)
    world = World(
        nodes,
        [policy(selector=EVERYTHING, spread=[rule])],
        running=running({"a1-1": 1, "a2-1": 1, "a3-1": 1, "b1-1": 1}),
    )
    assert world.feasible(pod("p")) == {"a1-1", "a2-1", "a3-1"}


def test_each_group_is_spread_on_its_own() -> None:
    rule = spread(groupBy=["role", "tier"])
    there = running({"a": 3}, labels={"role": "master"}) + running({"b": 1}, labels={"role": "data"})
    world = World(THREE, [policy(selector=EVERYTHING, spread=[rule])], running=there)
    assert world.feasible(pod("p", labels={"role": "data"})) == {"a", "c"}
    assert world.feasible(pod("p", labels={"role": "data", "tier": "1"})) == {"a", "b", "c"}
    assert world.feasible(pod("p")) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([pod("o", on="a", namespace="other")], id="of another namespace"),
        pytest.param(running({"a": 1}, terminating=True), id="that are being deleted"),
        pytest.param([pod("o", on="a", labels={"app": "web"})], id="that the policy does not govern"),
        pytest.param([pod("o", on="a", labels={"app": "db", common.LABEL_CLUSTER: "two"})], id="of another cluster"),
    ],
)
def test_pods_that_do_not_count(others: Sequence[PodInfo]) -> None:
    everywhere = [policy(selector={"matchLabels": {"app": "db"}}, spread=[spread()])]
    world = World(THREE, everywhere, running=others)
    assert world.feasible(pod("p", labels={"app": "db", common.LABEL_CLUSTER: "one"})) == {"a", "b", "c"}


# ---------------------------------------------------------------- maxPerDomain of a group


@pytest.mark.parametrize(
    ("most", "size", "expected"),
    [
        pytest.param("Minority", 1, 1, id="one pod has to be somewhere"),
        pytest.param("Minority", 2, 1, id="half of two is no minority, but nothing less can be placed"),
        pytest.param("Minority", 3, 1, id="a minority of three"),
        pytest.param("Minority", 4, 1, id="half of four is no minority"),
        pytest.param("Minority", 5, 2, id="a minority of five"),
        pytest.param("40%", 5, 2, id="40% of five"),
        pytest.param("40%", 6, 2, id="rounded down"),
        pytest.param("10%", 5, 1, id="but never to nothing"),
        pytest.param(3, 50, 3, id="a number is a number"),
    ],
)
def test_no_domain_gets_more_than_its_share(most: int | str, size: int, expected: int) -> None:
    rule = spread(maxSkew=99, maxPerDomain=most)
    world = World([node("a", zone="a")], [policy(selector=EVERYTHING, spread=[rule])])
    placed = world.place(*(pod(f"p{index}") for index in range(size)))
    assert placed.count("a") == expected


def test_the_share_of_a_member_is_one_of_its_declared_group() -> None:
    rule = spread(maxSkew=99, maxPerDomain="Minority", groupBy=[common.LABEL_NODE_SET])
    sets = tuple(
        DeclaredSet({common.LABEL_CLUSTER: "orders", common.LABEL_NODE_SET: name}, replicas)
        for name, replicas in (("data", 7), ("master", 3))
    )
    world = World(
        [node("a", zone="a")],
        [policy("ha", spread=[rule])],
        clusters=[Cluster("default/orders", "ha", sets)],
    )

    def members(name: str, count: int) -> list[PodInfo]:
        labels = {common.LABEL_CLUSTER: "orders", common.LABEL_NODE_SET: name}
        return [pod(f"orders-{name}-{index}", labels=labels) for index in range(count)]

    assert world.place(*members("data", 4)) == ["a", "a", "a", ""]
    assert world.place(*members("master", 2)) == ["a", ""]


# ---------------------------------------------------------------- node inclusion


def test_tainted_nodes_are_a_domain_unless_the_policy_honors_taints_or_tolerates_them() -> None:
    nodes = [node("a", zone="a"), node("b", zone="b", taints=["dedicated=db:NoSchedule"])]
    there = running({"a": 1})

    def feasible(rule: Spec, tolerations: Sequence[Spec] = ()) -> set[str]:
        asked = policy(selector=EVERYTHING, spread=[rule], nodes={"tolerations": tolerations})
        return World(nodes, [asked], running=there).feasible(pod("p"))

    assert feasible(spread()) == set()
    assert feasible(spread(nodeTaintsPolicy="Honor")) == {"a"}
    assert feasible(spread(nodeTaintsPolicy="Honor"), [{"key": "dedicated", "operator": "Exists"}]) == {"b"}


def test_nodes_outside_of_the_policys_affinity_are_no_domain_unless_it_is_ignored() -> None:
    only_ab = {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["a", "b"]}]}]
        }
    }
    there = running({"a": 1, "b": 1})

    def feasible(rule: Spec) -> set[str]:
        asked = policy(selector=EVERYTHING, spread=[rule], nodes={"affinity": only_ab})
        return World(THREE, [asked], running=there).feasible(pod("p"))

    assert feasible(spread()) == {"a", "b"}
    assert feasible(spread(nodeAffinityPolicy="Ignore")) == set()


# ---------------------------------------------------------------- scores


def test_the_emptiest_domain_is_best_also_where_the_rule_would_allow_more() -> None:
    world = World(THREE, [policy(selector=EVERYTHING, spread=[spread(maxSkew=5)])], running=running({"a": 3, "b": 1}))
    assert world.points("PolicySpread", pod("p")) == {"a": 25, "b": 50, "c": 100}


def test_nodes_that_keep_a_preferred_rule_are_better_by_its_weight() -> None:
    rule = spread(enforcement="Preferred", weight=40, maxSkew=2)
    world = World(THREE, [policy(selector=EVERYTHING, spread=[rule])], running=running({"a": 2, "b": 1}))
    assert world.points("PolicySpread", pod("p")) == {"a": 40 * 16 // 100, "b": 40 * 75 // 100, "c": 40}


def test_a_node_without_the_label_of_a_preferred_rule_gets_nothing() -> None:
    rule = spread(enforcement="Preferred", weight=100)
    world = World([*THREE, node("d")], [policy(selector=EVERYTHING, spread=[rule])])
    assert world.points("PolicySpread", pod("p")) == {"a": 100, "b": 100, "c": 100, "d": 0}


def test_domains_without_a_feasible_node_do_not_make_the_others_look_full() -> None:
    nodes = [node("a", zone="a"), node("b", zone="b"), node("c", zone="c", unschedulable=True)]
    rule = spread(enforcement="Preferred", weight=100, maxSkew=9)
    world = World(nodes, [policy(selector=EVERYTHING, spread=[rule])], running=running({"a": 4, "b": 3}))
    assert world.points("PolicySpread", pod("p")) == {"a": 75, "b": 100}


def test_within_a_zone_the_emptiest_rack_of_that_zone_is_best() -> None:
    world = World(
        racks(["a", "b"], racks=2),
        [policy(selector=EVERYTHING, spread=[spread("rack", within="zone", maxSkew=9)])],
        running=running({"a1-1": 1, "b1-1": 5, "b2-1": 4}),
    )
    points = world.points("PolicySpread", pod("p"))
    assert points == {"a1-1": 50, "a2-1": 100, "b1-1": 50, "b2-1": 100}


def test_a_service_ends_up_even_over_zones_and_racks_whatever_the_ties() -> None:
    rules = [spread(), spread("rack", name="racks", within="zone")]
    for chance in range(7):
        world = World(racks(["a", "b", "c"], racks=2, hosts=3), [policy(selector=EVERYTHING, spread=rules)])
        placed = world.place(*(pod(f"p{index}") for index in range(12)), chance=chance)
        assert sorted(name.rpartition("-")[0] for name in placed) == sorted(["a1", "a2", "b1", "b2", "c1", "c2"] * 2)


def test_tolerations_that_only_the_policy_adds_are_honored_by_every_plugin() -> None:
    nodes = [node("a", zone="a", taints=["dedicated=db:NoSchedule"])]
    bare = World(nodes, [policy(selector=EVERYTHING)])
    added = World(nodes, [policy(selector=EVERYTHING, nodes={"tolerations": [{"operator": "Exists"}]})])
    assert bare.feasible(pod("p")) == set()
    assert added.feasible(pod("p")) == {"a"}
    assert bare.feasible(pod("q", tolerations=[toleration("dedicated", "Exists")])) == {"a"}
