from __future__ import annotations

import json

import pytest
from pydantic import JsonValue
from tests.reconcile.test_fixed_point import change_sets, images
from tests.reconcile.world import BAD_IMAGE, World, node_set

from stowplan.api.cluster import NodeSet
from stowplan.reconcile import specs
from stowplan.reconcile.actions import Create


def running(*sets: dict[str, JsonValue], **spec: JsonValue) -> World:
    world = World(*(sets or (node_set("data", 3),)), **spec)
    world.run()
    return world


def outdated(world: World) -> dict[str, bool]:
    return {member.name: member.outdated for group in world.groups().values() for member in group.members}


def lose(world: World, name: str) -> None:
    """The pod is gone, and whoever comes after it is there and as ready as it can be."""
    del world.pods[name]
    world.reconcile()
    for _ in range(3):
        world.live()


def stuck() -> World:
    """Three members, of which the last one was given to a template that never gets ready."""
    world = running()
    images(world, BAD_IMAGE)
    for _ in range(10):
        world.reconcile()
        world.live()
    assert outdated(world) == {"db-data-0": True, "db-data-1": True, "db-data-2": False}
    return world


def test_the_template_of_a_set_is_kept_once_all_have_it_and_one_of_them_serves() -> None:
    world = World(node_set("data", 2))
    world.reconcile()
    world.place("db-data-0")
    world.reconcile()
    assert world.revisions == {}
    world.set_ready("db-data-0", now=True)
    world.reconcile()
    (kept,) = world.revisions.values()
    spec = world.cluster.spec.node_sets[0]
    assert kept.metadata.name == f"db-data-{specs.revision(spec)}"
    assert [ref.uid for ref in kept.metadata.owner_references] == ["cluster-1"]
    world.run()
    assert list(world.revisions.values()) == [kept]


def test_after_a_rollout_the_new_template_is_kept_and_the_old_one_dropped() -> None:
    world = running()
    (before,) = world.revisions.values()
    images(world, "v2")
    world.run()
    (after,) = world.revisions.values()
    assert after.metadata.name != before.metadata.name
    assert after.revision == before.revision + 1


def test_what_is_kept_gives_the_same_template_again() -> None:
    world = running(node_set("data", 1, claims=2))
    spec = world.cluster.spec.node_sets[0]
    (kept,) = world.revisions.values()
    assert specs.stored(spec, kept.data, specs.revision(spec)) == spec
    bigger = [{"metadata": {"name": "vol0"}, "spec": {"resources": {"requests": {"storage": "9Gi"}}}}]
    changed = NodeSet.model_validate({**node_set("data", 1, image="v2"), "volumeClaimTemplates": bigger})
    again = specs.stored(changed, kept.data, specs.revision(spec))
    assert again is not None
    assert specs.revision(again) == specs.revision(spec)
    sizes = {each.metadata.name: each.spec.resources.requests.storage for each in again.volume_claim_templates}
    assert sizes == {"vol0": "9Gi", "vol1": "1Gi"}, "a volume never shrinks again"


def test_what_is_kept_is_a_text_that_no_encoder_writes_in_another_way() -> None:
    odd: JsonValue = ["<&>", "\u2028\u00e9\U0001f600", '"\\/', "\n\t\x01\x7f"]
    container: JsonValue = {"name": "main", "image": "v1", "command": odd, "resources": {"limits": {"cpu": 0.5}}}
    world = running(node_set("data", 1, template={"spec": {"containers": [container]}}))
    (kept,) = world.revisions.values()
    text = kept.data["nodeSet"]
    assert isinstance(text, str)
    assert text.isascii()
    assert not {"<", ">", "&"} & set(text)
    assert not any(ord(each) < 32 for each in text)
    found = world.cluster.spec.node_sets[0]
    assert specs.stored(found, kept.data, specs.revision(found)) == found


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"nodeSet": "[]"}, id="no object"),
        pytest.param({"nodeSet": "{"}, id="no JSON"),
        pytest.param({"nodeSet": '{"template":{"spec":{"containers":[]}}}'}, id="no template"),
        pytest.param({"nodeSet": json.dumps({"template": node_set(image="v3")["template"]})}, id="another template"),
    ],
)
def test_what_is_not_what_its_label_says_is_not_used(data: dict[str, object]) -> None:
    spec = running().cluster.spec.node_sets[0]
    assert specs.stored(spec, data, specs.revision(spec)) is None


def test_members_below_the_partition_keep_their_template_when_they_lose_their_pod() -> None:
    world = running(updateStrategy={"partition": 2})
    images(world, "v2")
    world.run()
    lose(world, "db-data-0")
    lose(world, "db-data-2")
    world.run()
    assert outdated(world) == {"db-data-0": True, "db-data-1": True, "db-data-2": False}
    assert world.groups()["data"].settled
    world.set(updateStrategy={"partition": 0})
    world.run()
    assert not any(outdated(world).values())


def test_below_the_partition_is_the_last_template_that_all_had_not_the_one_tried_before() -> None:
    world = running(updateStrategy={"partition": 2})
    first = world.pods["db-data-0"].metadata.labels["stowplan.dev/revision"]
    images(world, "v2")
    world.run()
    images(world, "v3")
    world.run()
    lose(world, "db-data-1")
    assert world.pods["db-data-1"].metadata.labels["stowplan.dev/revision"] == first


def test_a_member_that_loses_its_pod_during_a_broken_rollout_does_not_get_the_broken_template() -> None:
    world = stuck()
    lose(world, "db-data-0")
    assert outdated(world) == {"db-data-0": True, "db-data-1": True, "db-data-2": False}
    assert world.groups()["data"].ready == 2


def test_nor_do_members_that_are_added_then() -> None:
    world = stuck()
    change_sets(world, replicas=5)
    for _ in range(5):
        world.reconcile()
        world.live()
    assert world.groups()["data"].ready == 4
    images(world, "v2")
    world.run()
    assert not any(outdated(world).values())
    assert world.groups()["data"].settled


def test_a_template_that_serves_is_given_to_whoever_needs_a_pod() -> None:
    world = running(node_set("data", 3), disruptionBudget={"maxUnavailable": 1})
    images(world, "v2")
    world.reconcile()
    while not any(not old for old in outdated(world).values()):
        world.live()
        world.reconcile()
    world.live()
    world.live()
    assert outdated(world)["db-data-2"] is False
    lose(world, "db-data-0")
    assert outdated(world)["db-data-0"] is False


def test_with_on_delete_a_member_gets_the_new_template_with_its_new_pod() -> None:
    world = running(updateStrategy={"type": "OnDelete"})
    images(world, BAD_IMAGE)
    for name in ("db-data-0", "db-data-1"):
        lose(world, name)
    assert outdated(world) == {"db-data-0": False, "db-data-1": False, "db-data-2": True}


def test_the_old_template_comes_with_its_own_claims() -> None:
    world = running(node_set("data", 2, claims=1), updateStrategy={"partition": 2})
    change_sets(world, volumeClaimTemplates=node_set(claims=2)["volumeClaimTemplates"])
    lose(world, "db-data-0")
    assert sorted(world.claims) == ["vol0-db-data-0", "vol0-db-data-1"]
    world.set(updateStrategy={"partition": 0})
    world.run()
    assert sorted(world.claims) == [f"vol{v}-db-data-{n}" for v in (0, 1) for n in (0, 1)]


def test_a_template_that_nobody_owns_any_more_is_adopted_and_used() -> None:
    world = running(updateStrategy={"partition": 3})
    for each in (*world.revisions.values(), *world.pods.values()):
        each.metadata.owner_references = []
    images(world, "v2")
    world.reconcile()
    assert [ref.uid for each in world.revisions.values() for ref in each.metadata.owner_references] == ["cluster-1"]
    lose(world, "db-data-0")
    assert outdated(world)["db-data-0"] is True


def test_the_template_of_a_set_that_is_gone_goes_after_its_members() -> None:
    world = running(node_set("old", 1), node_set("data", 1))
    world.set(nodeSets=[node_set("data", 1)])
    world.reconcile()
    assert len(world.revisions) == 2
    world.run()
    (left,) = world.revisions.values()
    assert left.metadata.labels["stowplan.dev/node-set"] == "data"


def test_what_has_served_is_not_judged_anew() -> None:
    """The API server may know less than it did, or be asked more strictly by a newer Stowplan."""
    world = World(node_set("data", 2, claims=1))
    made = [each.serves for each in world.plan().actions if isinstance(each, Create)]
    assert made == [False] * 6
    world.run()
    del world.pods["db-data-0"]
    (action,) = world.plan().actions
    assert isinstance(action, Create)
    assert (action.name, action.serves) == ("db-data-0", True)


def test_clusters_of_an_older_version_get_what_is_missing_and_nobody_is_restarted() -> None:
    world = running()
    world.revisions.clear()
    (action,) = world.plan().actions
    assert isinstance(action, Create)
    assert action.kind == "ControllerRevision"
