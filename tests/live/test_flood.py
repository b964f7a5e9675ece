"""Pods that can never fit hold up nobody: not in the queue, and not by what is written about them."""

from __future__ import annotations

import asyncio

import pytest
from tests.controlplane.api import Api, condition, wait_until
from tests.controlplane.nodes import HOSTNAME, Manifest
from tests.controlplane.plane import ControlPlane
from tests.live import objects

from stowplan.kube import config, events, session
from stowplan.live.reporter import UNSCHEDULABLE, Reporter
from stowplan.model import objects as model
from stowplan.model.pods import Interner

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.mark.usefixtures("stowplan")
async def test_pods_that_fit_are_placed_in_the_midst_of_a_flood_that_does_not(api: Api, namespace: str) -> None:
    rule = objects.apart(HOSTNAME, {"kind": "apart"})
    flood = [
        objects.pod(namespace, f"never-{number}", cpu="1000", affinity=rule if number % 2 else {})
        for number in range(100)
    ]
    fitting = [objects.pod(namespace, f"fits-{number}") for number in range(20)]
    order = [each for number, one in enumerate(fitting) for each in (*flood[5 * number : 5 * number + 5], one)]
    await asyncio.gather(*(api.create(each) for each in order))

    async def settled() -> list[Manifest] | None:
        pods = await api.list(objects.pods_path(namespace))
        said = [condition(each, "PodScheduled") for each in pods]
        return pods if sorted(map(str, said)) == ["False"] * 100 + ["True"] * 20 else None

    pods = await wait_until(settled, what="a word on every pod", within=objects.PATIENCE)
    placed = {each["metadata"]["name"] for each in pods if "nodeName" in each["spec"]}
    assert placed == {each["metadata"]["name"] for each in fitting}


async def test_while_binds_wait_promised_nodes_are_written_first_and_in_the_end_all_is_told(
    api: Api, namespace: str, control_plane: ControlPlane
) -> None:
    names = ["one", "two", "three", "promised"]
    interner = Interner()
    pods = []
    for name in names:
        created = await api.create(objects.pod(namespace, name, scheduler="nobody"))
        meta = model.ObjectMeta(name=name, namespace=namespace, uid=created["metadata"]["uid"])
        pods.append(interner.pod(model.Pod(metadata=meta)))
    cluster = await config.load(kubeconfig=str(control_plane.kubeconfig))
    async with session.Api(cluster) as ours:
        silent = events.Recorder(ours, controller="test", instance="test", busy=lambda: False)
        reporter = Reporter(ours, silent, busy=lambda: True)
        for pod in pods:
            reporter.failed(pod, "no room", reason=UNSCHEDULABLE, nominated="n1" if pod.name == "promised" else None)
        writing = asyncio.create_task(reporter.run())
        try:
            for name in names:
                await objects.unschedulable(api, namespace, name, saying="no room")
        finally:
            writing.cancel()
    written = await api.list(objects.pods_path(namespace))
    first = min(written, key=lambda each: int(each["metadata"]["resourceVersion"]))
    assert first["metadata"]["name"] == "promised"
    assert first["status"]["nominatedNodeName"] == "n1"
