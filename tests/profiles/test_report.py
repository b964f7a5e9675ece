"""What a policy's status says about its running pods."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.builders import node, node_term, pod
from tests.profiles.test_outages import PLAIN
from tests.profiles.world import EVERYTHING, Spec, World, policy, racks, spread

from stowplan.api import common
from stowplan.api.policy_status import DomainStatus
from stowplan.model.pods import PodInfo
from stowplan.profiles import Outage

THREE = [node("a", zone="a"), node("b", zone="b"), node("c", zone="c")]


def placed(counts: Mapping[str, int], labels: Mapping[str, str] | None = None) -> list[PodInfo]:
    kind = "-".join((labels or {}).values())
    return [
        pod(f"placed-{kind}-{name}-{index}", on=name, labels=labels)
        for name, count in counts.items()
        for index in range(count)
    ]


def row(
    counts: dict[str, int], *, skew: int, violated: bool = False, group: str = "", within: str | None = None
) -> DomainStatus:
    return DomainStatus(
        rule="even",
        group=group,
        domain="zone" if within is None else "rack",
        within=within,
        counts=counts,
        skew=skew,
        violated=violated,
    )


@pytest.mark.parametrize(
    ("rule", "counts", "expected"),
    [
        pytest.param(spread(), {"a": 1}, row({"a": 1, "b": 0, "c": 0}, skew=1), id="domains without pods count"),
        pytest.param(spread(), {"a": 2}, row({"a": 2, "b": 0, "c": 0}, skew=2, violated=True), id="too uneven"),
        pytest.param(spread(maxSkew=2), {"a": 2}, row({"a": 2, "b": 0, "c": 0}, skew=2), id="not too uneven"),
        pytest.param(
            spread(enforcement="Preferred", weight=1),
            {"a": 2},
            row({"a": 2, "b": 0, "c": 0}, skew=2),
            id="a preference is not violated",
        ),
        pytest.param(
            spread(maxSkew=9, maxPerDomain=1),
            {"a": 2, "b": 1},
            row({"a": 2, "b": 1, "c": 0}, skew=2, violated=True),
            id="more than maxPerDomain",
        ),
        pytest.param(
            spread(minDomains=4),
            {"a": 2, "b": 2, "c": 2},
            row({"a": 2, "b": 2, "c": 2}, skew=0, violated=True),
            id="fewer domains than minDomains",
        ),
    ],
)
def test_a_spread_rule_reports(rule: Spec, counts: Mapping[str, int], expected: DomainStatus) -> None:
    world = World(THREE, [policy(selector=EVERYTHING, spread=[rule])], running=placed(counts))
    assert world.report() == [expected]


def test_there_is_a_row_for_each_group_those_that_wait_included() -> None:
    rule = spread(groupBy=["role", "tier"])
    there = placed({"a": 1, "b": 1}, {"role": "data", "tier": "1"})
    world = World(THREE, [policy(selector=EVERYTHING, spread=[rule])], running=there)
    world.expect(pod("p", labels={"role": "master"}))
    assert world.report() == [
        row({"a": 1, "b": 1, "c": 0}, skew=1, group="data,1"),
        row({"a": 0, "b": 0, "c": 0}, skew=0, group="master,"),
    ]


def test_with_within_there_is_a_row_for_each_broader_domain() -> None:
    world = World(
        racks(["a", "b"], racks=2),
        [policy(selector=EVERYTHING, spread=[spread("rack", within="zone")])],
        running=placed({"a1-1": 2, "b1-1": 1}),
    )
    assert world.report() == [
        row({"1": 2, "2": 0}, skew=2, within="a", violated=True),
        row({"1": 1, "2": 0}, skew=1, within="b"),
    ]


def test_several_clusters_of_one_policy_are_told_apart() -> None:
    there = [
        *placed({"a": 1}, {common.LABEL_CLUSTER: "one"}),
        *placed({"b": 1}, {common.LABEL_CLUSTER: "two"}),
    ]
    world = World(THREE, [policy(selector=EVERYTHING, spread=[spread()])], running=there)
    assert [each.group for each in world.report()] == ["one", "two"]


def test_only_domains_that_the_pods_may_use_are_shown_and_those_where_they_are_anyway() -> None:
    only_ab = [node_term(("topology.kubernetes.io/zone", "In", ["a", "b"]))]
    there = [pod("o", on="a", node_affinity=only_ab)]
    world = World(THREE, [policy(selector=EVERYTHING, spread=[spread()])], running=there)
    assert world.report() == [row({"a": 1, "b": 0}, skew=1)]
    world.nodes.add_pod(pod("stray", on="c", node_affinity=only_ab))
    assert world.report() == [row({"a": 1, "b": 0, "c": 1}, skew=1)]


def test_pods_on_nodes_without_the_label_are_shown_and_break_a_required_rule() -> None:
    there = [pod("o", on="a"), pod("q", on="lost")]
    world = World([*THREE, node("lost")], [policy(selector=EVERYTHING, spread=[spread()])], running=there)
    assert world.report() == [row({"a": 1, "b": 0, "c": 0}, skew=1), row({"<none>": 1}, skew=0, violated=True)]


def test_pods_that_are_being_deleted_do_not_count() -> None:
    there = [pod("o", on="a", terminating=True), pod("q", on="b")]
    world = World(THREE, [policy(selector=EVERYTHING, spread=[spread()])], running=there)
    assert world.report() == [row({"a": 0, "b": 1, "c": 0}, skew=1)]


def test_a_domain_that_is_out_is_shown_and_not_compared() -> None:
    nodes = [node("a", zone="a"), node("b", zone="b"), node("c", zone="c", unschedulable=True)]
    rule = spread(minDomains=3, whenDomainDown={"action": "Relax"})
    out = frozenset({Outage("default/ha", "even", "c", PLAIN)})
    world = World(nodes, [policy(selector=EVERYTHING, spread=[rule])], running=placed({"a": 2, "b": 2}), out=out)
    assert world.report() == [row({"a": 2, "b": 2, "c": 0}, skew=0)]
    world.nodes.remove_node("c")
    assert world.report() == [row({"a": 2, "b": 2}, skew=0)]


def test_with_very_many_domains_those_without_pods_are_left_out() -> None:
    hosts = [node(f"n{index:03}") for index in range(101)]
    world = World(hosts, [policy(selector=EVERYTHING, spread=[spread("host")])], running=placed({"n007": 1}))
    (found,) = world.report()
    assert (found.counts, found.skew) == ({"n007": 1}, 1)


# ---------------------------------------------------------------- broken separate and colocate rules


def broken(rule: str, domain: str, counts: dict[str, int], group: str = "") -> DomainStatus:
    return DomainStatus(rule=rule, domain=domain, counts=counts, group=group, violated=True)


def test_pods_that_a_rule_keeps_apart_and_that_are_together_are_reported() -> None:
    rules = [
        {"name": "one-per-host", "domain": "host"},
        {
            "name": "apart",
            "domain": "zone",
            "pods": {"matchLabels": {"role": "master"}},
            "from": {"matchLabels": {"role": "replica"}},
        },
    ]
    there = [
        pod("m", on="a1-1", labels={"role": "master"}),
        pod("r", on="a1-2", labels={"role": "replica"}),
        pod("n", on="b1-1", labels={"role": "master"}),
        pod("o", on="b1-1", labels={"role": "master"}),
    ]
    world = World(racks(["a", "b"], racks=1, hosts=2), [policy(selector=EVERYTHING, separate=rules)], running=there)
    assert world.report() == [broken("one-per-host", "host", {"b1-1": 2}), broken("apart", "zone", {"a": 2})]


def test_pods_that_a_rule_wants_near_others_and_that_are_alone_are_reported() -> None:
    rule = {"name": "near-cache", "domain": "zone", "with": {"matchLabels": {"app": "cache"}}}
    governed = policy(selector={"matchLabels": {"app": "db"}}, colocate=[rule])
    there = [
        pod("c", on="a", labels={"app": "cache"}),
        pod("d", on="a", labels={"app": "db"}),
        pod("e", on="b", labels={"app": "db"}),
    ]
    world = World(THREE, [governed], running=there)
    assert world.report() == [broken("near-cache", "zone", {"b": 1})]


def test_preferred_rules_and_rules_that_hold_are_not_reported() -> None:
    preferred = {"name": "hosts", "domain": "host", "enforcement": "Preferred", "weight": 5}
    near = {"name": "near", "domain": "zone", "with": {}, "enforcement": "Preferred", "weight": 5}
    zones = {"name": "zones", "domain": "zone"}
    world = World(
        [*THREE, node("d", zone="d")],
        [policy(selector=EVERYTHING, separate=[preferred, zones], colocate=[near])],
        running=placed({"a": 1, "b": 1}),
    )
    assert world.report() == []
    world.nodes.add_pod(pod("again", on="b"))
    assert [each.rule for each in world.report()] == ["zones"]
