"""Pods of a higher priority get their room on a real API server: the victims are told, and leave gracefully."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.controlplane.api import Api, ApiFailure, condition, wait_until
from tests.controlplane.nodes import HOSTNAME, ZONE, Manifest
from tests.controlplane.storage import SELECTED_NODE
from tests.live import objects
from tests.live.conftest import OwnClass, OwnNode, OwnProcess
from tests.live.objects import PATIENCE, pod_path, pods_path
from tests.live.test_volumes import nothing_left, selected
from tests.process import Replica

pytestmark = pytest.mark.timeout(180)

HOLD = "example.com/hold"
"""A finalizer: a pod with it is deleted when the test lets it go."""


@pytest.fixture
async def urgent(api: Api, namespace: str) -> AsyncIterator[str]:
    """A priority class."""
    name = f"urgent-{namespace[-6:]}"
    await priority_class(api, namespace, name, value=1000)
    yield name
    await api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}")


async def priority_class(api: Api, namespace: str, name: str, **fields: Any) -> None:
    """Makes a priority class, and returns when pods may name it: admission knows it a moment later."""
    metadata = {"name": name}
    await api.create({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": metadata, **fields})
    pod = here(namespace, "probe", priorityClassName=name)

    async def accepted() -> bool | None:
        try:
            await api.request("POST", pods_path(namespace), pod, query={"dryRun": "All"})
        except ApiFailure as error:
            if error.status == 403:
                return None
            raise
        return True

    await wait_until(accepted, what=f"admission to know the priority class {name}")


def here(namespace: str, name: str, *, cpu: str = "1", hold: bool = False, **more: Any) -> Manifest:
    """A pod for the test's own nodes."""
    found = objects.pod(namespace, name, cpu=cpu, nodeSelector={objects.OWN: namespace}, **more)
    if hold:
        found["metadata"]["finalizers"] = [HOLD]
    return found


async def running(api: Api, namespace: str, name: str, **more: Any) -> Manifest:
    """Such a pod, once it is bound."""
    await api.create(here(namespace, name, **more))
    return await objects.bound(api, namespace, name)


async def leaving(api: Api, namespace: str, name: str) -> Manifest:
    """The pod, once it is being deleted."""
    return await api.wait(
        pod_path(namespace, name), lambda each: "deletionTimestamp" in each["metadata"], within=PATIENCE
    )


async def first_asked(api: Api, pod: Manifest) -> int:
    """The seconds that a pod was given when it was first asked to leave: kwok ends it at once, whatever they are."""
    namespace = pod["metadata"]["namespace"]
    async for seen in api.watch(pods_path(namespace), pod["metadata"]["resourceVersion"]):
        metadata = seen["object"]["metadata"]
        if metadata["uid"] == pod["metadata"]["uid"] and "deletionTimestamp" in metadata:
            seconds: int = metadata["deletionGracePeriodSeconds"]
            return seconds
    raise AssertionError("nobody asked it")


async def nominated(api: Api, namespace: str, name: str) -> str:
    """The node that the API shows as promised to a pod, once it does."""
    found = await api.wait(
        pod_path(namespace, name), lambda each: "nominatedNodeName" in each["status"], within=PATIENCE
    )
    node: str = found["status"]["nominatedNodeName"]
    return node


async def let_go(api: Api, namespace: str, name: str) -> None:
    await api.patch(pod_path(namespace, name), {"metadata": {"finalizers": None}})


async def names(api: Api, namespace: str) -> set[str]:
    return {each["metadata"]["name"] for each in await api.list(pods_path(namespace))}


async def test_a_pod_gets_its_room_when_the_victim_is_gone(
    api: Api, namespace: str, own_node: OwnNode, urgent: str, stowplan: Replica
) -> None:
    node = await own_node("n", cpu="1")
    tries = stowplan.metric("scheduler_preemption_attempts_total")
    victims = stowplan.metric("scheduler_preemption_victims_sum")
    low = await running(api, namespace, "low", hold=True, terminationGracePeriodSeconds=45)
    high = await api.create(here(namespace, "high", priorityClassName=urgent))
    assert await nominated(api, namespace, "high") == node
    victim = await leaving(api, namespace, "low")
    assert await first_asked(api, low) == 45, "it is given the time that it asks for"
    target = next(each for each in victim["status"]["conditions"] if each["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "PreemptionByScheduler")
    assert target["message"] == "stowplan: preempting to accommodate a higher priority pod"
    event = await objects.event(api, low, "Preempted")
    assert event["note"] == f"Preempted by pod {high['metadata']['uid']} on node {node}"
    assert (event["type"], event["action"]) == ("Normal", "Preempting")
    assert event["related"]["uid"] == high["metadata"]["uid"]

    message = await objects.unschedulable(api, namespace, "high", saying="Insufficient cpu")
    assert "nodeName" not in (await api.get(pod_path(namespace, "high")))["spec"]
    assert "No preemption victims" not in message
    await let_go(api, namespace, "low")
    assert (await objects.bound(api, namespace, "high"))["spec"]["nodeName"] == node
    assert stowplan.metric("scheduler_preemption_attempts_total") > tries
    assert stowplan.metric("scheduler_preemption_victims_sum") > victims
    stowplan.check()


async def test_a_pod_that_nobody_makes_room_for_is_told_why(
    api: Api, namespace: str, own_node: OwnNode, stowplan: Replica
) -> None:
    await own_node("n", cpu="1")
    await running(api, namespace, "first")
    await api.create(here(namespace, "second"))
    message = await objects.unschedulable(api, namespace, "second", saying="preemption: 0/")
    total = len(await api.list("/api/v1/nodes"))
    assert message.endswith(
        f"preemption: 0/{total} nodes are available: 1 No preemption victims found for incoming pod, "
        f"{total - 1} Preemption is not helpful for scheduling."
    )


async def test_a_pod_that_must_not_preempt_waits(
    api: Api, namespace: str, own_node: OwnNode, urgent: str, stowplan: Replica
) -> None:
    del urgent
    await own_node("n", cpu="1")
    await running(api, namespace, "low")
    shy = f"shy-{namespace[-6:]}"
    await priority_class(api, namespace, shy, value=2000, preemptionPolicy="Never")
    await api.create(here(namespace, "high", priorityClassName=shy))
    await objects.unschedulable(api, namespace, "high", saying="not eligible due to preemptionPolicy=Never.")
    assert "deletionTimestamp" not in (await api.get(pod_path(namespace, "low")))["metadata"]
    await api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{shy}")


async def test_two_pods_do_not_count_on_the_same_room(
    api: Api, namespace: str, own_node: OwnNode, urgent: str, stowplan: Replica
) -> None:
    """Two nodes with one victim each, and two that want a node each: both get one, and nobody else has to go."""
    for name in ("n1", "n2"):
        await own_node(name, cpu="2")
    for name in ("low1", "low2"):
        await running(api, namespace, name, cpu="1500m", hold=True)
    for name in ("keep1", "keep2"):
        await running(api, namespace, name, cpu="500m", priorityClassName=urgent)
    await objects.create_all(
        api, (here(namespace, name, cpu="1500m", priorityClassName=urgent) for name in ("high1", "high2"))
    )
    promised = {await nominated(api, namespace, name) for name in ("high1", "high2")}
    assert len(promised) == 2
    for name in ("low1", "low2"):
        await leaving(api, namespace, name)
        await let_go(api, namespace, name)
    placed = {(await objects.bound(api, namespace, name))["spec"]["nodeName"] for name in ("high1", "high2")}
    assert placed == promised
    assert await names(api, namespace) == {"high1", "high2", "keep1", "keep2"}
    stowplan.check()


async def test_a_preemptor_is_told_once_that_it_fits_nowhere(
    api: Api, namespace: str, own_node: OwnNode, urgent: str, stowplan: Replica
) -> None:
    """It is tried again as soon as the first victim is gone, while others are still being asked to leave."""
    await own_node("n", cpu="4")
    for number in range(4):
        await running(api, namespace, f"low{number}", cpu="1", terminationGracePeriodSeconds=0)
    high = await api.create(here(namespace, "high", cpu="4", priorityClassName=urgent))
    await objects.bound(api, namespace, "high")
    await objects.event(api, high, "Scheduled")
    said = [
        (each["note"], each.get("series"))
        for each in await api.list(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
        if each["regarding"].get("uid") == high["metadata"]["uid"] and each["reason"] == "FailedScheduling"
    ]
    assert len(said) == 1, said
    assert "waiting for the preemption" not in said[0][0]
    stowplan.check()


async def test_the_room_is_not_given_to_somebody_less_important(
    api: Api, namespace: str, own_node: OwnNode, urgent: str, stowplan: Replica
) -> None:
    """While the victim is leaving, a small pod that would fit into what is left of the node comes by."""
    await own_node("n", cpu="2")
    await running(api, namespace, "low", cpu="1", hold=True)
    await api.create(here(namespace, "high", cpu="2", priorityClassName=urgent))
    await leaving(api, namespace, "low")
    await api.create(here(namespace, "small", cpu="1"))
    await objects.unschedulable(api, namespace, "small", saying="Insufficient cpu")
    await let_go(api, namespace, "low")
    await objects.bound(api, namespace, "high")
    assert "nodeName" not in (await api.get(pod_path(namespace, "small")))["spec"]


async def test_budgets_are_respected_where_there_is_another_way(
    api: Api, namespace: str, own_node: OwnNode, urgent: str, stowplan: Replica
) -> None:
    await own_node("n1", cpu="1")
    await running(api, namespace, "guarded", labels={"app": "db"})
    await own_node("n2", cpu="1")
    middle = f"middle-{namespace[-6:]}"
    await priority_class(api, namespace, middle, value=500)
    await running(api, namespace, "free", priorityClassName=middle)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "db", "namespace": namespace},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "db"}}},
    }
    await api.create(budget)
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/db"
    await api.wait(path, lambda each: each.get("status", {}).get("expectedPods") == 1, within=PATIENCE)
    await api.create(here(namespace, "high", priorityClassName=urgent))
    pod = await objects.bound(api, namespace, "high")
    assert pod["spec"]["nodeName"].startswith("n2")
    assert await names(api, namespace) == {"guarded", "high"}
    await api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{middle}")


async def test_a_required_rule_of_a_policy_is_not_broken(
    api: Api, namespace: str, own_node: OwnNode, urgent: str, stowplan: Replica
) -> None:
    """Two members in zone x, and one in y that may not go: there would be two in one zone and none in the other."""
    nodes: dict[str, str] = {}
    for zone in "xy":
        for number in (1, 2):
            nodes[f"{zone}{number}"] = await own_node(f"{zone}{number}", cpu="1", zone=zone)
    db = {"app": "db"}
    await api.create({
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "SchedulingPolicy",
        "metadata": {"name": "ha", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": db},
            "failureDomains": [{"name": "zone", "topologyKey": ZONE}],
            "spread": [{"name": "even", "domain": "zone", "maxSkew": 1, "enforcement": "Required"}],
        },
    })  # fmt: skip
    path = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/schedulingpolicies/ha"
    await api.wait(path, lambda each: condition(each, "Accepted") == "True", within=PATIENCE)

    def on(node: str, name: str, **more: Any) -> Manifest:
        found = here(namespace, name, **more)
        found["spec"]["nodeSelector"] = {HOSTNAME: nodes[node]}
        return found

    await api.create(on("x1", "db-x1", labels=db))
    await objects.bound(api, namespace, "db-x1")
    await api.create(on("y1", "db-y1", labels=db))
    await objects.bound(api, namespace, "db-y1")
    await api.create(on("x2", "db-x2", labels=db))
    await objects.bound(api, namespace, "db-x2")
    middle = f"middle-{namespace[-6:]}"
    await priority_class(api, namespace, middle, value=500)
    await api.create(on("y2", "other", priorityClassName=middle))
    await objects.bound(api, namespace, "other")

    await api.create(on("y1", "picky", priorityClassName=urgent))
    message = await objects.unschedulable(api, namespace, "picky", saying="preemption: ")
    assert "1 node(s) where evictions would break rule even of policy ha" in message
    await api.delete(pod_path(namespace, "picky"))

    await api.create(here(namespace, "high", priorityClassName=urgent))
    await objects.bound(api, namespace, "high")
    left = await names(api, namespace)
    assert left in ({"db-y1", "db-x1", "other", "high"}, {"db-y1", "db-x2", "other", "high"})
    await api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{middle}")


@pytest.mark.usefixtures("urgent")
async def test_a_victim_that_waits_for_its_volume_is_called_back(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    """It is not bound yet, so it is not deleted but waits again, and its claim is free to go elsewhere."""
    urgent = f"urgent-{namespace[-6:]}"
    node = await own_node("n", cpu="1")
    pool = await own_class("slow", nodes=[node], delay=3600)
    await api.create(objects.claim(namespace, "data", pool))
    low = await api.create(here(namespace, "low", claims=["data"]))
    assert await selected(api, namespace, "data") == node
    high = await api.create(here(namespace, "high", priorityClassName=urgent))
    assert (await objects.bound(api, namespace, "high"))["spec"]["nodeName"] == node
    event = await objects.event(api, low, "Preempted")
    assert event["note"] == f"Preempted by pod {high['metadata']['uid']} on node {node} (before it was bound)"
    await objects.unschedulable(api, namespace, "low", saying="Insufficient cpu")
    left = await api.get(pod_path(namespace, "low"))
    assert left["metadata"]["uid"] == low["metadata"]["uid"]
    assert "deletionTimestamp" not in left["metadata"]
    assert "DisruptionTarget" not in {each["type"] for each in left["status"]["conditions"]}
    claim = await api.get(objects.claim_path(namespace, "data"))
    assert SELECTED_NODE not in claim["metadata"].get("annotations", {})
    await nothing_left(api, stowplan)


async def test_a_victim_that_is_leaving_already_is_waited_for_and_nobody_else_goes(
    api: Api, namespace: str, own_node: OwnNode, urgent: str, stowplan: Replica
) -> None:
    """Somebody has deleted it before: the pod gets its node, without another eviction."""
    for name in ("n1", "n2"):
        await own_node(name, cpu="1")
    await running(api, namespace, "low", hold=True)
    middle = f"middle-{namespace[-6:]}"
    await priority_class(api, namespace, middle, value=500)
    await running(api, namespace, "other", priorityClassName=middle)
    await api.delete(pod_path(namespace, "low"))
    gone = await leaving(api, namespace, "low")
    await api.create(here(namespace, "high", priorityClassName=urgent))
    assert await nominated(api, namespace, "high") == gone["spec"]["nodeName"]
    victim = await api.get(pod_path(namespace, "low"))
    assert "DisruptionTarget" not in {each["type"] for each in victim["status"]["conditions"]}
    await let_go(api, namespace, "low")
    assert (await objects.bound(api, namespace, "high"))["spec"]["nodeName"] == gone["spec"]["nodeName"]
    assert await names(api, namespace) == {"other", "high"}
    await api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{middle}")


async def test_it_may_be_killed_between_the_promise_and_the_bind(
    api: Api, namespace: str, own_node: OwnNode, urgent: str, own: OwnProcess
) -> None:
    """The next process finds the promise and the victims that are leaving, and nobody else has to go."""
    release, replica = own({})
    for name in ("n1", "n2"):
        await own_node(name, cpu="1")
    for name in ("low1", "low2"):
        await running(api, namespace, name, hold=True, scheduler=release.name)
    await api.create(here(namespace, "high", priorityClassName=urgent, scheduler=release.name))
    node = await nominated(api, namespace, "high")

    async def look() -> str | None:
        pods = await api.list(pods_path(namespace))
        return next((each["metadata"]["name"] for each in pods if "deletionTimestamp" in each["metadata"]), None)

    victim = await wait_until(look, what="a victim that leaves", within=PATIENCE)
    replica.kill()
    replica.start()
    replica.wait_ready()
    await objects.unschedulable(
        api, namespace, "high", saying="not eligible due to a terminating pod on the nominated node."
    )
    await let_go(api, namespace, victim)
    assert (await objects.bound(api, namespace, "high"))["spec"]["nodeName"] == node
    survivors = await names(api, namespace)
    assert survivors == {"low1", "low2", "high"} - {victim}
    (survivor,) = survivors - {"high"}
    assert "deletionTimestamp" not in (await api.get(pod_path(namespace, survivor)))["metadata"]
    await let_go(api, namespace, survivor)
    replica.check()
