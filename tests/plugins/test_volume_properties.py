"""What must hold for volumes in any cluster: equal to the scalar twins, nothing given twice, everything given back."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import (
    HOST,
    ZONE,
    capacity,
    claim,
    csi_driver,
    node,
    node_term,
    pod,
    selector,
    snapshot,
    storage_class,
)
from tests.builders import volume as make_volume
from tests.plugins import volume_scalar
from tests.plugins.volume_verdicts import SKIPPED, ask
from tests.plugins.volume_worlds import ARGS, World, wanted, worlds

from stowplan.framework.plugin import SKIP, BindVolume, CycleState, ProvisionClaim
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Refusal
from stowplan.framework.volumes import StorageObject
from stowplan.model import quantity
from stowplan.plugins.node_volume_limits import REASON as TOO_MANY
from stowplan.plugins.node_volume_limits import NodeVolumeLimits
from stowplan.plugins.volume_args import VolumeBindingArgs
from stowplan.plugins.volume_binding import VolumeBinding
from stowplan.plugins.volume_zone import REASON as WRONG_ZONE
from stowplan.plugins.volume_zone import VolumeZone

args = st.sampled_from(ARGS)


@given(worlds(), st.lists(st.tuples(wanted, st.integers(0, 3), st.booleans()), min_size=1, max_size=4), args)
@settings(max_examples=200, deadline=None)
def test_binding_equals_its_scalar_twin_while_pods_are_placed_and_give_up(
    world: World, steps: list[tuple[list[str], int, bool]], args: VolumeBindingArgs
) -> None:
    nodes, plugin = world.snapshot(), VolumeBinding(args)
    for at, (names, chance, give_up) in enumerate(steps):
        p, state = pod(f"p{at}", claims=names), CycleState()
        if isinstance(answer := plugin.pre_filter(p, nodes, state), Refusal):
            continue
        assert answer is not SKIP
        fast = ask(plugin, p, nodes, state)
        slow = {each.metadata.name: volume_scalar.bind(p, each, nodes, args) for each in nodes.nodes}
        assert fast == {name: found.reasons for name, found in slow.items()}
        feasible = [name for name, found in slow.items() if not found.reasons]
        if feasible:
            name = feasible[chance % len(feasible)]
            writes = plugin.reserve(p, nodes, state, nodes.row_of[name])
            assert not isinstance(writes, Refusal)
            bindings = {each.claim: each.volume for each in writes if isinstance(each, BindVolume)}
            assert bindings == slow[name].static
            assert [each.claim for each in writes if isinstance(each, ProvisionClaim)] == slow[name].dynamic
            if give_up:
                plugin.unreserve(p, nodes, state)
        assert nodes.check() == []


@given(worlds(), wanted)
@settings(max_examples=200, deadline=None)
def test_zones_equal_their_scalar_twin(world: World, names: list[str]) -> None:
    nodes, p = world.snapshot(), pod("p", claims=names)
    found = ask(VolumeZone(), p, nodes)
    slow = {
        each.metadata.name: [WRONG_ZONE] * volume_scalar.zone_conflict(p, each, nodes.volumes) for each in nodes.nodes
    }
    if found == SKIPPED:
        assert not any(slow.values())
    elif not isinstance(found, str):
        assert found == slow


@given(worlds(), wanted, st.lists(st.integers(0, 1), max_size=2, unique=True))
@settings(max_examples=200, deadline=None)
def test_limits_equal_their_scalar_twin_while_pods_leave(world: World, names: list[str], leaving: list[int]) -> None:
    nodes, p = world.snapshot(), pod("p", claims=names)
    for each in [None, *leaving]:
        if each is not None:
            nodes.remove_pod(f"uid-default/running-{each}")
        expected = {
            there.metadata.name: ["!" + TOO_MANY] * volume_scalar.too_many(p, there, nodes) for there in nodes.nodes
        }
        assert ask(NodeVolumeLimits(), p, nodes) == expected
        assert nodes.check() == []


@given(worlds(), st.lists(wanted, min_size=1, max_size=3), st.integers(0, 3), args)
@settings(max_examples=200, deadline=None)
def test_reserve_then_unreserve_changes_nothing(
    world: World, pods: list[list[str]], row: int, args: VolumeBindingArgs
) -> None:
    nodes, plugin = world.snapshot(), VolumeBinding(args)
    before = nodes.fork()
    reserved = []
    for at, names in enumerate(pods):
        p, state = pod(f"p{at}", claims=names), CycleState()
        if not isinstance(plugin.reserve(p, nodes, state, row % len(nodes)), Refusal):
            reserved.append((p, state))
    for p, state in (*reserved, *reserved):
        plugin.unreserve(p, nodes, state)
    assert nodes.volumes.differences(nodes, before.volumes, before) == []
    assert nodes.check() == []


@given(worlds(), wanted, st.integers(0, 3), args)
@settings(max_examples=100, deadline=None)
def test_a_fork_goes_its_own_way(world: World, names: list[str], row: int, args: VolumeBindingArgs) -> None:
    nodes, plugin = world.snapshot(), VolumeBinding(args)
    before = ask(plugin, pod("p", claims=names), nodes)
    fork, twin = nodes.fork(), world.snapshot()
    assert ask(plugin, pod("p", claims=names), fork) == before
    plugin.reserve(pod("q", claims=names), fork, CycleState(), row % len(nodes))
    for uid in list(fork.pods):
        fork.remove_pod(uid)
    assert nodes.volumes.differences(nodes, twin.volumes, twin) == []
    assert ask(plugin, pod("p", claims=names), nodes) == before
    assert fork.check() == []


def promised(nodes: Snapshot) -> Counter[str]:
    """Bytes promised by node."""
    found: Counter[str] = Counter()
    for promises in nodes.volumes.capacity.promises.values():
        for each in promises.values():
            found[each.node] += each.size
    return found


@given(
    free=st.lists(st.integers(0, 9), min_size=4, max_size=4),
    by_zone=st.booleans(),
    asked=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=8),
    local=st.integers(0, 4),
    chances=st.lists(st.integers(0, 7), min_size=8, max_size=8),
    failing=st.sets(st.integers(0, 7)),
)
@settings(max_examples=200, deadline=None)
def test_no_volume_is_given_twice_and_no_space_promised_twice(
    *, free: list[int], by_zone: bool, asked: list[list[int]], local: int, chances: list[int], failing: set[int]
) -> None:
    segments = {"a": [0, 1], "b": [2, 3]} if by_zone else {f"n{at}": [at] for at in range(4)}
    key = ZONE if by_zone else HOST
    storage: list[StorageObject] = [storage_class(), csi_driver()]
    storage += [
        capacity(f"p{at}", topology=selector({key: name}), free=f"{free[at]}Gi") for at, name in enumerate(segments)
    ]
    storage += [
        make_volume(f"v{at}", size="2Gi", node_affinity=[node_term((HOST, "In", [f"n{at}"]))]) for at in range(local)
    ]
    claims = [[f"c{at}-{nr}" for nr in range(len(each))] for at, each in enumerate(asked)]
    storage += [
        claim(name, size=f"{size}Gi")
        for names, each in zip(claims, asked, strict=True)
        for name, size in zip(names, each, strict=True)
    ]
    nodes = snapshot([node(f"n{at}", zone="ab"[at // 2]) for at in range(4)], storage=storage)
    plugin = VolumeBinding(VolumeBindingArgs())
    given_out: dict[str, str] = {}
    for at, names in enumerate(claims):
        p, state = pod(f"p{at}", claims=names), CycleState()
        found = ask(plugin, p, nodes, state)
        assert isinstance(found, dict)
        feasible = np.flatnonzero([not found[nodes.name(row)] for row in range(len(nodes))])
        if len(feasible) == 0:
            continue
        writes = plugin.reserve(p, nodes, state, int(feasible[chances[at] % len(feasible)]))
        assert not isinstance(writes, Refusal)
        if at in failing:
            plugin.unreserve(p, nodes, state)
            continue
        for each in writes:
            if isinstance(each, BindVolume):
                assert each.volume not in given_out
                given_out[each.volume] = each.claim
    taken = promised(nodes)
    for at, rows in enumerate(segments.values()):
        assert sum(taken[f"n{row}"] for row in rows) <= quantity.value(f"{free[at]}Gi")
    assert nodes.check() == []
