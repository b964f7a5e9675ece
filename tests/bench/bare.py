"""Bare binding: `python -m tests.bench.bare`, a client that binds and decides nothing.

It lists the unscheduled pods and the nodes once and binds the pods round the nodes with the product's own client, as
many at a time as the product: what is left of a scheduler where deciding, watching and telling cost nothing. It stays
until it is ended, as a scheduler does, so that what it has used can still be read.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
import sys
from collections.abc import Iterator

import uvloop

from stowplan.kube import binder, config, resources, session
from stowplan.model import objects

IN_FLIGHT = 32
"""Binds at a time: ``stowplan.live.loop.BINDS``."""


class _Named(objects.Struct):
    metadata: objects.ObjectMeta


class _List(objects.Struct):
    items: list[_Named]


async def bind_all(kubeconfig: str, namespace: str) -> None:
    """Binds every unscheduled pod of the namespace.

    Raises:
        SystemExit: a bind did not work.
    """
    cluster = await config.load(kubeconfig=kubeconfig, context=None)
    async with session.Api(cluster) as api:
        unscheduled = {"fieldSelector": "spec.nodeName="}
        pods = (await api.get(resources.PODS.path(namespace), _List, params=unscheduled)).items
        nodes = (await api.get(resources.NODES.path(), _List)).items
        names = itertools.cycle([node.metadata.name for node in nodes])
        work = zip([objects.Pod(metadata=pod.metadata) for pod in pods], names, strict=False)
        writer = binder.Binder(api, fence=str)
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(_bind(writer, work))


async def _bind(writer: binder.Binder, work: Iterator[tuple[objects.Pod, str]]) -> None:
    for pod, node in work:
        outcome = await writer.bind(pod, node, {})
        if not isinstance(outcome, binder.Bound):
            sys.exit(f"{pod.key} was not bound to {node}: {outcome}")


async def _main(kubeconfig: str, namespace: str) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await bind_all(kubeconfig, namespace)
    await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bare", description="Bind all pods of a namespace.")
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--namespace", required=True)
    options = parser.parse_args()
    uvloop.run(_main(options.kubeconfig, options.namespace))
