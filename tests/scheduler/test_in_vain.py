"""What happens on a node that is barred to a pod anyway is no reason to try the pod again.

Where a plugin that rejected the pod accepts a node now, all others are asked before the pod is tried.
"""

from __future__ import annotations

import pytest
from tests import builders
from tests.builders import HOST, selector

from stowplan.framework.plugin import SILENT
from stowplan.live.board import PolicyBoard
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.profiles import PluginArgs
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.cycle import Outcome
from stowplan.scheduler.outcomes import Looked, Placed, Unplaced
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.queued import Place, QueuedPodInfo
from stowplan.scheduler.waiting import FLUSH_AFTER


class World:
    """A small node of the pod's choice, and a large one that is barred to it; a pod on each, and one that waits."""

    def __init__(self) -> None:
        self.cache = ClusterCache()
        queue = SchedulingQueue(self.cache.snapshot)
        self.scheduler = PolicyBoard(self.cache, queue, PluginArgs(), clock=lambda: 0.0).scheduler
        self.cache.put_node(builders.node("small", cpu="3", labels={"disk": "ssd"}))
        self.cache.put_node(builders.node("large", cpu="16", taints=["dedicated:NoSchedule"]))
        self.cache.put_pod(builders.pod("first", on="small", cpu="2"))
        self.cache.put_pod(builders.pod("other", on="large", cpu="2"))
        queue.put(builders.pod("waits", cpu="2", node_selector={"disk": "ssd"}), 0)
        assert isinstance(self.scheduler.attempt(0, 0, lambda _: SILENT), Unplaced)

    def pod_leaves(self, name: str) -> int:
        """How many pods that wakes."""
        return self.scheduler.happened(self.cache.remove_pod(f"uid-default/{name}"), 1)

    def node_becomes(self, node: objects.Node) -> int:
        return self.scheduler.happened(self.cache.put_node(node), 1)


@pytest.mark.parametrize(("name", "woken"), [("other", 0), ("first", 1)])
def test_room_helps_where_the_pod_may_go(name: str, woken: int) -> None:
    assert World().pod_leaves(name) == woken


def test_more_room_on_a_node_that_is_barred_is_none() -> None:
    world = World()
    assert world.node_becomes(builders.node("large", cpu="32", taints=["dedicated:NoSchedule"])) == 0
    assert world.node_becomes(builders.node("small", cpu="4", labels={"disk": "ssd"})) == 1


def test_the_node_may_stop_to_be_barred() -> None:
    world = World()
    assert world.node_becomes(builders.node("large", cpu="16", labels={"disk": "ssd"})) == 1


def test_when_nodes_have_come_or_gone_it_is_not_known_any_more_what_was_barred() -> None:
    world = World()
    assert world.node_becomes(builders.node("third", cpu="1", taints=["dedicated:NoSchedule"])) == 0
    assert world.pod_leaves("other") == 1


DB = {"app": "db"}


def test_a_node_that_was_barred_while_its_domain_became_the_emptiest_helps_once_it_is_not() -> None:
    cache = ClusterCache()
    scheduler = PolicyBoard(cache, SchedulingQueue(cache.snapshot), PluginArgs(), clock=lambda: 0.0).scheduler
    labels = {"zone": "b", "disk": "ssd"}
    cache.put_node(builders.node("other", cpu="8", labels={"zone": "a"}))
    cache.put_node(builders.node("chosen", cpu="8", labels=labels))
    for name, node in (("a", "other"), ("b", "chosen"), ("c", "chosen")):
        cache.put_pod(builders.pod(name, on=node, cpu="1", labels=DB))
    rule = builders.spread("zone", selector(DB), node_affinity="Ignore")
    scheduler.queue.put(builders.pod("waits", labels=DB, spreads=[rule], node_selector={"disk": "ssd"}), 0)
    assert isinstance(scheduler.attempt(0, 0, lambda _: SILENT), Unplaced)
    barred = builders.node("chosen", cpu="8", labels=labels, taints=["dedicated:NoSchedule"])
    scheduler.happened(cache.put_node(barred), 10)
    scheduler.happened(cache.remove_pod("uid-default/c"), 10)
    while scheduler.attempt(10, 0, lambda _: SILENT) is not None:
        pass
    scheduler.happened(cache.put_node(builders.node("chosen", cpu="8", labels=labels)), 20)
    assert isinstance(scheduler.attempt(20, 0, lambda _: SILENT), Placed)


class Full:
    """Two nodes with one pod each that leaves no room, and on the first one also a pod that nobody wants to be with."""

    def __init__(self, waits: PodInfo, *, priority: int = 0) -> None:
        self.cache = ClusterCache()
        self.now = 0.0
        self.queue = SchedulingQueue(self.cache.snapshot)
        self.scheduler = PolicyBoard(self.cache, self.queue, PluginArgs(), clock=lambda: self.now).scheduler
        for name in ("n1", "n2"):
            self.cache.put_node(builders.node(name, cpu="4"))
            self.cache.put_pod(builders.pod(f"large-{name}", on=name, cpu="4", priority=priority))
        self.cache.put_pod(builders.pod("other", on="n1", cpu="0", labels=DB, priority=priority))
        self.queue.put(waits, 0.0)
        self.attempt()

    def attempt(self) -> Outcome | None:
        return self.scheduler.attempt(self.now, 0, lambda _: SILENT)

    def goes(self, name: str, *, later: float = 100.0) -> Outcome | None:
        """A pod leaves, and what becomes of the one that waits."""
        self.now += later
        self.scheduler.happened(self.cache.remove_pod(f"uid-default/{name}"), self.now)
        return self.attempt()

    @property
    def waiting(self) -> QueuedPodInfo:
        (queued,) = self.queue.pods()
        return queued


def shy(name: str = "waits", *, priority: int = 0) -> PodInfo:
    return builders.pod(name, cpu="2", anti_affinity=[builders.term(HOST, selector(DB))], priority=priority)


def test_a_pod_is_not_tried_where_another_plugin_rejects_the_node_that_has_room_now() -> None:
    world = Full(shy())
    looked = world.goes("large-n1")
    assert isinstance(looked, Looked)
    assert looked.news
    assert looked.diagnosis.message == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod anti-affinity rules. "
        "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."
    )
    queued = world.waiting
    assert (queued.place, queued.attempts) == (Place.UNSCHEDULABLE, 1)
    assert queued.rejected_by == ("NodeResourcesFit", "InterPodAffinity")
    assert world.queue.spared == {"AssignedPodDelete": 1}
    assert not world.queue.vain


def test_then_it_waits_for_that_plugin_too() -> None:
    world = Full(shy())
    world.goes("large-n1")
    placed = world.goes("other")
    assert isinstance(placed, Placed)
    assert placed.decision.node == "n1"


def test_all_that_are_alike_wait_for_it_and_one_is_looked_at_for_all_of_them() -> None:
    world = Full(shy())
    for number in range(5):
        world.queue.put(shy(f"more-{number}"), 0.0)
    while world.attempt() is not None:
        pass
    world.goes("large-n1")
    while world.attempt() is not None:
        pass
    assert world.queue.spared == {"AssignedPodDelete": 6}, "each goes over to those that wait for both"
    world.cache.put_pod(builders.pod("large-n1", on="n1", cpu="4"))
    world.goes("large-n1")
    assert world.attempt() is None
    assert world.queue.spared == {"AssignedPodDelete": 7}


def test_a_pod_that_is_woken_again_and_again_is_looked_at_no_more_often_than_it_would_be_tried() -> None:
    world, looks = Full(shy()), []
    for _ in range(40):
        looks.append(isinstance(world.goes("large-n1", later=0.5), Looked))
        world.cache.put_pod(builders.pod("large-n1", on="n1", cpu="4"))
        world.queue.flush(world.now)
    assert 4 <= sum(looks) <= 6, "after 1, 2, 4 and 8 s"


def test_what_events_have_missed_is_found_by_a_look_at_all_nodes() -> None:
    """Nobody said that there is room on the other node."""
    world = Full(shy())
    world.goes("large-n1")
    world.cache.remove_pod("uid-default/large-n2")
    world.cache.put_pod(builders.pod("large-n1", on="n1", cpu="4"))
    assert isinstance(world.goes("large-n1"), Looked), "a look at the node of the event alone"
    world.cache.put_pod(builders.pod("large-n1", on="n1", cpu="4"))
    assert isinstance(world.goes("large-n1", later=FLUSH_AFTER), Placed)


def test_a_preemptor_is_not_tried_where_there_is_nobody_to_evict() -> None:
    assert isinstance(Full(shy(priority=5), priority=9).goes("large-n1"), Looked)


def test_a_preemptor_is_tried_where_evictions_could_be_enough() -> None:
    world = Full(shy(priority=5), priority=9)
    world.cache.put_pod(builders.pod("low", on="n1", cpu="0", labels=DB))
    world.cache.remove_pod("uid-default/other")
    tried = world.goes("large-n1")
    assert isinstance(tried, Unplaced)
    assert tried.promise is not None
    assert [each.name for each in tried.promise.victims] == ["low"]


def test_a_preemptor_whose_victims_are_still_leaving_is_not_tried_and_keeps_its_promise() -> None:
    world = Full(builders.pod("urgent", cpu="4", priority=5))
    nominations = world.cache.snapshot.nominations
    node = nominations.node_of("uid-default/urgent")
    world.scheduler.carried_out("uid-default/urgent", 0.0, done=True)
    world.cache.put_pod(builders.pod(f"large-{node}", on=node, cpu="3", terminating=True, preempted=True))
    world.cache.put_pod(builders.pod("rest", on=node, cpu="1", terminating=True, preempted=True))
    looked = world.goes(f"large-{node}")
    assert isinstance(looked, Looked)
    assert nominations.node_of("uid-default/urgent") == node
    assert isinstance(world.goes("rest"), Placed)
