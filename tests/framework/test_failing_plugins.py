"""A plugin that fails harms nobody else, and no pod is lost by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import builders

from stowplan.framework import joint
from stowplan.framework.choice import Decision
from stowplan.framework.conduct import LIMIT, RETRY_AFTER, Call, Conduct, CutOff, Failed, News, Restored
from stowplan.framework.plugin import CycleState, Plugin, PreBindWrite, ProvisionClaim, Rows, Scores
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis, Refusal, Reject, Verdict
from stowplan.model.pods import PodInfo

NODES = [builders.node(f"n{number}", zone=zone) for number, zone in enumerate("aabb")]
SNAPSHOT = builders.snapshot(NODES)


class BrokenError(Exception):
    """What the plugins here raise."""


class Broken:
    """Fails at each extension point, for as long as it is told to."""

    name = "Broken"

    def __init__(self, *points: str) -> None:
        self.points = points
        self.calls = 0

    def _at(self, point: str) -> None:
        if point in self.points:
            self.calls += 1
            raise BrokenError("boom,\nand again")

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> None:
        self._at("PreFilter")

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        self._at("Filter")
        yield Reject(nodes.label(builders.ZONE).where(lambda zone: zone == "a"), "node(s) shunned")

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores:
        self._at("Score")
        return rows.astype(np.int64)

    def reserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState, row: int) -> tuple[PreBindWrite, ...]:
        self._at("Reserve")
        return (ProvisionClaim("ns/data", nodes.name(row)),)

    def unreserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> None:
        self._at("Unreserve")


class Static(Broken):
    """The same, judged once per class."""

    static = True


class Answers:
    """Answers what it is told at every extension point."""

    name = "Answers"

    def __init__(self, answer: object) -> None:
        self.answer = answer


class AnswersPreFilter(Answers):
    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> None:
        return self.answer  # type: ignore[return-value]


class AnswersFilter(Answers):
    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterable[Reject]:
        return self.answer  # type: ignore[return-value]


class AnswersScore(Answers):
    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        return self.answer  # type: ignore[return-value]


class AnswersReserve(Answers):
    def reserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState, row: int) -> tuple[PreBindWrite, ...]:
        return self.answer  # type: ignore[return-value]

    def unreserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> None:
        pass


class Holds:
    """Takes, and notes whether it was given back."""

    name = "Holds"
    held = False

    def reserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState, row: int) -> tuple[PreBindWrite, ...]:
        self.held = True
        return ()

    def unreserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> None:
        self.held = False


def schedule(framework: Framework, name: str = "p") -> Decision | Diagnosis:
    return framework.schedule(builders.pod(name), SNAPSHOT, CycleState(), 0)


def failing(plugin: Plugin, pods: int) -> Framework:
    """A profile of which the plugin has failed for so many pods in a row."""
    framework = Framework("test", [plugin], {})
    for number in range(pods):
        schedule(framework, f"p{number}")
    return framework


@pytest.mark.parametrize(
    "plugin",
    [
        pytest.param(Broken("PreFilter"), id="pre-filter"),
        pytest.param(Broken("Filter"), id="filter"),
        pytest.param(Static("Filter"), id="static filter"),
    ],
)
def test_a_pod_waits_where_a_rule_cannot_be_judged(plugin: Broken) -> None:
    framework = Framework("test", [plugin], {})
    found = schedule(framework)
    assert isinstance(found, Diagnosis)
    assert found.message == "0/4 nodes are available: plugin Broken failed: BrokenError: boom, and again."
    assert (list(found.plugins), found.failed) == (["Broken"], True)
    assert found.unresolvable.all()
    assert plugin.calls == 1
    assert framework.conduct.errors == {("Broken", plugin.points[0]): 1}


def test_a_preference_that_fails_is_left_out() -> None:
    framework = Framework("test", [Broken("Score")], {})
    found = schedule(framework)
    assert isinstance(found, Decision)
    assert (found.node, found.score) == ("n2", 0)
    assert framework.conduct.errors == {("Broken", "Score"): 1}


def test_a_reservation_that_fails_is_given_back_by_all() -> None:
    holds = Holds()
    framework = Framework("test", [holds, Broken("Reserve", "Unreserve")], {})
    found = framework.reserve(builders.pod("p"), SNAPSHOT, CycleState(), 0)
    assert found == Verdict(
        "Broken", refusal=Refusal("plugin Broken failed: BrokenError: boom, and again"), failed=True
    )
    assert not holds.held


NOBODY = np.zeros(len(NODES), dtype=np.bool_)


@pytest.mark.parametrize(
    ("plugin", "complaint"),
    [
        pytest.param(
            AnswersPreFilter(True), "pre_filter must return a Refusal, a Reject, SKIP or None", id="pre-filter"
        ),
        pytest.param(AnswersPreFilter(Reject(NOBODY[:1], "x")), "must be bool[4], not bool[1]", id="pre-filter's mask"),
        pytest.param(AnswersFilter(None), "'NoneType' object is not iterable", id="no rejects"),
        pytest.param(AnswersFilter([Reject(NOBODY[:1], "x")]), "must be bool[4], not bool[1]", id="shape of a mask"),
        pytest.param(
            AnswersFilter([Reject(NOBODY.astype(np.int64), "x")]),
            "must be bool[4], not int64[4]",
            id="numbers for a mask",
        ),
        pytest.param(AnswersFilter([NOBODY]), "has no attribute 'mask'", id="a bare mask"),
    ],
)
def test_an_answer_that_no_rule_may_give_is_a_failure(plugin: Plugin, complaint: str) -> None:
    found = schedule(Framework("test", [plugin], {}))
    assert isinstance(found, Diagnosis)
    assert found.failed
    assert complaint in found.message


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param(np.full(4, 101, dtype=np.int64), id="above 100"),
        pytest.param(np.full(4, -1, dtype=np.int64), id="below 0"),
        pytest.param(np.full(3, 1, dtype=np.int64), id="not one per node"),
        pytest.param(np.full(4, 1.5), id="fractions"),
        pytest.param(np.full(4, 1, dtype=np.uint8), id="bytes that overflow"),
        pytest.param([1, 2, 3, 4], id="a list"),
    ],
)
def test_scores_that_no_plugin_may_give_are_left_out(scores: object) -> None:
    framework = Framework("test", [AnswersScore(scores)], {})
    found = schedule(framework)
    assert isinstance(found, Decision)
    assert found.score == 0
    assert framework.conduct.errors == {("Answers", "Score"): 1}


def test_a_reservation_of_nothing_known_is_a_failure() -> None:
    found = Framework("test", [AnswersReserve(None)], {}).reserve(builders.pod("p"), SNAPSHOT, CycleState(), 0)
    assert isinstance(found, Verdict)
    assert found.failed


def test_the_verdicts_of_the_others_are_told_all_the_same() -> None:
    shun = Broken()
    shun.name = "Shun"
    verdicts = list(Framework("test", [Broken("Filter"), shun], {}).verdicts(builders.pod("p"), SNAPSHOT, CycleState()))
    assert [(each.plugin, each.failed) for each in verdicts] == [("Broken", True), ("Shun", False)]


def test_pods_are_placed_together_without_what_a_failing_plugin_would_say_of_that() -> None:
    class Together:
        name = "Together"

        def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: joint.Model) -> None:
            raise BrokenError

    framework = Framework("test", [Together(), Broken()], {})
    for number in range(LIMIT + 1):
        problem = joint.describe([builders.pod(f"p{number}")], SNAPSHOT, framework, need=1)
        assert problem.rules == ()
        assert "node(s) shunned" in problem.forbidden, "the filter of the other is obeyed"
    assert framework.conduct.errors == {("Together", "Joint"): LIMIT + 1}
    assert isinstance(schedule(framework), Decision), "no rule of it says whether a pod may run"


# ---------------------------------------------------------------- cut off


def test_after_many_pods_in_a_row_a_preference_is_called_no_more() -> None:
    plugin = Broken("Score")
    framework = failing(plugin, LIMIT + 5)
    assert plugin.calls == LIMIT
    assert framework.conduct.cut_off == {Call("test", "Broken", "Score")}
    assert isinstance(schedule(framework), Decision)


def test_after_many_pods_in_a_row_a_rule_is_called_no_more_and_its_pods_wait() -> None:
    plugin = Broken("Filter")
    framework = failing(plugin, LIMIT + 5)
    assert plugin.calls == LIMIT
    found = schedule(framework)
    assert isinstance(found, Diagnosis)
    assert found.message == (
        "0/4 nodes are available: plugin Broken is cut off after failing for 10 pods in a row:"
        " BrokenError: boom, and again."
    )
    assert found.failed


def test_one_pod_cuts_off_nobody() -> None:
    plugin = Broken("Filter")
    framework = Framework("test", [plugin], {})
    for _ in range(3 * LIMIT):
        schedule(framework)
    assert plugin.calls == 3 * LIMIT
    assert not framework.conduct.cut_off


def test_a_success_in_between_clears_the_record() -> None:
    plugin = Broken("Filter")
    framework = failing(plugin, LIMIT - 1)
    plugin.points = ()
    schedule(framework, "fine")
    plugin.points = ("Filter",)
    schedule(framework, "another")
    assert not framework.conduct.cut_off
    assert framework.conduct.errors == {("Broken", "Filter"): LIMIT}


def test_what_is_cut_off_in_one_profile_is_called_in_another() -> None:
    conduct = Conduct()
    for number in range(LIMIT):
        schedule(Framework("one", [Broken("Filter")], {}, conduct), f"p{number}")
    assert isinstance(schedule(Framework("one", [Broken()], {}, conduct)), Diagnosis)
    assert isinstance(schedule(Framework("other", [Broken()], {}, conduct)), Decision)
    assert isinstance(schedule(Framework("one", [Holds()], {}, conduct)), Decision), "it has no such plugin"


def test_a_plugin_that_works_again_comes_back_by_itself() -> None:
    plugin = Broken("Filter")
    framework = failing(plugin, LIMIT)
    conduct = framework.conduct
    assert [type(each) for each in conduct.tick(0.0)] == [Failed, CutOff]
    plugin.points = ()
    assert isinstance(schedule(framework, "too early"), Diagnosis)
    assert conduct.tick(RETRY_AFTER) == []
    assert isinstance(schedule(framework, "in time"), Decision)
    assert conduct.tick(RETRY_AFTER) == [Restored(Call("test", "Broken", "Filter"))]
    assert not conduct.cut_off


def test_a_plugin_that_still_fails_is_tried_once_in_a_while_and_not_told_of_again() -> None:
    plugin = Broken("Filter")
    framework = failing(plugin, LIMIT)
    conduct = framework.conduct
    told = conduct.tick(0.0)
    for turn in range(1, 4):
        told += conduct.tick(turn * RETRY_AFTER)
        assert conduct.cut_off, "also while it is tried"
        schedule(framework, f"first of turn {turn}")
        schedule(framework, f"second of turn {turn}")
        told += conduct.tick(turn * RETRY_AFTER)
    assert plugin.calls == LIMIT + 3
    assert [type(each) for each in told] == [Failed, CutOff]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.booleans()), max_size=120))
def test_errors_are_told_as_often_as_they_change_and_a_cut_off_never_without_enough_pods(
    calls: list[tuple[str, int, bool]],
) -> None:
    conduct = Conduct()
    pods = [builders.pod(f"p{number}") for number in range(31)]
    row: dict[str, set[int]] = {"a": set(), "b": set()}
    news: list[News] = []
    for name, number, fails in calls:
        call = Call("test", name, "Filter")
        if fails:
            conduct.failed(call, pods[number], BrokenError("x"))
            row[name].add(number)
        else:
            conduct.passed(call)
            row[name].clear()
        news += conduct.tick(0.0)
        assert conduct.cut_off == {Call("test", each, "Filter") for each in "ab" if len(row[each]) >= LIMIT}
    assert sum(conduct.errors.values()) == sum(fails for _, _, fails in calls)
    count: Callable[[type[News]], int] = lambda kind: sum(isinstance(each, kind) for each in news)  # noqa: E731
    assert count(CutOff) - count(Restored) == len(conduct.cut_off)
