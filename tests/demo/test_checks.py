from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controlplane.nodes import Manifest
from tests.demo import checks, state, worlds
from tests.demo.checks import Check
from tests.demo.state import State

HOSTS = worlds.hosts()
NAMES = [host.name for host in HOSTS]


def judge(found: State, volumes: list[Manifest]) -> dict[str, Check]:
    return {each.name: each for each in checks.check(found, HOSTS, volumes)}


def judge_places(changed: Mapping[str, str]) -> dict[str, Check]:
    places = {**worlds.PLACES, **changed}
    return judge(worlds.world(changed), worlds.volumes(places))


def broken(found: Mapping[str, Check]) -> set[str]:
    return {name for name, each in found.items() if each.good is False}


def test_members_where_the_policy_wants_them_pass_every_check() -> None:
    found = judge_places({})
    assert not broken(found)
    assert {name for name, each in found.items() if each.good is None} == {"all-over-power", "media"}
    assert found["sets-over-zones"].found == "master 1+1+1, data 2+2+2, ingest 1+1+0 per zone"
    assert found["survives"].found == "the loss of any one zone, power, rack, host"
    assert found["volumes"].found == "11 of 11 bound where their members are"


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        pytest.param({"data-5": "a-1-r4-h1"}, {"sets-over-zones"}, id="three data members in a zone, one in another"),
        pytest.param({"master-1": "a-1-r4-h1"}, {"sets-over-zones", "survives"}, id="two masters in one zone"),
        pytest.param({"data-0": "a-1-r1-h1"}, {"one-per-host", "master-from-replica"}, id="two members on one host"),
        pytest.param({"data-0": "a-1-r1-h2"}, {"master-from-replica"}, id="data beside a master"),
        pytest.param({"data-1": "a-1-r2-h2"}, {"sets-over-racks"}, id="two of a set in one rack"),
        pytest.param({"ingest-0": "a-1-r1-h2"}, set(), id="ingest beside a master is allowed"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_fails_its_check(changed: dict[str, str], names: set[str]) -> None:
    assert broken(judge_places(changed)) == names


def test_a_member_without_a_node_fails_what_it_could_not_keep() -> None:
    found = judge_places({"data-0": ""})
    assert broken(found) >= {"members", "scheduler", "volumes", "sets-over-zones"}
    assert "(1 nowhere)" in found["sets-over-zones"].found


def test_who_shares_a_domain_is_named_once() -> None:
    assert judge_places({"data-0": "a-1-r1-h2"})["master-from-replica"].found == "data-0 and master-0 share a rack"


def test_a_member_that_somebody_else_has_bound_is_noticed() -> None:
    good = worlds.world()
    first, *others = good.members
    stolen = dataclasses.replace(good, members=(dataclasses.replace(first, explained=False), *others))
    assert broken(judge(stolen, worlds.volumes(worlds.PLACES))) == {"scheduler"}


@pytest.mark.parametrize(
    ("volumes", "good"),
    [
        pytest.param(worlds.volumes(worlds.PLACES, zonal=True), True, id="zonal volumes of the right zones"),
        pytest.param(worlds.volumes({**worlds.PLACES, "data-0": "a-1-r2-h2"}), False, id="a disk of another host"),
        pytest.param(worlds.volumes(worlds.PLACES)[1:], False, id="a volume that is not there"),
        pytest.param([{**each, "spec": {}} for each in worlds.volumes(worlds.PLACES)], True, id="volumes for any node"),
    ],
)  # fmt: skip
def test_a_volume_must_be_within_reach_of_its_member(volumes: list[Manifest], good: bool) -> None:
    assert judge(worlds.world(), volumes)["volumes"].good is good


def test_a_status_that_promises_too_much_is_noticed() -> None:
    places = {**worlds.PLACES, "master-1": "a-1-r4-h1"}
    found = judge(worlds.world(places), worlds.volumes(places))
    assert "but its status says zone, power, rack, host" in found["survives"].found


def test_fewer_domains_than_asked_for_count_as_an_empty_one() -> None:
    one_zone = [host for host in HOSTS if host.labels["topology.kubernetes.io/zone"] == "a"]
    places = {"master-0": "a-1-r1-h1", "master-1": "a-1-r2-h1", "master-2": "a-2-r1-h1"}
    found = state.state(
        policy=worlds.policy(), cluster=worlds.cluster(), pods=worlds.pods(places), claims=worlds.claims(places)
    )
    verdicts = {each.name: each for each in checks.check(found, one_zone, worlds.volumes(places))}
    assert verdicts["sets-over-zones"].good is False


TWO_AND_TWO = {"data-2": "a-1-r3-h1", "data-3": "a-2-r3-h1"}
"""Two data members in each of the two power domains of zone a."""
RULE = "spec.spread.0"  # sets-over-zones: 3 masters, 6 data, 2 ingest


def spread(change: Mapping[str, object], changed: Mapping[str, str]) -> Check:
    """What is found of the first spread rule, with some of its fields and some members' places changed."""
    policy = worlds.policy()
    for field, value in change.items():
        policy = worlds.edited(policy, f"{RULE}.{field}", value)
    places = {**worlds.PLACES, **changed}
    found = dataclasses.replace(worlds.world(changed), policy=policy)
    return judge(found, worlds.volumes(places))["sets-over-zones"]


@pytest.mark.parametrize(
    ("change", "changed", "good"),
    [
        pytest.param({"maxPerDomain": 2}, {}, True, id="number kept"),
        pytest.param({"maxPerDomain": 1}, {}, False, id="number broken by data"),
        pytest.param({"maxPerDomain": "40%"}, {}, True, id="share kept"),
        pytest.param({"maxPerDomain": "30%"}, {}, False, id="share broken"),
        pytest.param({"maxPerDomain": "Minority"}, {}, True, id="minority kept; one of two ingest is always allowed"),
        pytest.param(
            {"maxPerDomain": "Minority", "maxSkew": 9}, {"data-2": "a-1-r4-h1"}, False, id="half is no minority"
        ),
        pytest.param({"domain": "rack", "within": "zone", "minDomains": None}, {}, True, id="even inside each zone"),
        pytest.param(
            {"domain": "rack", "within": "zone", "minDomains": None}, {"data-1": "a-1-r2-h2"}, False,
            id="two in a rack of a zone with empty racks",
        ),
        pytest.param(
            {"domain": "rack", "within": "zone", "minDomains": None}, {"data-5": "a-1-r4-h1"}, True,
            id="inside zones nobody compares the zones",
        ),
        pytest.param(
            {"domain": "power", "within": "zone", "minDomains": 2}, TWO_AND_TWO, True, id="enough domains in each zone"
        ),
        pytest.param(
            {"domain": "power", "within": "zone", "minDomains": 3}, TWO_AND_TWO, False, id="too few domains: one empty"
        ),
    ],
)  # fmt: skip
def test_a_spread_rule_is_judged_as_it_says(change: dict[str, object], changed: dict[str, str], good: bool) -> None:
    assert spread(change, changed).good is good


def test_what_a_spread_rule_was_judged_by_is_said() -> None:
    found = spread({"domain": "power", "within": "zone", "minDomains": None, "maxPerDomain": "40%"}, {}).found
    assert found.endswith("per power of each zone, none above 40%")


@pytest.mark.parametrize(
    ("operator", "values", "good"),
    [
        pytest.param("In", ["master", "ingest"], True, id="In"),
        pytest.param("In", ["ingest"], False, id="not In"),
        pytest.param("NotIn", ["ingest"], True, id="NotIn"),
        pytest.param("NotIn", ["master"], False, id="not NotIn"),
        pytest.param("Exists", [], True, id="Exists"),
        pytest.param("DoesNotExist", [], False, id="not DoesNotExist"),
    ],
)
def test_an_expression_selects_as_the_api_says(operator: str, values: list[str], good: bool) -> None:
    expression = {"key": "set", "operator": operator, "values": values}
    assert checks.selects({"matchExpressions": [expression]}, {"set": "master"}) is good
    absent = checks.selects({"matchExpressions": [expression]}, {})
    assert absent is (operator in {"NotIn", "DoesNotExist"})


@settings(deadline=None)
@given(st.permutations(NAMES))
def test_one_per_host_passes_exactly_where_all_nodes_differ(order: list[str]) -> None:
    places = dict(zip(worlds.PLACES, order, strict=False))
    assert judge_places(places)["one-per-host"].good
    places["ingest-1"] = places["master-0"]
    assert judge_places(places)["one-per-host"].good is False


@settings(deadline=None)
@given(st.lists(st.sampled_from(NAMES), min_size=6, max_size=6))
def test_the_spread_over_racks_is_kept_exactly_where_no_rack_holds_two(nodes: list[str]) -> None:
    places = {f"data-{number}": node for number, node in enumerate(nodes)}
    racks = [node.rpartition("-")[0] for node in nodes]
    assert judge_places(places)["sets-over-racks"].good is (len(set(racks)) == len(racks))
