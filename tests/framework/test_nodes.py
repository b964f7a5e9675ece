"""The columns of the nodes: what is kept between decisions is always what a fresh count would give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import csi_node, node, pod, snapshot

from stowplan import errors
from stowplan.framework.columns import Column
from stowplan.framework.nodes import NodeTable, RowIndex, Small
from stowplan.framework.snapshot import Snapshot


class Counting:
    """Doubles the pods of each node, and remembers for how many nodes it was asked."""

    def __init__(self, nodes: NodeTable) -> None:
        self.nodes = nodes
        self.asked: list[int] = []

    def __call__(self, rows: RowIndex) -> Small:
        found = (2 * self.nodes.requested[3, rows]).astype(np.uint8)
        self.asked.append(len(found))
        return found


def test_what_is_kept_is_worked_out_again_only_for_nodes_that_changed() -> None:
    nodes = snapshot(node(f"n{i}") for i in range(100))
    double = Counting(nodes)
    assert nodes.kept("key", double).sum() == 0
    nodes.kept("key", double)
    assert double.asked == [100]
    there = pod("p", on="n7")
    nodes.add_pod(there)
    nodes.add_pod(pod("q", on="n8", cpu="2"))
    assert np.flatnonzero(nodes.kept("key", double)).tolist() == [7, 8]
    nodes.remove_pod(there.uid)
    assert np.flatnonzero(nodes.kept("key", double)).tolist() == [8]
    assert double.asked == [100, 2, 1]


def test_nodes_that_look_the_same_are_worked_out_once() -> None:
    nodes = snapshot(node(f"n{i}") for i in range(100))
    double = Counting(nodes)
    nodes.kept("key", double)
    for i in range(20):
        nodes.add_pod(pod(f"p{i}", on=f"n{i}"))
        assert np.flatnonzero(nodes.kept("key", double)).tolist() == list(range(i + 1))
    assert double.asked == [100, 1]


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["1", "2", "500m"]), st.booleans()), max_size=60))
def test_what_is_kept_is_what_would_be_worked_out_now(steps: list[tuple[int, str, bool]]) -> None:
    nodes = snapshot(node(f"n{i}", cpu=str(4 + i // 2)) for i in range(6))

    def look(rows: RowIndex) -> Small:
        free = nodes.allocatable[0, rows] - nodes.requested[0, rows]
        return (free // 100 + nodes.nonzero[1, rows]).astype(np.uint8)

    for number, (row, cpu, stays) in enumerate(steps):
        there = pod(f"p{number}", on=f"n{row}", cpu=cpu)
        nodes.add_pod(there)
        if not stays:
            nodes.remove_pod(there.uid)
        assert nodes.kept("key", look).tolist() == look(slice(0, 6)).tolist()


@given(st.lists(st.lists(st.integers(0, 79), min_size=1, max_size=20), max_size=6), st.sampled_from(["1", "500m"]))
def test_few_and_many_nodes_that_have_changed_are_worked_out_as_one_would_be(steps: list[list[int]], cpu: str) -> None:
    nodes = snapshot(node(f"n{i}", cpu=str(4 + i % 3)) for i in range(80))

    def look(rows: RowIndex) -> Small:
        free = nodes.allocatable[0, rows] - nodes.requested[0, rows]
        return np.stack((free // 100, nodes.requested[3, rows])).astype(np.uint8)

    for number, rows in enumerate(steps):
        for place, row in enumerate(rows):
            nodes.add_pod(pod(f"p{number}-{place}", on=f"n{row}", cpu=cpu))
        assert nodes.kept("key", look).tolist() == look(slice(0, 80)).tolist()


@pytest.mark.parametrize(
    ("changed", "asked"), [pytest.param(10, 1, id="few that look the same"), pytest.param(20, 20, id="many")]
)
def test_all_nodes_that_have_changed_are_worked_out_at_once(changed: int, asked: int) -> None:
    nodes = snapshot(node(f"n{i}") for i in range(100))
    double = Counting(nodes)
    nodes.kept("key", double)
    for i in range(changed):
        nodes.add_pod(pod(f"p{i}", on=f"n{i}"))
    assert np.flatnonzero(nodes.kept("key", double)).tolist() == list(range(changed))
    assert double.asked == [100, asked]


def test_a_heartbeat_changes_nothing_and_less_allocatable_does() -> None:
    nodes = snapshot(node(f"n{i}") for i in range(100))
    double = Counting(nodes)
    nodes.kept("key", double)
    nodes.put_node(node("n3"))
    nodes.kept("key", double)
    assert double.asked == [100]
    nodes.put_node(node("n3", cpu="1"))
    nodes.kept("key", double)
    assert double.asked == [100, 1]


def test_after_many_changes_or_when_nodes_come_and_go_all_is_worked_out_again() -> None:
    nodes = snapshot(node(f"n{i}") for i in range(8))
    double = Counting(nodes)
    nodes.kept("key", double)
    for i in range(3):
        nodes.add_pod(pod(f"p{i}", on=f"n{i}"))
    nodes.kept("key", double)
    nodes.put_node(node("n8"))
    nodes.kept("key", double)
    nodes.remove_node("n0")
    assert np.flatnonzero(nodes.kept("key", double)).tolist() == [1, 2]
    assert double.asked == [8, 8, 9, 8]


def test_more_changes_than_the_journal_holds_are_not_lost() -> None:
    nodes = snapshot(node(f"n{i}") for i in range(100))
    double = Counting(nodes)
    nodes.kept("key", double)
    there = pod("p", on="n1")
    for _ in range(10_000):
        nodes.add_pod(there)
        nodes.remove_pod(there.uid)
    nodes.add_pod(there)
    assert np.flatnonzero(nodes.kept("key", double)).tolist() == [1]


def test_a_fork_keeps_its_own() -> None:
    nodes = snapshot(node(f"n{i}") for i in range(8))
    nodes.kept("key", Counting(nodes))
    twin = nodes.fork()
    twin.add_pod(pod("p", on="n1"))
    assert np.flatnonzero(twin.kept("key", Counting(twin))).tolist() == [1]
    assert nodes.kept("key", Counting(nodes)).sum() == 0


def test_only_so_many_arrays_are_kept() -> None:
    nodes = snapshot([node("n1")])
    double = Counting(nodes)
    for key in range(2000):
        nodes.kept(key, double)
    assert len(nodes._kept) == 512


@pytest.mark.parametrize("known", [pytest.param(False, id="new node"), pytest.param(True, id="update")])
def test_a_node_with_a_broken_quantity_changes_nothing(known: bool) -> None:
    nodes = snapshot([node("n1"), node("n2", cpu="7")])
    with pytest.raises(errors.InvalidObject):
        nodes.put_node(node("n2" if known else "n3", cpu="seven"))
    assert list(nodes.row_of) == ["n1", "n2"]
    assert nodes.allocatable[0].tolist() == [32_000, 7000]
    nodes.put_node(node("n3"))
    assert nodes.check() == []


def test_a_resource_that_came_with_a_pod_does_not_break_the_check() -> None:
    leaving = pod("p", on="n1", requests={"example.com/gpu": 1})
    nodes = snapshot([node("n1")], [leaving])
    nodes.remove_pod(leaving.uid)
    assert nodes.check() == []


def test_images_are_followed_from_the_first_question_on() -> None:
    nodes = snapshot([node("n1", images={"db:1": 5}), node("n2")])
    assert nodes.image("db:1").tolist() == [5, -1]
    version = nodes.images_version
    nodes.put_node(node("n2", images={"other:1": 7}))
    assert nodes.images_version == version
    nodes.put_node(node("n2", images={"db:1": 6}))
    assert nodes.images_version > version
    assert nodes.image("db:1").tolist() == [5, 6]
    nodes.put_node(node("n3", images={"db:1": 8}))
    nodes.remove_node("n1")
    assert [(nodes.name(row), size) for row, size in enumerate(nodes.image("db:1").tolist())] == [("n3", 8), ("n2", 6)]
    nodes.sweep()
    assert nodes.image("db:1").tolist() == [8, 6]


def test_limits_follow_nodes_that_come_and_go() -> None:
    nodes = snapshot(node(f"n{i}") for i in range(3))
    for i in range(3):
        nodes.volumes.put(csi_node(f"n{i}", {"csi.example.com": 10 + i}))
    assert limits_of(nodes) == [10, 11, 12]
    nodes.remove_node("n0")
    assert limits_of(nodes) == [12, 11]  # the last row has moved
    nodes.put_node(node("n0"))
    assert limits_of(nodes) == [12, 11, 10]
    nodes.volumes.put(csi_node("n2", {"csi.example.com": 1}))
    assert limits_of(nodes) == [1, 11, 10]


def limits_of(nodes: Snapshot) -> list[int]:
    column = nodes.volumes.limits.column("csi.example.com", nodes)
    assert column is not None
    found: list[int] = column.tolist()
    return found


@given(st.lists(st.sampled_from(["a", "b", "", None]), max_size=40), st.sampled_from(["a", "c", None]))
def test_a_column_made_at_once_is_one_that_was_filled_row_by_row(values: list[str | None], later: str | None) -> None:
    at_once, one_by_one = Column.of(values), Column[str](0)
    for row, value in enumerate(values):
        one_by_one.put(row, value)
    for column in (at_once, one_by_one):
        column.put(len(values), later)
    assert at_once.codes.tolist() == one_by_one.codes.tolist()
    assert at_once.values == one_by_one.values
