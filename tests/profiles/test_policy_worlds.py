"""Several policies, pods that come and go, and the whole scheduler: each decision against a brute force.

Every pod that gets a node keeps every Required rule of its policy at that moment, and every pod that is left waiting
fits on no node. Both are judged by the scalar twin, pod by pod, from the API objects alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import INTERNER, node, raw_pod
from tests.gangs import world as gangs
from tests.plugins.generated import UNHURRIED
from tests.profiles import test_properties as generated
from tests.profiles.scalar import Twin, selects
from tests.profiles.world import policy

from stowplan.api import common
from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.scheduler.cycle import Placed

CPUS = 4
"""Of each node; pods ask for one or two."""


@st.composite
def some_policies(draw: st.DrawFn, name: str) -> SchedulingPolicy:
    """Rules of every kind, Required and Preferred, limits and weights."""
    rules: dict[str, list[dict[str, object]]] = {
        "spread": [draw(generated.spread_rules(f"spread-{at}")) for at in range(draw(st.integers(0, 2)))],
        "separate": [draw(generated.separate_rules(f"separate-{at}")) for at in range(draw(st.integers(0, 1)))],
        "colocate": [draw(generated.colocate_rules(f"colocate-{at}")) for at in range(draw(st.integers(0, 1)))],
    }
    for rule in (each for kind in rules.values() for each in kind):
        if "minDomains" not in rule and draw(st.integers(0, 2)) == 0:
            rule |= {"enforcement": "Preferred", "weight": draw(st.sampled_from([1, 50, 100]))}
    limits: dict[str, object] = {}
    if draw(st.booleans()):
        limits["podsPerNode"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        limits["utilization"] = {"cpu": draw(st.sampled_from(["0.5", "0.75"]))}
    more: dict[str, Any] = {
        "mode": draw(st.sampled_from(["Enforce", "Enforce", "Enforce", "DryRun"])),
        "precedence": draw(st.integers(0, 1)),
        "scoring": {"weights": {"NodeResourcesFit": draw(st.sampled_from([0, 1, 100]))}},
        "selector": draw(st.sampled_from([{}, {"matchLabels": {"role": "data"}}, {"matchLabels": {"tier": "1"}}])),
        "nodes": {"limits": limits},
    }
    return policy(name, **rules, **more)  # type: ignore[arg-type]


def some_nodes() -> st.SearchStrategy[list[objects.Node]]:
    return st.lists(st.tuples(st.sampled_from("abb-"), st.sampled_from("122-")), min_size=1, max_size=6).map(
        lambda found: [
            node(f"n{at}", zone=None if zone == "-" else zone, rack=None if rack == "-" else rack, cpu=str(CPUS))
            for at, (zone, rack) in enumerate(found)
        ]
    )


@dataclasses.dataclass(frozen=True)
class Asked:
    """A pod to be created."""

    role: str | None
    tier: str | None
    cluster: str | None
    cpu: int

    def made(self, name: str, on: str = "") -> objects.Pod:
        labels = {"role": self.role, "tier": self.tier, common.LABEL_CLUSTER: self.cluster}
        found = {key: value for key, value in labels.items() if value is not None}
        return raw_pod(name, labels=found, cpu=str(self.cpu), on=on)


some_pods = st.builds(
    Asked,
    role=st.sampled_from([None, "data", "data", "master"]),
    tier=st.sampled_from([None, "1"]),
    cluster=st.sampled_from([None, None, "one"]),
    cpu=st.integers(1, 2),
)


class OneOfSeveral(Twin):
    """The rules of one policy, for the pods that the highest precedence gives to it."""

    def __init__(self, mine: SchedulingPolicy, policies: Sequence[SchedulingPolicy], *of_twin: Any) -> None:
        super().__init__(mine.spec, *of_twin)
        self._mine = mine
        self._policies = policies

    def _governed(self, pod: objects.Pod) -> bool:
        return governing(self._policies, pod) is self._mine


def governing(policies: Sequence[SchedulingPolicy], pod: objects.Pod) -> SchedulingPolicy | None:
    """All are of one age, so names decide among equals."""
    found = [
        each for each in policies if each.spec.mode == "Enforce" and selects(each.spec.selector, pod.metadata.labels)
    ]
    return min(found, key=lambda each: (-each.spec.precedence, each.metadata.name), default=None)


def cpus(pod: objects.Pod) -> int:
    return int(pod.spec.containers[0].resources.requests["cpu"])


class World(gangs.World):
    """A scheduler that is watched: each bind is judged when it happens."""

    def __init__(self, nodes: Sequence[objects.Node], policies: Sequence[SchedulingPolicy]) -> None:
        super().__init__(nodes, policies)
        self.nodes, self.policies = list(nodes), policies
        self.bound: dict[str, objects.Pod] = {}
        self.waiting: dict[str, objects.Pod] = {}
        self.asked_for: dict[str, Asked] = {}

    def ask(self, name: str, asked: Asked) -> None:
        self.asked_for[name] = asked
        self.waiting[name] = asked.made(name)
        pod = INTERNER.pod(self.waiting[name])
        self.create(pod)
        self.board.scheduler.happened([Happening(ClusterEvent.POD_PENDING, new=pod)], self.now)

    def end(self, name: str) -> None:
        self.delete(INTERNER.pod(self.bound.pop(name)))

    def settle(self) -> None:
        """Tries everybody until nothing changes any more."""
        for _ in range(4):
            self.later(20)
            self.run()

    def feasible(self, pod: objects.Pod) -> set[str]:
        """By brute force."""
        rules, pods = governing(self.policies, pod), list(self.bound.values())
        names = {each.metadata.name for each in self.nodes}
        share = 1.0
        if rules is not None:
            names = OneOfSeveral(rules, self.policies, self.nodes, pods, list(self.waiting.values())).feasible(pod)
            limits = rules.spec.nodes.limits if rules.spec.nodes is not None else None
            share = float(limits.utilization.get("cpu", 1)) if limits is not None else 1.0
        used = dict.fromkeys(names, 0)
        for each in pods:
            if each.spec.node_name in used:
                used[each.spec.node_name] += cpus(each)
        return {name for name in names if used[name] + cpus(pod) <= share * CPUS}

    def _bind(self, placed: Placed) -> None:
        name = placed.pod.name
        assert placed.decision.node in self.feasible(self.waiting[name]), f"{name} on {placed.decision.node}"
        del self.waiting[name]
        self.bound[name] = self.asked_for[name].made(name, placed.decision.node)
        super()._bind(placed)
        self.board.settled(placed.pod.uid)


@settings(UNHURRIED, max_examples=60)
@given(some_policies("one"), some_policies("two"), some_nodes(), st.data())
def test_no_decision_breaks_a_rule_and_who_waits_fits_nowhere(
    one: SchedulingPolicy, two: SchedulingPolicy, nodes: list[objects.Node], data: st.DataObject
) -> None:
    world = World(nodes, [one, two])
    for turn in range(3):
        for at, asked in enumerate(data.draw(st.lists(some_pods, max_size=5), label="new")):
            world.ask(f"p{turn}-{at}", asked)
        world.settle()
        for pod in world.waiting.values():
            assert world.feasible(pod) == set(), f"{pod.metadata.name} waits: {waits_for(world, pod)}"
        if world.bound:
            for name in data.draw(st.sets(st.sampled_from(sorted(world.bound)), max_size=2), label="gone"):
                world.end(name)
    assert world.cache.snapshot.check() == []


def waits_for(world: World, pod: objects.Pod) -> str:
    found: PodInfo = INTERNER.pod(pod)
    return world.message(found)
