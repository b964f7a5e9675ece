"""No victim where its leaving would break what a SchedulingPolicy requires; who may not preempt at all."""

from __future__ import annotations

from collections.abc import Mapping, Set

import pytest
from tests.builders import budget, node, pod, selector
from tests.preemption.cluster import Crowd
from tests.profiles.world import EVERYTHING, policy

from stowplan.api import common
from stowplan.model.pods import PodInfo
from stowplan.plugins.group_size import DeclaredSet
from stowplan.profiles import Cluster

DB: Mapping[str, str] = {"app": "db"}
NODES = [node(f"{zone}{n}", zone=zone, cpu="1") for zone in "abc" for n in (1, 2)]
ONLY_DB = {"matchLabels": DB}
ALL = frozenset(f"db-{zone}{number}" for zone in "abc" for number in (1, 2))
SPARE = frozenset({"db-a1", "db-a2", "db-b1", "db-c1"})


def member(name: str, on: str, priority: int = 1, labels: Mapping[str, str] = DB) -> PodInfo:
    """It fills its node."""
    return pod(name, on=on, cpu="1", priority=priority, labels=labels)


def even(*, max_skew: int = 1, per_domain: str | None = None, required: bool = True) -> Mapping[str, object]:
    more: dict[str, object] = {"enforcement": "Required"} if required else {"enforcement": "Preferred", "weight": 9}
    return {"name": "even", "domain": "zone", "maxSkew": max_skew, "maxPerDomain": per_domain, **more}


def urgent(**more: object) -> PodInfo:
    return pod("urgent", cpu="1", priority=100, **more)  # type: ignore[arg-type]


def filled(counts: Mapping[str, int]) -> list[PodInfo]:
    """So many members in each zone, priority 1; strangers of priority 50 fill the other nodes."""
    found = []
    for zone, count in counts.items():
        for number in (1, 2):
            on = f"{zone}{number}"
            found.append(member(f"db-{on}", on) if number <= count else member(f"job-{on}", on, 50, {"app": "job"}))
    return found


@pytest.mark.parametrize(
    ("counts", "rule", "wanted"),
    [
        pytest.param({"a": 2, "b": 1, "c": 1}, even(), {"db-a1", "db-a2"}, id="from the fullest domain"),
        pytest.param({"a": 2, "b": 2, "c": 2}, even(), ALL, id="one of equals"),
        pytest.param({"a": 2, "b": 1, "c": 1}, even(required=False), SPARE, id="a Preferred rule holds nobody"),
        pytest.param({"a": 2, "b": 1, "c": 1}, even(max_skew=2), SPARE, id="as far as maxSkew goes"),
        pytest.param({"a": 2, "b": 1, "c": 0}, even(), SPARE - {"db-c1"}, id="broken before, and as much afterwards"),
        pytest.param({"a": 2, "b": 2, "c": 2}, even(per_domain="Minority"), ALL, id="a group keeps its size"),
    ],
)
def test_members_leave_where_the_spread_allows_it(
    counts: Mapping[str, int], rule: Mapping[str, object], wanted: Set[str]
) -> None:
    crowd = Crowd(NODES, filled(counts), policies=[policy(spread=[rule], selector=ONLY_DB)])
    seen = set()
    for chance in range(6):
        _, (victim,) = crowd.victims(urgent(), chance=chance)
        seen.add(victim)
    assert seen <= wanted


def test_a_more_important_stranger_leaves_where_every_member_is_needed() -> None:
    running = [
        member("db-a1", "a1", 200), member("db-a2", "a2", 200), member("db-b", "b1"), member("db-c", "c1"),
        member("job", "b2", 50, {"app": "job"}), member("other", "c2", 60, {"app": "job"}),
    ]  # fmt: skip
    assert Crowd(NODES, running).victims(urgent())[1][0] in ("db-b", "db-c")
    kept = Crowd(NODES, running, policies=[policy(spread=[even()], selector=ONLY_DB)])
    assert kept.victims(urgent()) == ("b2", ["job"])


def test_a_rule_that_is_broken_is_not_broken_further() -> None:
    """Four of the app in zone a and one in b; two more there would be right."""
    nodes = [node(f"a{n}", zone="a", cpu="1") for n in range(4)] + [node(f"b{n}", zone="b", cpu="1") for n in (0, 1)]
    running = [member(f"db-a{n}", f"a{n}", 200) for n in range(4)]
    running += [member("db-b0", "b0"), member("job", "b1", 50, {"app": "job"})]
    kept = Crowd(nodes, running, policies=[policy(spread=[even()], selector=ONLY_DB)])
    assert kept.victims(urgent()) == ("b1", ["job"])


def test_two_members_that_may_not_go_together() -> None:
    """Each node has two; one of them may go, but the pod needs the whole node."""
    nodes = [node(f"{zone}1", zone=zone, cpu="2") for zone in "abc"]
    running = [member(f"{zone}-{n}", f"{zone}1") for zone in "abc" for n in (1, 2)]
    crowd = Crowd(nodes, running, policies=[policy(spread=[even()], selector=ONLY_DB)])
    said = crowd.refused(pod("urgent", cpu="2", priority=100))
    assert said == (
        "preemption: 0/3 nodes are available: 3 node(s) where evictions would break rule even of policy ha."
    )
    assert len(crowd.victims(urgent())[1]) == 1


def test_a_member_that_takes_the_place_of_a_member_keeps_the_spread() -> None:
    running = filled({"a": 1, "b": 1, "c": 1})
    policies = [policy(spread=[even()], selector=ONLY_DB)]
    node_name, (victim,) = Crowd(NODES, running, policies=policies).victims(urgent(labels=DB))
    assert victim == f"db-{node_name}"


def test_whom_others_must_be_near_stays() -> None:
    labels = {"app": "cache"}
    running = [
        member("cache", "a1", 0, labels),
        member("db", "a2", 200),
        member("job-b", "b1", 60, {"app": "job"}),
    ]
    rules = [{"name": "near", "domain": "zone", "with": {"matchLabels": labels}, "enforcement": "Required"}]
    nodes = [each for each in NODES if each.metadata.name in ("a1", "a2", "b1")]
    assert Crowd(nodes, running).victims(urgent()) == ("a1", ["cache"])
    kept = Crowd(nodes, running, policies=[policy(colocate=rules, selector=ONLY_DB)])
    assert kept.victims(urgent()) == ("b1", ["job-b"])


def test_a_policy_that_is_tried_out_keeps_nobody() -> None:
    running = filled({"a": 1, "b": 1, "c": 0})
    dry = policy(mode="DryRun", spread=[even()], selector=ONLY_DB)
    assert Crowd(NODES, running, policies=[dry]).victims(urgent())[1][0].startswith("db-")


# ---------------------------------------------------------------- quorum


def set_member(name: str, on: str, priority: int = 1) -> PodInfo:
    labels = {common.LABEL_CLUSTER: "orders", common.LABEL_NODE_SET: "master"}
    return pod(name, on=on, cpu="1", priority=priority, labels=labels)


def orders(replicas: int, *, quorum: bool) -> Cluster:
    labels = {common.LABEL_CLUSTER: "orders", common.LABEL_NODE_SET: "master"}
    return Cluster("default/orders", "", (DeclaredSet(labels, replicas, quorum),))


@pytest.mark.parametrize(
    ("here", "quorum", "victim"),
    [
        pytest.param(3, True, "m0", id="one of three may go"),
        pytest.param(2, True, "job", id="two of three are the majority"),
        pytest.param(2, False, "m0", id="a set that votes on nothing"),
        pytest.param(1, True, "job", id="nobody is taken from what is left of it"),
    ],
)
def test_a_quorum_set_keeps_its_majority(here: int, victim: str, *, quorum: bool) -> None:
    nodes = [node(f"n{n}", cpu="1") for n in range(here + 1)]
    running = [set_member("m0", "n0")]
    running += [set_member(f"m{n}", f"n{n}", priority=200) for n in range(1, here)]
    running.append(member("job", f"n{here}", 50, {"app": "job"}))
    crowd = Crowd(nodes, running, clusters=[orders(3, quorum=quorum)])
    assert crowd.victims(urgent())[1] == [victim]


def test_a_quorum_set_has_a_budget_that_preemption_does_not_overrun() -> None:
    """Three of three are on nodes, but not ready, as the budget knows. Where nobody else can go, nobody goes."""
    nodes = [node(f"n{n}", cpu="1") for n in range(3)]
    running = [set_member(f"m{n}", f"n{n}") for n in range(3)]
    budgets = [budget("m", selector({common.LABEL_NODE_SET: "master"}), allowed=0)]
    said = Crowd(nodes, running, budgets=budgets, clusters=[orders(3, quorum=True)]).refused(urgent())
    assert said == "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
    assert Crowd(nodes, running, budgets=budgets, clusters=[orders(3, quorum=False)]).victims(urgent())


# ---------------------------------------------------------------- gangs


def test_a_member_of_a_gang_is_a_victim_like_any_other() -> None:
    """One of them goes, whatever becomes of the others; a budget for the gang makes them the last choice."""
    gang = [policy(selector=ONLY_DB, gang={"minMember": 2})]
    nodes = [node(name, cpu="1") for name in ("n1", "n2", "n3")]
    running = [member("db-1", "n1"), member("db-2", "n2"), member("job", "n3", 50, {"app": "job"})]
    assert Crowd(nodes, running, policies=gang).victims(urgent())[1] in (["db-1"], ["db-2"])
    budgets = [budget("whole", selector(DB), allowed=0)]
    assert Crowd(nodes, running, policies=gang, budgets=budgets).victims(urgent()) == ("n3", ["job"])


# ---------------------------------------------------------------- preemption: Never


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        pytest.param("Never", "preemption: not eligible due to preemption=Never of policy ha.", id="Never"),
        pytest.param("PreemptLowerPriority", "", id="PreemptLowerPriority"),
        pytest.param(None, "", id="nothing"),
    ],
)
def test_a_policy_says_whether_its_pods_preempt(said: str | None, refusal: str) -> None:
    crowd = Crowd(NODES, filled({"a": 2, "b": 2, "c": 2}), policies=[policy(selector=EVERYTHING, preemption=said)])
    if refusal:
        assert crowd.refused(urgent()) == refusal
    else:
        assert crowd.victims(urgent())


def test_a_policy_that_allows_it_does_not_overrule_the_pod() -> None:
    crowd = Crowd(
        NODES,
        filled({"a": 2, "b": 2, "c": 2}),
        policies=[policy(selector=EVERYTHING, preemption="PreemptLowerPriority")],
    )
    assert "preemptionPolicy=Never" in crowd.refused(urgent(preemption_policy="Never"))
