"""Nodes that are promised to others are known not to do before any of them is tried."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import HOST, ZONE, node, pod, selector, term
from tests.preemption.cluster import Crowd
from tests.preemption.test_properties import APPS, Case, cases

from stowplan.framework import promised
from stowplan.framework.departures import Both, Named
from stowplan.framework.plugin import CycleState
from stowplan.framework.rescue import Rescue
from stowplan.framework.status import Diagnosis, Verdict
from stowplan.model.pods import PodInfo
from stowplan.plugins.preemption_search import LOOKS_ALONE


@settings(max_examples=100)
@given(case=cases(), data=st.data())
def test_what_is_said_where_some_leave_and_others_come_is_what_the_filters_say(case: Case, data: st.DataObject) -> None:
    """Row by row: only the pods of that row have left, or come."""
    crowd, preemptor = Crowd(case.nodes, case.running), case.preemptor
    framework = crowd.world.policies.framework_for(preemptor.cls)
    size = len(crowd.nodes)
    come, guests = Named(crowd.nodes), dict[int, PodInfo]()
    for row in data.draw(st.sets(st.integers(0, size - 1))):
        app = data.draw(st.sampled_from(APPS))
        guests[row] = pod(f"guest{row}", on=crowd.nodes.name(row), cpu="1", labels={"app": app})
        come.comes(guests[row], row)
    for priority, lower in crowd.nodes.priorities().below(7, crowd.nodes):
        prospect = Rescue(framework).outlook(preemptor, crowd.nodes, Both(lower, come))
        for row in np.flatnonzero(prospect.against(size) | prospect.complete).tolist():
            twin = crowd.nodes.fork()
            for each in list(twin.on_node[row].values()):
                if each.priority <= priority:
                    twin.remove_pod(each.uid)
            if row in guests:
                twin.add_pod(guests[row])
            one = np.zeros(size, dtype=np.bool_)
            one[row] = True
            said = Diagnosis(size, framework.verdicts(preemptor, twin, CycleState()), among=one)
            assert Diagnosis(size, prospect.verdicts, among=one).reasons == said.reasons, f"row {row}"


@st.composite
def promises(draw: st.DrawFn) -> tuple[Crowd, PodInfo]:
    """A crowd in which nodes are promised, and a pod that comes; it may be nominated itself."""
    case: Case = draw(cases())
    crowd = Crowd(case.nodes, case.running)
    for number in range(draw(st.integers(1, 5))):
        app = draw(st.sampled_from(APPS))
        away = [term(draw(st.sampled_from((HOST, ZONE))), selector({"app": draw(st.sampled_from(APPS))}))]
        guest = pod(
            f"guest{number}", cpu=draw(st.sampled_from(("500m", "1"))), priority=draw(st.integers(2, 8)),
            labels={"app": app}, anti_affinity=away if draw(st.booleans()) else (),
        )  # fmt: skip
        crowd.nodes.nominations.nominate(guest, f"n{draw(st.integers(0, len(case.nodes) - 1))}")
    preemptor = case.preemptor
    if draw(st.booleans()):
        near = [term(ZONE, selector({"app": draw(st.sampled_from(APPS))}))]
        preemptor = pod("urgent", cpu="500m", priority=5, labels={"app": draw(st.sampled_from(APPS))}, affinity=near)
    if draw(st.booleans()):
        crowd.nodes.nominations.nominate(preemptor, f"n{draw(st.integers(0, len(case.nodes) - 1))}")
    return crowd, preemptor


@settings(max_examples=200)
@given(promises())
def test_a_pod_fits_where_it_fits_with_and_without_those_who_are_nominated_there(made: tuple[Crowd, PodInfo]) -> None:
    """Node by node, as RunFilterPluginsWithNominatedPods does it; and so what is said of each node."""
    crowd, preemptor = made
    nodes, framework = crowd.nodes, crowd.world.policies.framework_for(preemptor.cls)
    size = len(nodes)
    feasible = framework.feasible(preemptor, nodes, CycleState())
    state = CycleState()
    framework.passing(preemptor, nodes, state)
    in_full = [set[tuple[str, str]]() for _ in range(size)]
    for mask, verdicts in promised.objections(framework, preemptor, nodes, first=False):
        for row in np.flatnonzero(mask).tolist():
            in_full[row] = _against(verdicts, row)
    for row in range(size):
        twin = nodes.fork()
        for _, rivals in nodes.nominations.rivals(preemptor, nodes, [row]):
            for each in rivals:
                twin.add_pod(each)
        beside = framework.passing(preemptor, twin, CycleState())[row]
        assert feasible[row] == (beside and framework.passing(preemptor, nodes, CycleState())[row])
        one = np.zeros(size, dtype=np.bool_)
        one[row] = True
        judged = twin if not beside else nodes
        said = Diagnosis(size, framework.verdicts(preemptor, judged, CycleState()), among=one)
        assert framework.diagnose(preemptor, nodes, state, among=one).reasons == said.reasons
        if len(twin.pods) > len(nodes.pods):
            assert in_full[row] == _against(tuple(framework.verdicts(preemptor, twin, CycleState())), row)
    assert nodes.check() == []


def _against(verdicts: tuple[Verdict, ...], row: int) -> set[tuple[str, str]]:
    return {(each.plugin, reject.reason) for each in verdicts for reject in each.rejects if reject.mask[row]}


def test_a_node_is_not_made_free_for_a_pod_beside_one_that_wants_to_be_without_it() -> None:
    """Whose wish nobody shares that runs already; the pod itself has none."""
    low, high = pod("low", on="n0", cpu="2"), pod("high", on="n1", cpu="2", priority=50)
    crowd = Crowd([node("n0", cpu="2"), node("n1", cpu="2")], [low, high])
    shy = pod("shy", cpu="1", priority=100, anti_affinity=[term(HOST, selector({"app": "web"}))])
    crowd.nodes.nominations.nominate(shy, "n0")
    web = pod("web", cpu="1", priority=100, labels={"app": "web"})
    assert crowd.victims(web) == ("n1", ["high"])
    crowd.nodes.nominations.nominate(shy, "")
    assert crowd.victims(web) == ("n0", ["low"])


def test_nodes_that_are_promised_to_others_are_not_looked_at() -> None:
    """More of them than one attempt looks at come before the one that will do."""
    free = LOOKS_ALONE + 10
    nodes = [node(f"n{number}", zone="a", cpu="2") for number in range(free + 10)]
    running = [pod(f"low{number}", on=each.metadata.name, cpu="2") for number, each in enumerate(nodes)]
    near = selector({"app": "near"})  # its affinity has each node looked at by itself
    crowd = Crowd(nodes, [*running, pod("near", on="n0", labels={"app": "near"}, priority=200)])
    for number in range(len(nodes)):
        if number != free:
            other = pod(f"other{number}", cpu="2", priority=100)
            crowd.nodes.nominations.seen(other)
            crowd.nodes.nominations.nominate(other, f"n{number}")
    urgent = pod("urgent", cpu="1", priority=100, affinity=[term(ZONE, near)])
    assert crowd.victims(urgent) == (f"n{free}", [f"low{free}"])
