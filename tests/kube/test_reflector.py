"""A reflector's reader always ends up with exactly what the API server has."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest
from tests.controlplane.api import wait_until
from tests.controlplane.plane import ControlPlane
from tests.kube.mirror import CONFIG_MAPS, Mirror, truth
from tests.kube.proxy import Proxy
from tests.kube.running import running

from stowplan.errors import ApiError, ApiUnreachable, StowplanError
from stowplan.kube import config, resources, session
from stowplan.kube.reflector import Reflector

pytestmark = pytest.mark.e2e


async def put(api: session.Api, namespace: str, name: str, data: str = "") -> None:
    """Create or change a ConfigMap."""
    body = {"metadata": {"name": name, "namespace": namespace}, "data": {"value": data}}
    try:
        await api.patch(CONFIG_MAPS.path(namespace, name), body, msgspec.Raw)
    except ApiError:
        await api.post(CONFIG_MAPS.path(namespace), body, msgspec.Raw)


async def test_additions_changes_and_deletions_are_told(kube: session.Api, namespace: str) -> None:
    await put(kube, namespace, "early")
    mirror = Mirror()
    reflector = Reflector(kube, CONFIG_MAPS, mirror.take, namespace=namespace)
    async with running(reflector):
        await reflector.synced.wait()
        assert f"{namespace}/early" in mirror.objects
        await put(kube, namespace, "late")
        await put(kube, namespace, "late", "changed")
        await kube.delete(CONFIG_MAPS.path(namespace, "late"))
        await mirror.until(lambda: ("DELETED", f"{namespace}/late") in mirror.log)

    mine = [change for change, key in mirror.log if key == f"{namespace}/late"]
    assert mine == ["ADDED", "MODIFIED", "DELETED"]
    assert len(reflector) == len(mirror.objects)
    assert reflector.error is None


async def test_long_list_comes_in_pages(kube: session.Api, namespace: str) -> None:
    await asyncio.gather(*[put(kube, namespace, f"one-{n}") for n in range(25)])
    mirror = Mirror()
    batches: list[int] = []

    def take(events: list[Any]) -> None:
        batches.append(len(events))
        mirror.take(events)

    reflector = Reflector(kube, CONFIG_MAPS, take, namespace=namespace, page=7)
    async with running(reflector):
        await reflector.synced.wait()

    assert mirror.versions == await truth(kube, namespace)
    assert max(batches) <= 7


async def test_object_that_leaves_the_selection_is_told_as_deleted(kube: session.Api, namespace: str) -> None:
    pods = resources.PODS.path(namespace)
    spec = {"schedulerName": "nobody", "containers": [{"name": "main", "image": "none"}]}
    await kube.post(pods, {"metadata": {"name": "job"}, "spec": spec}, msgspec.Raw)
    mirror = Mirror()
    selector = "status.phase!=Succeeded,status.phase!=Failed"
    reflector = Reflector(kube, resources.PODS, mirror.take, namespace=namespace, field_selector=selector)
    async with running(reflector):
        await reflector.synced.wait()
        assert list(mirror.objects) == [f"{namespace}/job"]
        await kube.patch(f"{pods}/job/status", {"status": {"phase": "Succeeded"}}, msgspec.Raw)
        await mirror.until(lambda: not mirror.objects)


async def test_objects_of_a_megabyte_arrive_whole(kube: session.Api, namespace: str) -> None:
    mirror = Mirror()
    reflector = Reflector(kube, CONFIG_MAPS, mirror.take, namespace=namespace)
    async with running(reflector):
        await reflector.synced.wait()
        for n in range(4):
            await put(kube, namespace, f"large-{n}", random.Random(n).randbytes(450_000).hex())
        expected = await truth(kube, namespace)
        await mirror.until(lambda: mirror.versions == expected)


async def test_what_changed_while_the_connection_was_cut_is_told(
    kube: session.Api, proxy: Proxy, namespace: str
) -> None:
    mirror = Mirror()
    chance = random.Random(7)
    async with session.Api(proxy.cluster) as wire:
        reflector = Reflector(wire, CONFIG_MAPS, mirror.take, namespace=namespace)
        async with running(reflector):
            await reflector.synced.wait()
            for _ in range(60):
                name = f"one-{chance.randrange(8)}"
                if chance.random() < 0.3:
                    await kube.request("DELETE", f"{CONFIG_MAPS.path(namespace)}?fieldSelector=metadata.name={name}")
                else:
                    await put(kube, namespace, name, str(chance.random()))
                if chance.random() < 0.2:
                    await proxy.cut()
            expected = await truth(kube, namespace)
            await mirror.until(lambda: mirror.versions == expected)


async def test_after_a_restart_of_the_api_server_everything_is_compared(
    bare_plane: ControlPlane, bare_cluster: config.Cluster
) -> None:
    mirror = Mirror()
    namespace = "default"
    async with Proxy(bare_cluster) as proxy, session.Api(bare_cluster) as api, session.Api(proxy.cluster) as wire:
        for name in ("stays", "changes", "goes", "comes-back"):
            await put(api, namespace, name)
        reflector = Reflector(wire, CONFIG_MAPS, mirror.take, namespace=namespace)
        async with running(reflector):
            await reflector.synced.wait()
            told = len(mirror.log)
            await proxy.close()
            await put(api, namespace, "changes", "meanwhile")
            await put(api, namespace, "new")
            for name in ("goes", "comes-back"):
                await api.delete(CONFIG_MAPS.path(namespace, name))
            await put(api, namespace, "comes-back")
            # The watch cache of a restarted server begins now: the version that the reflector knows is too old.
            await asyncio.to_thread(bare_plane.restart, "kube-apiserver")
            await put(api, namespace, "newest")
            await proxy.open()
            expected = await truth(api, namespace)
            await mirror.until(lambda: mirror.versions == expected)
        told_since = sorted(mirror.log[told:])
        for name in ("stays", "changes", "new", "comes-back", "newest"):
            await api.delete(CONFIG_MAPS.path(namespace, name))

    assert told_since == [
        ("ADDED", "default/comes-back"),
        ("ADDED", "default/new"),
        ("ADDED", "default/newest"),
        ("DELETED", "default/comes-back"),
        ("DELETED", "default/goes"),
        ("MODIFIED", "default/changes"),
    ]


async def test_failure_is_shown_until_the_server_is_heard_again(
    kube: session.Api, proxy: Proxy, namespace: str
) -> None:
    mirror = Mirror()
    async with session.Api(proxy.cluster, attempts=1) as wire:
        reflector = Reflector(wire, CONFIG_MAPS, mirror.take, namespace=namespace)
        async with running(reflector):
            await reflector.synced.wait()
            heard = reflector.last_activity
            await proxy.close()

            async def refused() -> StowplanError | None:  # the first failure is that of the watch that was cut
                return reflector.error if str(reflector.error).endswith("Connection refused") else None

            error = await wait_until(refused, what="the failure to be noticed")
            assert isinstance(error, ApiUnreachable)
            assert reflector.last_activity >= heard
            await proxy.open()
            await put(kube, namespace, "after")
            await mirror.until(lambda: f"{namespace}/after" in mirror.objects)

    assert reflector.error is None
