"""Members with volumes that any node of a zone can use come back to their zones, whoever is new meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import HOST, node, node_term, pod, selector, spread, volume
from tests.scheduler.test_homes import World, claim_of, labels

from stowplan.api.policy import SchedulingPolicy
from stowplan.model.pods import PodInfo

ZONE = "topology.kubernetes.io/zone"
ZONES = "abc"
EVEN = {"spread": [{"name": "zones", "domain": "zone", "maxSkew": 1}]}


class Zones(World):
    """Three zones of some hosts, and a cluster whose members are even over them."""

    def __init__(self, hosts: int = 4, *, by_policy: bool) -> None:
        super().__init__()
        self.by_policy = by_policy
        self.running: dict[int, PodInfo] = {}
        self.seen = 0
        domains = [{"name": "zone", "topologyKey": ZONE}, {"name": "host", "topologyKey": HOST}]
        apart = {"separate": [{"name": "one-per-host", "domain": "host"}]}
        spec = {"selector": {}, "failureDomains": domains, **apart, **(EVEN if by_policy else {})}
        policy = {"metadata": {"name": "apart", "namespace": "default"}, "spec": spec}
        self.board.apply([SchedulingPolicy.model_validate(policy)], [])
        for zone in ZONES:
            for host in range(hosts):
                self.cache.put_node(node(f"{zone}{host}", zone=zone))

    def member(self, ordinal: int, *, on: str = "") -> PodInfo:
        self.seen += 1
        rule = spread(ZONE, selector({"stowplan.dev/cluster": "db"}))
        return pod(
            f"db-data-{ordinal}", uid=f"uid-{self.seen}", on=on, labels=labels(ordinal),
            claims=[f"disk-db-data-{ordinal}"], spreads=[] if self.by_policy else [rule],
        )  # fmt: skip

    def has_volume(self, ordinal: int, zone: str) -> None:
        term = node_term((ZONE, "In", [zone]))
        claimed = f"default/disk-db-data-{ordinal}"
        made = volume(f"pv-{ordinal}", storage_class="local", claimed_by=claimed, node_affinity=[term])
        self.stored(claim_of(ordinal, volume_name=f"pv-{ordinal}"), made)

    def wait(self, ordinal: int) -> None:
        """The operator has made a pod."""
        self.waits(self.member(ordinal))

    def settle(self, seconds: float = 1.0) -> None:
        self.tried(seconds)
        for each in self.cache.snapshot.pods.values():
            self.running[int(each.name.rpartition("-")[2])] = each

    def zones(self) -> Mapping[int, str]:
        return {ordinal: each.node_name[0] for ordinal, each in self.running.items()}


@pytest.mark.parametrize("by_policy", [True, False], ids=["a policy's rule", "the pods' own constraint"])
def test_new_members_leave_its_turn_to_one_that_is_missing(by_policy: bool) -> None:
    world = Zones(by_policy=by_policy)
    for ordinal, zone in enumerate(ZONES):
        world.has_volume(ordinal, zone)
        world.runs(world.member(ordinal, on=f"{zone}0"))
    world.settle()
    world.gone(world.running.pop(0).uid)
    for ordinal in (3, 4, 5):
        world.stored(claim_of(ordinal))
        world.wait(ordinal)
    world.settle()
    assert Counter(world.zones().values()) == {"a": 1, "b": 2, "c": 2}
    world.wait(0)
    world.settle()
    assert world.zones()[0] == "a"


@st.composite
def lives(draw: st.DrawFn) -> tuple[int, list[tuple[str, int]]]:
    """How many members with volumes there are, and who goes, comes back and is new, in which order."""
    size = draw(st.integers(2, 7))
    gone = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=size, unique=True))
    back = draw(st.permutations(gone))
    new = draw(st.integers(0, 4))
    kinds = draw(st.permutations(["goes"] * len(gone) + ["back"] * len(back) + ["new"] * new))
    coming, news = {"goes": list(gone), "back": list(back)}, iter(range(size, size + new))
    steps: list[tuple[str, int]] = []
    away: set[int] = set()
    for kind in kinds:
        if kind == "new":
            steps.append(("new", next(news)))
        elif kind == "goes":
            away.add(coming["goes"][0])
            steps.append(("goes", coming["goes"].pop(0)))
        else:
            there = next((each for each in coming["back"] if each in away), None)
            if there is not None:
                coming["back"].remove(there)
                away.discard(there)
                steps.append(("back", there))
    return size, [*steps, *(("back", each) for each in coming["back"])]


@settings(max_examples=150)
@given(life=lives(), by_policy=st.booleans(), together=st.booleans())
def test_all_come_back_to_their_zones_and_stay_even_in_whatever_order(
    life: tuple[int, list[tuple[str, int]]], by_policy: bool, together: bool
) -> None:
    """The pods of some members are deleted and made again one by one, while new ones come: all find a place."""
    size, steps = life
    world = Zones(by_policy=by_policy)
    zone = {ordinal: ZONES[ordinal % 3] for ordinal in range(size)}
    for ordinal in range(size):
        world.has_volume(ordinal, zone[ordinal])
        world.runs(world.member(ordinal, on=f"{zone[ordinal]}{ordinal // 3}"))
    world.settle(0.0)
    for kind, ordinal in steps:
        if kind == "goes":
            world.gone(world.running.pop(ordinal).uid)
        else:
            if kind == "new":
                world.stored(claim_of(ordinal))
            world.wait(ordinal)
        if not together:
            world.settle(0.1)
    for _ in range(4):
        world.settle(4.0)
    assert world.zones().keys() >= {ordinal for _, ordinal in steps}
    assert {ordinal: world.zones()[ordinal] for ordinal in range(size)} == zone
    counts = Counter(world.zones().values())
    assert max(counts[each] for each in ZONES) - min(counts[each] for each in ZONES) <= 1


def test_who_can_go_elsewhere_leaves_a_node_to_who_cannot() -> None:
    world = Zones(hosts=2, by_policy=True)
    world.has_volume(0, "a")
    term = node_term((HOST, "In", ["a0"]))
    local = volume("pv-1", storage_class="local", claimed_by="default/disk-db-data-1", node_affinity=[term])
    world.stored(claim_of(1, volume_name="pv-1"), local)
    world.runs(world.member(0, on="a1"))
    world.runs(world.member(1, on="a0"))
    world.settle()
    for ordinal in (0, 1):
        world.gone(world.running.pop(ordinal).uid)
    world.cache.put_node(node("a1", zone="a", taints=["down:NoSchedule"]))
    world.wait(0)
    assert "db-data-0" not in {each.name for each in world.cache.snapshot.pods.values()}
    world.settle()
    assert world.zones() == {}
    world.wait(1)
    world.settle()
    assert {ordinal: each.node_name for ordinal, each in world.running.items()} == {1: "a0"}


def test_a_place_that_was_kept_is_free_once_the_member_is_back_elsewhere_in_its_zone() -> None:
    world = Zones(hosts=2, by_policy=True)
    world.has_volume(0, "a")
    world.runs(world.member(0, on="a0"))
    for ordinal, host in enumerate(("b0", "b1", "c0", "c1"), 1):
        world.runs(world.member(ordinal, on=host))
    world.settle()
    world.gone(world.running.pop(0).uid)
    world.stored(claim_of(5))
    world.cache.put_node(node("a1", zone="a", taints=["down:NoSchedule"]))
    world.wait(5)
    world.settle()
    assert 5 not in world.zones(), "the only place left is kept"
    world.scheduler.happened(world.cache.put_node(node("a1", zone="a")), world.now)
    world.cache.put_node(node("a0", zone="a", taints=["down:NoSchedule"]))
    world.wait(0)
    world.settle(11.0)
    world.scheduler.happened(world.cache.put_node(node("a0", zone="a")), world.now)
    world.settle(11.0)
    assert {world.running[0].node_name, world.running[5].node_name} == {"a0", "a1"}
