"""Every way a bind can end is told apart."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest
from tests.controlplane.api import wait_until
from tests.kube.proxy import Proxy

from stowplan.kube import binder, resources, session
from stowplan.kube.binder import AlreadyBound, Binder, Bound, PodGone, Refused, Unknown
from stowplan.model.objects import Pod

pytestmark = pytest.mark.e2e


async def create_pod(api: session.Api, namespace: str, name: str, **spec: object) -> Pod:
    """A pod that waits for a scheduler which does not exist."""
    containers = [{"name": "main", "image": "none"}]
    body = {"metadata": {"name": name}, "spec": {"schedulerName": "nobody", "containers": containers, **spec}}
    return await api.post(resources.PODS.path(namespace), body, Pod)


async def node_of(api: session.Api, pod: Pod) -> str | None:
    """The pod's node as the API server has it."""
    return (await api.get(resources.PODS.of(pod), Pod)).spec.node_name or None


def binder_on(api: session.Api, fence: str = "me/1", seconds: float = 10.0) -> Binder:
    return Binder(api, fence=lambda: fence, seconds=seconds)


async def test_bound_pod_has_its_node_and_our_annotations(kube: session.Api, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")

    assert await binder_on(kube).bind(pod, "node-that-is-far", {binder.WHY: '{"score": 5}'}) == Bound()

    now = await kube.get(resources.PODS.of(pod), Pod)
    assert now.spec.node_name == "node-that-is-far"
    assert (now.metadata.annotations[binder.WHY], now.metadata.annotations[binder.FENCE]) == ('{"score": 5}', "me/1")
    assert [(one.type, one.status) for one in now.status.conditions if one.type == "PodScheduled"] == [
        ("PodScheduled", "True")
    ]


async def test_without_election_no_fence_is_written(kube: session.Api, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")

    assert await binder_on(kube, fence="").bind(pod, "a", {}) == Bound()
    assert binder.FENCE not in (await kube.get(resources.PODS.of(pod), Pod)).metadata.annotations


async def test_of_many_who_bind_one_pod_exactly_one_succeeds(kube: session.Api, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")

    outcomes = await asyncio.gather(*[binder_on(kube, f"me-{n}/1").bind(pod, f"node-{n}", {}) for n in range(8)])

    winner = await node_of(kube, pod) or ""
    assert Counter(outcomes) == {Bound(): 1, AlreadyBound(winner): 7}
    assert outcomes[int(winner.removeprefix("node-"))] == Bound()


async def test_same_node_chosen_by_another_is_not_ours(kube: session.Api, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")
    await binder_on(kube, "other/7").bind(pod, "a", {})

    assert await binder_on(kube, "me/8").bind(pod, "a", {}) == AlreadyBound("a")


async def test_pod_made_again_under_the_same_name_is_not_bound(kube: session.Api, namespace: str) -> None:
    old = await create_pod(kube, namespace, "db-0")
    await kube.delete(resources.PODS.of(old), grace_seconds=0)
    new = await create_pod(kube, namespace, "db-0")

    assert await binder_on(kube).bind(old, "a", {}) == PodGone()
    assert await node_of(kube, new) is None


async def test_deleted_pod_is_gone(kube: session.Api, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")
    await kube.delete(resources.PODS.of(pod), grace_seconds=0)

    assert await binder_on(kube).bind(pod, "a", {}) == PodGone()


async def test_pod_that_is_being_deleted_is_gone(kube: session.Api, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")
    path = resources.PODS.of(pod)
    await kube.patch(path, {"metadata": {"finalizers": ["stowplan.dev/test"]}}, msgspec.Raw)
    await kube.delete(path)

    assert await binder_on(kube).bind(pod, "a", {}) == PodGone()

    await kube.patch(path, {"metadata": {"finalizers": None}}, msgspec.Raw)


async def test_gated_pod_is_refused_with_the_reason(kube: session.Api, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0", schedulingGates=[{"name": "example.com/wait"}])

    outcome = await binder_on(kube).bind(pod, "a", {})

    assert isinstance(outcome, Refused)
    assert "schedulingGates" in outcome.message


async def test_lost_answer_of_a_bind_that_arrived_is_found_out(kube: session.Api, proxy: Proxy, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")
    async with session.Api(proxy.cluster) as wire:
        await wire.get("/version", msgspec.Raw)
        proxy.mute = True
        bind = asyncio.create_task(binder_on(wire, seconds=3).bind(pod, "a", {}))
        await wait_until(lambda: node_of(kube, pod), what="the bind to arrive")
        proxy.mute = False

        assert await bind == Bound()


async def test_bind_that_nobody_answers_is_unknown(kube: session.Api, proxy: Proxy, namespace: str) -> None:
    pod = await create_pod(kube, namespace, "db-0")
    await proxy.close()
    async with session.Api(proxy.cluster, attempts=1) as wire:
        outcome = await binder_on(wire).bind(pod, "a", {})

    assert isinstance(outcome, Unknown)
    assert await node_of(kube, pod) is None
    assert await binder_on(kube).ask(pod, "a", outcome) == Refused(outcome.message)


async def test_what_became_of_an_unanswered_bind_is_found_out_later(
    kube: session.Api, proxy: Proxy, namespace: str
) -> None:
    pod = await create_pod(kube, namespace, "db-0")
    async with session.Api(proxy.cluster, attempts=1) as wire:
        await wire.get("/version", msgspec.Raw)
        proxy.mute = True
        bind = asyncio.create_task(binder_on(wire, seconds=3).bind(pod, "a", {}))
        await wait_until(lambda: node_of(kube, pod), what="the bind to arrive")
        await proxy.close()
        outcome = await bind

        assert isinstance(outcome, Unknown)
        assert isinstance(await binder_on(wire).ask(pod, "a", outcome), Unknown)
    assert await binder_on(kube).ask(pod, "a", outcome) == Bound()
    assert await binder_on(kube).ask(pod, "b", outcome) == AlreadyBound("a")


async def test_hundreds_of_binds_at_once_all_arrive(kube: session.Api, namespace: str) -> None:
    pods = await asyncio.gather(*[create_pod(kube, namespace, f"p-{n}") for n in range(150)])
    one = binder_on(kube)

    outcomes = await asyncio.gather(*[one.bind(pod, f"node-{n % 5}", {}) for n, pod in enumerate(pods)])

    assert Counter(outcomes) == {Bound(): 150}
    listed = await kube.get(resources.PODS.path(namespace), dict[str, Any])
    assert Counter(item["spec"]["nodeName"] for item in listed["items"]) == {f"node-{n}": 30 for n in range(5)}


async def test_bind_with_the_fence_of_a_term_that_is_over_is_refused(kube: session.Api, namespace: str) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    spec = {"holderIdentity": "new-leader", "leaseTransitions": 2, "leaseDurationSeconds": 15}
    await kube.post(leases, {"metadata": {"name": "stowplan"}, "spec": spec}, msgspec.Raw)
    admission = "/apis/admissionregistration.k8s.io/v1"
    policies, bindings = f"{admission}/validatingadmissionpolicies", f"{admission}/validatingadmissionpolicybindings"
    leader = "params.spec.holderIdentity + '/' + string(params.spec.leaseTransitions)"
    policy = {
        "paramKind": {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"},
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/binding"]}
            ],
        },
        "validations": [{"expression": f"object.metadata.annotations['stowplan.dev/fence'] == {leader}"}],
    }
    reference = {"name": "stowplan", "namespace": namespace, "parameterNotFoundAction": "Deny"}
    bound = {"policyName": namespace, "paramRef": reference, "validationActions": ["Deny"]}
    await kube.post(policies, {"metadata": {"name": namespace}, "spec": policy}, msgspec.Raw)
    await kube.post(bindings, {"metadata": {"name": namespace}, "spec": bound}, msgspec.Raw)
    try:
        # A policy takes effect a moment after it was written: until then stale binds succeed.
        async with asyncio.timeout(30):
            for attempt in range(1000):
                pod = await create_pod(kube, namespace, f"p-{attempt}")
                stale = await binder_on(kube, "old-leader/1").bind(pod, "a", {})
                if stale != Bound():
                    break
                await asyncio.sleep(0.1)

        assert isinstance(stale, Refused)
        assert await node_of(kube, pod) is None
        assert await binder_on(kube, "new-leader/2").bind(pod, "a", {}) == Bound()
    finally:
        await kube.delete(f"{bindings}/{namespace}")
        await kube.delete(f"{policies}/{namespace}")
