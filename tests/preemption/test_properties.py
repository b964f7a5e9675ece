"""What holds of the victims on any cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import HOST, ZONE, budget, node, pod, port, selector, spread, term
from tests.preemption.cluster import Crowd

from stowplan.framework.plugin import CycleState
from stowplan.framework.postfilter import Nomination
from stowplan.framework.rescue import Rescue
from stowplan.framework.status import Diagnosis
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.plugins.budgets import Budgets
from stowplan.plugins.preemption_search import importance

APPS = ("db", "web", "job")


@dataclasses.dataclass
class Case:
    nodes: list[objects.Node]
    running: list[PodInfo]
    budgets: list[objects.PodDisruptionBudget]
    preemptor: PodInfo
    chance: int

    def crowd(self) -> Crowd:
        return Crowd(self.nodes, self.running, budgets=self.budgets)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Crowded clusters: with rules that reach over nodes, or without any."""
    size = draw(st.integers(1, 5))
    nodes = [node(f"n{n}", zone="ab"[n % 2], cpu=draw(st.sampled_from(("2", "3", "4")))) for n in range(size)]
    rules = draw(st.booleans())

    def some_pod(name: str, priority: int, on: str = "") -> PodInfo:
        app = draw(st.sampled_from(APPS))
        more: dict[str, object] = {}
        if draw(st.integers(0, 5)) == 0:
            more["ports"] = [port(draw(st.sampled_from((80, 81))))]
        if rules and draw(st.integers(0, 3)) == 0:
            more["anti_affinity"] = [
                term(draw(st.sampled_from((HOST, ZONE))), selector({"app": draw(st.sampled_from(APPS))}))
            ]
        if rules and not on and draw(st.booleans()):
            more["spreads"] = [spread(draw(st.sampled_from((HOST, ZONE))), selector({"app": app}))]
        return pod(
            name, on=on, cpu=draw(st.sampled_from(("500m", "1", "2"))), priority=priority, labels={"app": app},
            started=f"2026-01-{draw(st.integers(1, 28)):02}T00:00:00Z", **more,  # type: ignore[arg-type]
        )  # fmt: skip

    count = draw(st.integers(1, 4 * size))
    running = [some_pod(f"p{n}", draw(st.integers(-1, 6)), f"n{draw(st.integers(0, size - 1))}") for n in range(count)]
    budgets = [
        budget(app, selector({"app": app}), allowed=draw(st.integers(0, 2))) for app in APPS if draw(st.booleans())
    ]
    return Case(nodes, running, budgets, some_pod("urgent", draw(st.integers(0, 6))), draw(st.integers(0, 9)))


def asked(case: Case) -> tuple[Crowd, Nomination | None]:
    """What comes of it; no nomination, too, where the pod fits as it is."""
    crowd = case.crowd()
    framework = crowd.world.policies.framework_for(case.preemptor.cls)
    failure = framework.schedule(case.preemptor, crowd.nodes, CycleState(), 0)
    if not isinstance(failure, Diagnosis):
        return crowd, None
    answer = Rescue(framework).post_filter(case.preemptor, crowd.nodes, failure, case.chance)
    return crowd, answer if isinstance(answer, Nomination) else None


def on(crowd: Crowd, name: str) -> Mapping[str, PodInfo]:
    return crowd.nodes.on_node[crowd.nodes.row_of[name]]


@settings(max_examples=60)
@given(cases())
def test_the_cluster_is_as_before(case: Case) -> None:
    crowd = case.crowd()
    before = crowd.nodes.requested.copy()
    crowd, _ = asked(case)
    assert crowd.nodes.check() == []
    assert (crowd.nodes.requested == before).all()


@settings(max_examples=60)
@given(cases())
def test_nobody_leaves_for_a_pod_that_is_not_more_important(case: Case) -> None:
    _, answer = asked(case)
    if answer is not None:
        assert all(each.priority < case.preemptor.priority for each in answer.victims)
        assert {each.node_name for each in answer.victims} == {answer.node}


@settings(max_examples=60)
@given(cases())
def test_the_pod_fits_without_the_victims_and_not_with_any_one_of_them(case: Case) -> None:
    crowd, answer = asked(case)
    if answer is not None:
        assert crowd.fits_without(case.preemptor, answer.node, answer.victims)
        if not case.preemptor.cls.spread:  # one pod more elsewhere may be what lets it in there
            for spared in answer.victims:
                others = [each for each in answer.victims if each is not spared]
                assert not crowd.fits_without(case.preemptor, answer.node, others), f"{spared} could have stayed"


@settings(max_examples=60)
@given(cases())
def test_somebody_leaves_wherever_that_helps(case: Case) -> None:
    """No node is overlooked: where taking away everybody less important makes room, there is an answer."""
    crowd, answer = asked(case)
    framework = crowd.world.policies.framework_for(case.preemptor.cls)
    if answer is not None or framework.feasible(case.preemptor, crowd.nodes, CycleState()).any():
        return
    failure = framework.diagnose(case.preemptor, crowd.nodes, CycleState())
    for name, row in crowd.nodes.row_of.items():
        lower = [each for each in on(crowd, name).values() if each.priority < case.preemptor.priority]
        if lower and not failure.unresolvable[row]:
            assert not crowd.fits_without(case.preemptor, name, lower), f"{name} would do"


@settings(max_examples=60)
@given(cases())
def test_no_budget_is_broken_where_there_is_another_way(case: Case) -> None:
    """Whichever node the victims of a single node come from: with a violation nowhere, there is none."""
    crowd, answer = asked(case)
    if answer is None:
        return
    budgets = Budgets(crowd.nodes.budgets)
    violating, _ = budgets.split(sorted(answer.victims, key=importance))
    if not violating:
        return
    for name in crowd.nodes.row_of:
        lower = sorted(
            (each for each in on(crowd, name).values() if each.priority < case.preemptor.priority), key=importance
        )
        protected, free = budgets.split(lower)
        if free and not crowd.fits_without(case.preemptor, name, ()):
            assert not (
                crowd.fits_without(case.preemptor, name, free) and crowd.fits_without(case.preemptor, name, lower)
            ), f"{name} could have been made free without {protected}"


@settings(max_examples=60)
@given(cases())
def test_where_one_begins_to_look_changes_nothing_but_ties(case: Case) -> None:
    def cost(chance: int) -> object:
        _, answer = asked(dataclasses.replace(case, chance=chance))
        if answer is None:
            return None
        highest = answer.victims[0].priority
        started = min(each.start_time for each in answer.victims if each.priority == highest)
        return ([each.priority for each in answer.victims], len(answer.victims), started)

    assert cost(case.chance) == cost(case.chance + 1)
