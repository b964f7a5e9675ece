"""What is said of all nodes at once, before anybody has left, is what the filters say once they have."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import HOST, ZONE, node, pod, selector, term
from tests.preemption.cluster import Crowd
from tests.preemption.test_properties import APPS, Case, cases
from tests.profiles.world import policy

from stowplan.framework.departures import Departures, Named
from stowplan.framework.plugin import CycleState
from stowplan.framework.rescue import Rescue
from stowplan.framework.status import Diagnosis
from stowplan.model.pods import PodInfo
from stowplan.plugins.preemption_search import NOT_TRIED


@st.composite
def governed(draw: st.DrawFn) -> Crowd:
    """A crowd, under a policy or not."""
    case: Case = draw(cases())
    rule = {"name": "far", "domain": draw(st.sampled_from(("host", "zone"))), "from": {"matchLabels": {"app": "db"}}}
    policies = [policy(selector={}, separate=[rule])] if draw(st.booleans()) else []
    crowd = Crowd(case.nodes, case.running, policies=policies)
    preemptor = case.preemptor
    if draw(st.booleans()):
        preemptor = pod("urgent", cpu="500m", priority=3, labels={"app": draw(st.sampled_from(APPS))},
                        affinity=[term(ZONE, selector({"app": draw(st.sampled_from(APPS))}))],
                        anti_affinity=[term(HOST, selector({"app": draw(st.sampled_from(APPS))}))])  # fmt: skip
    crowd.nodes.once("preemptor", lambda: preemptor)
    return crowd


def same(crowd: Crowd, preemptor: PodInfo, gone: Departures, leavers: dict[int, list[PodInfo]]) -> None:
    """Row by row: only the pods of that row have left."""
    framework = crowd.world.policies.framework_for(preemptor.cls)
    prospect = Rescue(framework).outlook(preemptor, crowd.nodes, gone)
    size = len(crowd.nodes)
    against = prospect.against(size)
    for row in range(size):
        twin = crowd.nodes.fork()
        for each in leavers.get(row, ()):
            twin.remove_pod(each.uid)
        one = np.zeros(size, dtype=np.bool_)
        one[row] = True
        said = Diagnosis(size, framework.verdicts(preemptor, twin, CycleState()), among=one)
        if against[row] or prospect.complete:
            resolvable = Diagnosis(size, prospect.verdicts, among=one)
            assert resolvable.reasons == said.reasons, f"row {row}"


@settings(max_examples=150)
@given(crowd=governed(), level=st.integers(-1, 6))
def test_of_all_pods_up_to_a_priority(crowd: Crowd, level: int) -> None:
    preemptor: PodInfo = crowd.nodes.once("preemptor", lambda: pod("never"))
    for priority, lower in crowd.nodes.priorities().below(level + 1, crowd.nodes):
        leavers = {
            row: [each for each in pods.values() if each.priority <= priority]
            for row, pods in enumerate(crowd.nodes.on_node)
        }
        same(crowd, preemptor, lower, leavers)
    assert crowd.nodes.check() == []


@settings(max_examples=150)
@given(crowd=governed(), data=st.data())
def test_of_any_pods(crowd: Crowd, data: st.DataObject) -> None:
    """Some leave, and of these some come back."""
    preemptor: PodInfo = crowd.nodes.once("preemptor", lambda: pod("never"))
    gone = Named(crowd.nodes)
    rows = {each.uid: row for row, pods in enumerate(crowd.nodes.on_node) for each in pods.values()}
    everybody = sorted(crowd.nodes.pods.values(), key=lambda each: each.key)
    leaving = data.draw(st.lists(st.sampled_from(everybody), unique=True))
    for each in leaving:
        gone.leaves(each, rows[each.uid])
    Rescue(crowd.world.policies.framework_for(preemptor.cls)).outlook(preemptor, crowd.nodes, gone)
    back = data.draw(st.lists(st.sampled_from(leaving), unique=True)) if leaving else []
    for each in back:
        gone.comes(each, rows[each.uid])
    leavers: dict[int, list[PodInfo]] = {}
    for each in leaving:
        if each not in back:
            leavers.setdefault(rows[each.uid], []).append(each)
    same(crowd, preemptor, gone, leavers)


# ---------------------------------------------------------------- nodes that are looked at one by one


def picky(name: str = "urgent") -> PodInfo:
    """Near a VIP and not on a node with one: its affinity has each node looked at by itself."""
    vips = selector({"app": "vip"})
    return pod(name, cpu="1", priority=100, affinity=[term(ZONE, vips)], anti_affinity=[term(HOST, vips)])


def crowded(size: int, *, but: int) -> Crowd:
    """VIPs everywhere but on one node."""
    nodes = [node(f"n{number:03}", zone="a", cpu="2") for number in range(size)]
    running = [pod(f"low{number}", on=each.metadata.name, cpu="2") for number, each in enumerate(nodes)]
    running += [
        pod(f"vip{number}", on=each.metadata.name, labels={"app": "vip"}, priority=200)
        for number, each in enumerate(nodes)
        if number != but
    ]
    return Crowd(nodes, running)


def test_a_search_that_ends_early_says_so() -> None:
    assert crowded(300, but=-1).refused(picky()) == (
        f"preemption: 0/300 nodes are available: 256 node(s) didn't match pod anti-affinity rules, 44 {NOT_TRIED}."
    )
    assert NOT_TRIED == "node(s) where preemption has yet to be tried (256 at most in one attempt)"


def test_a_search_that_looks_everywhere_does_not() -> None:
    assert crowded(256, but=-1).refused(picky()) == (
        "preemption: 0/256 nodes are available: 256 node(s) didn't match pod anti-affinity rules."
    )


def test_the_next_attempt_goes_on_where_the_last_one_ended() -> None:
    crowd = crowded(600, but=550)
    for chance in (0, 1):
        assert NOT_TRIED in crowd.refused(picky(), chance=chance)
    assert crowd.victims(picky(), chance=2) == ("n550", ["low550"])


def test_no_node_is_left_out_for_ever() -> None:
    """As many as make the attempts begin at two places only."""
    crowd = crowded(502, but=501)
    assert NOT_TRIED in crowd.refused(picky(), chance=2)
    assert crowd.victims(picky(), chance=3) == ("n501", ["low501"])
