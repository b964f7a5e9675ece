"""What is said about a history of revisions, each test with one that is fine and one that is not."""

from __future__ import annotations

import itertools

import pytest
from tests.controlplane import storage
from tests.controlplane.nodes import DRIVER, HOSTNAME, ZONE, Manifest
from tests.scenarios.history import BEFORE, Seen
from tests.scenarios.invariants import (
    GRACE,
    Apart,
    AtMost,
    ClaimsKept,
    Even,
    Invariant,
    Kept,
    NotOverbooked,
    OneIdentity,
    Quorum,
    judge,
)

LABELS = {"app": "db"}
UNREACHABLE = [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]
OUT_OF_SERVICE = [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]


def node(name: str, *, zone: str = "", ready: bool = True, taints: list[dict[str, str]] | None = None) -> Manifest:
    status = "True" if ready else "Unknown"
    return {
        "kind": "Node",
        "metadata": {"name": name, "uid": f"node-{name}", "labels": {HOSTNAME: name, ZONE: zone or name[0]}},
        "spec": {"taints": taints or []},
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
            "conditions": [{"type": "Ready", "status": status}],
        },
    }


def pod(
    name: str, on: str = "", *, uid: str = "", cpu: str = "1", ready: bool = True, leaving: bool = False,
    phase: str = "Running", claim: str = "",
) -> Manifest:  # fmt: skip
    metadata: Manifest = {"name": name, "namespace": "prod", "uid": uid or f"pod-{name}", "labels": LABELS}
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "nodeName": on,
            "containers": [{"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}],
            "volumes": [{"persistentVolumeClaim": {"claimName": claim}}] if claim else [],
        },
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def claim(name: str, volume: str = "") -> Manifest:
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "prod", "uid": f"claim-{name}"},
        "spec": {"volumeName": volume},
    }


def volume(key: str, value: str) -> Manifest:
    term = {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}
    return {
        "kind": "PersistentVolume",
        "metadata": {"name": "pv", "uid": "pv", "annotations": {storage.PROVISIONED_BY: DRIVER}},
        "spec": {"storageClassName": "any", "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}},
    }


class Story:
    """Revisions one after the other, a tenth of a second apart; time can pass between them."""

    def __init__(self, *there: Manifest) -> None:
        self._numbers = itertools.count(1)
        self._now = 100.0
        self.seen = [Seen(next(self._numbers), BEFORE, each["kind"], False, each) for each in there]

    def then(self, *objects: Manifest, gone: bool = False) -> Story:
        for each in objects:
            self._now += 0.1
            self.seen.append(Seen(next(self._numbers), self._now, each["kind"], gone, each))
        return self

    def without(self, *objects: Manifest) -> Story:
        return self.then(*objects, gone=True)

    def pause(self) -> Story:
        """Long enough for everybody to know."""
        self._now += GRACE + 1
        return self.then(node("bystander"))


def silenced(name: str) -> Story:
    """db-0 is on a node that is silent, and is deleted by force."""
    return Story(node(name), node("b1"), pod("db-0", name)).then(
        node(name, ready=False, taints=UNREACHABLE)
    ).without(pod("db-0", name))  # fmt: skip


@pytest.mark.parametrize(
    ("story", "broken"),
    [
        pytest.param(
            silenced("a1").then(pod("db-0", uid="2"), pod("db-0", "b1", uid="2")),
            ["prod/db-0 was started on b1 while it may still run on a1"],
            id="deleted by force",
        ),
        pytest.param(
            silenced("a1").then(pod("db-1", "b1", uid="2")), [], id="another name",
        ),
        pytest.param(
            silenced("a1").then(node("a1", ready=False, taints=OUT_OF_SERVICE), pod("db-0", "b1", uid="2")),
            [],
            id="somebody vouches that the node is off",
        ),
        pytest.param(
            silenced("a1").without(node("a1", ready=False)).then(pod("db-0", "b1", uid="2")), [], id="node deleted",
        ),
        pytest.param(
            silenced("a1").then(node("a1"), pod("db-0", "b1", uid="2")), [], id="the node is back and has stopped it",
        ),
        pytest.param(
            Story(node("a1"), pod("db-0", "a1")).without(pod("db-0", "a1")).then(pod("db-0", "a1", uid="2")),
            [],
            id="its kubelet has stopped it",
        ),
        pytest.param(
            Story(node("a1", ready=False), pod("db-0", "a1", phase="Failed"))
            .without(pod("db-0", "a1", phase="Failed"))
            .then(pod("db-0", "b1", uid="2")),
            [],
            id="it had ended",
        ),
    ],
)  # fmt: skip
def test_two_pods_of_a_name_never_run(story: Story, broken: list[str]) -> None:
    assert judge(story.seen, [OneIdentity()]) == broken


@pytest.mark.parametrize(
    ("story", "broken"),
    [
        pytest.param(Story(node("a1")).then(pod("db-0", "a1", cpu="3"), pod("db-1", "a1")), [], id="just enough"),
        pytest.param(
            Story(node("a1")).then(pod("db-0", "a1", cpu="3"), pod("db-1", "a1", cpu="1001m")),
            ["a1 is over its allocatable cpu by prod/db-1"],
            id="a little too much",
        ),
        pytest.param(
            Story(node("a1"), pod("db-0", "a1", cpu="3")).then(pod("db-1", cpu="3"), pod("db-1", "a1", cpu="3")),
            ["a1 is over its allocatable cpu by prod/db-1"],
            id="bound later",
        ),
        pytest.param(
            Story(node("a1"), pod("db-0", "a1", cpu="3", phase="Succeeded")).then(pod("db-1", "a1", cpu="3")),
            [],
            id="what has ended needs nothing",
        ),
        pytest.param(
            Story(node("a1"), pod("db-0", "a1", cpu="3", leaving=True)).then(pod("db-1", "a1", cpu="3")),
            ["a1 is over its allocatable cpu by prod/db-1"],
            id="what is being deleted is still there",
        ),
    ],
)
def test_no_node_gets_more_than_it_has(story: Story, broken: list[str]) -> None:
    assert judge(story.seen, [NotOverbooked()]) == broken


def test_a_claim_goes_only_where_it_shall() -> None:
    story = Story(claim("one"), claim("two")).without(claim("one"), claim("two"))
    assert judge(story.seen, [ClaimsKept({"two"})]) == ["the claim one was deleted"]


@pytest.mark.parametrize(
    ("last", "broken"),
    [
        pytest.param(pod("db-1", "b1"), [], id="all serve"),
        pytest.param(pod("db-1", "b1", ready=False), ["only 1 member served, 2 are a majority"], id="not ready"),
        pytest.param(pod("db-1", "b1", leaving=True), ["only 1 member served, 2 are a majority"], id="being deleted"),
    ],
)
def test_a_quorum_serves_at_every_moment(last: Manifest, broken: list[str]) -> None:
    story = Story(pod("db-0", "a1"), pod("db-1", "b1")).then(last)
    assert judge(story.seen, [Quorum(LABELS, 2, since=2)]) == broken
    assert judge(story.seen, [Quorum(LABELS, 2, since=3)]) == []


ZONES = (node("a1"), node("b1"), node("c1"))
TWO = (pod("db-0", "a1"), pod("db-1", "b1"))


@pytest.mark.parametrize(
    ("rule", "story", "broken"),
    [
        pytest.param(Apart(HOSTNAME), Story(*ZONES, *TWO).then(pod("db-2", "c1")), "", id="apart"),
        pytest.param(
            Apart(HOSTNAME),
            Story(*ZONES, *TWO).then(pod("db-2", "b1")),
            "db-2 was placed so that it shares b1 with db-1",
            id="on one host",
        ),
        pytest.param(
            Apart(HOSTNAME),
            Story(*ZONES, *TWO, volume(HOSTNAME, "b1"), claim("data", "pv"))
            .then(pod("db-2", claim="data"), pod("db-2", "b1", claim="data")),
            "",
            id="back to its volume",
        ),
        pytest.param(
            Apart(HOSTNAME),
            Story(*ZONES, node("b2"), *TWO, volume(ZONE, "b"), claim("data", "pv"))
            .then(pod("db-2", claim="data"), pod("db-2", "b1", claim="data")),
            "db-2 was placed so that it shares b1 with db-1",
            id="its volume has another host",
        ),
        pytest.param(
            Apart(HOSTNAME),
            Story(*ZONES, *TWO, claim("data"))
            .then(pod("db-2", claim="data"), volume(HOSTNAME, "b1"), claim("data", "pv"))
            .then(pod("db-2", "b1", claim="data")),
            "db-2 was placed so that it shares b1 with db-1",
            id="a volume that was made for it",
        ),
        pytest.param(AtMost(ZONE, 2), Story(*ZONES, *TWO).then(pod("db-2", "b1")), "", id="two are allowed"),
        pytest.param(
            AtMost(ZONE, 2),
            Story(*ZONES, *TWO).then(pod("db-2", "b1"), pod("db-3", "b1")),
            "db-3 was placed so that b holds 3 where 2 are allowed",
            id="three are not",
        ),
        pytest.param(Even(ZONE), Story(*ZONES, *TWO).then(pod("db-2", "c1")), "", id="even"),
        pytest.param(
            Even(ZONE),
            Story(*ZONES, *TWO).then(pod("db-2", "b1")).pause(),
            "db-2 was placed so that b holds 2, the emptiest domain 0",
            id="uneven",
        ),
        pytest.param(
            Even(ZONE),
            Story(*ZONES, *TWO).then(pod("db-2", "b1")),
            "db-2 was placed so that b holds 2, the emptiest domain 0",
            id="uneven to the end",
        ),
        pytest.param(
            Even(ZONE),
            Story(*ZONES, *TWO).then(pod("db-2", "b1"), pod("db-3", "c1")).pause(),
            "",
            id="binds are stored in another order",
        ),
        pytest.param(
            Even(ZONE),
            Story(*ZONES, *TWO, pod("db-2", "c1")).without(pod("db-2", "c1")).then(pod("db-3", "b1")),
            "",
            id="nobody could know that one has just gone",
        ),
        pytest.param(
            Even(ZONE),
            Story(*ZONES[:2], node("c1", taints=UNREACHABLE), *TWO).then(pod("db-2", "b1")).pause(),
            "",
            id="a zone that is out does not count",
        ),
        pytest.param(
            Even(ZONE),
            Story(*(node(each, taints=UNREACHABLE) for each in ("a1", "b1", "c1")), *TWO)
            .then(*ZONES, pod("db-2", "b1"), pod("db-3", "c1"))
            .pause(),
            "",
            id="all zones have just come back",
        ),
    ],
)  # fmt: skip
def test_pods_are_placed_as_a_rule_says(rule: Apart | AtMost | Even, story: Story, broken: str) -> None:
    assert judge(story.seen, [Kept(rule, LABELS)]) == ([broken] if broken else [])


def test_revisions_are_judged_in_the_order_in_which_they_were_stored() -> None:
    story = Story(*ZONES, pod("db-0", "a1")).without(pod("db-0", "a1")).then(pod("db-1", "a1"))
    watcher: Invariant = Kept(Apart(HOSTNAME), LABELS)
    assert judge(reversed(story.seen), [watcher]) == []
