"""Ten thousand pods that can never fit: how much work they are, in decisions. What that costs: `make bench`, flood."""

from __future__ import annotations

from tests import builders
from tests.builders import HOST, selector
from tests.scheduler.filtered import Filtered

from stowplan.framework.plugin import Probe
from stowplan.framework.runtime import Framework
from stowplan.live.board import PolicyBoard
from stowplan.model.pods import PodInfo
from stowplan.profiles import PluginArgs
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.outcomes import Placed
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.queued import Place

MANY = 10_000
FITTING = 50
DB = {"app": "db"}


class World:
    """Some nodes, the flood, and behind it in the queue the pods that fit; half of both ask for more than room."""

    def __init__(self) -> None:
        self.cache = ClusterCache()
        self.queue = SchedulingQueue(self.cache.snapshot)
        self.scheduler = PolicyBoard(self.cache, self.queue, PluginArgs(), clock=lambda: 0.0).scheduler
        self.probe = Filtered()
        for number in range(FITTING + 1):
            self.cache.put_node(builders.node(f"n{number}", cpu="8"))
        self.cache.put_pod(builders.pod("running", on="n0", cpu="1"))
        for number in range(MANY):
            self.queue.put(self.pod(f"never-{number}", "1000", number), 0.0)
        for number in range(FITTING):
            self.queue.put(self.pod(f"fits-{number}", "1", number), 1.0)

    def pod(self, name: str, cpu: str, number: int) -> PodInfo:
        apart = [builders.term(HOST, selector(DB))] if number % 2 else []
        return builders.pod(name, cpu=cpu, labels=DB if number % 2 else {}, anti_affinity=apart)

    def decide(self, now: float = 1.0) -> list[Placed]:
        """About everybody who is awake."""

        def probe(framework: Framework) -> Probe:
            return self.probe

        placed = []
        while (outcome := self.scheduler.attempt(now, 0, probe)) is not None:
            if isinstance(outcome, Placed):
                placed.append(outcome)
        return placed


def test_they_cost_the_others_one_decision_for_each_kind() -> None:
    world = World()
    assert len(world.decide()) == FITTING
    assert world.queue.size(Place.UNSCHEDULABLE) == MANY
    assert world.probe.points["Filter"] <= FITTING + 2


def test_nothing_that_happens_to_the_others_wakes_any_of_them() -> None:
    world = World()
    happened = [world.cache.put_pod(each.pod) for each in world.decide()]
    happened += [world.cache.put_node(builders.node(f"n{number}", cpu="9")) for number in range(5)]
    happened += [world.cache.remove_pod(f"uid-default/fits-{number}") for number in range(FITTING)]
    happened.append(world.cache.put_node(builders.node("another", cpu="8")))
    assert all(happened)
    assert sum(world.scheduler.happened(events, 100.0) for events in happened) == 0
    assert not world.queue.vain


def test_one_that_fits_after_all_gets_its_node() -> None:
    world = World()
    world.decide()
    assert world.scheduler.happened(world.cache.put_node(builders.node("huge", cpu="2500")), 100.0)
    placed = world.decide(100.0)
    assert {each.decision.node for each in placed} == {"huge"}
    assert len(placed) == 2, "the room is for two"
    assert world.probe.points["Filter"] <= FITTING + 10
