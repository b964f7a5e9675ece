"""What a policy in mode DryRun says in its status: each pod once, gangs as a whole, and who waits in vain."""

from __future__ import annotations

from tests.builders import node, pod
from tests.gangs.world import World
from tests.profiles.world import Spec, policy

from stowplan.api.policy import SchedulingPolicy
from stowplan.api.policy_status import Shadow
from stowplan.model.pods import PodInfo

DB = {"app": "db"}
SELECT_DB: Spec = {"matchLabels": DB}
ONE_A_NODE: Spec = {"limits": {"podsPerNode": 1}}
NODES = [node(f"n{number}", cpu="8") for number in range(3)]


def dry(**spec: object) -> SchedulingPolicy:
    return policy("dry", mode="DryRun", selector=SELECT_DB, **spec)  # type: ignore[arg-type]


def member(number: int, job: str = "one", **more: object) -> PodInfo:
    return pod(f"{job}-{number}", labels={**DB, "job": job}, cpu="1", **more)  # type: ignore[arg-type]


def gang(least: int) -> Spec:
    return {"minMember": least, "groupBy": ["job"]}


def told(world: World) -> Shadow:
    return world.board.facts("default/dry").shadow


def test_each_pod_counts_once_and_in_one_way() -> None:
    """There are three nodes, and the policy would put one pod on each of them."""
    world = World(NODES, [dry(nodes=ONE_A_NODE)])
    world.create(*(member(number) for number in range(3)))
    world.run()
    assert told(world) == Shadow(decisions=3)
    world.create(member(3))
    world.run()
    assert told(world) == Shadow(decisions=4, impossible=1)
    world.create(member(4, priority=10))
    world.run()
    assert told(world) == Shadow(decisions=5, different=1, evicting=1, impossible=1)


def test_a_node_that_is_only_less_good_is_told_apart_from_one_that_is_rejected() -> None:
    full = [pod(f"other-{number}", cpu="6", on="n0") for number in range(1)]
    media = {"preferred": [{"key": "disk", "values": ["nvme"], "weight": 100}]}
    nodes = [*NODES[:2], node("n2", cpu="4", labels={"disk": "nvme"})]
    world = World(nodes, [dry(storage={"media": media})], running=full)
    world.create(member(0))
    assert world.run()["one-0"] == "n1"
    assert told(world) == Shadow(decisions=1, different=1, better=1)


def test_members_of_a_gang_count_when_enough_of_them_are_there() -> None:
    """They are placed as they come: nothing makes them wait."""
    world = World(NODES, [dry(gang=gang(3))])
    world.create(member(0), member(1))
    world.run()
    assert told(world) == Shadow(decisions=2, incomplete=2)
    world.create(member(2))
    world.run()
    assert told(world) == Shadow(decisions=3)
    world.create(member(3))
    world.run()
    assert told(world) == Shadow(decisions=4)


def test_a_gang_of_which_too_few_fit_would_not_be_placed_at_all() -> None:
    world = World(NODES, [dry(gang=gang(4), nodes=ONE_A_NODE)])
    world.create(*(member(number) for number in range(4)))
    world.run()
    assert told(world) == Shadow(decisions=4, impossible=4)
    world.put_node(node("n3", cpu="8"))
    world.create(member(4))
    world.run()
    assert told(world) == Shadow(decisions=5, impossible=1), "with the fifth there are four that fit"


def test_a_gang_that_holds_a_member_which_waits_in_vain_would_not_be_placed() -> None:
    world = World(NODES, [dry(gang=gang(3))])
    world.create(member(0), member(1), member(2, node_selector={"zone": "nowhere"}))
    world.run()
    assert told(world) == Shadow(decisions=2, impossible=2)


def test_members_that_ended_before_their_gang_was_complete_would_not_have_run() -> None:
    world = World(NODES, [dry(gang=gang(3))])
    pods = [member(0), member(1)]
    world.create(*pods)
    world.run()
    world.delete(*pods)
    assert told(world) == Shadow(decisions=2, impossible=2)
    assert told(world) == Shadow(decisions=2, impossible=2)


def test_members_that_ran_before_the_policy_was_made_count_for_their_gang() -> None:
    world = World(NODES, [dry(gang=gang(3))], running=[member(0, on="n0"), member(1, on="n1")])
    world.create(member(2))
    world.run()
    assert told(world) == Shadow(decisions=1)


def test_gangs_are_told_apart() -> None:
    world = World(NODES, [dry(gang=gang(2))])
    world.create(member(0, "one"), member(0, "two"), member(1, "two"), pod("alone", labels=DB))
    world.run()
    assert told(world) == Shadow(decisions=4, incomplete=1)


def test_pods_that_wait_and_would_not_have_to_are_counted_while_they_wait() -> None:
    """By the rules in force there is room for one on each node; a kind that sleeps is judged once for all."""
    strict = policy("strict", selector=SELECT_DB, nodes=ONE_A_NODE)
    world = World(NODES, [strict, dry()])
    pods = [member(number) for number in range(5)]
    world.create(*pods)
    world.run()
    assert told(world) == Shadow(decisions=3, unblocked=2)
    world.create(member(5, node_selector={"zone": "nowhere"}))
    world.run()
    assert told(world) == Shadow(decisions=3, unblocked=2)
    world.delete(pods[4])
    assert told(world) == Shadow(decisions=3, unblocked=1)


def test_members_that_wait_for_their_gang_would_not_have_to_without_it() -> None:
    strict = policy("strict", selector=SELECT_DB, gang=gang(3))
    world = World(NODES, [strict, dry(gang=gang(2))])
    world.create(member(0))
    world.run()
    assert told(world) == Shadow()
    world.create(member(1))
    world.run()
    assert told(world) == Shadow(unblocked=2)


def test_a_pod_for_which_others_are_being_evicted_is_not_stuck() -> None:
    world = World(NODES[:1], [dry()], running=[pod("other", cpu="8", on="n0")])
    world.create(member(0, priority=10))
    world.run()
    assert told(world) == Shadow()


def test_a_policy_that_has_changed_begins_anew_and_others_go_on() -> None:
    other = policy("other", mode="DryRun", namespace="prod", selector={})
    world = World(NODES, [dry(), other])
    world.create(member(0), pod("p", namespace="prod"))
    world.run()
    assert told(world) == Shadow(decisions=1)
    world.apply([dry(nodes=ONE_A_NODE), other])
    assert told(world) == Shadow()
    assert world.board.facts("prod/other").shadow == Shadow(decisions=1)


def test_whoever_writes_the_status_is_told_when_there_is_something_new() -> None:
    world = World(NODES, [policy("strict", selector=SELECT_DB, nodes=ONE_A_NODE), dry()])
    keys: list[str] = []
    world.board.on_trial = keys.append

    def news() -> set[str]:
        found = set(keys)
        keys.clear()
        return found

    pods = [member(number) for number in range(4)]
    world.create(*pods)
    world.run()
    assert news() == {"default/dry"}
    world.create(pod("of-nobody"))
    world.run()
    assert news() == set()
    world.delete(pods[3])
    assert news() == {"default/dry"}
