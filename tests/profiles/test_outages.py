"""Domains that are out: when they stop counting for a rule, and when they count again."""

from __future__ import annotations

import pytest
from tests.builders import HOST, RACK, ZONE, node, node_term, pod, snapshot, toleration
from tests.profiles.world import EVERYTHING, Spec, World, policy, racks, spread

from stowplan.framework.snapshot import Snapshot
from stowplan.model import objects
from stowplan.plugins import inclusion, outages
from stowplan.profiles import Outage, OutageWatch

DOWN = "node.kubernetes.io/unreachable:NoSchedule"
RELAX: Spec = {"action": "Relax", "after": "5m"}
PLAIN = inclusion.wishes(pod("p").cls, inclusion.Added())


def cut(item: objects.Node, *taints: str) -> objects.Node:
    """The node with these taints."""
    return node(
        item.metadata.name,
        labels=item.metadata.labels,
        taints=taints,
        unschedulable=item.spec.unschedulable,
    )


@pytest.mark.parametrize(
    ("nodes", "wish", "expected"),
    [
        pytest.param([node("a", zone="a"), node("b", zone="b")], PLAIN, {"a": True, "b": True}, id="all is well"),
        pytest.param(
            [node("a", zone="a"), node("b", zone="a", unschedulable=True)], PLAIN, {"a": True}, id="one node is enough"
        ),
        pytest.param([node("a", zone="a", unschedulable=True)], PLAIN, {"a": False}, id="cordoned"),
        pytest.param([node("a", zone="a", taints=[DOWN])], PLAIN, {"a": False}, id="not ready"),
        pytest.param([node("a", zone="a", taints=["x:PreferNoSchedule"])], PLAIN, {"a": True}, id="a soft taint"),
        pytest.param(
            [node("a", zone="a", taints=["dedicated=db:NoSchedule"])],
            inclusion.wishes(pod("p", tolerations=[toleration("dedicated", "Exists")]).cls, inclusion.Added()),
            {"a": True},
            id="a taint that is tolerated",
        ),
        pytest.param(
            [node("a", zone="a"), node("b", zone="b")],
            inclusion.wishes(pod("p", node_affinity=[node_term((HOST, "In", ["a"]))]).cls, inclusion.Added()),
            {"a": True},
            id="nodes that are not for the pods are no domain of theirs",
        ),
        pytest.param([node("a")], PLAIN, {}, id="nodes without the label"),
    ],
)
def test_a_domain_can_be_used_while_one_of_its_nodes_can(
    nodes: list[objects.Node], wish: inclusion.Wishes, expected: dict[str, bool]
) -> None:
    assert outages.domain_states(snapshot(nodes), (ZONE,), wish) == expected


def test_domains_inside_domains_go_by_both_names() -> None:
    nodes = racks(["a", "b"], racks=1)
    nodes[1].spec.unschedulable = True
    assert outages.domain_states(snapshot(nodes), (ZONE, RACK), PLAIN) == {"a/1": True, "b/1": False}


# ---------------------------------------------------------------- the watch


def world(rule: Spec, *, lost: bool) -> World:
    """Zones a, b and c with one host and one pod each; zone c is lost."""
    nodes = racks(["a", "b", "c"], racks=1)
    if lost:
        nodes[2] = cut(nodes[2], DOWN)
    there = [pod("o", on="a1-1"), pod("q", on="b1-1")]
    return World(nodes, [policy(selector=EVERYTHING, spread=[rule])], running=there)


def observe(seen: World, watch: OutageWatch, now: float) -> outages.Observation:
    return watch.observe(seen.nodes, seen.policies.relaxing(seen.nodes), now)


def test_an_outage_lasts_once_the_rules_time_is_over() -> None:
    lost, watch = world(spread(whenDomainDown=RELAX), lost=True), OutageWatch()
    out = Outage("default/ha", "even", "c", PLAIN)
    assert observe(lost, watch, 100.0) == outages.Observation(frozenset(), 400.0)
    assert observe(lost, watch, 399.9) == outages.Observation(frozenset(), 400.0)
    assert observe(lost, watch, 400.0) == outages.Observation(frozenset({out}), None)


def test_an_outage_that_ends_in_between_starts_anew() -> None:
    lost, watch = world(spread(whenDomainDown=RELAX), lost=True), OutageWatch()
    observe(lost, watch, 0.0)
    broken = lost.nodes.nodes[2]
    lost.nodes.put_node(cut(broken))
    assert observe(lost, watch, 200.0) == outages.Observation(frozenset(), None)
    lost.nodes.put_node(broken)
    assert observe(lost, watch, 250.0) == outages.Observation(frozenset(), 550.0)


def test_a_domain_whose_nodes_are_all_gone_is_out() -> None:
    seen, watch = world(spread(whenDomainDown=RELAX), lost=False), OutageWatch()
    assert observe(seen, watch, 0.0) == outages.Observation(frozenset(), None)
    seen.nodes.remove_node("c1-1")
    assert observe(seen, watch, 10.0) == outages.Observation(frozenset(), 310.0)
    assert observe(seen, watch, 310.0).lasting == {Outage("default/ha", "even", "c", PLAIN)}


@pytest.mark.parametrize("rule", [spread(), spread(whenDomainDown={"action": "Wait"})])
def test_rules_that_wait_are_not_watched(rule: Spec) -> None:
    lost = world(rule, lost=True)
    assert list(lost.policies.relaxing(lost.nodes)) == []


def test_pods_that_wait_are_watched_for_even_before_the_first_is_placed() -> None:
    lost = world(spread(whenDomainDown=RELAX), lost=True)
    for uid in list(lost.nodes.pods):
        lost.nodes.remove_pod(uid)
    assert list(lost.policies.relaxing(lost.nodes)) == []
    lost.expect(pod("p"))
    assert [rule.name for rule, _ in lost.policies.relaxing(lost.nodes)] == ["even"]


# ---------------------------------------------------------------- what follows


def after(lost: World, *out: str) -> World:
    """The same with these domains out for long enough."""
    found = frozenset(Outage("default/ha", "even", domain, PLAIN) for domain in out)
    lost.policies = lost.policies.with_outages(found)
    lost.policies.govern(lost.nodes)
    return lost


def test_a_domain_that_is_out_stops_counting_and_the_rest_is_placed() -> None:
    lost = world(spread(whenDomainDown=RELAX), lost=True)
    assert lost.feasible(pod("p")) == set()
    assert after(lost, "c").feasible(pod("p")) == {"a1-1", "b1-1"}


def test_it_goes_on_counting_where_the_rule_waits() -> None:
    lost = world(spread(whenDomainDown={"action": "Wait"}), lost=True)
    assert after(lost, "c").feasible(pod("p")) == set()


def test_a_domain_that_is_out_is_still_one_of_min_domains() -> None:
    lost = world(spread(whenDomainDown=RELAX, minDomains=3), lost=True)
    assert after(lost, "c").feasible(pod("p")) == {"a1-1", "b1-1"}
    lost.nodes.remove_node("c1-1")
    assert lost.feasible(pod("p")) == {"a1-1", "b1-1"}
    assert after(lost).feasible(pod("p")) == set()


def test_it_counts_again_as_soon_as_it_is_back_whoever_has_noticed() -> None:
    lost = after(world(spread(whenDomainDown=RELAX), lost=True), "c")
    lost.nodes.put_node(cut(lost.nodes.nodes[2]))
    assert lost.feasible(pod("p")) == {"c1-1"}


def test_pods_that_tolerate_what_is_wrong_go_by_their_own_outages() -> None:
    lost = after(world(spread(whenDomainDown=RELAX), lost=True), "c")
    tolerant = pod("p", tolerations=[toleration("", "Exists")])
    assert lost.feasible(tolerant) == {"c1-1"}


def test_inside_a_zone_a_rack_that_is_out_stops_counting_in_that_zone_alone() -> None:
    nodes = racks(["a", "b"], racks=2)
    nodes[1] = cut(nodes[1], DOWN)
    there = [pod("o", on="a1-1"), pod("q", on="b1-1")]
    rule = spread("rack", within="zone", whenDomainDown=RELAX)
    lost = World(nodes, [policy(selector=EVERYTHING, spread=[rule])], running=there)
    assert lost.feasible(pod("p")) == {"b2-1"}
    assert after(lost, "a/2").feasible(pod("p")) == {"a1-1", "b2-1"}


def test_hosts_that_are_out_stop_counting_too() -> None:
    nodes: list[objects.Node] = [node("a"), node("b"), node("c", unschedulable=True)]
    there = [pod("o", on="a"), pod("q", on="b")]
    rule = spread("host", whenDomainDown=RELAX)
    lost = World(nodes, [policy(selector=EVERYTHING, spread=[rule])], running=there)
    assert lost.feasible(pod("p")) == set()
    assert after(lost, "c").feasible(pod("p")) == {"a", "b"}


def test_a_snapshot_that_never_had_the_domain_is_fine() -> None:
    empty = Snapshot()
    assert outages.domain_states(empty, (ZONE,), PLAIN) == {}
