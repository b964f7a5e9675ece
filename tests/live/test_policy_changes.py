"""A policy is changed while its pods wait and run, or written with mistakes: what happens, and what users see."""

from __future__ import annotations

import json

import pytest
from tests.controlplane.api import Api, wait_until
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import ZONE, Manifest
from tests.controlplane.plane import ControlPlane
from tests.live import objects
from tests.live.conftest import OwnNode
from tests.live.test_policies import governing, policy, policy_path

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("stowplan")]

DB = {"app": "db"}
IN_A = {ZONE: "a"}
SOON = 15.0
"""Seconds; long before pods are tried again for no reason."""


def few(most: int) -> list[Manifest]:
    return [{"name": "few-in-a-zone", "domain": "zone", "maxSkew": 99, "maxPerDomain": most}]


async def status(api: Api, namespace: str, **expected: object) -> Manifest:
    """The status of the policy `ha`, once it says so."""

    def said(each: Manifest) -> bool:
        found = each.get("status", {})
        return {name: found.get(name) for name in expected} == expected

    found = await api.wait(policy_path(namespace, "ha"), said, within=objects.PATIENCE)
    document: Manifest = found["status"]
    return document


def condition_of(found: Manifest, kind: str) -> Manifest:
    one: Manifest = next(each for each in found["conditions"] if each["type"] == kind)
    return one


async def where(api: Api, namespace: str) -> dict[str, str]:
    """By the uid of each pod that has one, its node."""
    pods = await api.list(objects.pods_path(namespace))
    return {each["metadata"]["uid"]: each["spec"]["nodeName"] for each in pods if "nodeName" in each["spec"]}


async def test_a_stricter_rule_moves_nobody_is_told_and_holds_for_the_next_pod_until_it_is_relaxed(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    await governing(api, policy(namespace, "ha", selector={"matchLabels": DB}))
    await objects.create_all(api, (objects.pod(namespace, f"p{n}", labels=DB, nodeSelector=IN_A) for n in range(4)))
    await objects.all_bound(api, namespace, 4)
    before = await where(api, namespace)

    await api.patch(policy_path(namespace, "ha"), {"spec": {"spread": few(2)}})
    found = await status(api, namespace, violations=1, observedGeneration=2)
    (row,) = found["domains"]
    assert (row["rule"], row["counts"]["a"], row["violated"]) == ("few-in-a-zone", 4, True)
    satisfied = condition_of(found, "Satisfied")
    assert (satisfied["status"], satisfied["reason"]) == ("False", "RulesViolated")
    assert satisfied["message"] == "running pods break few-in-a-zone"
    listed = control_plane.kubectl("get", "schpol", "ha", "-n", namespace, "-o", "wide").splitlines()[1].split()
    assert listed[:5] == ["ha", "Enforce", "True", "4/4", "1"]
    assert listed[-1] == "RulesViolated"

    async def told(reason: str) -> str | None:
        shown = control_plane.kubectl("describe", "schpol", "ha", "-n", namespace)
        return (
            shown if any(line.split()[1:2] == [reason] for line in shown.partition("Events:")[2].splitlines()) else None
        )

    shown = await wait_until(lambda: told("RulesViolated"), what="the event", within=objects.PATIENCE)
    assert shown.count("running pods break few-in-a-zone") >= 2, "as a condition, and as an event"

    await api.create(objects.pod(namespace, "late", labels=DB, nodeSelector=IN_A))
    assert "spread rule few-in-a-zone of policy ha" in await objects.unschedulable(api, namespace, "late")
    assert await where(api, namespace) == before

    await api.patch(policy_path(namespace, "ha"), {"spec": {"spread": few(5)}})
    await objects.bound(api, namespace, "late", within=SOON)
    after = await where(api, namespace)
    assert {uid: after.get(uid) for uid in before} == before
    await status(api, namespace, violations=0, pods={"governed": 5, "bound": 5, "pending": 0})
    await wait_until(lambda: told("NoViolations"), what="the event", within=objects.PATIENCE)


async def test_waiting_pods_are_tried_at_once_when_their_policy_lets_them_go_or_goes_itself(
    api: Api, namespace: str
) -> None:
    """Another selector, another precedence of another policy, and no policy at all."""
    nowhere = [{"name": "zone", "topologyKey": "example.com/nowhere"}]
    strict = policy(namespace, "ha", selector={}, spread=[{"name": "zones", "domain": "zone"}])
    strict["spec"]["failureDomains"] = nowhere
    await governing(api, strict)

    async def waits(name: str) -> None:
        await api.create(objects.pod(namespace, name, labels={"app": name}))
        await objects.unschedulable(api, namespace, name, saying="no label example.com/nowhere")

    await waits("one")
    selector = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["one"]}]}
    await api.patch(policy_path(namespace, "ha"), {"spec": {"selector": selector}})
    await objects.bound(api, namespace, "one", within=SOON)

    await waits("two")
    await governing(api, policy(namespace, "free", selector={"matchLabels": {"app": "two"}}, precedence=1))
    await objects.bound(api, namespace, "two", within=SOON)
    found = await status(api, namespace, pods={"governed": 0, "bound": 0, "pending": 0})
    conflicted = condition_of(found, "Conflicted")
    assert (conflicted["status"], conflicted["message"]) == (
        "True",
        "pods that this policy selects are governed by free",
    )

    await waits("three")
    await api.delete(policy_path(namespace, "ha"))
    await objects.bound(api, namespace, "three", within=SOON)


async def test_a_pod_that_leaves_its_policy_by_its_labels_is_not_counted_any_more(api: Api, namespace: str) -> None:
    """Whether it runs or waits; long before a policy is looked at for no reason, which happens once a minute."""
    await governing(api, policy(namespace, "ha", selector={"matchLabels": DB}))
    for name, cpu in (("runs", "1"), ("waits", "1000")):
        await api.create(objects.pod(namespace, name, labels=DB, cpu=cpu))
    await status(api, namespace, pods={"governed": 2, "bound": 1, "pending": 1})
    other = {"metadata": {"labels": {"app": "other"}}}
    await api.patch(f"{objects.pods_path(namespace)}/runs", other)
    await status(api, namespace, pods={"governed": 1, "bound": 0, "pending": 1})
    await api.patch(f"{objects.pods_path(namespace)}/waits", other)
    await status(api, namespace, pods={"governed": 0, "bound": 0, "pending": 0})


async def test_a_node_that_moves_to_another_domain_takes_its_pods_along(
    api: Api, namespace: str, own_node: OwnNode
) -> None:
    nodes = [await own_node(zone, zone=zone) for zone in "ab"]
    await governing(api, policy(namespace, "ha", selector={}, spread=few(1)))
    own = {objects.OWN: namespace}
    await objects.create_all(api, (objects.pod(namespace, f"p{number}", nodeSelector=own) for number in range(2)))
    await objects.all_bound(api, namespace, 2)
    await status(api, namespace, violations=0, pods={"governed": 2, "bound": 2, "pending": 0})
    await api.patch(f"/api/v1/nodes/{nodes[1]}", {"metadata": {"labels": {ZONE: "a"}}})
    found = await status(api, namespace, violations=1)
    (row,) = found["domains"]
    assert row["counts"]["a"] == 2


async def test_what_is_likely_a_mistake_is_shown_by_describe(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    mistaken = policy(namespace, "ha", selector={}, spread=[{"name": "racks", "domain": "rack"}])
    mistaken["spec"]["failureDomains"] = [{"name": "rack", "topologyKey": "example.com/rakc"}]
    await governing(api, mistaken)
    found = await status(api, namespace, observedGeneration=1)
    accepted = condition_of(found, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "QuestionableSpec")
    assert "no node has the label example.com/rakc of failure domain rack" in accepted["message"]
    listed = control_plane.kubectl("get", "schpol", "ha", "-n", namespace, "-o", "wide").splitlines()[1].split()
    assert listed[-1] == "QuestionableSpec"

    async def told() -> bool | None:
        shown = control_plane.kubectl("describe", "schpol", "ha", "-n", namespace)
        return "no node has the label example.com/rakc" in shown.partition("Events:")[2] or None

    await wait_until(told, what="the event", within=objects.PATIENCE)


RACK = {"failureDomains": [{"name": "rack", "topologyKey": "example.com/rack"}]}
UNCHECKED = "some validation rules were not checked because the object was invalid"
"""What the API server adds of its own accord where a type is wrong or something is missing."""


def ruled(kind: str = "spread", **rule: object) -> Manifest:
    return {**RACK, kind: [{"name": "r", "domain": "rack", **rule}]}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param(ruled(domain="rakc"), "the domain of a spread rule must be one of failureDomains", id="no domain"),
        pytest.param(ruled(within="zone"), "within must name one of failureDomains that stands before", id="no within"),
        pytest.param(ruled(enforcement="Preferred"), "Preferred needs a weight from 1 to 100", id="no weight"),
        pytest.param(
            ruled(maxPerDomain="half"), "must be a number from 1, a percentage such as 40%, or Minority", id="half"
        ),
        pytest.param(ruled(maxPerDomain=0), "should be greater than or equal to 1", id="none in a domain"),
        pytest.param(ruled(maxSkew=0), "spec.spread[0].maxSkew in body should be greater", id="no skew"),
        pytest.param({**ruled(), "separate": 2 * ruled("separate")["separate"]}, "Duplicate value", id="a name twice"),
        pytest.param(
            {"failureDomains": [{"name": name, "topologyKey": "rack"} for name in "ab"]},
            "two failure domains have the same topologyKey", id="a label twice",
        ),
        pytest.param({"mode": "dryrun"}, 'supported values: "Enforce", "DryRun"', id="another mode"),
        pytest.param({"selecter": {}}, 'unknown field "spec.selecter"', id="a field that is none"),
        pytest.param({"gang": {"minMember": 0}}, "minMember in body should be greater than", id="a gang of none"),
        pytest.param(
            {"nodes": {"limits": {"utilization": {"cpu": "70%"}}}},
            'must be a decimal above 0 and at most 1, as a string such as "0.7"', id="a percentage",
        ),
        pytest.param({"selector": {"matchLabels": {"app": 3}}}, "must be of type string", id="a number as label"),
        pytest.param(ruled("colocate"), "spec.colocate[0].with: Required value", id="near to whom"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused_with_one_line_that_says_what_is_wrong(
    control_plane: ControlPlane, spec: Manifest, says: str
) -> None:
    document = policy("default", "ha", **spec)
    document["spec"] = spec
    with pytest.raises(ControlPlaneError) as refused:
        control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(document))
    head, *lines = str(refused.value).splitlines()
    told = [line for line in lines if UNCHECKED not in line]
    assert says in (told[0] if told else head)
    assert len(told) <= 1
