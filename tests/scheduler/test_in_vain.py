"""What happens on a node that is barred to a pod anyway is no reason to try the pod again."""

from __future__ import annotations

import pytest
from tests import builders

from stowplan.framework.plugin import SILENT
from stowplan.live.board import PolicyBoard
from stowplan.model import objects
from stowplan.profiles import PluginArgs
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.outcomes import Unplaced
from stowplan.scheduler.queue import SchedulingQueue


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
