"""What is said of all nodes at once, before anybody has left, is what the filters say once they have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import HOST, ZONE, node, pod, selector, snapshot, term
from tests.preemption.cluster import Crowd
from tests.preemption.test_properties import APPS, Case, cases
from tests.profiles.world import policy

from stowplan.framework.departures import Both, Departures, Named
from stowplan.framework.plugin import CycleState, Plugin
from stowplan.framework.postfilter import Unhelped
from stowplan.framework.rescue import Rescue
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis, Reject
from stowplan.model.pods import PodInfo
from stowplan.plugins.args import FitArgs
from stowplan.plugins.default_preemption import DefaultPreemption, PreemptionArgs
from stowplan.plugins.node_resources_fit import NodeResourcesFit
from stowplan.plugins.policy_keeper import PolicyKeeper
from stowplan.plugins.preemption_search import LOOKS_ALONE, NOT_TRIED

NOBODY: Mapping[int, list[PodInfo]] = {}


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


def same(
    crowd: Crowd,
    preemptor: PodInfo,
    gone: Departures,
    leavers: Mapping[int, list[PodInfo]],
    arrivals: Mapping[int, list[PodInfo]] = NOBODY,
) -> None:
    """Row by row: only the pods of that row have left, or come."""
    framework = crowd.world.policies.framework_for(preemptor.cls)
    prospect = Rescue(framework).outlook(preemptor, crowd.nodes, gone)
    size = len(crowd.nodes)
    against = prospect.against(size)
    for row in range(size):
        twin = crowd.nodes.fork()
        for each in leavers.get(row, ()):
            twin.remove_pod(each.uid)
        for each in arrivals.get(row, ()):
            twin.add_pod(each)
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


@settings(max_examples=50)
@given(crowd=governed(), data=st.data())
def test_of_all_pods_up_to_a_priority_while_others_come(crowd: Crowd, data: st.DataObject) -> None:
    preemptor: PodInfo = crowd.nodes.once("preemptor", lambda: pod("never"))
    come, arrivals = Named(crowd.nodes), dict[int, list[PodInfo]]()
    for number in range(data.draw(st.integers(0, 3))):
        row = data.draw(st.integers(0, len(crowd.nodes) - 1))
        away = [term(data.draw(st.sampled_from((HOST, ZONE))), selector({"app": data.draw(st.sampled_from(APPS))}))]
        guest = pod(
            f"guest{number}", on=crowd.nodes.name(row), cpu="1", labels={"app": data.draw(st.sampled_from(APPS))},
            anti_affinity=away if data.draw(st.booleans()) else (),
        )  # fmt: skip
        come.comes(guest, row)
        arrivals.setdefault(row, []).append(guest)
    for priority, lower in crowd.nodes.priorities().below(7, crowd.nodes):
        leavers = {
            row: [each for each in pods.values() if each.priority <= priority]
            for row, pods in enumerate(crowd.nodes.on_node)
        }
        same(crowd, preemptor, Both(lower, come), leavers, arrivals)


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


# ---------------------------------------------------------------- plugins by others


class Picky:
    """Wants nodes of its own, and does not say that nothing else can help."""

    name = "Picky"

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        yield Reject(nodes.label("picky").where(lambda have: have is None), "node(s) were not mine")


FIT = NodeResourcesFit(FitArgs())


class StaticPicky(Picky):
    """The same, in one word more."""

    static = True


@pytest.mark.parametrize(
    ("plugins", "said"),
    [
        pytest.param((Picky(), FIT), "1 node(s) were not mine", id="it may have to do with pods"),
        pytest.param((StaticPicky(), FIT), "1 Preemption is not helpful for scheduling", id="it has not"),
        pytest.param((FIT, Picky()), "1 node(s) were not mine", id="and comes last"),
        pytest.param((FIT, StaticPicky()), "1 node(s) were not mine", id="it has not, and comes last"),
    ],
)
def test_nobody_is_evicted_where_a_plugin_rejects_the_node_all_the_same(plugins: Sequence[Plugin], said: str) -> None:
    nodes = snapshot([node("n1", cpu="1")], [pod("low", on="n1", cpu="1")])
    preemption = DefaultPreemption(PreemptionArgs(), PolicyKeeper((), ()))
    framework = Framework("picky", [*plugins, preemption], {})
    urgent = pod("urgent", cpu="1", priority=5)
    failure = framework.schedule(urgent, nodes, CycleState(), 0)
    assert isinstance(failure, Diagnosis)
    answer = Rescue(framework).post_filter(urgent, nodes, failure, 0)
    assert isinstance(answer, Unhelped)
    assert answer.reason == f"preemption: 0/1 nodes are available: {said}."


def test_nodes_that_are_promised_to_others_are_not_looked_at() -> None:
    """More of them than one attempt looks at come before the one that will do."""
    crowd = crowded(LOOKS_ALONE + 20, but=-1)
    for each in list(crowd.nodes.pods.values()):
        if each.name.startswith("vip") and each.name != "vip0":
            crowd.nodes.remove_pod(each.uid)
    for row in range(1, LOOKS_ALONE + 20):
        if row != LOOKS_ALONE + 10:
            other = pod(f"other{row}", cpu="2", priority=100)
            crowd.nodes.nominations.seen(other)
            crowd.nodes.nominations.nominate(other, crowd.nodes.name(row))
    assert crowd.victims(picky()) == (f"n{LOOKS_ALONE + 10}", [f"low{LOOKS_ALONE + 10}"])
