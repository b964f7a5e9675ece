"""Small random clusters: a gang is placed if and only if there is any placement of it, and never in part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import (
    HOST,
    ZONE,
    capacity,
    claim,
    csi_driver,
    csi_node,
    info,
    node,
    node_term,
    pod,
    port,
    raw_pod,
    selector,
    spread,
    storage_class,
    term,
    volume,
)
from tests.gangs.world import World
from tests.profiles.world import EVERYTHING, policy

from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.plugin import CycleState
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects

JOB = "batch.kubernetes.io/job-name"
APP = {"app": "x"}


class Case(NamedTuple):
    """A cluster and the members of one gang."""

    nodes: list[objects.Node]
    policy: SchedulingPolicy
    storage: list[StorageObject]
    pods: list[objects.Pod]
    running: list[objects.Pod]


RULES: list[dict[str, object]] = [
    {"separate": [{"name": "hosts", "domain": "host"}]},
    {"separate": [{"name": "zones", "domain": "zone"}]},
    {"separate": [{"name": "roles", "domain": "zone", "pods": {"matchLabels": {"role": "m"}},
                   "from": {"matchLabels": {"role": "r"}}}]},
    {"spread": [{"name": "even", "domain": "zone"}]},
    {"spread": [{"name": "few", "domain": "zone", "maxSkew": 3, "maxPerDomain": 1}]},
    {"spread": [{"name": "wide", "domain": "zone", "minDomains": 3}]},
    {"nodes": {"limits": {"podsPerNode": 1}}},
    {"colocate": [{"name": "near", "domain": "zone", "with": {"matchLabels": {"role": "m"}}}]},
    {"storage": {"requireCapacity": True}},
    {"nodes": {"limits": {"utilization": {"cpu": "0.5"}}}},
    {},
]  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = ["n0", "n1", "n2"][: draw(st.integers(1, 3))]
    nodes = [
        node(
            name,
            zone=draw(st.sampled_from(["a", "b", "c"])),
            cpu=draw(st.integers(1, 4)),
            labels={"disk": "ssd"} if draw(st.booleans()) else {},
            taints=["dedicated=db:NoSchedule"] if draw(st.integers(0, 5)) == 0 else [],
        )
        for name in names
    ]
    storage: list[StorageObject] = [storage_class(provisioner="kubernetes.io/no-provisioner")]
    for at in range(draw(st.integers(0, 3))):
        places = [node_term((HOST, "In", [draw(st.sampled_from(names))]))]
        storage.append(volume(f"pv{at}", size=draw(st.sampled_from(["1Gi", "2Gi"])), node_affinity=places))
    storage += [storage_class("made"), csi_driver()]
    for name in names:
        free = f"{draw(st.integers(0, 3))}Gi"
        storage.append(capacity(f"pool-{name}", storage_class="made", topology=selector({HOST: name}), free=free))
        storage.append(csi_node(name, {"csi.example.com": draw(st.sampled_from([1, 2, None]))}))
    running = [
        raw_pod(f"old{at}", on=draw(st.sampled_from(names)), labels={"role": "r", **APP}, cpu="100m")
        for at in range(draw(st.integers(0, 2)))
    ]
    count = draw(st.integers(2, 3))
    pods = []
    for at in range(count):
        role = draw(st.sampled_from(["m", "r"]))
        claims = []
        if draw(st.integers(0, 2)) == 0:
            kind, size = draw(st.sampled_from(["fast", "made"])), draw(st.sampled_from(["1Gi", "2Gi"]))
            storage.append(claim(f"c{at}", storage_class=kind, size=size))
            claims = [f"c{at}"]
        extras = draw(st.sampled_from(["", "", "apart", "spread", "near", "port"]))
        pods.append(
            raw_pod(
                f"p{at}",
                labels={JOB: "train", "role": role, **APP},
                cpu=draw(st.integers(1, 2)),
                node_selector={"disk": "ssd"} if draw(st.integers(0, 3)) == 0 else {},
                anti_affinity=[term(HOST, selector({"role": "r"}))] if extras == "apart" else [],
                spreads=[spread(ZONE, selector(APP))] if extras == "spread" else [],
                affinity=[term(ZONE, selector({"role": "m"}))] if extras == "near" else [],
                ports=[port(80)] if extras == "port" else [],
                claims=claims,
            )
        )
    rules = {**draw(st.sampled_from(RULES)), **draw(st.sampled_from(RULES))}
    least = draw(st.integers(2, count))
    spec = {"selector": EVERYTHING, "gang": {"minMember": least, "groupBy": [JOB]}, **rules}
    return Case(
        nodes, policy("ha", namespace="default", created="2026-01-01T00:00:00Z", **spec), storage, pods, running
    )


def world_of(case: Case) -> World:
    return World(case.nodes, [case.policy], storage=case.storage, running=map(info, case.running))


def most(case: Case) -> int:
    """The most members that filters let be placed one after the other, in any order, on any nodes."""
    return max((len(order) for order in _reachable(world_of(case), case.pods)), default=0)


def _reachable(world: World, left: Sequence[objects.Pod]) -> Iterator[tuple[str, ...]]:
    """Every way to go on from here, by trying everything."""
    seen: set[frozenset[tuple[str, str]]] = set()

    def go(left: tuple[objects.Pod, ...], done: frozenset[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
        if done in seen:
            return
        seen.add(done)
        yield tuple(name for name, _ in done)
        nodes = world.cache.snapshot
        for raw in left:
            one = world.cache.interner.pod(raw)
            framework = world.board.policies.framework_for(one.cls)
            for row in np.flatnonzero(framework.feasible(one, nodes, CycleState())).tolist():
                state = CycleState()
                framework.feasible(one, nodes, state)
                world.cache.assume(one, nodes.name(row))
                if isinstance(framework.reserve(one, nodes, state, row), tuple):
                    rest = tuple(each for each in left if each is not raw)
                    yield from go(rest, done | {(one.name, nodes.name(row))})
                    framework.unreserve(one, nodes, state)
                world.cache.forget(one)

    for each in left:
        world.board.waits(world.cache.interner.pod(each))
    yield from go(tuple(left), frozenset())


@settings(max_examples=80, deadline=None)
@given(cases())
def test_a_gang_is_placed_if_and_only_if_there_is_a_placement_and_never_in_part(case: Case) -> None:
    assert case.policy.spec.gang is not None
    least = case.policy.spec.gang.min_member
    world = world_of(case)
    pods = [world.cache.interner.pod(raw) for raw in case.pods]
    world.create(*pods)
    placed = world.run()
    best = most(case)
    assert len(placed) - len(case.running) == (best if best >= least else 0)
    assert world.cache.snapshot.check() == []


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, int]]]:
    """CPUs of some nodes; members and CPUs of each member of some gangs."""
    nodes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    gangs = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 2)), min_size=2, max_size=4))
    return nodes, gangs


@settings(max_examples=60, deadline=None)
@given(crowds(), st.randoms(use_true_random=False))
def test_of_several_gangs_each_is_whole_or_not_there_and_none_waits_that_would_fit(
    crowd: tuple[list[int], list[tuple[int, int]]], random: Random
) -> None:
    cpus, gangs = crowd
    policies = [
        policy(f"g{at}", selector={"matchLabels": {"gang": f"{at}"}}, gang={"minMember": size})
        for at, (size, _) in enumerate(gangs)
    ]
    world = World([node(f"n{at}", cpu=cpu) for at, cpu in enumerate(cpus)], policies)
    pods = [
        pod(f"g{at}-{number}", labels={"gang": f"{at}"}, cpu=cpu)
        for at, (size, cpu) in enumerate(gangs)
        for number in range(size)
    ]
    random.shuffle(pods)
    for each in pods:
        world.create(each)
        world.run()
    for _ in range(5):
        world.later(60)
        world.run()
    running = Counter(name.partition("-")[0] for name in world.placed())
    for at, (size, cpu) in enumerate(gangs):
        assert running[f"g{at}"] in (0, size)
        left = world.cache.snapshot.allocatable[0] - world.cache.snapshot.requested[0]
        assert running[f"g{at}"] or int((left // (1000 * cpu)).sum()) < size
