"""A pod goes back to its volumes although that breaks a spread rule; nobody else may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.builders import HOST, ZONE, claim, claim_volume, node, node_term, pod, volume
from tests.profiles.world import EVERYTHING, World, policy, spread

from stowplan.framework.volumes import StorageObject
from stowplan.model.pods import PodInfo

NODES = [node(f"{zone}{number}", zone=zone) for zone in "abc" for number in (1, 2)]


def world(rules: Sequence[Mapping[str, object]], on: Sequence[str], apart: Sequence[object] = ()) -> World:
    """Pods run on these nodes; the volume of the claim v is in zone a, of w on node a1, of x anywhere."""
    running = [pod(f"p-{index}", on=name) for index, name in enumerate(on)]
    made = World(NODES, [policy(selector=EVERYTHING, spread=rules, separate=apart)], running=running)
    storage: list[StorageObject] = [
        claim("v", volume="pv-v"),
        volume("pv-v", claimed_by="default/v", node_affinity=[node_term((ZONE, "In", ["a"]))]),
        claim("w", volume="pv-w"),
        volume("pv-w", claimed_by="default/w", node_affinity=[node_term((HOST, "In", ["a1"]))]),
        claim("x", volume="pv-x"),
        volume("pv-x", claimed_by="default/x"),
    ]
    for item in storage:
        made.nodes.volumes.put(item)
    return made


def member(*claims: str) -> PodInfo:
    return pod("member", volumes=[claim_volume(each) for each in claims])


def test_a_pod_without_volumes_waits_for_a_domain_that_has_room() -> None:
    assert world([spread()], ["a1"]).feasible(member()) == {"b1", "b2", "c1", "c2"}


def test_a_pod_goes_back_to_its_zone_where_the_rule_is_broken_already() -> None:
    assert world([spread()], ["a1", "b1"]).feasible(member("v")) == {"a1", "a2"}


def test_the_other_rules_still_choose_inside_of_it() -> None:
    rules = [spread(), spread("host", name="hosts")]
    assert world(rules, ["a1"]).feasible(member("v")) == {"a1", "a2"}, "no node keeps both"
    assert world([spread("host", name="hosts")], ["a1"]).feasible(member("v")) == {"a2"}


def test_it_is_the_same_with_the_most_that_a_domain_may_hold() -> None:
    rules = [spread(maxSkew=9, maxPerDomain=1)]
    assert world(rules, ["a1"]).feasible(member()) == {"b1", "b2", "c1", "c2"}
    assert world(rules, ["a1"]).feasible(member("v")) == {"a1", "a2"}


def test_a_volume_that_can_be_used_anywhere_is_no_reason() -> None:
    assert world([spread()], ["a1"]).feasible(member("x")) == {"b1", "b2", "c1", "c2"}


def test_a_rule_that_keeps_pods_apart_never_gives_way() -> None:
    apart = [{"name": "one-per-host", "domain": "host", "enforcement": "Required"}]
    assert world([spread()], ["a1"], apart=apart).feasible(member("w")) == set()


def test_members_with_volumes_come_back_in_whatever_order() -> None:
    """Two volumes in zone a, one in b, none in c: the set was made while c was out."""
    for order in (("p", "q", "r"), ("r", "q", "p"), ("q", "r", "p")):
        made = World(NODES, [policy(selector=EVERYTHING, spread=[spread()])])
        for name, zone in {"p": "a", "q": "a", "r": "b"}.items():
            made.nodes.volumes.put(claim(name, volume=f"pv-{name}"))
            made.nodes.volumes.put(
                volume(f"pv-{name}", claimed_by=f"default/{name}", node_affinity=[node_term((ZONE, "In", [zone]))])
            )
        placed = dict(zip(order, made.place(*(pod(name, volumes=[claim_volume(name)]) for name in order)), strict=True))
        assert {name: where[:1] for name, where in placed.items()} == {"p": "a", "q": "a", "r": "b"}
        (row,) = made.report()
        assert (row.counts, row.violated) == ({"a": 2, "b": 1, "c": 0}, True)
