"""Affinity between pods, case by case after kubernetes' filtering_test.go and scoring_test.go."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.builders import HOST, RACK, ZONE, node, pod, selector, snapshot, term
from tests.plugins.verdicts import Verdict, passing, scores, verdicts

from stowplan.framework.plugin import SKIP, CycleState
from stowplan.framework.snapshot import Snapshot
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.plugins.inter_pod_affinity import InterPodAffinity, InterPodAffinityArgs

DB = {"app": "db"}
WEB = {"app": "web"}
DBS, WEBS = selector(DB), selector(WEB)
PLUGIN = InterPodAffinity(InterPodAffinityArgs())

NOT_NEAR: Verdict = ("node(s) didn't match pod affinity rules", False)
TOO_NEAR: Verdict = ("node(s) didn't match pod anti-affinity rules", True)
UNWELCOME: Verdict = ("node(s) didn't satisfy existing pods anti-affinity rules", True)

FOUR = [node("a", zone="1"), node("b", zone="1"), node("x", zone="2"), node("y", zone="2")]


def four(*pods: PodInfo) -> Snapshot:
    """Nodes a and b in zone 1, x and y in zone 2."""
    return snapshot(FOUR, pods)


@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),
    [
        pytest.param(four(), pod("p", labels=DB), "abxy", id="nothing asked"),
        pytest.param(
            four(pod("o", on="a", labels=DB)), pod("p", affinity=[term(ZONE, DBS)]), "ab", id="near a pod in the zone"
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB)),
            pod("p", affinity=[term(ZONE, selector(None, ("app", "NotIn", ["web"])))]),
            "ab",
            id="near a pod that is not of the web",
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB, namespace="other")),
            pod("p", affinity=[term(ZONE, DBS)]),
            "",
            id="pods of another namespace are not meant",
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB, namespace="other")),
            pod("p", affinity=[term(ZONE, DBS, namespaces=["other"])]),
            "ab",
            id="unless the namespace is named",
        ),
        pytest.param(four(), pod("p", affinity=[term(ZONE, DBS)]), "", id="nobody to be near to"),
        pytest.param(
            four(), pod("p", labels=DB, affinity=[term(ZONE, DBS)]), "abxy", id="the first of its kind may go anywhere"
        ),
        pytest.param(four(), pod("p", labels=DB, affinity=[term(RACK, DBS)]), "", id="but only where the label is"),
        pytest.param(
            four(pod("o", on="a", labels=DB)),
            pod("p", labels=DB, affinity=[term(ZONE, DBS)]),
            "ab",
            id="the second goes to the first",
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB), pod("w", on="x", labels=WEB)),
            pod("p", affinity=[term(ZONE, DBS), term(ZONE, WEBS)]),
            "",
            id="one pod must match all of the terms",
        ),
        pytest.param(
            four(pod("o", on="a", labels={**DB, "tier": "1"})),
            pod("p", affinity=[term(ZONE, DBS), term(HOST, selector({"tier": "1"}))]),
            "a",
            id="one pod matches all of the terms",
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB)), pod("p", anti_affinity=[term(HOST, DBS)]), "bxy", id="not on one host"
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB), pod("w", on="x", labels=WEB)),
            pod("p", anti_affinity=[term(ZONE, DBS), term(HOST, WEBS)]),
            "y",
            id="no anti-affinity term may match",
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB)),
            pod("p", anti_affinity=[term(RACK, DBS)]),
            "abxy",
            id="a label that no node has separates nobody",
        ),
        pytest.param(
            four(pod("o", on="a", anti_affinity=[term(ZONE, DBS)])),
            pod("p", labels=DB),
            "xy",
            id="a running pod keeps others away",
        ),
        pytest.param(
            four(pod("o", on="a", anti_affinity=[term(ZONE, DBS), term(RACK, DBS)])),
            pod("p", labels=WEB),
            "abxy",
            id="but not those that it does not mean",
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB, terminating=True)),
            pod("p", anti_affinity=[term(HOST, DBS)]),
            "bxy",
            id="pods that are being deleted are still there",
        ),
    ],
)
def test_required_terms_admit(nodes: Snapshot, asked: PodInfo, expected: str) -> None:
    assert passing(PLUGIN, asked, nodes) == set(expected)


def test_the_first_reason_against_a_node_is_the_one_that_is_told() -> None:
    nodes = snapshot(
        [node("a", zone="1"), node("b", zone="1"), node("c", zone="1"), node("x", zone="2"), node("z")],
        [
            pod("friend", on="a", labels=DB),
            pod("rival", on="b", labels=WEB),
            pod("hermit", on="c", anti_affinity=[term(HOST, selector({"app": "new"}))]),
        ],
    )
    asked = pod("p", labels={"app": "new"}, affinity=[term(ZONE, DBS)], anti_affinity=[term(HOST, WEBS)])
    assert verdicts(PLUGIN, asked, nodes) == {"b": TOO_NEAR, "c": UNWELCOME, "x": NOT_NEAR, "z": NOT_NEAR}


@pytest.mark.parametrize(
    ("chosen", "namespaces", "expected"),
    [
        pytest.param(selector({"team": "b"}), (), "ab", id="a selector that accepts its labels"),
        pytest.param(selector({"team": "c"}), (), "", id="a selector that does not"),
        pytest.param(selector(), (), "ab", id="an empty selector accepts all"),
        pytest.param(selector({"team": "c"}), ["other"], "ab", id="names and selector add up"),
        pytest.param(
            selector(None, ("team", "NotIn", ["b"])), (), "ab", id="a selector that accepts no labels accepts all"
        ),
    ],
)
def test_namespaces_of_a_term(chosen: objects.LabelSelector, namespaces: Sequence[str], expected: str) -> None:
    nodes = snapshot(
        FOUR,
        [pod("o", namespace="other", on="a", labels=DB)],
        namespaces={"other": {"team": "b"}, "default": {"team": "a"}},
    )
    asked = pod("p", affinity=[term(ZONE, DBS, namespaces=namespaces, namespace_selector=chosen)])
    assert passing(PLUGIN, asked, nodes) == set(expected)


def test_label_keys_narrow_a_term() -> None:
    mine, theirs = {"app": "db", "tenant": "1"}, {"app": "db", "tenant": "2"}
    nodes = four(pod("o", on="a", labels=mine), pod("t", on="x", labels=theirs))
    same = pod("p", labels=mine, anti_affinity=[term(ZONE, DBS, match_label_keys=["tenant"])])
    others = pod("p", labels=mine, anti_affinity=[term(ZONE, DBS, mismatch_label_keys=["tenant"])])
    assert passing(PLUGIN, same, nodes) == {"x", "y"}
    assert passing(PLUGIN, others, nodes) == {"a", "b"}


def test_it_steps_aside_where_nobody_has_a_required_term() -> None:
    nodes = four(pod("o", on="a", labels=DB, preferred_anti_affinity=[(1, term(ZONE, WEBS))]))
    assert PLUGIN.pre_filter(pod("p", labels=WEB), nodes, CycleState()) is SKIP


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),
    [
        pytest.param(four(pod("o", on="a", labels=DB)), pod("p"), None, id="nobody prefers anything"),
        pytest.param(
            four(pod("o", on="a", labels=DB)),
            pod("p", preferred_affinity=[(5, term(ZONE, WEBS))]),
            None,
            id="nobody is meant",
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB)),
            pod("p", preferred_affinity=[(5, term(ZONE, DBS))]),
            [100, 100, 0, 0],
            id="near",
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB)),
            pod("p", preferred_anti_affinity=[(5, term(HOST, DBS))]),
            [0, 100, 100, 100],
            id="away",
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB), pod("w", on="x", labels=WEB)),
            pod("p", preferred_affinity=[(8, term(ZONE, DBS))], preferred_anti_affinity=[(5, term(HOST, DBS))]),
            [37, 100, 0, 0],
            id="near in the zone, away on the host",
        ),
        pytest.param(
            four(pod("o", on="a", labels=DB), pod("q", on="x", labels=DB)),
            pod("p", preferred_affinity=[(8, term(ZONE, DBS))]),
            [0, 0, 0, 0],
            id="equal everywhere is zero everywhere",
        ),
        pytest.param(
            four(pod("o", on="a", preferred_affinity=[(5, term(ZONE, DBS))])),
            pod("p", labels=DB),
            [100, 100, 0, 0],
            id="a running pod wishes for this one",
        ),
        pytest.param(
            four(pod("o", on="a", preferred_anti_affinity=[(5, term(ZONE, DBS))])),
            pod("p", labels=DB),
            [0, 0, 100, 100],
            id="a running pod wishes this one away",
        ),
        pytest.param(
            four(
                pod("o", on="a", affinity=[term(ZONE, DBS)]),
                pod("q", on="x", preferred_affinity=[(4, term(HOST, DBS))]),
            ),
            pod("p", labels=DB),
            [25, 25, 100, 0],
            id="a running pod that requires this one counts one",
        ),
        pytest.param(
            four(
                pod("o", on="a", preferred_affinity=[(5, term(ZONE, DBS)), (5, term(ZONE, DBS))]),
                pod("q", on="x", preferred_affinity=[(5, term(ZONE, DBS))]),
                pod("w", on="y", preferred_affinity=[(1, term(HOST, DBS))]),
            ),
            pod("p", labels=DB),
            [100, 100, 0, 20],
            id="a term said twice counts twice",
        ),
    ],
)
def test_scores_are_those_of_kube_scheduler(nodes: Snapshot, asked: PodInfo, expected: list[int] | None) -> None:
    assert scores(PLUGIN, asked, nodes) == expected


def test_a_term_said_twice_counts_twice_also_by_pods_that_come_later() -> None:
    nodes = four(pod("q", on="x", preferred_affinity=[(5, term(ZONE, DBS))]))
    asked = pod("p", labels=DB)
    assert scores(PLUGIN, asked, nodes) == [0, 0, 100, 100]
    nodes.add_pod(pod("o", on="a", preferred_affinity=[(5, term(ZONE, DBS)), (5, term(ZONE, DBS))]))
    assert scores(PLUGIN, asked, nodes) == [100, 100, 0, 0]


def test_the_weight_of_required_terms_of_running_pods_can_be_set() -> None:
    nodes = four(
        pod("o", on="a", affinity=[term(ZONE, DBS)]), pod("q", on="x", preferred_affinity=[(4, term(HOST, DBS))])
    )
    heavy = InterPodAffinity(InterPodAffinityArgs(hard_pod_affinity_weight=8))
    none = InterPodAffinity(InterPodAffinityArgs(hard_pod_affinity_weight=0))
    assert scores(heavy, pod("p", labels=DB), nodes) == [100, 100, 50, 0]
    assert scores(none, pod("p", labels=DB), nodes) == [0, 0, 100, 0]


def test_preferred_terms_of_running_pods_can_be_ignored_for_pods_without_any() -> None:
    nodes = four(pod("o", on="a", preferred_affinity=[(5, term(ZONE, DBS))]))
    plugin = InterPodAffinity(InterPodAffinityArgs(ignore_preferred_terms_of_existing_pods=True))
    assert scores(plugin, pod("p", labels=DB), nodes) is None
    wishing = pod("p", labels=DB, preferred_affinity=[(1, term(HOST, WEBS))])
    assert scores(plugin, wishing, nodes) == [100, 100, 0, 0]


def test_a_term_that_comes_counts_for_pods_that_were_judged_before_and_drops_nothing_else() -> None:
    nodes = four()
    asking = pod("web", labels=WEB)
    assert passing(PLUGIN, asking, nodes) == set("abxy")
    assert scores(PLUGIN, asking, nodes) is None
    before = nodes.epoch
    nodes.add_pod(pod("db", on="a", labels=DB, anti_affinity=[term(ZONE, selector(WEB))]))
    nodes.add_pod(pod("cache", on="x", labels=DB, preferred_affinity=[(10, term(HOST, selector(WEB)))]))
    assert passing(PLUGIN, asking, nodes) == set("xy")
    assert scores(PLUGIN, asking, nodes) == [0, 0, 100, 0]
    assert nodes.epoch is before
    assert nodes.check() == []
