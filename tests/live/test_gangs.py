"""Gangs on a real API server: all members or none, whoever refuses what and whatever is killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.controlplane.api import Api, ApiFailure, wait_until
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.nodes import HOSTNAME, Layout, Manifest
from tests.controlplane.plane import Options
from tests.controlplane.storage import REFUSE
from tests.live import objects
from tests.live.conftest import OwnClass, OwnNode
from tests.live.test_policies import governing, policy
from tests.live.test_volumes import nothing_left, selected
from tests.process import Replica, install
from tests.process_fixtures import NAMESPACE, NewReplica

from stowplan.live.gangs import BIND_AGAIN

pytestmark = pytest.mark.timeout(180)

GANG = "example.com/gang"
SLOW = {"leaderElection": {"leaderElect": False}, "clientConnection": {"qps": 20}}


async def together(api: Api, namespace: str, least: int, **spec: object) -> None:
    """A policy for all pods of the namespace."""
    gang = {"minMember": least, "groupBy": [GANG], **spec}
    await governing(api, policy(namespace, "together", selector={}, gang=gang))


def member(namespace: str, name: str, *, gang: str = "g", own: bool = True, **more: object) -> Manifest:
    selector = {objects.OWN: namespace} if own else {}
    node_selector = {**selector, **more.pop("nodeSelector", {})}  # type: ignore[dict-item]
    return objects.pod(namespace, name, labels={GANG: gang}, nodeSelector=node_selector, **more)  # type: ignore[arg-type]


async def bound_names(api: Api, namespace: str) -> set[str]:
    pods = await api.list(objects.pods_path(namespace))
    return {pod["metadata"]["name"] for pod in pods if "nodeName" in pod["spec"]}


@pytest.mark.usefixtures("stowplan")
async def test_a_gang_waits_for_its_last_member_and_says_so(api: Api, namespace: str, own_node: OwnNode) -> None:
    await own_node("n")
    await together(api, namespace, 3)
    first = await api.create(member(namespace, "p0"))
    await api.create(member(namespace, "p1"))
    message = await objects.unschedulable(api, namespace, "p1", saying="2 of minMember 3 members exist")
    assert f"gang {namespace}/g" in message
    await objects.event(api, first, "FailedScheduling")

    def listed(policy: Manifest) -> list[tuple[str, int, int]]:
        gangs = policy.get("status", {}).get("gangs", [])
        return [(each["name"], each["waiting"], each["minMember"]) for each in gangs if each["message"]]

    path = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/schedulingpolicies/together"
    await api.wait(path, lambda found: listed(found) == [("g", 2, 3)], within=objects.PATIENCE)
    await api.create(member(namespace, "p2"))
    assert len(await objects.all_bound(api, namespace, 3)) == 3
    await api.wait(path, lambda found: not listed(found), within=objects.PATIENCE)


async def test_of_two_gangs_with_room_for_one_one_runs_and_the_other_after_it(
    api: Api, namespace: str, own_node: OwnNode, stowplan: Replica
) -> None:
    for name in ("n1", "n2"):
        await own_node(name, cpu="2")
    await together(api, namespace, 4)
    names = [f"{gang}{at}" for at in range(4) for gang in ("red", "blue")]
    await objects.create_all(api, (member(namespace, name, gang=name[:-1], cpu="1") for name in names))

    async def four() -> set[str] | None:
        found = await bound_names(api, namespace)
        return found if len(found) == 4 else None

    first = await wait_until(four, what="one gang", within=objects.PATIENCE)
    assert len({name[:-1] for name in first}) == 1
    (waiting,) = {"red", "blue"} - {name[:-1] for name in first}
    assert "no room for 4 members at once" in await objects.unschedulable(
        api, namespace, f"{waiting}3", saying="no room"
    )
    await asyncio.gather(*(api.delete(objects.pod_path(namespace, name)) for name in first))
    second = await objects.all_bound(api, namespace, 4)
    assert {pod["metadata"]["labels"][GANG] for pod in second} == {waiting}
    await nothing_left(api, stowplan)


async def test_members_are_placed_jointly_where_one_after_the_other_would_fail(
    api: Api, namespace: str, own_node: OwnNode, stowplan: Replica
) -> None:
    """The first one likes n1 best, the only node that the second can use."""
    n1, n2 = await own_node("n1", cpu="2"), await own_node("n2", cpu="2")
    taint = {"key": "old", "effect": "PreferNoSchedule"}
    await api.patch(f"/api/v1/nodes/{n2}", {"spec": {"taints": [taint]}})
    await together(api, namespace, 2)
    await api.create(member(namespace, "any", cpu="1500m"))
    await api.create(member(namespace, "tied", cpu="1500m", nodeSelector={HOSTNAME: n1}))
    nodes = {pod["metadata"]["name"]: pod for pod in await objects.all_bound(api, namespace, 2)}
    assert {name: pod["spec"]["nodeName"] for name, pod in nodes.items()} == {"any": n2, "tied": n1}
    assert objects.why(nodes["any"])["plugins"] == ["JointPlacement"]
    assert stowplan.said("joint placement", group=f"gang {namespace}/g", answer="Proposal")
    assert stowplan.metric("stowplan_joint_placement_duration_seconds_count", answer="Proposal") >= 1
    assert stowplan.metric("stowplan_gang_decisions_total", result="bound") >= 1


async def test_a_refused_volume_leaves_no_half_gang(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    node = await own_node("n", annotations={REFUSE: "true"})
    pool = await own_class("pool", nodes=[node])
    await together(api, namespace, 2)
    await api.create(objects.claim(namespace, "data", pool))
    await objects.create_all(api, [member(namespace, "with", claims=["data"]), member(namespace, "without")])
    await objects.unschedulable(api, namespace, "without", saying="with could not be prepared")
    assert await bound_names(api, namespace) == set()
    assert stowplan.metric("stowplan_gang_decisions_total", result="undone") >= 1
    await api.patch(f"/api/v1/nodes/{node}", {"metadata": {"annotations": {REFUSE: None}}})
    await objects.all_bound(api, namespace, 2)
    await nothing_left(api, stowplan)


async def test_nothing_is_held_past_the_timeout(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass, stowplan: Replica
) -> None:
    """The volume takes longer than the gang may wait; the room goes to somebody else, and back once it is there."""
    node = await own_node("n", cpu="2")
    pool = await own_class("slow", nodes=[node], delay=8)
    await together(api, namespace, 2, timeout="2s")
    await api.create(objects.claim(namespace, "data", pool))
    await objects.create_all(
        api, [member(namespace, "with", claims=["data"], cpu="1"), member(namespace, "without", cpu="1")]
    )
    await selected(api, namespace, "data")
    message = await objects.unschedulable(api, namespace, "without", saying="within 2 s")
    assert f"gang {namespace}/g: its members were not ready to be bound within 2 s" in message
    assert await bound_names(api, namespace) == set()
    await objects.all_bound(api, namespace, 2)
    await nothing_left(api, stowplan)


@contextlib.asynccontextmanager
async def denied(api: Api, namespace: str, name: str) -> AsyncIterator[None]:
    """The API server refuses to bind a pod of this name."""
    group = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/binding"]}
    full = f"deny-{namespace[-6:]}"
    validation = {
        "expression": f"object.metadata.name != '{name}' || request.namespace != '{namespace}'",
        "message": "not this one",
    }
    specs = {
        "ValidatingAdmissionPolicyBinding": {"policyName": full, "validationActions": ["Deny"]},
        "ValidatingAdmissionPolicy": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [validation],
        },
    }
    for kind, spec in specs.items():
        manifest = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": full}}
        await api.create({**manifest, "spec": spec})
    try:
        await refused(api, namespace, name)
        yield
    finally:
        await api.delete(f"{group}/validatingadmissionpolicybindings/{full}")
        await api.delete(f"{group}/validatingadmissionpolicies/{full}")


async def refused(api: Api, namespace: str, name: str) -> None:
    """Returns when the API server refuses such a bind: it takes a moment to notice a new policy."""
    probe = objects.pod(namespace, name, scheduler="nobody")
    await api.create(probe)
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "namespace": namespace},
            "target": {"kind": "Node", "name": "nowhere"}}  # fmt: skip

    async def look() -> bool | None:
        try:
            await api.request("POST", f"{objects.pod_path(namespace, name)}/binding", body, query={"dryRun": "All"})
        except ApiFailure as failure:
            return "not this one" in failure.message or None
        return None

    await wait_until(look, what="refused binds", within=objects.PATIENCE)
    await api.delete(objects.pod_path(namespace, name))


async def test_where_the_first_bind_is_refused_no_member_is_bound(
    api: Api, namespace: str, own_node: OwnNode, stowplan: Replica
) -> None:
    await own_node("n")
    await together(api, namespace, 3)
    async with denied(api, namespace, "p0"):
        for name in ("p0", "p1", "p2"):  # they are bound in this order
            await api.create(member(namespace, name))
        await objects.unschedulable(api, namespace, "p2", saying="p0 could not be bound")
        assert await bound_names(api, namespace) == set()
    await objects.all_bound(api, namespace, 3)
    await nothing_left(api, stowplan)


async def test_where_a_later_bind_is_refused_its_room_is_held_for_a_few_tries(
    api: Api, namespace: str, own_node: OwnNode, stowplan: Replica
) -> None:
    await own_node("n")
    await together(api, namespace, 3)
    async with denied(api, namespace, "p2"):
        for name in ("p0", "p1", "p2"):
            await api.create(member(namespace, name))
        await objects.unschedulable(api, namespace, "p2", saying="not this one", reason="SchedulerError")
        assert await bound_names(api, namespace) == {"p0", "p1"}
        assert len(stowplan.said("bind of a gang tried again", pod=f"{namespace}/p2")) == BIND_AGAIN
    await objects.all_bound(api, namespace, 3)
    await nothing_left(api, stowplan)


async def test_a_crash_between_the_binds_of_a_gang_ends_with_a_whole_gang(
    new_control_plane: NewControlPlane, new_replica: NewReplica
) -> None:
    """Slowed down, so that the crash comes while some members are bound and others are not."""
    count = 60
    plane = new_control_plane(Options(layout=Layout(zones=1, power_domains=1, racks=1, hosts=10), provisioner=False))
    release = install(plane, namespace=NAMESPACE)
    await plane.create_namespace("train")
    async with plane.api() as api:
        replica = new_replica(release, SLOW)
        await together(api, "train", count)
        await objects.create_all(api, (member("train", f"p{at}", own=False) for at in range(count)))

        async def some() -> int | None:
            return len(await bound_names(api, "train")) or None

        assert await wait_until(some, what="a bound member", within=objects.PATIENCE) < count
        replica.kill()
        replica.start()
        await objects.all_bound(api, "train", count, within=90)
        replica.wait_ready()
        replica.check()
