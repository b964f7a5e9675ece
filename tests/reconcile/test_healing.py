from __future__ import annotations

import msgspec
import pytest
from pydantic import JsonValue
from tests.reconcile.test_fixed_point import images
from tests.reconcile.world import World, node_set

from stowplan.model import objects
from stowplan.reconcile.actions import Evict
from stowplan.reconcile.observed import Pod, relaxed


def running(**spec: JsonValue) -> World:
    world = World(node_set("data", 3), node_set("master", 3, quorum=True), **spec)
    world.run()
    return world


def evicted(world: World) -> list[str]:
    return [action.name for action in world.plan().actions if isinstance(action, Evict)]


def waits(world: World) -> dict[str, str]:
    return {each.target: each.held_by for each in world.plan().pending}


def test_members_that_an_outage_has_moved_go_back_one_after_the_other() -> None:
    world = running()
    world.misplaced = {"db-data-1", "db-master-0"}
    assert evicted(world) == ["db-data-1"]
    assert waits(world) == {"db-master-0": "other changes go first"}
    world.reconcile()
    assert waits(world)["db-master-0"] == "node set data is not ready"
    world.misplaced = {"db-master-0"}
    while not world.groups()["data"].settled:
        world.live()
        world.reconcile()
    assert world.pods["db-master-0"].metadata.deletion_timestamp is not None


def test_a_rollout_goes_first() -> None:
    world = running()
    world.misplaced = {"db-data-0"}
    images(world, "v2")
    world.reconcile()
    assert world.pods["db-data-0"].metadata.deletion_timestamp is None
    assert waits(world)["db-data-0"].startswith("db-data-2 is not ready")


@pytest.mark.parametrize(
    ("spec", "held_by"),
    [
        pytest.param(
            {"disruptionBudget": {"maxUnavailable": 0}}, "disruptionBudget.maxUnavailable is 0", id="no budget"
        ),
        pytest.param({"paused": True}, "spec.paused is true", id="paused"),
        pytest.param(
            {"updateStrategy": {"type": "OnDelete"}}, "updateStrategy.type is OnDelete: delete the pod", id="OnDelete"
        ),
    ],
)
def test_a_member_stays_where_it_may_not_be_given_up(spec: dict[str, JsonValue], held_by: str) -> None:
    world = running()
    world.set(**spec)
    world.reconcile()
    world.misplaced = {"db-data-1"}
    world.reconcile()
    assert evicted(world) == []
    assert waits(world)["db-data-1"] == held_by


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"score":3,"relaxed":["zones","racks"]}', {"zones", "racks"}, id="two rules"),
        pytest.param('{"score":3}', set(), id="none"),
        pytest.param("mine", set(), id="somebody else's annotation"),
        pytest.param(None, set(), id="no annotation"),
    ],
)
def test_the_scheduler_has_noted_which_rules_made_allowance(text: str | None, expected: set[str]) -> None:
    annotations = {} if text is None else {"stowplan.dev/why": text}
    pod = Pod(metadata=objects.ObjectMeta(name="p", annotations=annotations))
    assert relaxed(msgspec.json.decode(msgspec.json.encode(pod), type=Pod)) == expected
