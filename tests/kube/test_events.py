"""Events as people see them, and what happens when they cannot be sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.controlplane.api import wait_until
from tests.controlplane.plane import ControlPlane
from tests.kube.proxy import Proxy
from tests.kube.running import running

from stowplan.kube import events, session
from stowplan.model.objects import ObjectMeta, Pod, PodSpec

Clock = Callable[[], float]

pytestmark = pytest.mark.e2e


def pod(namespace: str, name: str = "db-0", *, scheduler: str = "stowplan") -> Pod:
    metadata = ObjectMeta(namespace=namespace, name=name, uid=f"uid-of-{name}")
    return Pod(metadata=metadata, spec=PodSpec(scheduler_name=scheduler))


def recorder(
    api: session.Api, *, capacity: int = 1000, busy: Callable[[], bool] = lambda: False, clock: Clock = time.time
) -> events.Recorder:
    return events.Recorder(
        api, controller="stowplan", instance="stowplan-test", busy=busy, capacity=capacity, clock=clock
    )


async def until(done: Callable[[], bool]) -> None:
    async def look() -> bool | None:
        return done() or None

    await wait_until(look, what="the events")


async def written(api: session.Api, namespace: str) -> list[dict[str, Any]]:
    listed = await api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", dict[str, Any])
    found = [item for item in listed["items"] if item["reportingController"] == "stowplan"]
    return sorted(found, key=lambda item: str(item["eventTime"]))


async def test_scheduled_and_failed_look_like_kube_schedulers(
    control_plane: ControlPlane, kube: session.Api, namespace: str
) -> None:
    one = recorder(kube)
    async with running(one):
        one.failed_scheduling(pod(namespace), "0/3 nodes are available: 3 Insufficient cpu.")
        one.scheduled(pod(namespace), "node-1")
        await one.drain(10)

    failed, scheduled = await written(kube, namespace)
    fields = ("type", "reason", "action", "note", "reportingInstance")
    assert [failed[field] for field in fields] == [
        "Warning", "FailedScheduling", "Scheduling", "0/3 nodes are available: 3 Insufficient cpu.", "stowplan-test",
    ]  # fmt: skip
    assert [scheduled[field] for field in fields] == [
        "Normal", "Scheduled", "Binding", f"Successfully assigned {namespace}/db-0 to node-1", "stowplan-test",
    ]  # fmt: skip
    assert scheduled["regarding"] == {
        "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": "db-0", "uid": "uid-of-db-0",
    }  # fmt: skip
    assert "series" not in scheduled
    assert (one.sent, one.dropped) == (2, 0)
    described = await asyncio.to_thread(control_plane.kubectl, "events", "-n", namespace)
    assert f"Successfully assigned {namespace}/db-0 to node-1" in described


async def test_what_happens_to_a_pod_is_reported_by_its_own_scheduler(kube: session.Api, namespace: str) -> None:
    one = recorder(kube)
    other = pod(namespace, scheduler="other-profile")
    async with running(one):
        one.failed_scheduling(other, "no node")
        one.scheduled(other, "node-1")
        one.preempted(pod(namespace, "victim"), other, "node-1")
        await one.drain(10)

    listed = await kube.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", dict[str, Any])
    assert [item["reportingController"] for item in listed["items"]] == 3 * ["other-profile"]


async def test_repeats_become_one_event_with_a_count(kube: session.Api, namespace: str) -> None:
    one = recorder(kube)
    async with running(one):
        one.failed_scheduling(pod(namespace), "no node")
        await one.drain(10)
        for _ in range(9):
            one.failed_scheduling(pod(namespace), "no node")
        await one.drain(10)

    (event,) = await written(kube, namespace)
    assert event["series"]["count"] == 10
    assert event["series"]["lastObservedTime"] > event["eventTime"]


async def test_repeats_before_the_first_was_sent_are_one_request(kube: session.Api, namespace: str) -> None:
    one = recorder(kube)
    for _ in range(5):
        one.failed_scheduling(pod(namespace), "no node")
    async with running(one):
        await one.drain(10)

    (event,) = await written(kube, namespace)
    assert (event["series"]["count"], one.sent) == (5, 1)


async def test_event_that_has_expired_is_told_anew(kube: session.Api, namespace: str) -> None:
    one = recorder(kube)
    async with running(one):
        one.failed_scheduling(pod(namespace), "no node")
        await one.drain(10)
        await kube.request("DELETE", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
        one.failed_scheduling(pod(namespace), "no node")
        await one.drain(10)

    (event,) = await written(kube, namespace)
    assert (event["series"]["count"], one.dropped) == (2, 0)


async def test_what_does_not_fit_the_queue_is_dropped_and_counted(kube: session.Api, namespace: str) -> None:
    one = recorder(kube, capacity=3)
    for n in range(10):
        one.scheduled(pod(namespace, f"p-{n}"), "node-1")
    async with running(one):
        await one.drain(10)

    assert len(await written(kube, namespace)) == 3
    assert (one.sent, one.dropped) == (3, 7)


async def test_events_of_a_namespace_that_is_gone_are_dropped(kube: session.Api) -> None:
    one = recorder(kube)
    async with running(one):
        one.scheduled(pod("no-such-namespace"), "node-1")
        await one.drain(10)

    assert (one.sent, one.dropped) == (0, 1)


async def test_shutdown_does_not_wait_for_a_server_that_is_silent(proxy: Proxy, namespace: str) -> None:
    async with session.Api(proxy.cluster) as wire:
        one = recorder(wire)
        proxy.mute = True
        async with running(one):
            for n in range(5):
                one.scheduled(pod(namespace, f"p-{n}"), "node-1")
            async with asyncio.timeout(5):
                await one.drain(0.3)

    assert one.sent == 0
    assert one.dropped == 5


async def test_events_wait_while_binds_keep_the_api_server_busy(kube: session.Api, namespace: str) -> None:
    busy = True
    looks = 0

    def is_busy() -> bool:
        nonlocal looks
        looks += 1
        return busy

    one = recorder(kube, busy=is_busy)
    async with running(one):
        for n in range(20):
            one.scheduled(pod(namespace, f"p-{n}"), "node-1")
        await until(lambda: looks >= 20)
        assert (one.sent, await written(kube, namespace)) == (0, [])
        busy = False
        await until(lambda: one.sent == 20)

    assert {event["regarding"]["name"] for event in await written(kube, namespace)} == {f"p-{n}" for n in range(20)}


async def test_events_that_have_waited_long_are_sent_beside_the_binds(kube: session.Api, namespace: str) -> None:
    now = 1_000_000_000.0
    one = recorder(kube, busy=lambda: True, clock=lambda: now)
    async with running(one):
        one.scheduled(pod(namespace), "node-1")
        now += events.PATIENCE
        await until(lambda: one.sent == 1)

    (event,) = await written(kube, namespace)
    assert event["eventTime"] == "2001-09-09T01:46:40.000000Z"


async def test_at_the_end_waiting_events_are_sent_whoever_is_busy(kube: session.Api, namespace: str) -> None:
    one = recorder(kube, busy=lambda: True)
    async with running(one):
        for n in range(50):
            one.scheduled(pod(namespace, f"p-{n}"), "node-1")
        await one.drain(10)

    assert len(await written(kube, namespace)) == 50


async def test_shutdown_does_not_try_every_event_on_a_server_that_is_gone(proxy: Proxy, namespace: str) -> None:
    async with session.Api(proxy.cluster) as wire:
        one = recorder(wire)
        await proxy.close()
        async with running(one), asyncio.timeout(10):
            for n in range(1000):
                one.scheduled(pod(namespace, f"p-{n}"), "node-1")
            await one.drain(30)

    assert (one.sent, one.dropped) == (0, 1000)
