"""Separate and colocate rules of a policy, Required and Preferred."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.builders import node, pod
from tests.profiles.world import EVERYTHING, Spec, World, policy, racks

from stowplan.api import common
from stowplan.model.pods import PodInfo

MASTER, REPLICA = {"role": "master"}, {"role": "replica"}
ONE_PER_HOST: Spec = {"name": "one-per-host", "domain": "host"}
APART: Spec = {
    "name": "master-from-replica",
    "domain": "rack",
    "pods": {"matchLabels": MASTER},
    "from": {"matchLabels": REPLICA},
}
NODES = racks(["a"], racks=3, hosts=2)
ALL = {"a1-1", "a1-2", "a2-1", "a2-2", "a3-1", "a3-2"}


@pytest.mark.parametrize(
    ("rule", "there", "asked", "expected"),
    [
        pytest.param(ONE_PER_HOST, [], pod("p"), ALL, id="nobody is there"),
        pytest.param(ONE_PER_HOST, [pod("o", on="a1-1")], pod("p"), ALL - {"a1-1"}, id="one of each host"),
        pytest.param(
            ONE_PER_HOST, [pod("o", on="a1-1", terminating=True)], pod("p"), ALL - {"a1-1"}, id="until it is gone"
        ),
        pytest.param(ONE_PER_HOST, [pod("o", namespace="other", on="a1-1")], pod("p"), ALL, id="other namespaces"),
        pytest.param(
            APART,
            [pod("o", on="a1-1", labels=REPLICA)],
            pod("p", labels=MASTER),
            ALL - {"a1-1", "a1-2"},
            id="a master keeps away from replicas",
        ),
        pytest.param(
            APART,
            [pod("o", on="a1-1", labels=MASTER)],
            pod("p", labels=REPLICA),
            ALL - {"a1-1", "a1-2"},
            id="and a replica from masters",
        ),
        pytest.param(APART, [pod("o", on="a1-1", labels=MASTER)], pod("p", labels=MASTER), ALL, id="not from its like"),
        pytest.param(APART, [pod("o", on="a1-1", labels=MASTER)], pod("p"), ALL, id="others go anywhere"),
        pytest.param(
            {**APART, "from": None},
            [pod("o", on="a1-1", labels=MASTER), pod("q", on="a2-1", labels=REPLICA)],
            pod("p", labels=MASTER),
            ALL - {"a1-1", "a1-2"},
            id="by default each keeps away from its like",
        ),
        pytest.param(
            ONE_PER_HOST,
            [pod("o", on="a1-1", labels={common.LABEL_CLUSTER: "two"})],
            pod("p", labels={common.LABEL_CLUSTER: "one"}),
            ALL,
            id="members of another cluster do not count",
        ),
    ],
)
def test_a_separate_rule_admits(rule: Spec, there: Sequence[PodInfo], asked: PodInfo, expected: set[str]) -> None:
    stated = {key: value for key, value in rule.items() if value is not None}
    world = World(NODES, [policy(selector=EVERYTHING, separate=[stated])], running=there)
    assert world.feasible(asked) == expected


def test_a_node_without_the_label_is_near_nobody() -> None:
    nodes = [node("a", rack="1"), node("b"), node("c")]
    there = [pod("o", on="b"), pod("q", on="a")]
    world = World(nodes, [policy(selector=EVERYTHING, separate=[{"name": "racks", "domain": "rack"}])], running=there)
    assert world.feasible(pod("p")) == {"b", "c"}
    assert world.why(pod("p")) == {"node(s) would break separate rule racks of policy ha (rack)": 1}


def test_fewer_of_the_pods_to_keep_away_from_are_better() -> None:
    rule = {**ONE_PER_HOST, "enforcement": "Preferred", "weight": 50}
    there = [pod("o", on="a1-1"), pod("q", on="a1-1"), pod("r", on="a1-2")]
    world = World(racks(["a"], racks=1, hosts=3), [policy(selector=EVERYTHING, separate=[rule])], running=there)
    assert world.points("PolicySeparate", pod("p")) == {"a1-1": 16, "a1-2": 25, "a1-3": 50}


def test_weights_that_sum_up_to_more_than_a_hundred_share_it() -> None:
    rules = [
        {"name": "hosts", "domain": "host", "enforcement": "Preferred", "weight": 100},
        {"name": "racks", "domain": "rack", "enforcement": "Preferred", "weight": 50},
    ]
    there = [pod("o", on="a1-1")]
    world = World(racks(["a"], racks=2, hosts=2), [policy(selector=EVERYTHING, separate=rules)], running=there)
    assert world.points("PolicySeparate", pod("p")) == {"a1-1": 50, "a1-2": 125 * 100 // 150, "a2-1": 100, "a2-2": 100}


# ---------------------------------------------------------------- colocate

NEAR: Spec = {"name": "near-cache", "domain": "rack", "with": {"matchLabels": {"app": "cache"}}}


@pytest.mark.parametrize(
    ("rule", "there", "asked", "expected"),
    [
        pytest.param(NEAR, [], pod("p"), set(), id="nobody to be near to"),
        pytest.param(NEAR, [pod("o", on="a1-1", labels={"app": "cache"})], pod("p"), {"a1-1", "a1-2"}, id="near"),
        pytest.param(
            NEAR, [pod("o", namespace="other", on="a1-1", labels={"app": "cache"})], pod("p"), set(), id="elsewhere"
        ),
        pytest.param(NEAR, [], pod("p", labels={"app": "cache"}), ALL, id="the first of its kind"),
        pytest.param(
            NEAR,
            [pod("o", on="a2-1", labels={"app": "cache"})],
            pod("p", labels={"app": "cache"}),
            {"a2-1", "a2-2"},
            id="the second goes to the first",
        ),
    ],
)
def test_a_colocate_rule_admits(rule: Spec, there: Sequence[PodInfo], asked: PodInfo, expected: set[str]) -> None:
    world = World([*NODES, node("nowhere")], [policy(selector=EVERYTHING, colocate=[rule])], running=there)
    assert world.feasible(asked) == expected


def test_the_pods_to_be_near_need_not_be_governed() -> None:
    governed = policy(selector={"matchLabels": {"app": "db"}}, colocate=[NEAR])
    world = World(NODES, [governed], running=[pod("o", on="a1-1", labels={"app": "cache"})])
    assert world.feasible(pod("p", labels={"app": "db"})) == {"a1-1", "a1-2"}
    assert world.why(pod("p", labels={"app": "db"})) == {
        "node(s) would break colocate rule near-cache of policy ha (rack)": 4
    }


def test_a_preferred_colocate_rule_gives_its_weight() -> None:
    rule = {**NEAR, "enforcement": "Preferred", "weight": 30}
    there = [pod("o", on="a1-1", labels={"app": "cache"})]
    world = World(NODES, [policy(selector=EVERYTHING, colocate=[rule])], running=there)
    points = world.points("PolicyColocate", pod("p"))
    assert {name for name, score in points.items() if score == 30} == {"a1-1", "a1-2"}
    assert {name for name, score in points.items() if score == 0} == ALL - {"a1-1", "a1-2"}
