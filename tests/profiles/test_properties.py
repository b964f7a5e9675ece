"""What holds for every policy, every cluster and every order of things."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import INTERNER, ZONE, node, pod, raw_pod, spread
from tests.builders import selector as select
from tests.plugins.generated import UNHURRIED
from tests.profiles.scalar import Twin
from tests.profiles.world import EVERYTHING, World, policy

from stowplan.api import common
from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.plugin import CycleState
from stowplan.model import objects

domains = st.sampled_from(["zone", "rack", "host"])
selectors = st.sampled_from(
    [
        {},
        {"matchLabels": {"role": "data"}},
        {"matchLabels": {"role": "master"}},
        {"matchExpressions": [{"key": "role", "operator": "Exists"}]},
    ]
)
policies_about_nodes = st.sampled_from(["Honor", "Ignore"])


@st.composite
def spread_rules(draw: st.DrawFn, name: str) -> dict[str, object]:
    rule: dict[str, object] = {
        "name": name,
        "domain": draw(domains),
        "maxSkew": draw(st.integers(1, 3)),
        "groupBy": draw(st.sampled_from([[], ["role"], ["role", "tier"]])),
        "nodeAffinityPolicy": draw(policies_about_nodes),
        "nodeTaintsPolicy": draw(policies_about_nodes),
    }
    if rule["domain"] != "zone" and draw(st.booleans()):
        rule["within"] = "zone"
    if draw(st.booleans()):
        rule["minDomains"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        rule["maxPerDomain"] = draw(st.sampled_from([1, 2, "40%", "75%", "Minority"]))
    return rule


@st.composite
def separate_rules(draw: st.DrawFn, name: str) -> dict[str, object]:
    rule: dict[str, object] = {"name": name, "domain": draw(domains)}
    for side in ("pods", "from"):
        if draw(st.booleans()):
            rule[side] = draw(selectors)
    return rule


@st.composite
def colocate_rules(draw: st.DrawFn, name: str) -> dict[str, object]:
    return {"name": name, "domain": draw(domains), "with": draw(selectors)}


@st.composite
def some_policies(draw: st.DrawFn) -> SchedulingPolicy:
    """A policy whose rules are Required, all of them."""
    limit = draw(st.none() | st.integers(1, 3))
    return policy(
        selector=draw(st.sampled_from([{}, {}, {"matchExpressions": [{"key": "role", "operator": "Exists"}]}])),
        spread=[draw(spread_rules(f"spread-{index}")) for index in range(draw(st.integers(0, 2)))],
        separate=[draw(separate_rules(f"separate-{index}")) for index in range(draw(st.integers(0, 2)))],
        colocate=[draw(colocate_rules(f"colocate-{index}")) for index in range(draw(st.integers(0, 1)))],
        nodes={"limits": {} if limit is None else {"podsPerNode": limit}},
    )


@st.composite
def some_nodes(draw: st.DrawFn) -> list[objects.Node]:
    return [
        node(
            f"n{index}",
            zone=draw(st.sampled_from(["a", "b", "b", None])),
            rack=draw(st.sampled_from(["1", "2", "2", None])),
            taints=draw(st.sampled_from([(), (), (), ("dedicated=x:NoSchedule",)])),
        )
        for index in range(draw(st.integers(1, 7)))
    ]


@st.composite
def some_pods(draw: st.DrawFn, name: str, on: str = "") -> objects.Pod:
    labels = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "role": st.sampled_from(["data", "master"]),
                "tier": st.just("1"),
                common.LABEL_CLUSTER: st.sampled_from(["one", "two"]),
            },
        )
    )
    return raw_pod(
        name,
        on=on,
        namespace=draw(st.sampled_from(["default", "default", "default", "default", "other"])) if on else "default",
        labels=labels,
        terminating=bool(on) and draw(st.integers(0, 5)) == 0,
        node_selector=draw(st.sampled_from([{}, {}, {ZONE: "a"}])),
    )


def feasible(world: World, asked: objects.Pod) -> set[str]:
    """What the plugins of the policy leave, whatever the others say."""
    found = INTERNER.pod(asked)
    plugins = world.policies.framework_for(found.cls).plugins
    mask = np.ones(len(world.nodes), dtype=np.bool_)
    for plugin in plugins:
        if plugin.name.startswith("Policy") or plugin.name == "NodeLimits":
            for reject in plugin.filter(found, world.nodes, CycleState()):  # type: ignore[attr-defined]
                mask &= ~reject.mask
    return {world.nodes.name(int(row)) for row in np.flatnonzero(mask)}


@UNHURRIED
@given(some_policies(), some_nodes(), some_pods("incoming"), st.data())
def test_required_rules_leave_the_nodes_that_their_scalar_twin_leaves(
    rules: SchedulingPolicy, nodes: list[objects.Node], incoming: objects.Pod, data: st.DataObject
) -> None:
    """Also after pods have come and gone: asked each time, and the twin counts from scratch."""
    names = st.sampled_from([each.metadata.name for each in nodes])
    count = data.draw(st.integers(0, 6), label="running")
    running = [data.draw(some_pods(f"running-{index}", data.draw(names))) for index in range(count)]
    world = World(nodes, [rules], running=map(INTERNER.pod, running))
    found = INTERNER.pod(incoming)
    if world.policies.key_for(found.cls) == "":
        return
    world.expect(found)
    for index in range(3):
        assert feasible(world, incoming) == Twin(rules.spec, nodes, running, [incoming]).feasible(incoming)
        if running and index == 1:
            world.nodes.remove_pod(INTERNER.pod(running.pop()).uid)
        else:
            running.append(data.draw(some_pods(f"later-{index}", data.draw(names))))
            world.nodes.add_pod(INTERNER.pod(running[-1]))
    assert world.nodes.check() == []


@UNHURRIED
@given(some_policies(), some_nodes(), st.data())
def test_no_sequence_of_placements_breaks_a_required_rule(
    rules: SchedulingPolicy, nodes: list[objects.Node], data: st.DataObject
) -> None:
    world = World(nodes, [rules])
    count = data.draw(st.integers(1, 10), label="pods")
    wanted = [data.draw(some_pods(f"p{index}")) for index in range(count)]
    for each in wanted:
        each.spec.node_selector = {}  # or else pods of one group would not agree in what the domains are
    world.place(*map(INTERNER.pod, wanted), chance=data.draw(st.integers(0, 9), label="chance"))
    assert [row for row in world.report() if row.violated] == []


@UNHURRIED
@given(some_policies(), some_nodes(), some_pods("incoming"), some_pods("other"), st.data())
def test_assume_then_forget_changes_nothing(
    rules: SchedulingPolicy, nodes: list[objects.Node], incoming: objects.Pod, other: objects.Pod, data: st.DataObject
) -> None:
    world = World(nodes, [rules])
    asked, assumed = INTERNER.pod(incoming), INTERNER.pod(other)
    before = (world.feasible(asked), world.points("PolicySpread", asked) if world.feasible(asked) else {})
    assumed.node_name = data.draw(st.sampled_from([each.metadata.name for each in nodes]))
    world.nodes.add_pod(assumed)
    world.feasible(asked)
    world.nodes.remove_pod(assumed.uid)
    after = (world.feasible(asked), world.points("PolicySpread", asked) if world.feasible(asked) else {})
    assert before == after


@UNHURRIED
@given(some_policies(), some_nodes(), st.data())
def test_the_order_of_the_nodes_changes_nothing_but_ties(
    rules: SchedulingPolicy, nodes: list[objects.Node], data: st.DataObject
) -> None:
    names = st.sampled_from([each.metadata.name for each in nodes])
    running = [data.draw(some_pods(f"running-{index}", data.draw(names))) for index in range(4)]
    asked = INTERNER.pod(data.draw(some_pods("incoming")))

    def judged(order: list[objects.Node]) -> tuple[set[str], dict[str, int]]:
        world = World(order, [rules], running=map(INTERNER.pod, running))
        left = world.feasible(asked)
        return left, world.points("PolicySpread", asked) if left else {}

    assert judged(nodes) == judged(data.draw(st.permutations(nodes)))


@settings(UNHURRIED, max_examples=30)
@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=4),
    st.integers(1, 12),
    st.sampled_from(["Required", "Preferred"]),
    st.integers(1, 4),
)
def test_the_skew_is_never_worse_than_that_of_the_same_constraint_in_the_pods(
    hosts: list[int], count: int, enforcement: str, skew: int
) -> None:
    nodes = [
        node(f"z{zone}-{host}", zone=f"z{zone}", rack=f"r{host}")
        for zone, size in enumerate(hosts)
        for host in range(size)
    ]
    rule = {"name": "even", "domain": "zone", "maxSkew": skew, "enforcement": enforcement}
    if enforcement == "Preferred":
        rule["weight"] = 100
    ours = World(nodes, [policy(selector=EVERYTHING, spread=[rule])])
    theirs = World(nodes, [])
    stock = spread(ZONE, select({"app": "db"}), skew=skew, required=enforcement == "Required")
    ours.place(*(pod(f"p{index}", labels={"app": "db"}, cpu="1") for index in range(count)))
    theirs.place(*(pod(f"p{index}", labels={"app": "db"}, cpu="1", spreads=[stock]) for index in range(count)))

    def worst(world: World) -> int:
        zones = [world.nodes.label(ZONE).at(world.nodes.row_of[each.node_name]) for each in world.nodes.pods.values()]
        numbers = [zones.count(f"z{zone}") for zone in range(len(hosts))]
        return max(numbers) - min(numbers)

    assert worst(ours) <= worst(theirs)
    assert worst(ours) <= 1
