"""Among the joint placements that there are, the one is taken whose nodes are worth the most to the members."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import HOST, node, pod, selector, term
from tests.gangs.world import World
from tests.profiles.world import EVERYTHING, policy

from stowplan.framework import joint
from stowplan.framework.joint import Apart, Problem, Room
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.scheduler import solver

JOB = "batch.kubernetes.io/job-name"
GANG = policy(selector=EVERYTHING, gang={"minMember": 2, "groupBy": [JOB], "timeout": "5m"})
NODES = 4


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Few pods on few nodes with different room, some of which must not be together."""
    number = draw(st.integers(2, 4))

    def numbers(length: int, *, most: int) -> list[int]:
        return draw(st.lists(st.integers(0, most), min_size=length, max_size=length))

    def mask(length: int) -> np.typing.NDArray[np.bool_]:
        return np.array(numbers(length, most=1), dtype=np.bool_)

    room = Room("room", None, np.array(numbers(NODES, most=3)), np.array(numbers(number, most=2)) + 1)
    zones = np.array(numbers(NODES, most=1), dtype=np.intp)
    return Problem(
        pods=tuple(f"p{at}" for at in range(number)),
        nodes=tuple(f"n{at}" for at in range(NODES)),
        need=1,
        forbidden={"no": np.array([mask(NODES) & mask(NODES) for _ in range(number)])},
        rules=(room, Apart("apart", zones, mask(number), mask(number))),
        worth=tuple(np.array(numbers(NODES, most=joint.BEST), dtype=np.int16) for _ in range(number)),
    )


def allowed(problem: Problem, rows: tuple[int, ...]) -> bool:
    """Whether the pods may be on these nodes; -1: on none."""
    room, apart = problem.rules
    assert isinstance(room, Room)
    assert isinstance(apart, Apart)
    assert apart.place is not None
    placed = [(at, row) for at, row in enumerate(rows) if row >= 0]
    if any(problem.forbidden["no"][at, row] for at, row in placed):
        return False
    if any(
        sum(int(room.amounts[at]) for at, row in placed if row == each) > room.limits[each] for each in range(NODES)
    ):
        return False
    return not any(
        apart.some[one] and apart.others[other] and apart.place[here] == apart.place[there]
        for (one, here), (other, there) in itertools.permutations(placed, 2)
    )


def value(problem: Problem, rows: tuple[int, ...]) -> tuple[int, int]:
    """How many pods are placed, and what that is worth."""
    return sum(row >= 0 for row in rows), sum(int(problem.worth[at][row]) for at, row in enumerate(rows) if row >= 0)


@given(problems())
def test_as_many_as_possible_are_placed_and_then_where_it_is_worth_the_most(problem: Problem) -> None:
    every = itertools.product(range(-1, NODES), repeat=len(problem.pods))
    number, best = max(value(problem, rows) for rows in every if allowed(problem, rows))
    answer = solver.solve(problem)
    if number == 0:
        assert isinstance(answer, solver.Conflict)
        return
    assert isinstance(answer, solver.Proposal)
    rows = tuple(problem.nodes.index(answer.nodes[uid]) if uid in answer.nodes else -1 for uid in problem.pods)
    assert allowed(problem, rows)
    found, worth = value(problem, rows)
    assert found == number
    assert worth >= (1 - solver.CLOSE) * best - 1


def test_where_there_is_no_time_to_improve_the_first_placement_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "IMPROVING", 0.0)
    amounts = np.ones(2, dtype=np.int64)
    rules = (Room("room", None, np.ones(NODES, dtype=np.int64), amounts),)
    worth = tuple(np.arange(NODES, dtype=np.int16) for _ in range(2))
    answer = solver.solve(Problem(("a", "b"), ("n0", "n1", "n2", "n3"), 2, {}, rules, worth))
    assert isinstance(answer, solver.Proposal)
    assert len(set(answer.nodes.values())) == 2


# ---------------------------------------------------------------- the whole way


def unloved(name: str) -> objects.Node:
    return node(name, cpu=2, taints=["old:PreferNoSchedule"])


def members() -> list[PodInfo]:
    """The first takes the only node that the second can use."""
    apart = [term(HOST, selector({JOB: "t"}))]
    return [
        pod("a", labels={JOB: "t"}, cpu=1, anti_affinity=apart),
        pod("b", labels={JOB: "t"}, cpu=1, node_selector={"disk": "ssd"}, anti_affinity=apart),
    ]


def test_who_gives_way_gets_the_best_of_the_other_nodes() -> None:
    many = [unloved(f"n{number}") for number in range(20)]
    world = World([node("ssd", labels={"disk": "ssd"}), *many[:11], node("good", cpu=2), *many[11:]], [GANG])
    world.create(*members())
    assert world.run() == {"a": "good", "b": "ssd"}
    assert len(world.asked) == 1


def test_members_that_differ_in_nothing_but_their_names_are_scored_once_and_many_kinds_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World([node("ssd", labels={"disk": "ssd"}), node("n1")], [GANG])
    world.create(*members(), *(pod(f"c{number}", labels={JOB: "t"}, cpu=1) for number in range(3)))
    world.run()
    (question,) = world.asked
    assert len({id(each) for each in question.problem.worth}) == 3
    monkeypatch.setattr(joint, "MOST_SCORED", 3)
    world = World([node("ssd", labels={"disk": "ssd"}), node("n1")], [GANG])
    world.create(*members())
    assert world.run() == {"a": "n1", "b": "ssd"}
    assert world.asked[0].problem.worth == ()
