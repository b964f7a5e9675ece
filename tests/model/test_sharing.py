"""Nodes share what is equal, and stay what they were."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st
from tests.builders import node

from stowplan.model import objects, sharing

AMOUNTS = st.dictionaries(st.sampled_from(["cpu", "memory", "pods"]), st.sampled_from(["1", 1, 1.0, "2", "1Gi"]))
NODES = st.builds(
    lambda name, labels, annotations, amounts, capacity, conditions: objects.Node(
        metadata=objects.ObjectMeta(name=name, labels=labels, annotations=annotations),
        status=objects.NodeStatus(allocatable=amounts, capacity=capacity, conditions=conditions),
    ),
    st.text(max_size=3),
    st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=3),
    st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=1),
    AMOUNTS,
    AMOUNTS,
    st.lists(st.builds(objects.NodeCondition, st.sampled_from(["Ready", "Full"]), st.sampled_from(["True", ""]))),
)


@given(st.lists(NODES, max_size=10))
def test_a_node_is_the_same_afterwards(nodes: list[objects.Node]) -> None:
    shared = sharing.Sharing()
    for each in nodes:
        before = copy.deepcopy(each)
        shared.node(each)
        assert repr(each) == repr(before)  # which also tells 1 from 1.0


def test_nodes_of_one_make_share_what_is_equal() -> None:
    shared = sharing.Sharing()
    one, two, other = node("n1", zone="a"), node("n2", zone="a"), node("n3", cpu="1")
    for each in (one, two, other):
        shared.node(each)
    assert one.status.allocatable is two.status.allocatable
    assert one.status.conditions is two.status.conditions
    assert one.status.allocatable is not other.status.allocatable


def test_what_is_remembered_is_bounded() -> None:
    shared = sharing.Sharing()
    nodes = [node(f"n{number}", cpu=str(number)) for number in range(sharing.MOST + 100)]
    for each in nodes:
        shared.node(each)
    assert [each.status.allocatable["cpu"] for each in nodes] == [str(number) for number in range(len(nodes))]
