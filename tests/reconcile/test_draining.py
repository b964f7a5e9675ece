from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import JsonValue
from tests.reconcile.test_fixed_point import change_sets
from tests.reconcile.world import World, node_set

from stowplan.reconcile.actions import AskToDrain
from stowplan.reconcile.draining import DRAINED, PACE, SLOWLY
from stowplan.reconcile.specs import ANNOTATION_DRAIN, ANNOTATION_DRAINING

DRAIN: dict[str, JsonValue] = {"httpPost": {"path": "/leave", "port": 8080}, "timeout": "5m"}
LAST: dict[str, JsonValue] = {"victim": "HighestOrdinal"}


def running(replicas: int = 3, **drain: JsonValue) -> World:
    world = World(node_set("data", replicas, claims=1, drain={**DRAIN, **drain}), scaleDown=LAST)
    world.run()
    return world


def shrink(world: World, replicas: int = 2) -> World:
    change_sets(world, replicas=replicas)
    world.reconcile()
    return world


def leaving(world: World) -> list[str]:
    return [name for name, pod in world.pods.items() if pod.metadata.deletion_timestamp is not None]


def asks(world: World) -> list[AskToDrain]:
    return [action for action in world.plan().actions if isinstance(action, AskToDrain)]


def test_a_member_is_asked_before_it_is_removed_and_waited_for() -> None:
    world = shrink(running())
    assert world.asked == ["http://10.0.0.1:8080/leave"]
    assert leaving(world) == []
    assert not any(claim.metadata.annotations for claim in world.claims.values())
    waits = {each.target: each.held_by for each in world.plan().pending}
    assert waits == {"db-data-2": "it is draining"}
    world.drained.add("db-data-2")
    world.reconcile()
    assert leaving(world) == ["db-data-2"]


def test_it_stays_the_same_member_until_it_is_gone() -> None:
    world = shrink(running(4), 3)
    world.set(scaleDown={"victim": "DomainBalanced"})
    assert [action.name for action in asks(world)] == ["db-data-3"]


def test_only_members_that_are_removed_for_good_are_asked() -> None:
    world = running()
    change_sets(world, template={"spec": {"containers": [{"name": "main", "image": "v2"}]}})
    world.run()
    assert world.asked == []


def test_members_of_a_set_that_was_taken_out_of_the_spec_are_asked_too() -> None:
    world = World(node_set("old", 1, drain=DRAIN), node_set("data", 1))
    world.run()
    world.set(nodeSets=[node_set("data", 1)])
    world.reconcile()
    assert world.asked == ["http://10.0.0.1:8080/leave"]
    assert leaving(world) == []


def test_a_scale_down_that_is_taken_back_leaves_no_trace() -> None:
    world = shrink(running())
    assert ANNOTATION_DRAINING in world.pods["db-data-2"].metadata.annotations
    change_sets(world, replicas=3)
    world.run()
    assert set(world.pods["db-data-2"].metadata.annotations) == {ANNOTATION_DRAIN}


def test_what_to_ask_follows_the_spec_without_a_restart() -> None:
    world = running()
    before = world.pods["db-data-2"].metadata.uid
    change_sets(world, drain={"httpPost": {"port": 9443, "scheme": "HTTPS"}})
    shrink(world)
    assert world.asked == ["https://10.0.0.1:9443/"]
    assert world.pods["db-data-2"].metadata.uid == before
    change_sets(world, drain=None)
    world.reconcile()
    assert leaving(world) == ["db-data-2"]


@pytest.mark.parametrize(
    ("on_timeout", "gone"), [pytest.param("Hold", [], id="held"), pytest.param("Continue", ["db-data-2"], id="removed")]
)
def test_a_member_that_does_not_drain_in_time_is(on_timeout: str, gone: list[str]) -> None:
    world = shrink(running(onTimeout=on_timeout))
    world.now += timedelta(minutes=4)
    (ask,) = asks(world)
    assert ask.again_after == PACE
    world.now += timedelta(minutes=2)
    world.reconcile()
    assert leaving(world) == gone


def test_one_that_is_held_is_told_and_asked_more_slowly() -> None:
    world = shrink(running())
    world.now += timedelta(minutes=6)
    world.reconcile()
    (ask,) = asks(world)
    assert ask.again_after == SLOWLY
    ready = next(each for each in world.status.conditions if each.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "DrainTimedOut")
    assert ready.message.startswith("db-data-2 has not drained within 5m: ")
    world.drained.add("db-data-2")
    world.run()
    assert sorted(world.pods) == ["db-data-0", "db-data-1"]


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda world: world.fail("db-data-2"), id="that has ended"),
        pytest.param(lambda world: world.node_gone(world.pods["db-data-2"].spec.node_name), id="whose node is gone"),
        pytest.param(lambda world: setattr(world.pods["db-data-2"].status, "pod_ip", ""), id="that never ran"),
    ],
)
def test_a_member_is_not_waited_for(break_it: object) -> None:
    world = running()
    assert callable(break_it)
    break_it(world)
    change_sets(world, replicas=2)
    world.run()
    assert world.asked == []
    assert sorted(world.pods) == ["db-data-0", "db-data-1"]


def test_after_a_crash_it_is_asked_again_and_never_removed_unasked() -> None:
    for point in range(6):
        world = running()
        change_sets(world, replicas=2)
        world.drained.add("db-data-2")
        world.reconcile(crash_after=point)
        if leaving(world):
            assert DRAINED in world.pods["db-data-2"].metadata.annotations
        world.run()
        assert sorted(world.pods) == ["db-data-0", "db-data-1"]
        assert world.asked
