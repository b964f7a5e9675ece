"""Somebody else is faster: a pod in flight is deleted, replaced, changed or bound; two schedulers want the same pods.

A pod stays in flight for as long as its volume is being made, so nothing here depends on who is quick.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.controlplane.api import Api, wait_until
from tests.controlplane.nodes import HOSTNAME, ZONE
from tests.controlplane.storage import SELECTED_NODE
from tests.live import objects
from tests.live.conftest import OwnClass, OwnNode
from tests.live.test_volumes import nothing_left, selected
from tests.process import Release, Replica
from tests.process_fixtures import NewReplica

pytestmark = pytest.mark.timeout(180)


async def test_a_pod_that_somebody_else_binds_stays_where_it_is(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    ours, theirs = await own_node("n1"), await own_node("n2")
    pool = await own_class("slow", nodes=[ours], delay=3)
    await api.create(objects.claim(namespace, "data", pool))
    await api.create(objects.pod(namespace, "db", claims=["data"]))
    assert await selected(api, namespace, "data") == ours

    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "db"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": theirs},
    }
    await api.request("POST", f"{objects.pod_path(namespace, 'db')}/binding", binding)
    stowplan.wait_said("placement dropped", pod=f"{namespace}/db", because="AlreadyBound")
    assert (await objects.bound(api, namespace, "db"))["spec"]["nodeName"] == theirs
    await nothing_left(api, stowplan)


async def test_a_pod_that_is_replaced_by_one_of_the_same_name_is_placed_anew(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    """As a StatefulSet does it. The new pod uses the claim of the old one, whose volume is still in the making."""
    node = await own_node("n")
    pool = await own_class("slow", nodes=[node], delay=3)
    await api.create(objects.claim(namespace, "data", pool))
    old = await api.create(objects.pod(namespace, "db-0", claims=["data"]))
    assert await selected(api, namespace, "data") == node
    await api.delete(objects.pod_path(namespace, "db-0"))
    new = await api.create(objects.pod(namespace, "db-0", claims=["data"]))
    assert new["metadata"]["uid"] != old["metadata"]["uid"]

    pod = await objects.bound(api, namespace, "db-0")
    assert (pod["metadata"]["uid"], pod["spec"]["nodeName"]) == (new["metadata"]["uid"], node)
    await nothing_left(api, stowplan)


async def test_a_pod_that_is_changed_in_flight_is_tried_again_as_it_is_now(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass
) -> None:
    """While its volume is being made on one node, it gets a label that somebody on the other does not want near."""
    first, second = await own_node("n1"), await own_node("n2", unschedulable=True)
    await api.create(
        objects.pod(namespace, "calm", nodeName=second, affinity=objects.apart(HOSTNAME, {"noise": "loud"}))
    )
    pool = await own_class("slow", nodes=[first, second], delay=3600)
    await api.create(objects.claim(namespace, "data", pool))
    await api.create(objects.pod(namespace, "db", claims=["data"]))
    assert await selected(api, namespace, "data") == first

    await api.patch(f"/api/v1/nodes/{first}", {"spec": {"unschedulable": True}})
    await api.patch(f"/api/v1/nodes/{second}", {"spec": {"unschedulable": None}})
    await api.patch(objects.pod_path(namespace, "db"), {"metadata": {"labels": {"noise": "loud"}}})
    await api.create(objects.pod(namespace, "later", nodeSelector={HOSTNAME: second}))
    await objects.bound(api, namespace, "later")  # so all that has been seen
    given_up = {"metadata": {"annotations": {SELECTED_NODE: None}}}
    await api.patch(objects.claim_path(namespace, "data"), given_up)

    message = await objects.unschedulable(api, namespace, "db", saying="0/")
    assert "1 node(s) didn't satisfy existing pods anti-affinity rules" in message


async def test_two_schedulers_with_one_name_bind_each_pod_once(
    api: Api, namespace: str, new_release: Callable[[], Release], new_replica: NewReplica
) -> None:
    """Both lead, as they are told not to elect. The API server arbitrates; each learns what the other has done."""
    release = new_release()
    alone = {"leaderElection": {"leaderElect": False}}
    replicas = [new_replica(release, alone), new_replica(release, alone)]
    for replica in replicas:
        replica.wait_leads()
    rules = [objects.spread(ZONE, {"app": "contested"}, skew=5)]
    count = 0
    # Who is quicker may win every time, or see each pod bound before its turn: more pods, until one has lost one.
    while not any(replica.said("placement dropped") for replica in replicas):
        assert count < 10 * 90, "the two never wanted the same pod"
        wave = (
            objects.pod(
                namespace,
                f"p{number}",
                cpu="50m",
                labels={"app": "contested"},
                scheduler=release.name,
                topologySpreadConstraints=rules,
            )
            for number in range(count, count + 90)
        )
        await objects.create_all(api, wave)
        count += 90
        pods = await objects.all_bound(api, namespace, count)
    for replica in replicas:
        await nothing_left(api, replica)

    # Both may be told that they have bound a pod when they meant the same node; never one that lost.
    told: set[tuple[str, str]] = set()

    async def look() -> bool | None:
        told.update((record["pod"], record["node"]) for replica in replicas for record in replica.said("bound"))
        return True if len(told) >= count else None

    await wait_until(look, what="a record of each bind", within=objects.PATIENCE)
    assert told == {(f"{namespace}/{pod['metadata']['name']}", pod["spec"]["nodeName"]) for pod in pods}
