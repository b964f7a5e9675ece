from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import JsonValue
from tests.reconcile.world import World, node_set

from stowplan.reconcile.actions import Evict
from stowplan.reconcile.observed import TimedCondition

WAITING = timedelta(minutes=3)


def pending(world: World, name: str, *, ago: timedelta = timedelta(0)) -> None:
    """The volume has grown, its file system has not."""
    since = (world.now - ago).isoformat()
    world.claims[name].status.conditions = [
        TimedCondition(type="FileSystemResizePending", status="True", last_transition_time=since)
    ]


def running(*sets: dict[str, JsonValue], **spec: JsonValue) -> World:
    world = World(*(sets or (node_set("data", 3, claims=1),)), **spec)
    world.run()
    world.now += timedelta(hours=1)
    return world


def evicted(world: World) -> list[str]:
    world.reconcile(crash_after=1)  # the template is checked
    return [action.name for action in world.plan().actions if isinstance(action, Evict)]


def test_a_kubelet_gets_its_time_to_grow_a_file_system_that_is_in_use() -> None:
    world = running()
    pending(world, "vol0-db-data-1", ago=timedelta(seconds=100))
    plan = world.plan()
    assert plan.actions == ()
    assert plan.again_after == 20


def test_then_the_members_are_restarted_one_after_the_other() -> None:
    world = running()
    uids = {name: pod.metadata.uid for name, pod in world.pods.items()}
    for name in world.claims:
        pending(world, name, ago=WAITING)
    assert evicted(world) == ["db-data-0"]
    held = {each.held_by for each in world.plan().pending}
    assert held == {"another member goes first"}
    for _ in range(20):
        world.reconcile()
        world.live()
    assert not {pod.metadata.uid for pod in world.pods.values()} & set(uids.values())


def test_a_pod_that_was_started_since_is_not_restarted_again() -> None:
    world = running()
    pending(world, "vol0-db-data-1", ago=timedelta(hours=2))
    world.reconcile()
    assert world.plan().actions == ()


def test_a_claim_whose_file_system_has_grown_restarts_nobody() -> None:
    world = running()
    pending(world, "vol0-db-data-1", ago=WAITING)
    world.claims["vol0-db-data-1"].status.conditions[0].status = "False"
    assert world.plan().actions == ()


@pytest.mark.parametrize(
    ("spec", "held_by"),
    [
        pytest.param(
            {"updateStrategy": {"type": "OnDelete"}}, "updateStrategy.type is OnDelete: delete the pod", id="OnDelete"
        ),
        pytest.param(
            {"disruptionBudget": {"maxUnavailable": 0}}, "disruptionBudget.maxUnavailable is 0", id="no budget"
        ),
    ],
)
def test_a_restart_that_may_not_be_says_so(spec: dict[str, JsonValue], held_by: str) -> None:
    world = running(**spec)
    pending(world, "vol0-db-data-1", ago=WAITING)
    world.reconcile()
    (waits,) = world.plan().pending
    assert (waits.target, waits.held_by) == ("db-data-1", held_by)
    assert waits.change == "replace the pod: its volume grows when it is mounted anew"
