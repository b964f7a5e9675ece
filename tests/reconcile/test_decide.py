from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import JsonValue
from tests.reconcile.test_fixed_point import change_sets, images
from tests.reconcile.world import BAD_IMAGE, RACK, ZONE, Refused, World, node_set

from stowplan.model import objects
from stowplan.reconcile import specs
from stowplan.reconcile.actions import Action, CheckTemplate, Create, Delete, Evict, Patch
from stowplan.reconcile.classify import State
from stowplan.reconcile.observed import BudgetSpec, ServiceSpec


def told(actions: tuple[Action, ...]) -> list[tuple[str, str]]:
    return [(type(action).__name__, action.name) for action in actions]


def running(world: World) -> World:
    world.run()
    return world


def only(world: World) -> Action:
    (action,) = world.plan().actions
    return action


def test_a_new_cluster_gets_its_service_budget_claims_and_pods_in_this_order() -> None:
    world = World(node_set("data", 2, claims=1))
    assert told(world.plan().actions) == [
        ("Create", "db"), ("Create", "db-data"),
        ("Create", "vol0-db-data-0"), ("Create", "db-data-0"),
        ("Create", "vol0-db-data-1"), ("Create", "db-data-1"),
    ]  # fmt: skip


def test_members_wait_for_a_policy_that_does_not_exist() -> None:
    world = World(node_set("data", 1), schedulingPolicyRef={"name": "ha"})
    world.policy = None
    world.reconcile()
    assert world.pods == {}
    assert [each.held_by for each in world.plan().pending] == ["SchedulingPolicy ha not found"]


def test_a_lost_member_comes_back_under_its_name() -> None:
    world = running(World(node_set("data", 3, claims=1)))
    del world.pods["db-data-1"]
    assert told(world.plan().actions) == [("Create", "db-data-1")]


def test_a_member_that_is_still_stopping_is_waited_for() -> None:
    world = running(World(node_set("data", 3)))
    world.pods["db-data-1"].metadata.deletion_timestamp = world.now.isoformat()
    plan = world.plan()
    assert plan.actions == ()
    assert plan.pending[0].held_by == "its pod is being deleted"


def test_a_pod_of_an_earlier_cluster_of_the_same_name_is_waited_for() -> None:
    world = running(World(node_set("data", 1)))
    world.uid = "cluster-2"
    world.generation += 1
    world.service, world.budgets = None, {}
    plan = world.plan()
    assert told(plan.actions) == [("Create", "db"), ("Create", "db-data")]
    assert "belongs to StatefulCluster db (cluster-1)" in plan.pending[0].held_by


def test_a_pod_that_nobody_owns_any_more_is_adopted() -> None:
    world = running(World(node_set("data", 1)))
    world.pods["db-data-0"].metadata.owner_references = []
    world.reconcile()
    assert [ref.uid for ref in world.pods["db-data-0"].metadata.owner_references] == ["cluster-1"]


def test_another_policy_is_written_into_running_pods_without_restarting_them() -> None:
    world = running(World(node_set("data", 1)))
    world.set(schedulingPolicyRef={"name": "ha"})
    action = only(world)
    assert isinstance(action, Patch)
    assert action.body == {"metadata": {"annotations": {"stowplan.dev/policy": "ha"}}}


@pytest.mark.parametrize("given", [None, "own"])
def test_a_policy_that_the_spec_names_no_longer_leaves_running_pods(given: str | None) -> None:
    """The template may name one by the annotation, too."""
    pods: JsonValue = {
        "metadata": {"annotations": {"stowplan.dev/policy": given}}, "spec": {"containers": [{"image": "v1"}]},
    }  # fmt: skip
    world = World(node_set("data", 1, template=pods), schedulingPolicyRef={"name": "ha"})
    running(world)
    world.set(schedulingPolicyRef=None)
    action = only(world)
    assert isinstance(action, Patch)
    assert action.body == {"metadata": {"annotations": {"stowplan.dev/policy": given}}}
    world.run()
    assert world.pods["db-data-0"].metadata.annotations.get("stowplan.dev/policy") == given


def test_a_service_that_leads_elsewhere_leads_to_the_members_again() -> None:
    world = running(World(node_set("data", 1)))
    assert world.service is not None
    world.service.spec = ServiceSpec(selector={"app": "other"})
    world.run()
    assert world.service.spec == ServiceSpec(selector={"stowplan.dev/cluster": "db"}, publish_not_ready_addresses=True)


def test_a_budget_that_protects_other_pods_protects_the_members_again() -> None:
    world = running(World(node_set("data", 3)))
    spec = world.budgets["db-data"].spec
    world.budgets["db-data"].spec = BudgetSpec(
        selector=objects.LabelSelector(match_labels={"app": "other"}), min_available=spec.min_available,
        unhealthy_pod_eviction_policy=spec.unhealthy_pod_eviction_policy,
    )  # fmt: skip
    world.run()
    assert world.budgets["db-data"].spec == spec


def test_sets_that_would_share_their_claims_are_refused_and_the_others_go_on() -> None:
    world = running(World(node_set("db-a", 1, claims=1), node_set("b", 1)))
    before = {name: pod.metadata.uid for name, pod in world.pods.items()}
    shared: JsonValue = {"metadata": {"name": "vol0-db"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    world.set(nodeSets=[
        node_set("db-a", 1, claims=1), {**node_set("a", 2), "volumeClaimTemplates": [shared]}, node_set("b", 2),
    ])  # fmt: skip
    world.run()
    assert sorted(world.pods) == ["db-b-0", "db-b-1", "db-db-a-0"]
    assert {name: pod.metadata.uid for name, pod in world.pods.items() if name in before} == before
    ready = next(each for each in world.status.conditions if each.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "InvalidSpec")
    assert ready.message.startswith("spec.nodeSets[1].volumeClaimTemplates[0].metadata.name: claims vol0-db-db-a-<n>")


# --- failure ----------------------------------------------------------------------------------------------------


def test_a_pod_on_a_deleted_node_is_removed_at_once_and_replaced() -> None:
    world = running(World(node_set("data", 3)))
    world.node_gone(world.pods["db-data-0"].spec.node_name)
    action = only(world)
    assert isinstance(action, Delete)
    assert (action.name, action.force) == ("db-data-0", True)
    world.run()
    assert sorted(world.pods) == ["db-data-0", "db-data-1", "db-data-2"]


def test_a_pod_on_an_unreachable_node_is_left_alone_unless_the_spec_says_so() -> None:
    world = running(World(node_set("data", 3)))
    world.node_down(world.pods["db-data-0"].spec.node_name)
    world.now += timedelta(days=3)
    plan = world.plan()
    assert plan.actions == ()
    assert "nodeFailure.replaceAfter is not set" in plan.pending[0].held_by


def test_a_pod_on_an_unreachable_node_is_deleted_after_the_time_but_not_by_force() -> None:
    world = running(World(node_set("data", 3), nodeFailure={"replaceAfter": "10m"}))
    world.node_down(world.pods["db-data-0"].spec.node_name)
    world.now += timedelta(minutes=4)
    early = world.plan()
    assert early.actions == ()
    assert early.again_after == 360
    world.now += timedelta(minutes=6)
    late = only(world)
    assert isinstance(late, Delete)
    assert (late.name, late.force) == ("db-data-0", False)


def test_a_pod_that_fails_is_replaced_but_not_in_a_tight_loop() -> None:
    world = running(World(node_set("data", 1)))
    world.now += timedelta(hours=1)
    world.pods["db-data-0"].metadata.creation_timestamp = (world.now - timedelta(seconds=3)).isoformat()
    world.fail("db-data-0")
    assert world.plan().actions == ()
    assert world.plan().again_after == 7
    world.now += timedelta(seconds=7)
    assert told(world.plan().actions) == [("Delete", "db-data-0")]


@pytest.mark.parametrize(
    ("volumes", "expected"),
    [
        pytest.param("Keep", [], id="kept"),
        pytest.param("ReplaceIfNodeGone", [("Delete", "vol0-db-data-0")], id="given up"),
    ],
)
def test_a_claim_pinned_to_a_deleted_node_is(volumes: str, expected: list[tuple[str, str]]) -> None:
    world = running(World(node_set("data", 1, claims=1), nodeFailure={"volumes": volumes}))
    world.node_gone(world.pods.pop("db-data-0").spec.node_name)
    world.reconcile(crash_after=1)  # the new pod, which no node will take
    world.stranded.add("vol0-db-data-0")
    assert told(world.plan().actions) == expected


def test_a_member_whose_volume_was_given_up_starts_with_an_empty_one() -> None:
    world = running(World(node_set("data", 2, claims=1), nodeFailure={"volumes": "ReplaceIfNodeGone"}))
    before = world.claims["vol0-db-data-0"].metadata.uid
    world.strand("db-data-0")
    world.run()
    assert world.claims["vol0-db-data-0"].metadata.uid != before
    assert world.groups()["data"].settled


# --- scale ------------------------------------------------------------------------------------------------------


def test_a_set_shrinks_one_member_at_a_time() -> None:
    world = running(World(node_set("data", 5)))
    change_sets(world, replicas=2)
    world.reconcile()
    stopping = [name for name, pod in world.pods.items() if pod.metadata.deletion_timestamp]
    assert len(stopping) == 1
    world.run()
    assert len(world.pods) == 2


@pytest.mark.parametrize(
    ("victim", "left"),
    [
        pytest.param("DomainBalanced", {"a": 1, "b": 1, "c": 1}, id="DomainBalanced keeps the zones even"),
        pytest.param("HighestOrdinal", {"a": 2, "b": 1, "c": 0}, id="HighestOrdinal takes what comes last"),
    ],
)
def test_when_a_set_shrinks(victim: str, left: dict[str, int]) -> None:
    world = World(node_set("data", 6), scaleDown={"victim": victim})
    world.reconcile()
    for ordinal, where in enumerate(["a00", "a01", "b00", "b01", "c00", "c01"]):
        world.place(f"db-data-{ordinal}", where)
    world.run()
    change_sets(world, replicas=3)
    world.run()
    zones = [world.nodes[pod.spec.node_name].labels[ZONE] for pod in world.pods.values()]
    assert {zone: zones.count(zone) for zone in "abc"} == left


def test_among_equal_zones_the_fullest_rack_gives() -> None:
    world = World(node_set("data", 6))
    world.reconcile()
    for ordinal, where in enumerate(["a00", "a01", "a10", "b00", "b10", "c00"]):
        world.place(f"db-data-{ordinal}", where)
    world.run()
    change_sets(world, replicas=5)
    world.run()
    gone = {f"db-data-{ordinal}" for ordinal in range(6)} - set(world.pods)
    assert gone == {"db-data-1"}
    assert {world.nodes[pod.spec.node_name].labels[RACK] for pod in world.pods.values()} == {
        "a-0", "a-1", "b-0", "b-1", "c-0",
    }  # fmt: skip


def test_gaps_are_filled_before_new_ordinals_are_taken() -> None:
    world = World(node_set("data", 4))
    world.reconcile()
    for ordinal, where in enumerate(["a00", "a10", "b00", "c00"]):
        world.place(f"db-data-{ordinal}", where)
    world.run()
    change_sets(world, replicas=3)
    world.run()
    assert sorted(world.pods) == ["db-data-0", "db-data-2", "db-data-3"]
    change_sets(world, replicas=5)
    world.run()
    assert sorted(world.pods) == [f"db-data-{ordinal}" for ordinal in range(5)]


def test_claims_of_a_member_that_was_scaled_away_are_kept_and_used_again() -> None:
    world = running(World(node_set("data", 3, claims=2)))
    change_sets(world, replicas=2)
    world.run()
    kept = {name: claim.metadata.uid for name, claim in world.claims.items()}
    assert len(kept) == 6
    change_sets(world, replicas=3)
    world.run()
    assert {name: claim.metadata.uid for name, claim in world.claims.items()} == kept
    assert not any(specs.ANNOTATION_RELEASED in claim.metadata.annotations for claim in world.claims.values())


def test_claims_of_a_member_that_was_scaled_away_are_deleted_where_the_policy_says_so() -> None:
    world = running(World(node_set("data", 3, claims=2), persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete"}))
    change_sets(world, replicas=2)
    world.run()
    assert len(world.claims) == 4


def test_claims_that_were_kept_stay_when_the_policy_changes_afterwards() -> None:
    world = running(World(node_set("data", 3, claims=1)))
    change_sets(world, replicas=2)
    world.run()
    world.set(persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete"})
    world.run()
    assert len(world.claims) == 3


def test_a_scale_down_that_is_taken_back_half_way_leaves_the_member_where_it_is() -> None:
    world = running(World(node_set("data", 3, claims=2)))
    before = {name: pod.metadata.uid for name, pod in world.pods.items()}
    change_sets(world, replicas=2)
    world.reconcile(crash_after=2)  # the budget, and the first of two claims
    change_sets(world, replicas=3)
    world.run()
    assert {name: pod.metadata.uid for name, pod in world.pods.items()} == before
    assert not any(specs.ANNOTATION_RELEASED in claim.metadata.annotations for claim in world.claims.values())


def test_a_member_without_a_pod_is_not_confused_with_one_that_was_scaled_away() -> None:
    """Member 2 was scaled away and member 3 has lost its pod: it is 3 that comes back, with its own data."""
    world = World(node_set("data", 4, claims=1))
    world.reconcile()
    for ordinal, where in enumerate(["a00", "b00", "b10", "c00"]):
        world.place(f"db-data-{ordinal}", where)
    world.run()
    change_sets(world, replicas=3)
    world.run()
    assert sorted(world.pods) == ["db-data-0", "db-data-1", "db-data-3"]
    del world.pods["db-data-3"]
    assert told(world.plan().actions) == [("Create", "db-data-3")]


def test_a_quorum_set_does_not_shrink_while_that_would_cost_it_its_majority() -> None:
    world = running(World(node_set("data", 5, quorum=True), scaleDown={"victim": "HighestOrdinal"}))
    for ordinal in (0, 1):
        world.set_ready(f"db-data-{ordinal}", now=False)
    change_sets(world, replicas=4)
    world.reconcile()
    assert not any(pod.metadata.deletion_timestamp for pod in world.pods.values())
    assert world.plan().pending[0].held_by == "only 2 ready members of 3 needed for a majority would be left"


def test_while_a_quorum_set_shrinks_nobody_else_may_evict_from_it() -> None:
    world = running(World(node_set("data", 5, quorum=True)))
    change_sets(world, replicas=3)
    patch, delete = world.plan().actions[0], world.plan().actions[-1]
    assert isinstance(patch, Patch)
    assert (patch.kind, patch.name) == ("PodDisruptionBudget", "db-data")
    assert patch.body["spec"] == {
        "minAvailable": 5, "maxUnavailable": None, "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": {"stowplan.dev/cluster": "db", "stowplan.dev/node-set": "data"}},
    }  # fmt: skip
    assert delete == patch, "no member goes before the budget is changed"


def test_a_set_that_is_no_longer_in_the_spec_goes_after_the_others_are_ready() -> None:
    world = running(World(node_set("old", 2), node_set("data", 1)))
    world.set(nodeSets=[node_set("data", 2)])
    world.reconcile()
    assert {"db-old-0", "db-old-1"} < set(world.pods)
    world.run()
    assert sorted(world.pods) == ["db-data-0", "db-data-1"]
    assert sorted(world.budgets) == ["db-data"]


# --- rollout ----------------------------------------------------------------------------------------------------


def versions(world: World) -> dict[str, bool]:
    return {m.name: m.outdated for group in world.groups().values() for m in group.members}


def test_a_template_reaches_one_member_after_the_other_from_the_highest_down() -> None:
    world = running(World(node_set("data", 3)))
    images(world, "v2")
    world.reconcile()
    assert [name for name, pod in world.pods.items() if pod.metadata.deletion_timestamp] == ["db-data-2"]
    world.live()  # it is gone
    world.reconcile()
    assert versions(world) == {"db-data-0": True, "db-data-1": True, "db-data-2": False}
    world.run()
    assert not any(versions(world).values())


def test_a_template_that_never_gets_ready_costs_no_more_than_its_first_member_and_can_be_rolled_back() -> None:
    world = running(World(node_set("data", 3)))
    images(world, BAD_IMAGE)
    for _ in range(20):
        world.reconcile()
        world.live()
    assert versions(world) == {"db-data-0": True, "db-data-1": True, "db-data-2": False}
    assert world.groups()["data"].ready == 2
    images(world, "v1")
    world.reconcile(crash_after=1)  # the template is checked
    assert told(world.plan().actions) == [("Evict", "db-data-2")]
    world.run()
    assert world.groups()["data"].ready == 3


def test_a_template_that_the_api_server_refuses_costs_nobody() -> None:
    world = running(World(node_set("data", 3)))
    world.refused_images.add("v2")
    images(world, "v2")
    world.run()
    assert world.groups()["data"].ready == 3
    assert {each.held_by for each in world.plan().pending} == {"the API server refuses the new template: no such field"}


@pytest.mark.parametrize("strategy", ["RollingUpdate", "OnDelete"])
@pytest.mark.parametrize("lost", [["db-data-1"], ["db-data-0", "db-data-1", "db-data-2"]], ids=["one", "all"])
def test_members_that_lose_their_pod_meanwhile_come_back_as_they_were(lost: list[str], strategy: str) -> None:
    world = running(World(node_set("data", 3), updateStrategy={"type": strategy}))
    world.refused_images.add("v2")
    images(world, "v2")
    for name in lost:
        del world.pods[name]
    world.run()
    assert world.groups()["data"].ready == 3
    assert versions(world) == {"db-data-0": True, "db-data-1": True, "db-data-2": True}
    if strategy == "RollingUpdate":
        world.refused_images.clear()
        world.templates.clear()
        world.run()
        assert not any(versions(world).values())


def test_at_most_max_unavailable_members_are_replaced_at_once() -> None:
    world = running(
        World(node_set("data", 5), updateStrategy={"maxUnavailable": 2}, disruptionBudget={"maxUnavailable": 3})
    )
    world.set_ready("db-data-0", now=False)
    images(world, "v2")
    world.reconcile(crash_after=1)  # the template is checked
    evicted = [action.name for action in world.plan().actions if isinstance(action, Evict)]
    assert evicted == ["db-data-0", "db-data-4"]


def test_a_rollout_takes_no_more_than_the_disruption_budget_allows() -> None:
    world = running(World(node_set("data", 5), updateStrategy={"maxUnavailable": 3}))
    images(world, "v2")
    world.reconcile(crash_after=1)
    assert told(world.plan().actions) == [("Evict", "db-data-4")]


def test_the_sets_are_updated_in_the_order_of_the_strategy() -> None:
    world = running(World(
        node_set("data", 1), node_set("master", 1, roles=["leader"]), node_set("ingest", 1),
        updateStrategy={"order": ["ingest", "leader"]},
    ))  # fmt: skip
    images(world, "v2")
    seen: list[str] = []
    for _ in range(12):
        world.reconcile()
        seen += [name for name, pod in world.pods.items() if pod.metadata.deletion_timestamp and name not in seen]
        world.live()
    assert seen == ["db-ingest-0", "db-master-0", "db-data-0"]


def test_members_below_the_partition_keep_their_template() -> None:
    world = running(World(node_set("data", 3), updateStrategy={"partition": 2}))
    images(world, "v2")
    world.run()
    assert versions(world) == {"db-data-0": True, "db-data-1": True, "db-data-2": False}


def test_with_on_delete_a_member_is_updated_when_somebody_deletes_its_pod() -> None:
    world = running(World(node_set("data", 2), updateStrategy={"type": "OnDelete"}))
    images(world, "v2")
    world.run()
    assert versions(world) == {"db-data-0": True, "db-data-1": True}
    del world.pods["db-data-1"]
    world.run()
    assert versions(world) == {"db-data-0": True, "db-data-1": False}


def test_a_paused_cluster_is_left_alone_and_says_what_waits() -> None:
    world = running(World(node_set("data", 2)))
    world.set(paused=True)
    change_sets(world, replicas=3)
    images(world, "v2")
    del world.pods["db-data-0"]
    asked = world.plan().actions
    assert all(isinstance(each, CheckTemplate) for each in asked)
    world.reconcile()
    plan = world.plan()
    assert (plan.actions, list(world.pods)) == ((), ["db-data-1"])
    assert {each.held_by for each in plan.pending if each.target == "db-data-0"} == {"spec.paused is true"}


def test_members_that_run_nowhere_get_a_new_template_all_at_once() -> None:
    world = World(node_set("data", 5))
    world.reconcile()
    images(world, "v2")
    world.reconcile(crash_after=1)
    assert told(world.plan().actions) == [("Delete", f"db-data-{ordinal}") for ordinal in (4, 3, 2, 1, 0)]


# --- volumes ----------------------------------------------------------------------------------------------------


def test_a_claim_grows_with_its_template_without_a_restart() -> None:
    world = running(World(node_set("data", 1, claims=1)))
    change_sets(world, volumeClaimTemplates=[
        {"metadata": {"name": "vol0"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}])  # fmt: skip
    action = only(world)
    assert isinstance(action, Patch)
    assert (action.name, action.why) == ("vol0-db-data-0", "grow from 1Gi to 2Gi")
    uid = world.pods["db-data-0"].metadata.uid
    world.run()
    assert world.pods["db-data-0"].metadata.uid == uid


def test_a_claim_of_another_storage_class_than_its_template_now_is_told_and_left_alone() -> None:
    def template(name: str) -> JsonValue:
        storage: JsonValue = {"storageClassName": name, "resources": {"requests": {"storage": "1Gi"}}}
        return {"metadata": {"name": "vol0"}, "spec": storage}

    world = World(node_set("data", 1, volumeClaimTemplates=[template("slow")]))
    running(world)
    before = world.claims["vol0-db-data-0"].metadata.uid
    change_sets(world, volumeClaimTemplates=[template("fast")], replicas=2)
    world.run()
    assert {name: claim.spec.storage_class_name for name, claim in world.claims.items()} == {
        "vol0-db-data-0": "slow", "vol0-db-data-1": "fast",
    }  # fmt: skip
    assert world.claims["vol0-db-data-0"].metadata.uid == before
    (waits,) = world.status.pending_changes
    assert (waits.target, waits.change) == ("vol0-db-data-0", "move from StorageClass slow to fast")
    assert waits.held_by == "a claim keeps its class: delete it and the pod db-data-0, and it is made anew, empty"


def test_a_claim_template_that_is_added_is_rolled_out_with_its_claim() -> None:
    world = running(World(node_set("data", 1, claims=1)))
    change_sets(world, volumeClaimTemplates=node_set(claims=2)["volumeClaimTemplates"])
    world.run()
    assert sorted(world.claims) == ["vol0-db-data-0", "vol1-db-data-0"]
    assert not any(versions(world).values())


@pytest.mark.parametrize(("first", "then"), [("Retain", "Delete"), ("Delete", "Retain")])
def test_claims_follow_a_change_of_when_deleted(first: str, then: str) -> None:
    world = running(World(node_set("data", 1, claims=1), persistentVolumeClaimRetentionPolicy={"whenDeleted": first}))
    world.set(persistentVolumeClaimRetentionPolicy={"whenDeleted": then})
    world.run()
    owners = [ref.uid for ref in world.claims["vol0-db-data-0"].metadata.owner_references]
    assert owners == (["cluster-1"] if then == "Delete" else [])


def test_an_api_server_that_refuses_a_pod_is_asked_again_and_nothing_else_is_touched() -> None:
    world = running(World(node_set("data", 2)))
    world.refused_images.add("v1")
    del world.pods["db-data-0"]
    world.reconcile()
    action = only(world)
    assert isinstance(action, Create)
    with pytest.raises(Refused):
        world.apply(action)
    assert world.groups()["data"].every[0].state is State.MISSING or "db-data-0" not in world.pods
