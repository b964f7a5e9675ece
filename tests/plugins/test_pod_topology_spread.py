"""Topology spread constraints, case by case after kubernetes' filtering_test.go and scoring_test.go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from tests.builders import HOST, ZONE, node, node_term, pod, selector, snapshot, spread, toleration
from tests.plugins.verdicts import passing, scores, verdicts

from stowplan.framework.snapshot import Snapshot
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.model.selectors import compile_node_selector
from stowplan.plugins import inclusion
from stowplan.plugins.pod_topology_spread import PodTopologySpread

DB = {"app": "db"}
DBS = selector(DB)
WEB = {"app": "web"}
WEBS = selector(WEB)
PLUGIN = PodTopologySpread(inclusion.Added())
UNEVEN = ("node(s) didn't match pod topology spread constraints", True)
NO_LABEL = ("node(s) didn't match pod topology spread constraints (missing required label)", False)

FOUR = [node("a", zone="1"), node("b", zone="1"), node("x", zone="2"), node("y", zone="2")]


def running(counts: Mapping[str, int], labels: Mapping[str, str] = DB, *, terminating: bool = False) -> list[PodInfo]:
    """So many pods with these labels on each node."""
    prefix = "-".join(labels.values())
    return [
        pod(f"{prefix}-{name}-{index}", on=name, labels=labels, terminating=terminating)
        for name, count in counts.items()
        for index in range(count)
    ]


def four(**counts: int) -> Snapshot:
    """Nodes a and b in zone 1, x and y in zone 2, with so many pods of the database on each."""
    return snapshot(FOUR, running(counts))


def incoming(*constraints: objects.TopologySpreadConstraint, labels: Mapping[str, str] = DB) -> PodInfo:
    return pod("incoming", labels=labels, spreads=constraints)


@pytest.mark.parametrize(
    ("nodes", "constraint", "expected"),
    [
        pytest.param(four(), spread(ZONE, DBS), "abxy", id="nobody is there yet"),
        pytest.param(four(), spread(ZONE, WEBS), "abxy", id="nobody is there and the pod does not select itself"),
        pytest.param(four(x=1, y=1), spread(ZONE, DBS), "ab", id="zones 0/2"),
        pytest.param(four(a=2, b=1, y=3), spread(ZONE, DBS), "abxy", id="zones 3/3"),
        pytest.param(four(x=1, y=1), spread(ZONE, None), "abxy", id="a null selector counts nobody"),
        pytest.param(four(x=1, y=1), spread(ZONE, selector()), "abxy", id="an empty selector counts nobody"),
        pytest.param(four(a=2, b=1, y=3), spread(HOST, DBS), "x", id="hosts 2/1/0/3"),
        pytest.param(four(a=2, b=1, y=3), spread(HOST, DBS, skew=2), "bx", id="hosts 2/1/0/3 with maxSkew 2"),
        pytest.param(four(a=1, b=1), spread(ZONE, DBS, min_domains=3), "xy", id="fewer domains than minDomains"),
        pytest.param(four(a=1, x=1), spread(ZONE, DBS, min_domains=3), "", id="fewer domains: the minimum is zero"),
        pytest.param(four(a=1, x=1), spread(ZONE, DBS, min_domains=2), "abxy", id="enough domains for minDomains"),
    ],
)
def test_one_constraint_admits(nodes: Snapshot, constraint: objects.TopologySpreadConstraint, expected: str) -> None:
    assert passing(PLUGIN, incoming(constraint), nodes) == set(expected)


def test_a_pod_that_does_not_select_itself_leaves_the_skew_as_it_is() -> None:
    nodes = four(a=2, b=1, y=3)
    assert passing(PLUGIN, incoming(spread(HOST, DBS), labels=WEB), nodes) == {"b", "x"}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        pytest.param([pod("o", namespace="other", on="x", labels=DB)], "abxy", id="pods of another namespace"),
        pytest.param(running({"x": 1}, terminating=True), "abxy", id="pods that are being deleted"),
        pytest.param(running({"x": 1}), "ab", id="pods of this namespace that stay"),
    ],
)
def test_who_counts(others: Sequence[PodInfo], expected: str) -> None:
    assert passing(PLUGIN, incoming(spread(ZONE, DBS)), snapshot(FOUR, others)) == set(expected)


def test_nodes_without_the_label_are_rejected_for_good_and_are_no_domain() -> None:
    nodes = snapshot([node("a", zone="1"), node("b"), node("x", zone="2")], running({"a": 1, "b": 5}))
    assert verdicts(PLUGIN, incoming(spread(ZONE, DBS)), nodes) == {"a": UNEVEN, "b": NO_LABEL}


def test_a_node_counts_for_no_constraint_unless_it_has_the_labels_of_all() -> None:
    nodes = snapshot([node("a", zone="1"), node("b", zone="1"), node("x", zone="2")], running({"a": 1, "b": 1}))
    del nodes.nodes[1].metadata.labels[HOST]
    fresh = snapshot(nodes.nodes, nodes.pods.values())
    assert verdicts(PLUGIN, incoming(spread(ZONE, DBS, skew=1), spread(HOST, DBS, skew=5)), fresh) == {
        "a": UNEVEN,
        "b": ("node(s) didn't match pod topology spread constraints", True),
    }


@pytest.mark.parametrize(
    ("counts", "constraints", "expected"),
    [
        pytest.param({"a": 2, "b": 1, "y": 3}, [spread(ZONE, DBS), spread(HOST, DBS)], "x", id="zones and hosts"),
        pytest.param({"a": 2, "b": 1, "y": 4}, [spread(ZONE, DBS), spread(HOST, DBS)], "", id="one against the other"),
        pytest.param({"a": 1, "y": 1}, [spread(ZONE, DBS), spread(HOST, WEBS)], "abxy", id="two selectors"),
    ],
)  # fmt: skip
def test_all_constraints_must_hold(
    counts: Mapping[str, int], constraints: Sequence[objects.TopologySpreadConstraint], expected: str
) -> None:
    assert passing(PLUGIN, incoming(*constraints), four(**counts)) == set(expected)


TAINTED = [node("a", zone="1"), node("b", zone="2"), node("x", zone="3", taints=["dedicated=db:NoSchedule"])]


@pytest.mark.parametrize(
    ("policy", "tolerations", "expected"),
    [
        pytest.param(None, (), "x", id="by default tainted nodes are a domain"),
        pytest.param("Ignore", (), "x", id="Ignore: tainted nodes are a domain"),
        pytest.param("Honor", (), "abx", id="Honor: they are none"),
        pytest.param("Honor", (toleration("dedicated", "Exists"),), "x", id="Honor: unless tolerated"),
    ],
)
def test_node_taints_policy(policy: str | None, tolerations: Sequence[objects.Toleration], expected: str) -> None:
    nodes = snapshot(TAINTED, running({"a": 1, "b": 1}))
    asked = pod("p", labels=DB, spreads=[spread(ZONE, DBS, node_taints=policy)], tolerations=tolerations)
    assert passing(PLUGIN, asked, nodes) == set(expected)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(None, "axy", id="by default nodes outside of the node affinity are no domain"),
        pytest.param("Honor", "axy", id="Honor"),
        pytest.param("Ignore", "x", id="Ignore: every node is part of a domain"),
    ],
)
def test_node_affinity_policy(policy: str | None, expected: str) -> None:
    nodes = four(a=1, b=2, y=1)
    only = [node_term((HOST, "In", ["a", "y"]))]
    by_affinity = pod("p", labels=DB, spreads=[spread(HOST, DBS, node_affinity=policy)], node_affinity=only)
    assert passing(PLUGIN, by_affinity, nodes) - {"b"} == set(expected)


def test_what_a_policy_adds_counts_as_if_it_were_in_the_pod() -> None:
    nodes = snapshot(TAINTED, running({"a": 1, "b": 1}))
    asked = pod("p", labels=DB, spreads=[spread(ZONE, DBS, node_taints="Honor")])
    tolerant = PodTopologySpread(inclusion.Added(tolerations=(toleration("dedicated", "Exists"),)))
    assert passing(tolerant, asked, nodes) == {"x"}
    first_two = compile_node_selector(objects.NodeSelector([node_term((ZONE, "In", ["1", "2"]))]))
    narrow = PodTopologySpread(inclusion.Added(required=(first_two,)))
    assert passing(narrow, asked, nodes) == {"a", "b", "x"}


def test_match_label_keys_narrow_the_selector_to_the_pods_own_values() -> None:
    nodes = snapshot(FOUR, running({"x": 2}, {"app": "db", "rev": "1"}) + running({"a": 1}, {"app": "db", "rev": "2"}))
    constraint = spread(ZONE, DBS, match_label_keys=["rev", "absent"])
    assert passing(PLUGIN, incoming(constraint, labels={"app": "db", "rev": "2"}), nodes) == {"x", "y"}


def test_pods_without_constraints_are_left_alone() -> None:
    nodes = four(a=5)
    assert verdicts(PLUGIN, incoming(), nodes) == {}
    assert scores(PLUGIN, incoming(), nodes) is None


# ---------------------------------------------------------------- scores


def soft(key: str, select: objects.LabelSelector = DBS, **rest: int) -> objects.TopologySpreadConstraint:
    return spread(key, select, required=False, skew=rest.get("skew", 1))


@pytest.mark.parametrize(
    ("counts", "constraints", "rows", "expected"),
    [
        pytest.param({}, [soft(HOST)], [0, 1], [100, 100], id="nobody is there"),
        pytest.param({"a": 1, "b": 1}, [soft(HOST)], [0, 1], [100, 100], id="as many on each host"),
        pytest.param({"a": 2, "b": 1, "y": 3}, [soft(HOST)], None, [20, 60, 100, 0], id="hosts 2/1/0/3"),
        pytest.param({"a": 2, "b": 1, "y": 3}, [soft(HOST, skew=2)], None, [33, 66, 100, 16], id="hosts, maxSkew 2"),
        pytest.param({"a": 4, "b": 3, "x": 2, "y": 1}, [soft(HOST, skew=3)], None, [44, 66, 77, 100], id="maxSkew 3"),
        pytest.param({"a": 4, "b": 2, "x": 1, "y": 3}, [soft(HOST)], [0, 1, 2], [33, 83, 100], id="three candidates"),
        pytest.param({"a": 4, "b": 2, "x": 1, "y": 3}, [soft(ZONE)], [0, 1, 2], [75, 75, 100], id="zones 6/4"),
        pytest.param(
            {"a": 2, "b": 1, "x": 2, "y": 4}, [soft(ZONE), soft(HOST)], [0, 2], [100, 63], id="zones and hosts"
        ),
    ],
)  # fmt: skip
def test_scores_are_those_of_kube_scheduler(
    counts: Mapping[str, int],
    constraints: Sequence[objects.TopologySpreadConstraint],
    rows: Sequence[int] | None,
    expected: list[int],
) -> None:
    assert scores(PLUGIN, incoming(*constraints), four(**counts), rows) == expected


def test_nodes_without_a_label_score_nothing_and_water_down_nobody() -> None:
    nodes = snapshot([node("a", zone="1"), node("b"), node("x", zone="2")], running({"a": 4, "b": 2, "x": 1}))
    assert scores(PLUGIN, incoming(soft(ZONE)), nodes) == [16, 0, 100]
    assert scores(PLUGIN, incoming(soft(ZONE)), nodes, [1]) == [0]


def test_host_names_count_the_node_whatever_its_taints() -> None:
    nodes = snapshot([node("a"), node("b"), node("x", taints=["down:NoSchedule"])], running({"a": 2, "b": 1, "x": 1}))
    by_host = spread(HOST, DBS, required=False, node_taints="Honor")
    by_other = spread("disk", DBS, required=False, node_taints="Honor")
    assert scores(PLUGIN, incoming(by_host), nodes) == [66, 100, 100]
    for each in nodes.nodes:
        each.metadata.labels["disk"] = each.metadata.name
    fresh = snapshot(nodes.nodes, nodes.pods.values())
    assert scores(PLUGIN, incoming(by_other), fresh) == [0, 33, 100]
