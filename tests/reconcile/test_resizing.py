from __future__ import annotations

import copy
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


# --- drivers that grow only volumes that nobody uses -------------------------------------------------------------


def sizes(world: World) -> dict[str, str]:
    return {name: str(claim.status.capacity["storage"]) for name, claim in world.claims.items()}


def bigger(world: World, size: str = "2Gi") -> None:
    """The spec asks for bigger volumes, and the driver has refused to grow those that are in use."""
    changed = copy.deepcopy(world.spec["nodeSets"])
    assert isinstance(changed, list)
    assert isinstance(changed[0], dict)
    changed[0]["volumeClaimTemplates"] = [
        {"metadata": {"name": "vol0"}, "spec": {"resources": {"requests": {"storage": size}}}}
    ]
    world.set(nodeSets=changed)
    world.reconcile()
    world.live()


def offline(**spec: JsonValue) -> World:
    world = running(**spec)
    world.offline = True
    bigger(world)
    return world


def test_members_stop_one_after_the_other_so_that_their_volumes_grow() -> None:
    world = offline()
    assert evicted(world) == ["db-data-0"]
    least = 3
    for _ in range(40):
        world.reconcile()
        world.live()
        least = min(least, world.groups()["data"].ready)
        world.now += timedelta(seconds=5)
    assert sizes(world) == dict.fromkeys(("vol0-db-data-0", "vol0-db-data-1", "vol0-db-data-2"), "2Gi")
    assert least == 2
    assert world.groups()["data"].settled
    assert [claim.metadata.annotations for claim in world.claims.values()] == [{}, {}, {}]
    assert world.plan().pending == ()


def test_meanwhile_the_member_has_no_pod_and_it_is_said_why() -> None:
    world = offline()
    world.reconcile()
    world.step("db-data-0")  # its pod has stopped
    world.reconcile()
    assert sorted(world.pods) == ["db-data-1", "db-data-2"]
    held = {each.target: each.held_by for each in world.plan().pending}
    assert held["db-data-0"] == (
        "vol0-db-data-0 is to grow from 1Gi to 2Gi, which its driver does only while nobody uses it"
    )
    volumes = next(each for each in world.status.conditions if each.type == "VolumesReady")
    assert volumes.message.startswith("vol0-db-data-0 grows from 1Gi to 2Gi: ControllerResizeError: failed to expand")


def test_a_volume_that_does_not_grow_without_the_member_either_brings_it_back() -> None:
    world = offline()
    world.full = True
    world.run()
    world.now += timedelta(minutes=11)
    for _ in range(5):
        world.reconcile()
        world.live()
    assert world.pods["db-data-0"].metadata.deletion_timestamp is None
    held = {each.target: each.held_by for each in world.plan().pending}
    assert held["vol0-db-data-0"].startswith("the driver has not done it within 10m while nobody used the volume")
    world.full = False
    world.claims["vol0-db-data-0"].metadata.annotations.clear()  # as it is told
    world.run()
    assert sizes(world)["vol0-db-data-0"] == "2Gi"


def test_what_was_tried_in_vain_is_tried_again_for_another_size() -> None:
    world = offline()
    world.full = True
    for _ in range(3):
        world.run()
        world.now += timedelta(minutes=11)
    for claim in world.claims.values():
        assert claim.metadata.annotations
    world.full = False
    bigger(world, "3Gi")
    world.run()
    assert set(sizes(world).values()) == {"3Gi"}


def test_with_on_delete_the_volume_grows_when_somebody_deletes_the_pod() -> None:
    world = offline(updateStrategy={"type": "OnDelete"})
    world.run()
    assert set(sizes(world).values()) == {"1Gi"}
    del world.pods["db-data-1"]
    world.run()
    assert sizes(world) == {"vol0-db-data-0": "1Gi", "vol0-db-data-1": "2Gi", "vol0-db-data-2": "1Gi"}
    assert world.groups()["data"].settled


def test_a_member_comes_back_when_only_the_file_system_is_left_to_grow() -> None:
    world = offline()
    world.reconcile()
    world.step("db-data-0")
    world.reconcile()
    claim = world.claims["vol0-db-data-0"]
    left = TimedCondition(type="FileSystemResizePending", status="True", last_transition_time=world.now.isoformat())
    claim.status.conditions.append(left)  # and the error stays until all is done
    world.reconcile()
    assert "db-data-0" in world.pods
