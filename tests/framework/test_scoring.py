"""Scores that are kept between pods are those that the plugins give when they are asked one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import node, pod, snapshot

from stowplan.framework.choice import Decision
from stowplan.framework.nodes import NodeTable, RowIndex, Small
from stowplan.framework.plugin import CycleState, Plugin, Rows, Score, Scores
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins.args import BalancedAllocationArgs, FitArgs, Strategy
from stowplan.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from stowplan.plugins.node_resources_fit import NodeResourcesFit


class Alphabet:
    """Prefers nodes by their place among the feasible ones: the score of a node changes with the others."""

    name = "Alphabet"

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        return None if pod.cls.labels.get("app") == "plain" else np.arange(len(rows), dtype=np.int64)


class Same:
    """Gives all nodes the same, which depends on the pod."""

    name = "Same"

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> int:
        return 100 if pod.cls.labels.get("app") == "plain" else 40


class ByPods:
    """Goes by the pods on a node; answers what it is told to where there are some."""

    name = "ByPods"

    def __init__(self) -> None:
        self.answer = 10
        self.error: Exception | None = None

    def speaks(self, cls: PodClass) -> bool:
        return True

    def score_own(self, cls: PodClass, nodes: NodeTable, rows: RowIndex) -> Small:
        if self.error is not None:
            raise self.error
        return np.where(nodes.requested[3, rows] > 0, self.answer, 0).astype(np.uint8)

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores:
        return self.score_own(pod.cls, nodes, rows).astype(np.int64)


NODES = [node(f"n{i}", cpu=str(4 + i % 3), memory=f"{8 + i % 2}Gi") for i in range(7)]
ASKS: tuple[dict[str, object], ...] = (
    {"cpu": "1", "memory": "1Gi"},
    {"cpu": "500m", "labels": {"app": "plain"}},
    {"memory": "3Gi"},
    {"labels": {"app": "plain"}},
    {},
)
PLUGINS: tuple[Plugin, ...] = (
    Same(),
    NodeResourcesFit(FitArgs(strategy=Strategy.MOST_ALLOCATED)),
    Alphabet(),
    NodeResourcesBalancedAllocation(BalancedAllocationArgs()),
)


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param({}, id="by default"),
        pytest.param({"Same": 3, "NodeResourcesFit": 7, "Alphabet": 2}, id="weighted"),
        pytest.param({"Same": 2**31 - 1, "NodeResourcesFit": 2**31 - 1, "Alphabet": 0}, id="as much as may be"),
    ],
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(ASKS), st.integers(0, 6), st.booleans(), st.sets(st.integers(0, 6), min_size=1)),
        min_size=1,
        max_size=30,
    )
)
def test_what_is_kept_is_what_the_plugins_say_one_by_one(
    weights: dict[str, int], steps: list[tuple[dict[str, object], int, bool, set[int]]]
) -> None:
    nodes = snapshot(NODES)
    framework = Framework("test", PLUGINS, weights)
    for number, (ask, row, stays, feasible) in enumerate(steps):
        incoming = pod(f"p{number}", **ask)  # type: ignore[arg-type]
        rows = np.array(sorted(feasible), dtype=np.intp)
        table = framework.score(incoming, nodes, CycleState(), rows)
        expected: dict[str, list[int]] = {}
        for plugin in PLUGINS:
            assert isinstance(plugin, Score)
            said = plugin.score(incoming, nodes, CycleState(), rows)
            if said is not None and weights.get(plugin.name, 1):
                expected[plugin.name] = np.broadcast_to(said, rows.shape).tolist()
        assert {name: scores.tolist() for name, (_, scores) in table.plugins.items()} == expected
        weighted = {name: [weights.get(name, 1) * each for each in scores] for name, scores in expected.items()}
        assert table.total.tolist() == [sum(each) for each in zip(*weighted.values(), strict=True)]
        last = len(rows) - 1
        apart = {name: abs(scores[0] - scores[last]) for name, scores in weighted.items()}
        assert table.differences(0, last) == {name: by for name, by in apart.items() if by}
        incoming.node_name = f"n{row}"
        nodes.add_pod(incoming)
        if not stays:
            nodes.remove_pod(incoming.uid)


def chosen(framework: Framework, nodes: Snapshot) -> Decision:
    found = framework.schedule(pod("p"), nodes, CycleState(), 0)
    assert isinstance(found, Decision)
    return found


def test_a_node_is_worked_out_again_when_it_changes_and_no_other() -> None:
    nodes = snapshot(NODES)
    by_pods = ByPods()
    framework = Framework("test", [by_pods, Same()], {"ByPods": 2})
    assert chosen(framework, nodes).score == 40
    by_pods.answer = 30  # nobody asks again
    nodes.add_pod(pod("q", on="n4"))
    found = chosen(framework, nodes)
    assert (found.node, found.score, found.decisive) == ("n4", 100, ("ByPods",))


@pytest.mark.parametrize(
    ("answer", "error"),
    [pytest.param(101, None, id="above 100"), pytest.param(10, ZeroDivisionError("boom"), id="raises")],
)
def test_one_that_fails_is_left_out_and_the_others_count(answer: int, error: Exception | None) -> None:
    nodes = snapshot(NODES, [pod("q", on="n4")])
    by_pods, fit = ByPods(), NodeResourcesFit(FitArgs())
    by_pods.answer, by_pods.error = answer, error
    framework = Framework("test", [by_pods, fit, Same()], {})
    alone = Framework("test", [fit, Same()], {})
    for _ in range(3):
        assert chosen(framework, nodes).score == chosen(alone, nodes).score
    assert framework.conduct.errors == {("ByPods", "Score"): 3}
    by_pods.answer, by_pods.error = 10, None
    table = framework.score(pod("p"), nodes, CycleState(), np.arange(7))
    assert table.plugins["ByPods"][1].tolist() == [0, 0, 0, 0, 10, 0, 0]
    assert not framework.conduct.suspects, "it works again"
    again = framework.score(pod("p"), nodes, CycleState(), np.arange(7))
    assert again.total.tolist() == table.total.tolist()
