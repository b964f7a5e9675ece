from __future__ import annotations

import pytest
from tests.controlplane.nodes import Manifest
from tests.demo import state, worlds


def only(pod: Manifest | None, claims: list[Manifest] | None = None) -> state.Member:
    pods = [] if pod is None else [pod]
    found = state.state(policy=worlds.policy(), cluster=worlds.cluster(), pods=pods, claims=claims or [])
    return next(member for member in found.members if member.short == "data-0")


GOING = {"name": "search-data-0", "labels": {"stowplan.dev/cluster": "search"}, "deletionTimestamp": "2026-01-01"}


def pod(**changes: object) -> Manifest:
    (made,) = worlds.pods({"data-0": "a-1-r1-h1"})
    return {**made, **changes}


def test_members_are_listed_in_the_order_of_the_spec_before_they_have_pods() -> None:
    found = state.state(policy=worlds.policy(), cluster=worlds.cluster(), pods=[], claims=[])
    assert [member.short for member in found.members] == list(worlds.PLACES)
    assert {member.phase for member in found.members} == {"Missing"}
    assert (found.placed, found.ready, found.settled) == (0, 0, False)


def test_pods_of_others_are_no_members_and_one_too_many_is() -> None:
    stranger = {"metadata": {"name": "search-data-9", "labels": {}}, "spec": {}}
    extra = pod(metadata={"name": "search-data-7", "labels": {"stowplan.dev/cluster": "search"}})
    found = state.state(policy=worlds.policy(), cluster=worlds.cluster(), pods=[stranger, extra], claims=[])
    assert [member.short for member in found.members] == [*worlds.PLACES, "data-7"]


@pytest.mark.parametrize(
    ("changes", "phase"),
    [
        pytest.param({}, "Ready", id="ready"),
        pytest.param({"status": {"phase": "Running"}}, "Running", id="runs but is not ready"),
        pytest.param({"status": {"phase": "Pending"}}, "Bound", id="has a node and does not run yet"),
        pytest.param({"status": {"phase": "Pending"}, "spec": {}}, "Pending", id="has no node"),
        pytest.param({"status": {"phase": "Failed"}}, "Failed", id="has failed"),
        pytest.param({"metadata": GOING}, "Terminating", id="is going"),
    ],
)  # fmt: skip
def test_the_phase_says_how_far_a_member_is(changes: Manifest, phase: str) -> None:
    assert only(pod(**changes)).phase == phase


def test_the_schedulers_verdict_comes_before_other_reasons() -> None:
    conditions = [
        {"type": "Ready", "status": "False", "message": "containers"},
        {"type": "PodScheduled", "status": "False", "message": "0/60 nodes are available"},
        {"type": "Initialized", "status": "True", "message": "fine"},
    ]
    assert only(pod(status={"phase": "Pending", "conditions": conditions})).waits == "0/60 nodes are available"


def test_a_volume_belongs_to_the_member_whose_claim_it_is() -> None:
    claims = worlds.claims({"data-0": "a-1-r1-h1", "data-1": ""})
    assert only(pod(), claims).volumes == (
        state.Volume(claim="data-search-data-0", storage_class="local", size="10Gi", name="pv-data-0"),
    )


def test_all_is_settled_when_members_and_both_resources_are_ready() -> None:
    assert worlds.world().settled


@pytest.mark.parametrize(
    ("which", "path", "value"),
    [
        pytest.param("policy", "status.conditions.0.status", "False", id="policy not ready"),
        pytest.param("cluster", "status.conditions.0.status", "Unknown", id="cluster not ready"),
        pytest.param("cluster", "metadata.generation", 2, id="ready, but in an older generation"),
        pytest.param("policy", "status.pods.bound", 10, id="policy has not counted all pods"),
        pytest.param("cluster", "status", {}, id="nobody has looked at it"),
    ],
)
def test_nothing_is_settled_while(which: str, path: str, value: object) -> None:
    resources = {"policy": worlds.policy(), "cluster": worlds.cluster()}
    resources[which] = worlds.edited(resources[which], path, value)
    pods, claims = worlds.pods(worlds.PLACES), worlds.claims(worlds.PLACES)
    assert not state.state(**resources, pods=pods, claims=claims).settled


@pytest.mark.parametrize(
    ("path", "value", "usable"),
    [
        pytest.param("spec", {}, True, id="ready"),
        pytest.param("spec", {"unschedulable": True}, False, id="cordoned"),
        pytest.param("spec", {"taints": [{"key": "a", "effect": "NoExecute"}]}, False, id="tainted"),
        pytest.param("spec", {"taints": [{"key": "a", "effect": "PreferNoSchedule"}]}, True, id="avoided"),
        pytest.param("status.conditions.0.status", "Unknown", False, id="not ready"),
    ],
)
def test_a_host_is_usable_where_any_pod_may_run(path: str, value: object, usable: bool) -> None:
    (host,) = state.hosts([worlds.edited(worlds.nodes()[0], path, value)])
    assert host.usable is usable
