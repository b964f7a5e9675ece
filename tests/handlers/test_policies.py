"""SchedulingPolicies on a real API server: into the scheduling loop, and their status out of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from tests.controlplane.api import Api
from tests.controlplane.nodes import Manifest
from tests.handlers.bench import Bench, CountingApi, FixedWorld, node_set, now

from stowplan.api.policy_status import DomainStatus, PodCounts
from stowplan.handlers.policies import EVERYTHING, PolicyController
from stowplan.handlers.world import Bridge
from stowplan.kube import config, events
from stowplan.reconcile.policy_status import PolicyFacts

pytestmark = pytest.mark.e2e


class Controller:
    """The controller, what it writes, and whom it tells."""

    def __init__(self, client: CountingApi, world: FixedWorld) -> None:
        self.client = client
        self.recorder = events.Recorder(client, controller="stowplan.dev/operator", instance="test", busy=lambda: False)
        self.told: list[tuple[set[str], set[str]]] = []
        self.counted: list[tuple[str, Mapping[str, tuple[str, ...]]]] = []
        self.policies = PolicyController(
            client,
            world,
            Bridge(asyncio.get_running_loop()),
            self.recorder,
            now=now,
            on_change=self._changed,
            on_count=lambda policy, broken: self.counted.append((policy, broken)),
            resync=60,
        )

    def _changed(self, policies: set[str], clusters: set[str]) -> None:
        self.told.append((policies, clusters))

    async def refresh(self, namespace: str) -> tuple[set[str], set[str]]:
        """List all; what has changed in the namespace."""
        await self.policies.refresh(EVERYTHING)
        policies, clusters = self.told[-1]
        return mine(policies, namespace), mine(clusters, namespace)


def mine(keys: set[str], namespace: str) -> set[str]:
    return {key for key in keys if key.startswith(f"{namespace}/")}


@pytest.fixture
async def controller(target: config.Cluster, world: FixedWorld) -> AsyncIterator[Controller]:
    async with CountingApi(target) as client:
        yield Controller(client, world)


def manifest(namespace: str, **spec: object) -> Manifest:
    zone = {"name": "zone", "topologyKey": "topology.kubernetes.io/zone"}
    return {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "SchedulingPolicy",
        "metadata": {"name": "ha", "namespace": namespace},
        "spec": {"failureDomains": [zone], **spec},
    }


def path(namespace: str) -> str:
    return f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/schedulingpolicies/ha"


async def test_policies_and_clusters_reach_the_scheduling_loop_when_they_change(
    controller: Controller, world: FixedWorld, quiet_api: Api, bench: Bench, room: str
) -> None:
    await quiet_api.create(manifest(room))
    await bench.create(node_set("data", 3))
    assert await controller.refresh(room) == ({f"{room}/ha"}, {f"{room}/db"})
    assert f"{room}/ha" in {f"{each.metadata.namespace}/{each.metadata.name}" for each in world.policies}
    assert f"{room}/db" in {each.key for each in world.clusters}
    assert await controller.refresh(room) == (set(), set())
    await quiet_api.patch(path(room), {"spec": {"precedence": 7}})
    assert await controller.refresh(room) == ({f"{room}/ha"}, set())
    await quiet_api.delete(path(room))
    assert await controller.refresh(room) == ({f"{room}/ha"}, set())
    assert not any(each.metadata.namespace == room for each in world.policies)


async def test_the_status_says_what_the_scheduling_loop_counts_and_is_written_once(
    controller: Controller, world: FixedWorld, quiet_api: Api, room: str
) -> None:
    await quiet_api.create(manifest(room))
    await controller.refresh(room)
    row = DomainStatus(rule="even", group="data", domain="zone", counts={"a": 3, "b": 1}, skew=2, violated=True)
    world.known = PolicyFacts(pods=PodCounts(governed=5, bound=4, pending=1), domains=(row,))
    await controller.policies.tell(f"{room}/ha")
    found = await quiet_api.get(path(room))
    status = found["status"]
    assert status["pods"] == {"governed": 5, "bound": 4, "pending": 1}
    assert status["domains"][0]["counts"] == {"a": 3, "b": 1}
    assert status["violations"] == 1
    assert status["summary"] == {"pods": "4/5", "reason": "RulesViolated"}
    assert {each["type"]: (each["status"], each["observedGeneration"]) for each in status["conditions"]} == {
        "Accepted": ("True", 1), "Satisfied": ("False", 1), "Conflicted": ("False", 1), "Ready": ("True", 1),
    }  # fmt: skip
    written = len(controller.client.writes)
    await controller.policies.tell(f"{room}/ha")
    await controller.refresh(room)
    await controller.policies.tell(f"{room}/ha")
    assert len(controller.client.writes) == written


async def test_what_is_wrong_with_a_policy_is_told_once_in_events_and_so_is_its_end(
    controller: Controller, world: FixedWorld, quiet_api: Api, room: str
) -> None:
    await quiet_api.create(manifest(room))
    await controller.refresh(room)
    uneven = DomainStatus(rule="even", domain="zone", counts={"a": 3, "b": 1}, skew=2, violated=True)
    bad = PolicyFacts(domains=(uneven,), overridden_by=("other",), doubts=("minDomains is odd",))
    sending = asyncio.create_task(controller.recorder.run())
    try:
        for facts in (PolicyFacts(), bad, bad, PolicyFacts()):
            world.known = facts
            await controller.policies.tell(f"{room}/ha")
    finally:
        await controller.recorder.drain(5)
        sending.cancel()
    told = await quiet_api.list(f"/apis/events.k8s.io/v1/namespaces/{room}/events")
    assert sorted((each["type"], each["reason"], each["note"]) for each in told) == [
        ("Normal", "NoViolations", "running pods break no rule"),
        ("Warning", "Overridden", "pods that this policy selects are governed by other"),
        ("Warning", "QuestionableSpec", "minDomains is odd"),
        ("Warning", "RulesViolated", "running pods break even"),
    ]
    assert {each["regarding"]["name"] for each in told} == {"ha"}


async def test_each_count_is_told_also_one_that_is_like_the_one_before(
    controller: Controller, world: FixedWorld, quiet_api: Api, room: str
) -> None:
    await quiet_api.create(manifest(room))
    await controller.refresh(room)
    counts: list[dict[str, tuple[str, ...]]] = [{}, {f"{room}/db": ("even",)}, {f"{room}/db": ("even",)}]
    for broken in counts:
        world.known = PolicyFacts(broken=broken)
        await controller.policies.tell(f"{room}/ha")
    assert controller.counted == [(f"{room}/ha", broken) for broken in counts]


async def test_counts_of_domains_that_are_gone_leave_the_status(
    controller: Controller, world: FixedWorld, quiet_api: Api, room: str
) -> None:
    await quiet_api.create(manifest(room))
    await controller.refresh(room)
    for counts in ({"a": 1, "b": 1}, {"a": 2}):
        world.known = PolicyFacts(domains=(DomainStatus(rule="even", domain="zone", counts=counts),))
        await controller.policies.tell(f"{room}/ha")
    assert (await quiet_api.get(path(room)))["status"]["domains"][0]["counts"] == {"a": 2}
