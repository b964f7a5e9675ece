"""Pods for which a rule fails, cut off or not: they cost the others nothing, and none of them is lost."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable

import pytest
from tests import builders

from stowplan.framework.conduct import LIMIT, RETRY_AFTER
from stowplan.framework.plugin import SILENT, CycleState
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Reject
from stowplan.live import board
from stowplan.model.pods import PodInfo
from stowplan.profiles import PluginArgs, in_tree
from stowplan.profiles.selection import Available, Enabled, PluginSet, select
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.outcomes import Placed
from stowplan.scheduler.queue import SchedulingQueue

PODS = 300


FINE = {"example.com/fine": "true"}


class Broken:
    """A rule that raises until somebody mends it, but for pods with an annotation."""

    name = "Broken"
    mended = False

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterable[Reject]:
        if not (self.mended or pod.annotations):
            raise LookupError("no such thing")
        return ()


class World:
    """Two profiles, one of which has the rule, and many pods that it holds up."""

    def __init__(self, *, fine: int = 0) -> None:
        self.now = 0.0
        self.rule = Broken()
        self.cache = ClusterCache()
        queue = SchedulingQueue(self.cache.snapshot)
        plain = PluginArgs()
        available = (*in_tree.IN_TREE, Available("Broken", frozenset({"filter"})))
        strict = dataclasses.replace(
            plain,
            scheduler_name="strict",
            selection=select({"filter": PluginSet((Enabled("Broken"),), frozenset())}, available),
            others={"Broken": self.rule},
        )
        self.board = board.PolicyBoard(self.cache, queue, plain, clock=lambda: self.now, more=(strict,))
        self.cache.put_node(builders.node("n1", cpu="400", pods=1000))
        for number in range(PODS):
            queue.put(builders.pod(f"p{number}", cpu="1", scheduler_name="strict"), 0.0)
            if fine and number % fine == 0:
                queue.put(builders.pod(f"f{number}", annotations=FINE, scheduler_name="strict"), 0.0)
        placed = PODS // fine if fine else 0
        assert self.decide() == (PODS + placed, placed)

    def decide(self) -> tuple[int, int]:
        """Decisions about all who are awake, and how many of them got a node."""
        scheduler, decisions, placed = self.board.scheduler, 0, 0
        scheduler.queue.flush(self.now)
        while (outcome := scheduler.attempt(self.now, 0, lambda _: SILENT)) is not None:
            decisions += 1
            placed += isinstance(outcome, Placed)
        return decisions, placed

    def another_pod_comes(self, name: str) -> int:
        """How many pods that wakes."""
        return self.board.scheduler.happened(self.cache.put_pod(builders.pod(name, on="n1")), self.now)


def test_while_the_rule_is_cut_off_events_wake_nobody() -> None:
    world = World()
    world.now = 20.0
    assert world.another_pod_comes("first") == 1, "one of those for which it has failed itself"
    assert world.decide() == (LIMIT - 1, 0)
    assert world.another_pod_comes("second") == 0


def test_where_it_fails_for_pods_of_one_kind_one_of_them_is_tried_for_all() -> None:
    """It works for others in between, so it is not cut off."""
    world = World(fine=LIMIT // 2)
    assert not world.board.conduct.out
    for turn in range(3):
        world.now += 20.0
        assert world.another_pod_comes(f"other{turn}") == 1
        assert world.decide() == (1, 0)
    world.rule.mended = True
    world.now += 20.0
    world.another_pod_comes("last")
    assert world.decide() == (PODS, PODS)


async def test_all_get_a_node_when_the_rule_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With whatever happens next, once it may be tried again."""
    world = World()
    conduct = world.board.conduct
    monkeypatch.setattr(board, "OUTAGE_LOOK", 0.0)
    looking = asyncio.create_task(world.board.run())
    try:
        await asyncio.sleep(0.0)
        assert conduct.out
        world.rule.mended = True
        while conduct.out:
            world.now += RETRY_AFTER
            await asyncio.sleep(0.0)
        world.another_pod_comes("other")
        assert world.decide() == (PODS, PODS)
    finally:
        looking.cancel()
