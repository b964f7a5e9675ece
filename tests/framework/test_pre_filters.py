"""What becomes of the answers of pre-filters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from tests.builders import node, pod, snapshot

from stowplan.framework.plugin import SKIP, CycleState, Skip
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, UNSCHEDULABLE, Refusal, Reject
from stowplan.model.pods import PodInfo

Answer = Refusal | Reject | Skip | None


@dataclasses.dataclass(frozen=True)
class Scripted:
    """Answers as told, and rejects the first node."""

    name: str
    answer: Answer

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Answer:
        return self.answer

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        yield Reject(np.arange(len(nodes)) == 0, f"{self.name} filters")


def only(*rows: int) -> Reject:
    return Reject(~np.isin(np.arange(3), rows), "left out", UNRESOLVABLE)


NO = Refusal("no", UNRESOLVABLE)
NOT_NOW = Refusal("not now", UNSCHEDULABLE)
NOT_YET = Refusal("not yet", UNSCHEDULABLE)


@pytest.mark.parametrize(
    ("answers", "feasible", "message"),
    [
        pytest.param([None], [1, 2], "1 a filters.", id="goes on"),
        pytest.param([SKIP], [0, 1, 2], "", id="its filter is skipped"),
        pytest.param([SKIP, None], [1, 2], "1 b filters.", id="but no other's"),
        pytest.param([only(2)], [2], "2 left out.", id="nodes are left out first"),
        pytest.param([None, only(0, 1)], [1], "1 a filters, 1 left out.", id="whoever leaves them out"),
        pytest.param([NO, None], [], "no.", id="a refusal says it all"),
        pytest.param([NOT_NOW, NO], [], "no.", id="one that no eviction helps against weighs more"),
        pytest.param([NO, NOT_NOW], [], "no.", id="in whatever order"),
        pytest.param([NOT_NOW, NOT_YET], [], "not yet.", id="of two others the last is told"),
    ],
)
def test_pre_filters_decide_first(answers: list[Answer], feasible: list[int], message: str) -> None:
    framework = Framework("test", [Scripted(name, answer) for name, answer in zip("abc", answers, strict=False)], {})
    nodes = snapshot([node("n0"), node("n1"), node("n2")])
    assert np.flatnonzero(framework.feasible(pod("p"), nodes, CycleState())).tolist() == feasible
    expected = f"0/3 nodes are available: {message}" if message else "0/3 nodes are available"
    assert framework.diagnose(pod("p"), nodes, CycleState()).message == expected
