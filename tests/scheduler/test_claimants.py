"""Pods that wait for storage with a claim of their own each wait together, as long as their claims look the same."""

from __future__ import annotations

import pytest
from tests import builders
from tests.builders import ZONE
from tests.scheduler.filtered import Filtered

from stowplan.framework.volumes import StorageObject
from stowplan.live.board import PolicyBoard
from stowplan.model import objects
from stowplan.profiles import PluginArgs
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.outcomes import Placed
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.queued import Place

MANY = 300


class World:
    """Two nodes in two zones, no space for volumes, and many pods that need one each."""

    def __init__(self, pods: int = MANY) -> None:
        self.cache = ClusterCache()
        self.now = 0.0
        self.queue = SchedulingQueue(self.cache.snapshot)
        self.scheduler = PolicyBoard(self.cache, self.queue, PluginArgs(), clock=lambda: self.now).scheduler
        self.probe = Filtered()
        for name, zone in (("n1", "a"), ("n2", "b")):
            self.cache.put_node(builders.node(name, zone=zone, pods=1000))
        self.cache.put_storage(builders.storage_class())
        self.cache.put_storage(builders.csi_driver("csi.example.com"))
        self.cache.put_storage(self.space("0"))
        for number in range(pods):
            self.cache.put_storage(builders.claim(f"c{number}", size="2Gi"))
            self.queue.put(builders.pod(f"w{number}", claims=[f"c{number}"]), 0.0)
        assert self.decide() == []

    def space(self, free: str) -> objects.CSIStorageCapacity:
        return builders.capacity("pool", free=free, topology=builders.selector({ZONE: "a"}))

    def decide(self) -> list[str]:
        """About everybody who is awake: the names of those that got a node."""
        placed = []
        while (outcome := self.scheduler.attempt(self.now, 0, lambda _: self.probe)) is not None:
            if isinstance(outcome, Placed):
                placed.append(outcome.pod.name)
        return placed

    def changes(self, item: StorageObject) -> list[str]:
        """A storage object comes or changes; who gets a node by that."""
        self.now += 100.0
        self.scheduler.happened(self.cache.put_storage(item), self.now)
        return self.decide()


def test_one_decision_is_enough_for_all_of_them() -> None:
    world = World()
    assert world.queue.size(Place.UNSCHEDULABLE) == MANY
    assert world.probe.points["Filter"] == 1


def test_as_many_as_there_is_space_for_get_a_node_and_the_others_are_left_alone() -> None:
    world = World()
    before = world.queue.incoming.copy()
    assert world.changes(world.space("7Gi")) == ["w0", "w1", "w2"]
    woken = sum((world.queue.incoming - before).values())
    assert woken <= 4, "each that gets a node has the next one look, as long as there is space"
    assert world.queue.size(Place.UNSCHEDULABLE) == MANY - 3


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda: builders.claim("c7", size="1Gi"), id="it asks for less"),
        pytest.param(lambda: builders.volume("v", size="5Gi", claimed_by="default/c7"), id="a volume is kept for it"),
    ],
)
def test_what_happens_to_a_claim_concerns_its_pod_alone(change: object) -> None:
    world = World()
    world.changes(world.space("1Gi"))
    before = world.queue.incoming.copy()
    assert callable(change)
    assert world.changes(change()) == ["w7"]
    assert sum((world.queue.incoming - before).values()) == 1
    assert world.queue.size(Place.UNSCHEDULABLE) == MANY - 1


def test_a_claim_that_is_larger_now_has_its_pod_wait_apart() -> None:
    world = World(3)
    assert world.changes(builders.claim("c0", size="4Gi")) == []
    assert world.changes(world.space("2Gi")) == ["w1"]
    assert sorted(world.changes(world.space("9Gi"))) == ["w0", "w2"]


def test_a_pod_whose_claim_another_one_uses_does_not_speak_for_the_rest() -> None:
    """The claim of the first is to be made on a node that the pod cannot use any more: it is helped by nothing."""
    world = World(3)
    world.cache.put_pod(builders.pod("user", on="n2", claims=["c0"]))
    world.cache.snapshot.volumes.refuse("default/c0", "n1", world.now)
    assert world.changes(world.space("2Gi")) == ["w1"]
    assert world.changes(world.space("9Gi")) == ["w2"]


def test_a_pod_that_goes_is_forgotten() -> None:
    world = World(3)
    world.queue.remove("uid-default/w1", 1.0)
    assert world.changes(builders.claim("c1", size="1Gi")) == []
    assert world.changes(world.space("9Gi")) == ["w0", "w2"]
