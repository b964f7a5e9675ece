"""Nodes that are promised to others are known not to do before any of them is tried."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import ZONE, node, pod, selector, term
from tests.preemption.cluster import Crowd
from tests.preemption.test_properties import APPS, Case, cases

from stowplan.framework.departures import Both, Named
from stowplan.framework.plugin import CycleState
from stowplan.framework.rescue import Rescue
from stowplan.framework.status import Diagnosis
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


def test_a_copy_of_departures_goes_its_own_way() -> None:
    crowd = Crowd([node("a", cpu="4")], [])
    first = Named(crowd.nodes)
    first.comes(pod("x", cpu="1"), 0)
    second = first.copy()
    second.comes(pod("y", cpu="1"), 0)
    cpu = crowd.nodes.resources["cpu"]
    assert (first.freed[cpu, 0], second.freed[cpu, 0]) == (-1000, -2000)


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
