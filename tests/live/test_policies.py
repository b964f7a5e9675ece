"""Policies in the API govern the pods of the running scheduler, from the moment they are there."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.controlplane.api import Api
from tests.controlplane.nodes import HOSTNAME, RACK, ZONE, Manifest
from tests.live import objects
from tests.live.conftest import OwnNode

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("stowplan")]

DOMAINS = [
    {"name": "zone", "topologyKey": ZONE},
    {"name": "rack", "topologyKey": RACK},
    {"name": "host", "topologyKey": HOSTNAME},
]


def policy(namespace: str, name: str, **spec: object) -> Manifest:
    return {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "SchedulingPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"failureDomains": DOMAINS, **spec},
    }


def policy_path(namespace: str, name: str) -> str:
    return f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/schedulingpolicies/{name}"


async def governing(api: Api, manifest: Manifest) -> None:
    """Create a policy and wait until it is in force."""
    created = await api.create(manifest)
    metadata = created["metadata"]
    await api.wait(
        policy_path(metadata["namespace"], metadata["name"]),
        lambda each: each.get("status", {}).get("observedGeneration") == metadata["generation"],
        within=objects.PATIENCE,
    )


async def test_pods_that_name_a_policy_follow_it(api: Api, namespace: str) -> None:
    """In one zone there are ten racks of two hosts: a third pod in a rack would fit otherwise."""
    rule = {"name": "one-per-rack", "domain": "rack", "enforcement": "Required"}
    await governing(api, policy(namespace, "apart", separate=[rule]))
    named = {"stowplan.dev/policy": "apart"}
    await objects.create_all(
        api, (objects.pod(namespace, f"p{n}", annotations=named, nodeSelector={ZONE: "a"}) for n in range(10))
    )
    pods = await objects.all_bound(api, namespace, 10)
    nodes = [each for each in await api.list("/api/v1/nodes") if each["metadata"]["labels"][ZONE] == "a"]
    assert set(objects.counts(pods, nodes, RACK).values()) == {1}

    await api.create(objects.pod(namespace, "free", nodeSelector={ZONE: "a"}))  # governed by nobody
    await objects.bound(api, namespace, "free")
    await api.create(objects.pod(namespace, "one-more", annotations=named, nodeSelector={ZONE: "a"}))
    assert "one-per-rack" in await objects.unschedulable(api, namespace, "one-more")
    status = await api.wait(
        policy_path(namespace, "apart"),
        lambda each: each.get("status", {}).get("pods") == {"governed": 11, "bound": 10, "pending": 1},
        within=objects.PATIENCE,
    )
    assert status["status"]["violations"] == 0


async def test_pods_that_a_policy_selects_are_spread_by_it(api: Api, namespace: str) -> None:
    rule = {"name": "over-zones", "domain": "zone", "maxSkew": 1, "enforcement": "Required"}
    await governing(api, policy(namespace, "ha", selector={"matchLabels": {"app": "db"}}, spread=[rule]))
    await objects.create_all(api, (objects.pod(namespace, f"p{n}", labels={"app": "db"}) for n in range(8)))
    pods = await objects.all_bound(api, namespace, 8)
    assert sorted(objects.counts(pods, await api.list("/api/v1/nodes"), ZONE).values()) == [2, 3, 3]

    def counted(each: Manifest) -> bool:
        domains = each.get("status", {}).get("domains", [])
        return [sorted(row["counts"].values()) for row in domains] == [[2, 3, 3]]

    found = await api.wait(policy_path(namespace, "ha"), counted, within=objects.PATIENCE)
    (row,) = found["status"]["domains"]
    assert (row["rule"], row["domain"], row["skew"], row["violated"]) == ("over-zones", "zone", 1, False)


async def test_a_pod_waits_for_the_policy_that_it_names(api: Api, namespace: str) -> None:
    await api.create(objects.pod(namespace, "early", annotations={"stowplan.dev/policy": "later"}))
    message = await objects.unschedulable(api, namespace, "early")
    assert "waiting for SchedulingPolicy later, which does not exist" in message
    await api.create(policy(namespace, "later"))
    await objects.bound(api, namespace, "early")


async def test_a_policy_that_is_tried_places_nobody_and_tells_what_it_would_have_done(api: Api, namespace: str) -> None:
    """All pods ask for one zone, where the rule would let one of them run."""
    selector = {"matchLabels": {"app": "db"}}
    rule = {"name": "one-per-zone", "domain": "zone", "enforcement": "Required"}
    await governing(api, policy(namespace, "tried", mode="DryRun", selector=selector, separate=[rule]))
    for n in range(4):
        await api.create(objects.pod(namespace, f"p{n}", labels={"app": "db"}, nodeSelector={ZONE: "a"}))
        await objects.bound(api, namespace, f"p{n}")
    found = await tells(api, namespace, decisions=4, impossible=3)
    assert found["status"]["pods"] == {"governed": 0, "bound": 0, "pending": 0}


async def test_a_policy_that_is_tried_on_a_flood_of_pods_is_written_now_and_then(api: Api, namespace: str) -> None:
    """Not for each pod: once a second at most, and only if there is something new."""
    await governing(api, policy(namespace, "tried", mode="DryRun", selector={}))
    collection = policy_path(namespace, "").rstrip("/")
    version = (await api.request("GET", collection))["metadata"]["resourceVersion"]
    started = asyncio.get_running_loop().time()
    await objects.create_all(api, (objects.pod(namespace, f"p{n}") for n in range(60)))
    await tells(api, namespace, decisions=60)
    seconds = asyncio.get_running_loop().time() - started
    writes = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            async for _ in api.watch(collection, version):
                writes += 1
    assert 1 <= writes <= seconds + 2


async def test_a_policy_that_is_tried_tells_of_gangs_and_of_pods_that_it_would_let_go(
    api: Api, namespace: str, own_node: OwnNode
) -> None:
    """One a node is what holds; the other policy would allow any number, but starts with three at once."""
    await own_node("n")
    limits = {"limits": {"podsPerNode": 1}}
    await governing(api, policy(namespace, "held", selector={}, nodes=limits))
    await governing(api, policy(namespace, "tried", mode="DryRun", selector={}, gang={"minMember": 3}))
    here = {objects.OWN: namespace}
    await api.create(objects.pod(namespace, "p0", nodeSelector=here))
    await objects.bound(api, namespace, "p0")
    await tells(api, namespace, decisions=1, incomplete=1)
    await objects.create_all(api, (objects.pod(namespace, name, nodeSelector=here) for name in ("p1", "p2")))
    for name in ("p1", "p2"):
        await objects.unschedulable(api, namespace, name)
    await tells(api, namespace, decisions=1, unblocked=2)
    await api.patch(policy_path(namespace, "tried"), {"spec": {"mode": "Enforce", "precedence": 1}})
    assert len(await objects.all_bound(api, namespace, 3)) == 3


async def tells(api: Api, namespace: str, **counts: int) -> Manifest:
    """The policy `tried`, once its status says so, and nothing else of pods."""

    def said(each: Manifest) -> bool:
        shadow = each.get("status", {}).get("shadow", {})
        return {name: count for name, count in shadow.items() if count} == counts

    return await api.wait(policy_path(namespace, "tried"), said, within=objects.PATIENCE)


async def test_a_policy_that_is_relaxed_lets_waiting_pods_go(api: Api, namespace: str) -> None:
    rule = {"name": "one-per-zone", "domain": "zone", "enforcement": "Required"}
    await governing(api, policy(namespace, "apart", selector={"matchLabels": {"app": "db"}}, separate=[rule]))
    await objects.create_all(api, (objects.pod(namespace, f"p{n}", labels={"app": "db"}) for n in range(3)))
    await objects.all_bound(api, namespace, 3)
    await api.create(objects.pod(namespace, "fourth", labels={"app": "db"}))
    await objects.unschedulable(api, namespace, "fourth")

    wider = [{**rule, "name": "one-per-host", "domain": "host"}]
    await api.patch(policy_path(namespace, "apart"), {"spec": {"separate": wider}})
    await objects.bound(api, namespace, "fourth")
