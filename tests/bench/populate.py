"""Fills a control plane that has no controllers: nodes, volumes, and pods that nobody has scheduled yet.

What controllers would do is written here: the service account of the namespace, and the bound state of claims and
volumes. Called by ``measure`` before the scheduler starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from tests.bench import workloads
from tests.bench.workloads import Workload
from tests.controlplane.api import Api, path_of
from tests.controlplane.nodes import Layout, Manifest
from tests.controlplane.plane import ControlPlane, Options

T = TypeVar("T")

OPTIONS = Options(
    layout=None,
    controllers=False,
    kwok=False,
    provisioner=False,
    # taints every new node as not ready, which a controller would take away again
    arguments={"kube-apiserver": ["--disable-admission-plugins=TaintNodesByCondition"]},
)
"""A control plane with nobody at work but the API server and etcd."""

_AT_A_TIME = 32


async def populate(
    plane: ControlPlane,
    *,
    workload: Workload,
    pods: int,
    layout: Layout,
    scheduler: str,
    bound: int = 0,
    told: Callable[[str], None],
) -> None:
    """Writes everything, the pods last.

    Args:
        plane: started with ``OPTIONS``.
        workload: what to schedule.
        pods: how many.
        layout: the nodes.
        scheduler: ``schedulerName`` of the pods.
        bound: pods that are on the nodes already.
        told: called with a word on each step.
    """
    async with plane.api(connections=_AT_A_TIME) as api:
        metadata = {"name": workloads.NAMESPACE}
        await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        account = {"name": "default", "namespace": workloads.NAMESPACE}
        await api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        told("nodes")
        await each(layout.nodes(), api.create)
        await each(workloads.csi_nodes(layout), api.create)
        if workload.volume:
            told("volumes")
            await each(workload.volumes(pods, layout), lambda pair: _bound_claim(api, *pair))
        if bound:
            told("pods that are on the nodes")
            await each(workloads.bound(workload, bound, layout), api.create)
        told("pods")
        await each(workload.manifests(pods, layout, scheduler), api.create)


async def _bound_claim(api: Api, claim: Manifest, volume: Manifest) -> None:
    created = await api.create(claim)
    volume["spec"]["claimRef"]["uid"] = created["metadata"]["uid"]
    await api.create(volume)
    for manifest in (claim, volume):  # which the API server does not take on creation
        await api.patch(f"{path_of(manifest)}/status", {"status": manifest["status"]})


async def each(items: Iterable[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Does it to all of them, some at a time and begun in their order."""
    pending = iter(items)

    async def worker() -> None:
        for item in pending:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_A_TIME):
            group.create_task(worker())
