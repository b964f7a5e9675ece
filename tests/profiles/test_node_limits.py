"""Limits of a policy on what one node holds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.builders import node, pod
from tests.profiles.world import Spec, World, policy

from stowplan.api import common
from stowplan.model.pods import PodInfo

DB = {"app": "db"}
GOVERNED: Spec = {"matchLabels": DB}
NODES = [node("a", cpu="10", memory="10Gi"), node("b", cpu="10", memory="10Gi")]


def world(limits: Spec, there: Sequence[PodInfo]) -> World:
    return World(NODES, [policy(selector=GOVERNED, nodes={"limits": limits})], running=there)


def test_pods_per_node_counts_the_pods_of_the_policy_whatever_their_cluster() -> None:
    there = [
        pod("o", on="a", labels={**DB, common.LABEL_CLUSTER: "one"}),
        pod("q", on="a", labels=DB, terminating=True),
        pod("r", on="b", labels=DB),
        pod("s", on="b", labels={"app": "web"}),
    ]
    limited = world({"podsPerNode": 2}, there)
    assert limited.feasible(pod("p", labels=DB)) == {"b"}
    assert limited.why(pod("p", labels=DB)) == {"node(s) have 2 pods of policy ha, its podsPerNode": 1}


@pytest.mark.parametrize(
    ("utilization", "asked", "expected"),
    [
        pytest.param({"cpu": "0.7"}, "2", {"b"}, id="exactly full is fine"),
        pytest.param({"cpu": "0.7"}, "2001m", set(), id="a thousandth more is not"),
        pytest.param({"cpu": "0.7"}, None, {"b"}, id="a pod without requests on a node that is over its cap"),
        pytest.param({"cpu": 1}, "4", {"a", "b"}, id="all of it"),
        pytest.param({"cpu": "0.7008"}, "2001m", set(), id="caps are rounded down to thousandths"),
        pytest.param({"example.com/gpu": "0.5"}, "1", {"a", "b"}, id="a resource that no node has"),
        pytest.param({"cpu": "0.9", "memory": "0.0001"}, "1", {"a"}, id="every named resource has to fit"),
    ],
)
def test_utilization_caps_what_all_pods_of_the_node_ask_for(
    utilization: Spec, asked: str | None, expected: set[str]
) -> None:
    there = [pod("o", on="a", cpu="6"), pod("q", on="a", cpu="2"), pod("r", on="b", cpu="5", memory="1Gi")]
    limited = world({"utilization": utilization}, there)
    if utilization == {"cpu": 1}:
        limited.nodes.remove_pod(there[1].uid)
    assert limited.feasible(pod("p", labels=DB, cpu=asked)) == expected


def test_the_reason_names_the_resource_and_the_policy() -> None:
    limited = world({"utilization": {"cpu": "0.7"}}, [])
    assert limited.why(pod("p", labels=DB, cpu="8")) == {
        "node(s) would use more than 0.7 of cpu, the limit of policy ha": 2
    }


def test_pods_of_others_are_not_limited() -> None:
    limited = world({"podsPerNode": 1, "utilization": {"cpu": "0.1"}}, [pod("o", on="a", labels=DB)])
    assert limited.feasible(pod("p", cpu="5")) == {"a", "b"}
