"""Election on a real API server: take-over, hand-over, and a leader that gives up in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.controlplane.api import wait_until
from tests.controlplane.plane import ControlPlane
from tests.kube.candidate import TERMS

from stowplan.errors import LeadershipLost
from stowplan.kube import session
from stowplan.kube.election import Terms
from stowplan.kube.lease import Elector

pytestmark = pytest.mark.e2e


LONG = Terms(lease_duration=300, renew_deadline=200, retry_period=0.5)
"""Who waits for such a lease to end waits too long, however busy the machine is."""


def elector(api: session.Api, namespace: str, identity: str, terms: Terms = TERMS) -> Elector:
    return Elector(api, namespace=namespace, name="stowplan", identity=identity, terms=terms)


async def spec_of(api: session.Api, namespace: str) -> dict[str, Any]:
    lease = await api.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/stowplan", dict[str, Any])
    spec: dict[str, Any] = lease["spec"]
    return spec


def until_stopped(began: asyncio.Event) -> Callable[[], Awaitable[None]]:
    """Work that goes on until it is cancelled."""

    async def lead() -> None:
        began.set()
        await asyncio.Event().wait()

    return lead


@contextlib.asynccontextmanager
async def candidate(plane: ControlPlane, namespace: str, identity: str) -> AsyncIterator[Process]:
    """A candidate in a process of its own."""
    command = ["-m", "tests.kube.candidate", str(plane.kubeconfig), namespace, identity]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE, env=environment)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def said(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


async def test_lead_until_done_then_the_lease_is_nobodys(kube: session.Api, namespace: str) -> None:
    one = elector(kube, namespace, "one")
    seen: list[tuple[str, bool, dict[str, Any]]] = []

    async def lead() -> None:
        await asyncio.sleep(TERMS.retry_period * 3)
        seen.append((one.fence, one.leads(), await spec_of(kube, namespace)))

    await one.run(lead)

    ((fence, leads, spec),) = seen
    assert (fence, leads, spec["holderIdentity"]) == ("one/0", True, "one")
    assert spec["renewTime"] > spec["acquireTime"]
    after = await spec_of(kube, namespace)
    assert (after["holderIdentity"], after["leaseTransitions"]) == ("", 0)
    assert not one.leads()


@contextlib.asynccontextmanager
async def two(first: Elector, second: Elector) -> AsyncIterator[tuple[asyncio.Task[None], asyncio.Event]]:
    """The first leads, the second waits: the task of the first, and what is set when the second leads."""
    began = [asyncio.Event(), asyncio.Event()]
    leading = asyncio.create_task(first.run(until_stopped(began[0])))
    await began[0].wait()
    waiting = asyncio.create_task(second.run(until_stopped(began[1])))
    try:
        yield leading, began[1]
    finally:
        for task in (leading, waiting):
            task.cancel()
        await asyncio.gather(leading, waiting, return_exceptions=True)


async def test_only_one_of_two_leads(kube: session.Api, namespace: str) -> None:
    first, second = elector(kube, namespace, "first"), elector(kube, namespace, "second")
    async with two(first, second) as (_, followed):
        await asyncio.sleep(TERMS.lease_duration + TERMS.retry_period)
        assert not followed.is_set()
        assert second.holder == "first"


async def test_the_next_follows_at_once_when_the_leader_stops(kube: session.Api, namespace: str) -> None:
    first, second = elector(kube, namespace, "first", LONG), elector(kube, namespace, "second", LONG)
    async with two(first, second) as (leading, followed):

        async def waits() -> bool | None:
            return second.holder == "first" or None

        await wait_until(waits, what="the second to see that the first leads")
        leading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leading
        async with asyncio.timeout(45):
            await followed.wait()
        assert (first.leads(), second.leads(), second.fence) == (False, True, "second/1")


async def test_when_the_leader_is_killed_another_follows_after_the_lease_duration(
    control_plane: ControlPlane, kube: session.Api, namespace: str
) -> None:
    async with candidate(control_plane, namespace, "victim") as victim:
        assert await said(victim) == "victim/0"
        async with candidate(control_plane, namespace, "heir") as heir:
            victim.kill()
            killed = time.monotonic()
            assert await said(heir) == "heir/1"
            waited = time.monotonic() - killed

    assert waited > TERMS.lease_duration - TERMS.retry_period - 0.5


async def test_leader_gives_up_before_the_lease_ends_when_the_api_server_hangs(
    bare_plane: ControlPlane, bare: session.Api
) -> None:
    one = elector(bare, "default", "hung")
    began = asyncio.Event()
    stopped: list[bool] = []

    async def lead() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(one.leads())

    task = asyncio.create_task(one.run(lead))
    await began.wait()
    await asyncio.sleep(TERMS.retry_period * 2)
    server = bare_plane.processes["kube-apiserver"]
    server.signal(signal.SIGSTOP)
    try:
        hung = time.monotonic()
        with pytest.raises(LeadershipLost, match="could not be renewed in time"):
            await task
        waited = time.monotonic() - hung
    finally:
        server.signal(signal.SIGCONT)

    assert waited < TERMS.lease_duration
    assert stopped == [False]
    spec = await spec_of(bare, "default")
    assert spec["holderIdentity"] == "hung"
    await bare.delete("/apis/coordination.k8s.io/v1/namespaces/default/leases/stowplan")


async def test_leader_stops_at_once_when_the_lease_was_taken_away(kube: session.Api, namespace: str) -> None:
    one = elector(kube, namespace, "one")
    began = asyncio.Event()
    task = asyncio.create_task(one.run(until_stopped(began)))
    await began.wait()
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/stowplan"
    await kube.patch(path, {"spec": {"holderIdentity": "usurper"}}, dict[str, Any])

    with pytest.raises(LeadershipLost, match="held by usurper"):
        await task

    assert (await spec_of(kube, namespace))["holderIdentity"] == "usurper"


async def test_labels_of_others_on_the_lease_stay(kube: session.Api, namespace: str) -> None:
    collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    metadata = {"name": "stowplan", "labels": {"owner": "helm"}}
    await kube.post(collection, {"metadata": metadata, "spec": {}}, dict[str, Any])

    async def lead() -> None:
        await asyncio.sleep(TERMS.retry_period * 2)

    await elector(kube, namespace, "one").run(lead)

    lease = await kube.get(f"{collection}/stowplan", dict[str, Any])
    assert lease["metadata"]["labels"] == {"owner": "helm"}


async def test_failure_of_the_work_is_not_hidden(kube: session.Api, namespace: str) -> None:
    async def lead() -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        await elector(kube, namespace, "one").run(lead)

    assert (await spec_of(kube, namespace))["holderIdentity"] == ""
