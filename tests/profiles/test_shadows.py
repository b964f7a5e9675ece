"""Policies in mode DryRun: on which pods they are tried, and what they say of a node that was chosen without them."""

from __future__ import annotations

import pytest
from tests.builders import ZONE, node, pod
from tests.profiles.world import EVERYTHING, Spec, World, policy, spread

from stowplan.api import common
from stowplan.api.policy import SchedulingPolicy
from stowplan.profiles import Cluster, Outage
from stowplan.scheduler import shadows
from stowplan.scheduler.shadows import Judgement, Would

DB = {"app": "db"}
SELECT_DB = {"matchLabels": DB}
MEMBER = {**DB, common.LABEL_CLUSTER: "orders"}
ORDERS = Cluster("default/orders", "of-cluster", ())
NODES = [node(f"{zone}{number}", zone=zone, cpu="8") for zone in "abc" for number in (1, 2)]


def dry(name: str = "dry", *, selector: Spec = SELECT_DB, **spec: object) -> SchedulingPolicy:
    return policy(name, mode="DryRun", selector=selector, **spec)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "annotations", "found", "expected"),
    [
        pytest.param(DB, {}, [dry()], "default/dry", id="selected"),
        pytest.param({}, {}, [dry()], "", id="not selected"),
        pytest.param(DB, {}, [policy("one", selector=SELECT_DB)], "", id="one in force is not tried"),
        pytest.param(DB, {}, [policy("one", selector=SELECT_DB), dry()], "default/dry", id="beside one in force"),
        pytest.param(
            DB, {}, [dry("low"), dry("high", precedence=1, selector=EVERYTHING)], "default/high", id="one of several",
        ),
        pytest.param(
            DB, {common.ANNOTATION_POLICY: "named"}, [dry(precedence=9), policy("named", mode="DryRun")],
            "default/named", id="the one that the pod names",
        ),
        pytest.param(
            MEMBER, {}, [dry(precedence=9), policy("of-cluster", mode="DryRun")], "default/of-cluster",
            id="the one of its cluster",
        ),
        pytest.param(
            MEMBER, {}, [dry(), policy("of-cluster")], "default/dry", id="beside the one of its cluster",
        ),
    ],
)  # fmt: skip
def test_a_policy_is_tried_on_the_pods_that_it_would_take(
    labels: dict[str, str], annotations: dict[str, str], found: list[SchedulingPolicy], expected: str
) -> None:
    world = World(NODES, found, clusters=[ORDERS])
    tried = world.policies.shadow_for(pod("p", labels=labels, annotations=annotations).cls)
    assert ("" if tried is None else tried.policy) == expected


def judged(world: World, on: str | None) -> Judgement:
    asked = pod("new", labels=DB)
    shadow = world.policies.shadow_for(asked.cls)
    assert shadow is not None
    return shadows.judge(shadow, asked, world.nodes, None if on is None else world.nodes.row_of[on])


PINNED = {
    "affinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["a"]}]}]
        }
    }
}
ALONE = [{"name": "alone", "domain": "zone"}]


@pytest.mark.parametrize(
    ("rules", "on", "expected"),
    [
        pytest.param({"spread": [spread()]}, "a1", Would.ELSEWHERE, id="its node would break a rule"),
        pytest.param({"spread": [spread()]}, "c1", Would.SAME, id="its node would do, and no other is better"),
        pytest.param(
            {"spread": [spread(enforcement="Preferred", weight=100)]}, "b1", Would.BETTER, id="another node is better"
        ),
        pytest.param({"separate": ALONE}, "a1", Would.ELSEWHERE, id="one zone is left"),
        pytest.param({"separate": ALONE, "nodes": PINNED}, "a1", Would.NOWHERE, id="it would fit nowhere"),
        pytest.param({"spread": [spread()]}, None, Would.ELSEWHERE, id="a pod that waits would have a node"),
        pytest.param({"separate": ALONE, "nodes": PINNED}, None, Would.NOWHERE, id="a pod that waits would still wait"),
    ],
)
def test_what_a_policy_says_of_a_node_that_was_chosen_without_it(rules: Spec, on: str | None, expected: Would) -> None:
    """Two pods in zone a, one in b, none in c; they are where others have put them."""
    running = [pod(f"db-{at}", labels=DB, on=at) for at in ("a1", "a2", "b2")]
    world = World(NODES, [dry(**dict(rules))], running=running)  # type: ignore[arg-type]
    assert judged(world, on) == Judgement("default/dry", expected)
    assert world.nodes.check() == []


@pytest.mark.parametrize(
    ("priority", "preemption", "expected"),
    [
        pytest.param(10, None, Would.EVICT, id="others would have to leave"),
        pytest.param(0, None, Would.NOWHERE, id="they are as important"),
        pytest.param(10, "Never", Would.NOWHERE, id="the policy would not let it"),
    ],
)
def test_a_policy_that_is_tried_makes_room_as_it_would_in_force(
    priority: int, preemption: str | None, expected: Would
) -> None:
    """Its limit is one pod a node, and each node has one."""
    running = [pod(f"db-{each.metadata.name}", labels=DB, on=each.metadata.name) for each in NODES]
    world = World(NODES, [dry(nodes={"limits": {"podsPerNode": 1}}, preemption=preemption)], running=running)
    asked = pod("new", labels=DB, priority=priority)
    shadow = world.policies.shadow_for(asked.cls)
    assert shadow is not None
    for _ in range(shadows.SEARCH_EVERY + 1):
        assert shadows.judge(shadow, asked, world.nodes, 0).would is expected
    assert world.nodes.check() == []
    assert len(world.nodes.pods) == len(NODES)


def test_a_policy_that_is_tried_does_not_look_for_victims_for_each_pod_of_a_kind() -> None:
    world = World(NODES[:1], [dry(nodes={"limits": {"podsPerNode": 1}})], running=[pod("db", labels=DB, on="a1")])
    asked = pod("new", labels=DB, priority=10)
    shadow = world.policies.shadow_for(asked.cls)
    assert shadow is not None
    assert shadows.judge(shadow, asked, world.nodes, 0).would is Would.EVICT
    world.nodes.remove_pod("default/db")
    world.nodes.add_pod(pod("db", labels=DB, on="a1", priority=10))
    found = [shadows.judge(shadow, asked, world.nodes, 0).would for _ in range(shadows.SEARCH_EVERY)]
    assert found == [Would.EVICT] * (shadows.SEARCH_EVERY - 1) + [Would.NOWHERE]


def test_a_tie_is_not_different() -> None:
    world = World(NODES, [dry(spread=[spread()])])
    assert {judged(world, each.metadata.name).would for each in NODES} == {Would.SAME}


def test_a_policy_that_is_tried_changes_no_placement_and_no_count() -> None:
    beside = World(NODES, [policy("ha", selector=SELECT_DB, spread=[spread()]), dry(separate=[])])
    alone = World(NODES, [policy("ha", selector=SELECT_DB, spread=[spread()])])
    pods = [[pod(f"db-{number}", labels=DB) for number in range(6)] for _ in range(2)]
    assert beside.place(*pods[0]) == alone.place(*pods[1])
    assert beside.report() == alone.report()
    assert beside.nodes.check() == []


def test_a_zone_that_is_out_stops_counting_for_a_rule_that_is_tried() -> None:
    rule = spread(whenDomainDown={"action": "Relax", "after": "1s"})
    running = [pod(f"db-{at}", labels=DB, on=at) for at in ("a1", "b1")]
    world = World(
        [*NODES[:4], *(node(f"c{number}", zone="c", unschedulable=True) for number in (1, 2))],
        [dry(spread=[rule])],
        running=running,
    )
    assert judged(world, "a1") == Judgement("default/dry", Would.NOWHERE)
    ((watched, wish),) = world.policies.relaxing(world.nodes)
    out = frozenset({Outage(watched.policy, watched.name, "c", wish)})
    world.policies = world.policies.with_outages(out)
    assert judged(world, "a2").would is not Would.NOWHERE
