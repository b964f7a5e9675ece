from __future__ import annotations

from datetime import timedelta

import pytest
from tests.reconcile.test_fixed_point import change_sets, images
from tests.reconcile.world import BAD_IMAGE, HOST, RACK, ZONE, World, node_set

from stowplan.api.cluster import MAX_NODE_SETS
from stowplan.api.common import Condition
from stowplan.api.policy import SchedulingPolicySpec
from stowplan.reconcile.classify import fleet
from stowplan.reconcile.observed import NodeView, TimedCondition
from stowplan.reconcile.placement import MOST_DOMAINS
from stowplan.reconcile.plan import Refusal
from stowplan.reconcile.status import status


def said(world: World, kind: str) -> Condition:
    return next(each for each in world.status.conditions if each.type == kind)


def verdicts(world: World) -> dict[str, tuple[str, str]]:
    return {each.type: (each.status, each.reason) for each in world.status.conditions}


def placed(world: World, *where: str) -> World:
    """Members of the first set in these places, everything at rest."""
    world.reconcile()
    for name, node in zip(sorted(world.pods), where, strict=True):
        world.place(name, node)
    world.run()
    return world


def test_a_cluster_at_rest_says_so() -> None:
    world = placed(World(node_set("data", 3, claims=1)), "a00", "b00", "c00")
    assert verdicts(world) == {
        "Ready": ("True", "AllMembersReady"),
        "Progressing": ("False", "Complete"),
        "Degraded": ("False", "AsExpected"),
        "PlacementSatisfied": ("True", "Satisfied"),
        "VolumesReady": ("True", "AllBound"),
    }
    assert {each.observed_generation for each in world.status.conditions} == {world.generation}
    assert world.status.selector == "stowplan.dev/cluster=db"
    assert world.status.summary.ready == "3/3"
    assert world.status.pending_changes == ()


def test_placement_counts_every_domain_also_the_empty_ones() -> None:
    world = placed(World(node_set("data", 3)), "a00", "a01", "b00")
    zone, rack, host = world.status.placement
    assert (zone.domain, zone.counts, zone.skew) == ("zone", {"a": 2, "b": 1, "c": 0}, 2)
    assert rack.counts == {"a-0": 2, "a-1": 0, "b-0": 1, "b-1": 0, "c-0": 0, "c-1": 0}
    assert (host.skew, sum(host.counts.values())) == (1, 3)


def test_without_failure_domains_in_the_policy_it_is_zones_and_hosts() -> None:
    world = World(node_set("data", 3))
    world.policy = SchedulingPolicySpec()
    world = placed(world, "a00", "b00", "c00")
    assert [(each.domain, each.skew) for each in world.status.placement] == [("zone", 0), ("host", 1)]
    assert world.status.survives == ("zone", "host")


def test_with_many_domains_the_empty_ones_are_left_out() -> None:
    world = placed(World(node_set("data", 1)), "a00")
    world.nodes |= {
        f"n{index}": NodeView(name=f"n{index}", labels={ZONE: "a", RACK: "a-0", HOST: f"n{index}"})
        for index in range(MOST_DOMAINS)
    }
    world.reconcile()
    host = world.status.placement[2]
    assert (host.counts, host.skew) == ({"a00": 1}, 1)


@pytest.mark.parametrize(
    ("quorum", "where", "survives"),
    [
        pytest.param(True, ["a00", "b00", "c00"], ("zone", "rack", "host"), id="a quorum over three zones"),
        pytest.param(True, ["a00", "a10", "b00"], ("rack", "host"), id="a quorum with two of three in one zone"),
        pytest.param(True, ["a00", "a01", "b00"], ("host",), id="a quorum with two of three in one rack"),
        pytest.param(True, ["a00", "a00", "b00"], (), id="a quorum with two of three on one host"),
        pytest.param(False, ["a00", "a01", "b00"], ("zone", "rack", "host"), id="copies, of which one is enough"),
        pytest.param(False, ["a00", "a01", "a10"], ("rack", "host"), id="copies in one zone"),
    ],
)
def test_what_a_set_survives(quorum: bool, where: list[str], survives: tuple[str, ...]) -> None:
    assert placed(World(node_set("data", 3, quorum=quorum)), *where).status.survives == survives


def test_a_member_that_is_not_ready_helps_nobody_survive() -> None:
    world = placed(World(node_set("data", 3, quorum=True)), "a00", "b00", "c00")
    world.set_ready("db-data-0", now=False)
    world.reconcile()
    assert world.status.survives == ()


def test_ready_is_not_true_while_a_generation_is_not_acted_on() -> None:
    world = placed(World(node_set("data", 3)), "a00", "b00", "c00")
    images(world, "v2")
    world.reconcile()
    assert said(world, "Ready").status == "False"
    assert said(world, "Ready").observed_generation == world.generation
    world.run()
    assert said(world, "Ready").status == "True"


def test_a_rollout_that_gets_stuck_says_where() -> None:
    world = placed(World(node_set("data", 3)), "a00", "b00", "c00")
    images(world, BAD_IMAGE)
    for _ in range(10):
        world.reconcile()
        world.live()
    assert said(world, "Progressing").reason == "RollingOut"
    world.now += timedelta(minutes=11)
    world.reconcile()
    assert verdicts(world)["Progressing"] == ("False", "Stalled")
    assert verdicts(world)["Degraded"][0] == "True"
    waits = {each.target: each.held_by for each in world.status.pending_changes}
    assert waits == {f"db-data-{each}": "db-data-2 is not ready: it is starting" for each in (0, 1)}


def test_a_quorum_set_without_its_majority_is_degraded() -> None:
    world = placed(World(node_set("data", 3, quorum=True)), "a00", "b00", "c00")
    for name in ("db-data-0", "db-data-1"):
        world.set_ready(name, now=False)
    world.reconcile()
    assert said(world, "Degraded").reason == "NoMajority"
    assert said(world, "Degraded").message.startswith("node set data has 1 ready member of 2 needed; ")


def test_members_that_no_node_takes_are_named_with_the_schedulers_words() -> None:
    world = World(node_set("data", 1))
    world.reconcile()
    world.pods["db-data-0"].status.conditions = [
        TimedCondition(type="PodScheduled", status="False", reason="Unschedulable", message="0/12 nodes are available")
    ]
    world.reconcile()
    placement = said(world, "PlacementSatisfied")
    assert (placement.status, placement.reason) == ("False", "Unschedulable")
    assert placement.message == "db-data-0 is Unschedulable: 0/12 nodes are available"


def test_a_missing_policy_is_named() -> None:
    world = World(node_set("data", 1), schedulingPolicyRef={"name": "ha"})
    world.policy = None
    world.reconcile()
    assert verdicts(world)["Progressing"] == ("False", "PolicyNotFound")
    assert said(world, "PlacementSatisfied").message == "SchedulingPolicy ha not found"


def test_what_the_api_server_refuses_is_repeated() -> None:
    world = placed(World(node_set("data", 1)), "a00")
    observed = world.observe()
    refusal = Refusal(target="db-data-0", change="create Pod", reason="Forbidden", message="exceeded quota: pods")
    told = status(observed, fleet(observed), world.plan(), (refusal,), world.now)
    ready = next(each for each in told.conditions if each.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "Refused")
    assert ready.message == "the API server refuses db-data-0: exceeded quota: pods"
    (waits,) = told.pending_changes
    assert (waits.target, waits.change, waits.held_by) == ("db-data-0", "create Pod", "exceeded quota: pods")


def test_claims_are_waited_for() -> None:
    world = World(node_set("data", 1, claims=1))
    world.reconcile()
    assert verdicts(world)["VolumesReady"] == ("False", "ClaimsPending")
    world.run()
    change_sets(world, volumeClaimTemplates=[
        {"metadata": {"name": "vol0"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}])  # fmt: skip
    world.reconcile()
    assert said(world, "VolumesReady").message == "vol0-db-data-0 grows from 1Gi to 2Gi"


def test_a_claim_that_somebody_deletes_under_its_member_is_told() -> None:
    world = placed(World(node_set("data", 1, claims=1)), "a00")
    world.claims["vol0-db-data-0"].metadata.deletion_timestamp = world.now.isoformat()
    world.reconcile()
    assert verdicts(world)["VolumesReady"] == ("False", "ClaimDeleted")
    assert said(world, "VolumesReady").message == (
        "vol0-db-data-0 is being deleted: the member has an empty volume once its pod stops"
    )


def test_members_of_a_set_that_is_in_the_spec_no_longer_have_no_template_of_it() -> None:
    world = World(node_set("old", 2), node_set("data", 1))
    world.run()
    world.set(nodeSets=[node_set("data", 2)])
    world.reconcile()
    assert world.status.summary.updated == "2/2"
    assert {each.name: each.updated for each in world.status.node_sets} == {"data": 2, "old": 0}


def test_every_node_set_of_the_longest_list_is_counted() -> None:
    world = World(*(node_set(f"set-{number}", 1) for number in range(MAX_NODE_SETS)))
    world.run()
    assert [(each.name, each.ready) for each in world.status.node_sets] == [
        (f"set-{number}", 1) for number in range(MAX_NODE_SETS)
    ]


def test_the_time_of_a_condition_is_that_of_its_last_change() -> None:
    world = placed(World(node_set("data", 1)), "a00")
    since = said(world, "Ready").last_transition_time
    world.now += timedelta(hours=1)
    world.set(paused=False)  # another generation, and nothing to do
    world.reconcile()
    assert said(world, "Ready").observed_generation == world.generation
    assert said(world, "Ready").last_transition_time == since


def test_a_long_list_of_pending_changes_is_cut_and_counted() -> None:
    world = World(node_set("data", 40), schedulingPolicyRef={"name": "ha"})
    world.policy = None
    world.reconcile()
    assert len(world.status.pending_changes) == 33
    assert world.status.pending_changes[-1].change == "8 more changes"
