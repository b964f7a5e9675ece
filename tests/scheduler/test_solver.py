"""The solver beside trying every placement there is."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stowplan.framework import joint
from stowplan.scheduler import solver

NOWHERE = -1
Placement = Sequence[int]
"""The node of each pod, or NOWHERE."""


# ---------------------------------------------------------------- every placement, one by one


def _places(place: joint.Places | None, placement: Placement) -> list[int]:
    """The place of each pod; NOWHERE for a pod without a node or on a node without a place."""
    return [NOWHERE if node == NOWHERE else node if place is None else int(place[node]) for node in placement]


def _room(rule: joint.Room, placement: Placement) -> bool:
    used: dict[int, int] = {}
    for at, amount in zip(_places(rule.place, placement), rule.amounts.tolist(), strict=True):
        if at != NOWHERE and amount:
            used[at] = used.get(at, 0) + amount
    return all(amount <= rule.limits[at] for at, amount in used.items())


def _apart(rule: joint.Apart, placement: Placement) -> bool:
    at = _places(rule.place, placement)
    return not any(
        at[one] == at[two] != NOWHERE and rule.some[one] and rule.others[two]
        for one, two in itertools.permutations(range(len(at)), 2)
    )


def _near(rule: joint.Near, placement: Placement) -> bool:
    at = _places(rule.place, placement)
    needy = {at[pod] for pod in np.flatnonzero(rule.who) if at[pod] != NOWHERE}
    fine = {place for place in needy if rule.ready[place]}
    fine |= {at[pod] for pod in np.flatnonzero(rule.whom & ~rule.who)}
    if needy <= fine:
        return True
    seeds = {at[pod] for pod in np.flatnonzero(rule.whom & rule.who)} if rule.first else set()
    return any(needy <= fine | {seed} for seed in seeds)


def _even(rule: joint.Even, placement: Placement) -> bool:
    at = _places(rule.place, placement)
    counts = rule.counts.copy()
    for pod in np.flatnonzero(rule.counted).tolist():
        if at[pod] != NOWHERE and (rule.eligible is None or rule.eligible[placement[pod]]):
            counts[at[pod]] += 1
    for pod in np.flatnonzero(rule.who).tolist():
        if at[pod] == NOWHERE:
            continue
        pool = rule.pool[at[pod]]
        compared = counts[rule.compared & (rule.pool == pool)]
        lowest = int(compared.min()) if len(compared) and rule.enough[pool] else 0
        if counts[at[pod]] > lowest + rule.max_skew:
            return False
    return True


def _same(rule: joint.Same, placement: Placement) -> bool:
    return len({placement[pod] for pod in np.flatnonzero(rule.pods).tolist()} - {NOWHERE}) <= 1


def keeps(rule: joint.Rule, placement: Placement) -> bool:
    """Whether a placement keeps a rule."""
    match rule:
        case joint.Room():
            return _room(rule, placement)
        case joint.Apart():
            return _apart(rule, placement)
        case joint.Near():
            return _near(rule, placement)
        case joint.Even():
            return _even(rule, placement)
        case joint.Same():
            return _same(rule, placement)


def most(problem: joint.Problem, without: Iterable[str] = ()) -> int | None:
    """The most pods that can be placed without some of the rules; None where those are fewer than needed."""
    left_out = set(without)
    rules = [rule for rule in problem.rules if rule.rule not in left_out]
    forbidden = np.zeros((len(problem.pods), len(problem.nodes)), dtype=np.bool_)
    for rule, mask in problem.forbidden.items():
        if rule not in left_out:
            forbidden |= mask
    choices = [[NOWHERE, *np.flatnonzero(~mask).tolist()] for mask in forbidden]
    best = max(
        (
            sum(node != NOWHERE for node in placement)
            for placement in itertools.product(*choices)
            if all(keeps(rule, placement) for rule in rules)
        ),
        default=-1,
    )
    return best if best >= problem.need else None


# ---------------------------------------------------------------- small problems


@st.composite
def _rule(draw: st.DrawFn, name: str, pods: int, nodes: int) -> joint.Rule:
    places = draw(st.integers(1, nodes))
    bits = st.lists(st.booleans(), min_size=pods, max_size=pods)
    codes = st.lists(st.integers(-1, places - 1), min_size=nodes, max_size=nodes)
    small = st.lists(st.integers(0, 3), min_size=places, max_size=places)

    def mask() -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.array(draw(bits), dtype=np.bool_)

    def place() -> joint.Places:
        if draw(st.booleans()) and places == nodes:
            return np.arange(nodes)
        return np.array(draw(codes), dtype=np.intp)

    match draw(st.sampled_from(["room", "space", "apart", "apart here", "near", "even", "same"])):
        case "room":
            limits = draw(st.lists(st.integers(-1, 5), min_size=nodes, max_size=nodes))
            amounts = draw(st.lists(st.integers(0, 3), min_size=pods, max_size=pods))
            return joint.Room(name, None, np.array(limits), np.array(amounts))
        case "space":
            amounts = draw(st.lists(st.integers(0, 3), min_size=pods, max_size=pods))
            return joint.Room(name, place(), np.array(draw(small)), np.array(amounts))
        case "apart":
            return joint.Apart(name, place(), mask(), mask())
        case "apart here":
            return joint.Apart(name, None, mask(), mask())
        case "near":
            ready = np.array(draw(st.lists(st.booleans(), min_size=places, max_size=places)), dtype=np.bool_)
            return joint.Near(name, place(), mask(), mask(), ready, first=not ready.any())
        case "even":
            pools = draw(st.integers(1, 2))
            eligible = draw(st.none() | st.lists(st.booleans(), min_size=nodes, max_size=nodes))
            who = mask()
            return joint.Even(
                name,
                place(),
                np.array(draw(small)),
                compared=np.array(draw(st.lists(st.booleans(), min_size=places, max_size=places)), dtype=np.bool_),
                pool=np.array(draw(st.lists(st.integers(0, pools - 1), min_size=places, max_size=places)), np.intp),
                enough=np.array(draw(st.lists(st.booleans(), min_size=pools, max_size=pools)), dtype=np.bool_),
                max_skew=draw(st.integers(1, 2)),
                who=who,
                counted=who | mask(),
                eligible=None if eligible is None else np.array(eligible, dtype=np.bool_),
            )
        case _:
            return joint.Same(name, mask())


@st.composite
def problems(draw: st.DrawFn) -> joint.Problem:
    pods, nodes = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    rules = [draw(_rule(f"rule {at}", pods, nodes)) for at in range(draw(st.integers(0, 4)))]
    cells = st.lists(st.sampled_from([False, False, True]), min_size=pods * nodes, max_size=pods * nodes)
    forbidden = {
        f"taint {at}": np.array(draw(cells), dtype=np.bool_).reshape(pods, nodes)
        for at in range(draw(st.integers(0, 2)))
    }
    return joint.Problem(
        pods=tuple(f"p{at}" for at in range(pods)),
        nodes=tuple(f"n{at}" for at in range(nodes)),
        need=draw(st.integers(1, pods)),
        forbidden=forbidden,
        rules=tuple(rules),
    )


@settings(max_examples=300, deadline=None)
@given(problems())
def test_as_many_pods_are_placed_as_by_trying_everything_and_every_rule_is_kept(problem: joint.Problem) -> None:
    best = most(problem)
    answer = solver.solve(problem)
    if best is None:
        assert isinstance(answer, solver.Conflict)
        return
    assert isinstance(answer, solver.Proposal)
    assert len(answer.nodes) == best
    placement = [problem.nodes.index(answer.nodes[pod]) if pod in answer.nodes else NOWHERE for pod in problem.pods]
    assert all(keeps(rule, placement) for rule in problem.rules)
    assert not any(mask[at, node] for mask in problem.forbidden.values()
                   for at, node in enumerate(placement) if node != NOWHERE)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(problems())
def test_the_rules_of_a_conflict_are_impossible_together_and_possible_without_any_of_them(
    problem: joint.Problem,
) -> None:
    answer = solver.solve(problem)
    if not isinstance(answer, solver.Conflict):
        return
    names = {*problem.forbidden, *(rule.rule for rule in problem.rules)}
    others = names - set(answer.rules)
    assert most(problem, without=others) is None
    assert all(most(problem, without={*others, rule}) is not None for rule in answer.rules)


# ---------------------------------------------------------------- large ones


def _crowd(pods: int, nodes: int, *, need: int | None = None) -> joint.Problem:
    """Pods of one size on nodes with random room, spread over three zones, each on a node of its own."""
    random = np.random.default_rng(7)
    everyone = np.ones(pods, dtype=np.bool_)
    zone = np.arange(nodes) % 3
    return joint.Problem(
        pods=tuple(f"p{at}" for at in range(pods)),
        nodes=tuple(f"n{at}" for at in range(nodes)),
        need=pods if need is None else need,
        forbidden={},
        rules=(
            joint.Room("cpu", None, random.integers(0, 9, nodes) * 1000, np.full(pods, 3500)),
            joint.Room("memory", None, random.integers(0, 64, nodes) * 2**30, np.full(pods, 7 * 2**30)),
            joint.Apart("one per host", np.arange(nodes), everyone, everyone),
            joint.Even(
                "zones", zone, np.zeros(3, np.int64), np.ones(3, np.bool_), np.zeros(3, np.intp), np.array([True]), 1,
                everyone, everyone, None,
            ),
        ),
    )  # fmt: skip


def test_thousands_of_nodes_are_as_few_as_the_pods_to_the_solver() -> None:
    answer = solver.solve(_crowd(pods=30, nodes=5_000))
    assert isinstance(answer, solver.Proposal)
    assert len(set(answer.nodes.values())) == 30


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        pytest.param({"rules": 0}, {"cpu"}, id="pods that are larger than every node"),
        pytest.param({"rules": 2}, {"one per host"}, id="more pods than hosts"),
    ],
)
def test_a_conflict_names_the_rule_that_makes_it_impossible(change: dict[str, int], rules: set[str]) -> None:
    problem = _crowd(pods=6, nodes=3 if rules == {"one per host"} else 9)
    kept = problem.rules[change["rules"]]
    if isinstance(kept, joint.Room):
        kept = dataclasses.replace(kept, amounts=kept.amounts * 100)
    answer = solver.solve(dataclasses.replace(problem, rules=(kept, problem.rules[3])))
    assert isinstance(answer, solver.Conflict)
    assert set(answer.rules) == rules


def test_a_puzzle_that_takes_too_long_is_given_up() -> None:
    """Sixty sizes into twenty bins, all of them full to the brim."""
    random = np.random.default_rng(3)
    sizes = random.integers(10_000, 60_000, 60) * 2 + 1
    problem = joint.Problem(
        pods=tuple(f"p{at}" for at in range(60)),
        nodes=tuple(f"n{at}" for at in range(20)),
        need=60,
        forbidden={},
        rules=(joint.Room("cpu", None, np.full(20, sizes.sum() // 20 + 1), sizes),),
    )
    assert isinstance(solver.solve(problem, seconds=0.2), solver.Unknown)


def test_a_problem_without_nodes_is_a_conflict_only_where_pods_are_needed() -> None:
    problem = joint.Problem(("p0",), (), 1, {}, ())
    assert solver.solve(problem) == solver.Conflict(())
    assert solver.solve(dataclasses.replace(problem, need=0)) == solver.Proposal({})
