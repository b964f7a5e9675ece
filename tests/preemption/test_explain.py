"""What ``explain`` says of nodes that are promised to others."""

from __future__ import annotations

from tests.builders import ZONE, node, pod, selector, term
from tests.profiles.world import World

from stowplan.simulator.explain import Rejection, explain


def world() -> World:
    found = World([node("n1", cpu="1"), node("n2", cpu="1")], [])
    found.nodes.nominations.seen(pod("first", cpu="1", priority=5, nominated="n1"))
    return found


def test_a_node_that_is_promised_to_somebody_more_important_is_not_feasible() -> None:
    one = world()
    late = pod("late", cpu="1", priority=5)
    found = explain(late, one.nodes, one.policies.framework_for(late.cls))
    assert found.feasible == ["n2"]
    assert found.rejected == {"n1": [Rejection("NodeResourcesFit", "Insufficient cpu")]}
    assert set(one.feasible(late)) == {"n2"}


def test_a_node_that_is_promised_to_somebody_less_important_is() -> None:
    one = world()
    late = pod("late", cpu="1", priority=6)
    assert explain(late, one.nodes, one.policies.framework_for(late.cls)).feasible == ["n1", "n2"]


def test_promised_nodes_count_in_the_sum() -> None:
    one = world()
    late = pod("late", cpu="1", priority=5)
    one.nodes.add_pod(pod("there", on="n2", cpu="1"))
    found = explain(late, one.nodes, one.policies.framework_for(late.cls))
    assert found.unschedulable == "0/2 nodes are available: 2 Insufficient cpu."
    assert one.nodes.check() == []


def test_pods_that_are_promised_other_nodes_are_not_counted() -> None:
    """Whether they say anything about the pod is only known once they are there. As in kube-scheduler."""
    one = World([node("n1", zone="a"), node("n2", zone="a")], [])
    alone = [term(ZONE, selector({"app": "late"}))]
    one.nodes.nominations.seen(pod("shy", cpu="1", priority=5, nominated="n1", anti_affinity=alone))
    one.nodes.nominations.seen(pod("other", cpu="1", priority=5, nominated="n2"))
    late = pod("late", cpu="1", priority=5, labels={"app": "late"})
    found = explain(late, one.nodes, one.policies.framework_for(late.cls))
    assert found.feasible == ["n2"]
    assert one.nodes.check() == []
