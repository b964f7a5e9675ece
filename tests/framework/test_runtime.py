from __future__ import annotations

import functools
import operator
from collections.abc import Iterator

import numpy as np
from tests import builders

from stowplan.framework.choice import Decision
from stowplan.framework.plugin import (
    SKIP,
    CycleState,
    Plugin,
    PreBindWrite,
    ProvisionClaim,
    Rows,
    Scores,
    Skip,
)
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Diagnosis, Refusal, Reject, Verdict
from stowplan.model.pods import PodInfo


class Shun:
    """Rejects the nodes of some zones."""

    def __init__(self, name: str, *zones: str, reason: str = "node(s) shunned", skip: bool = False) -> None:
        self.name = name
        self.zones = zones
        self.reason = reason
        self.skip = skip

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Skip | None:
        return SKIP if self.skip else None

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        for zone in self.zones:
            yield Reject(
                nodes.label(builders.ZONE).where(functools.partial(operator.eq, zone)), self.reason, UNRESOLVABLE
            )


class Refuse:
    """Refuses every pod before looking at nodes."""

    name = "Refuse"

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Refusal:
        return Refusal('persistentvolumeclaim "x" not found')


class Rank:
    """Scores the nodes as told, by name."""

    def __init__(self, name: str, scores: dict[str, int]) -> None:
        self.name = name
        self.scores = scores

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        if not self.scores:
            return None
        return np.array([self.scores.get(nodes.name(row), 0) for row in rows.tolist()], dtype=np.int64)


class Take:
    """Reserves, or refuses to; notes what it was asked."""

    def __init__(self, name: str, *, refuse: bool, asked: list[str]) -> None:
        self.name = name
        self.refuse = refuse
        self.asked = asked

    def reserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState, row: int) -> Refusal | tuple[PreBindWrite, ...]:
        self.asked.append(f"reserve {self.name}")
        return Refusal("gone") if self.refuse else (ProvisionClaim(f"ns/{self.name}", nodes.name(row)),)

    def unreserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> None:
        self.asked.append(f"unreserve {self.name}")


NODES = [builders.node(f"n{zone}{number}", zone=zone) for zone in "abc" for number in (1, 2)]
POD = builders.pod("p")


def schedule(framework: Framework, chance: int = 0) -> Decision | Diagnosis:
    return framework.schedule(POD, builders.snapshot(NODES), CycleState(), chance)


def test_the_feasible_node_with_the_highest_weighted_score_wins() -> None:
    plugins: list[Plugin] = [
        Shun("Shun", "a"),
        Rank("One", {"na1": 100, "nb1": 50, "nc2": 60}),
        Rank("Two", {"nb1": 20}),
    ]
    decision = schedule(Framework("test", plugins, {"Two": 3}))
    assert isinstance(decision, Decision)
    assert (decision.node, decision.score, decision.runner_up) == ("nb1", 110, ("nc2", 60))
    assert (decision.feasible, decision.total, decision.decisive) == (4, 6, ("Two", "One"))


def test_chance_picks_among_equals_and_every_one_of_them_can_be_picked() -> None:
    framework = Framework("test", [Shun("Shun", "a")], {})
    snapshot = builders.snapshot(NODES)
    picked = set()
    for chance in range(8):
        decision = framework.schedule(POD, snapshot, CycleState(), chance)
        assert isinstance(decision, Decision)
        assert decision.runner_up[0] != decision.node
        picked.add(decision.node)
    assert picked == {"nb1", "nb2", "nc1", "nc2"}


def test_a_node_counts_for_the_first_plugin_that_rejects_it() -> None:
    plugins = [Shun("First", "a", reason="first"), Shun("Second", "a", "b", "c", reason="second")]
    diagnosis = schedule(Framework("test", plugins, {}))
    assert isinstance(diagnosis, Diagnosis)
    assert diagnosis.message == "0/6 nodes are available: 2 first, 4 second."
    assert list(diagnosis.plugins) == ["First", "Second"]
    assert diagnosis.unresolvable.all()


def test_a_refusal_is_the_whole_answer() -> None:
    diagnosis = schedule(Framework("test", [Refuse(), Shun("Shun", "a", "b", "c")], {}))
    assert isinstance(diagnosis, Diagnosis)
    assert diagnosis.message == '0/6 nodes are available: persistentvolumeclaim "x" not found.'
    assert list(diagnosis.plugins) == ["Refuse"]


def test_a_plugin_that_steps_aside_filters_nothing() -> None:
    decision = schedule(Framework("test", [Shun("Shun", "a", "b", "c", skip=True)], {}))
    assert isinstance(decision, Decision)
    assert decision.feasible == 6


def test_no_nodes_is_said_in_plain_words() -> None:
    diagnosis = Framework("test", [], {}).schedule(POD, builders.snapshot([]), CycleState(), 0)
    assert isinstance(diagnosis, Diagnosis)
    assert diagnosis.message == "no nodes available to schedule pods"


def test_a_weight_of_zero_turns_a_score_off() -> None:
    decision = schedule(Framework("test", [Rank("One", {"nc1": 100})], {"One": 0}))
    assert isinstance(decision, Decision)
    assert decision.score == 0


def test_reserve_asks_each_plugin_and_gathers_the_writes() -> None:
    asked: list[str] = []
    plugins = [Take("a", refuse=False, asked=asked), Take("b", refuse=False, asked=asked)]
    answer = Framework("test", plugins, {}).reserve(POD, builders.snapshot(NODES), CycleState(), 0)
    assert answer == (ProvisionClaim("ns/a", "na1"), ProvisionClaim("ns/b", "na1"))
    assert asked == ["reserve a", "reserve b"]


def test_a_refused_reservation_gives_everything_back_last_first() -> None:
    asked: list[str] = []
    plugins = [Take("a", refuse=False, asked=asked), Take("b", refuse=True, asked=asked)]
    answer = Framework("test", plugins, {}).reserve(POD, builders.snapshot(NODES), CycleState(), 0)
    assert answer == Verdict("b", refusal=Refusal("gone"))
    assert asked == ["reserve a", "reserve b", "unreserve b", "unreserve a"]
