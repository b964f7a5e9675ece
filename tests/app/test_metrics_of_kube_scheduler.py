"""Our metrics against those that a real kube-scheduler serves: same types, labels and buckets."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
from prometheus_client import Metric, parser
from tests.app.test_metrics import everything
from tests.controlplane.api import Api, condition, wait_until
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.nodes import Layout
from tests.controlplane.plane import Options, free_port

# Timed for one decision in ten, chosen by chance: too rare to wait for.
SAMPLED = "scheduler_plugin_execution_duration_seconds"
Shape = tuple[str, set[str], set[float]]
"""Type, label names without ``le``, bucket bounds."""


def shapes(text: str) -> dict[str, Shape]:
    return {family.name: shape(family) for family in parser.text_string_to_metric_families(text)}


def shape(family: Metric) -> Shape:
    labels = {name for sample in family.samples for name in sample.labels}
    bounds = {float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels}
    return family.type, labels - {"le"}, bounds


async def create_pod(api: Api, name: str, cpu: str) -> None:
    container = {"name": "main", "image": "example.com/none", "resources": {"requests": {"cpu": cpu}}}
    meta = {"name": name, "namespace": "default"}
    await api.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}})


@pytest.mark.timeout(120)
async def test_what_both_have_looks_the_same(new_control_plane: NewControlPlane) -> None:
    port = free_port()
    served = [f"--secure-port={port}", "--bind-address=127.0.0.1", "--authorization-always-allow-paths=/metrics"]
    plane = new_control_plane(
        Options(
            layout=Layout(zones=1, power_domains=1, racks=1, hosts=1), provisioner=False, scheduler=True,
            arguments={"kube-scheduler": served},
        )
    )  # fmt: skip
    async with plane.api() as api:
        await create_pod(api, "fits", "1")
        await create_pod(api, "waits", "1000")
        pods = "/api/v1/namespaces/default/pods"
        await api.wait(f"{pods}/fits", lambda pod: condition(pod, "PodScheduled") == "True")
        await api.wait(f"{pods}/waits", lambda pod: condition(pod, "PodScheduled") == "False")

    unverified = ssl.create_default_context()  # it makes its own certificate
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    ours = {name: each for name, each in our_shapes().items() if name.startswith("scheduler_") and name != SAMPLED}
    theirs: dict[str, Shape] = {}

    async def told() -> bool | None:
        """It reports some of them a second later."""
        async with aiohttp.ClientSession() as session, session.get(
            f"https://127.0.0.1:{port}/metrics", ssl=unverified
        ) as answer:  # fmt: skip
            theirs.update(shapes(await answer.text()))
        return True if ours.keys() <= theirs.keys() else None

    await wait_until(told, what=f"kube-scheduler to tell {sorted(ours)}")
    assert ours == {name: theirs[name] for name in ours}


def our_shapes() -> dict[str, Shape]:
    measured = everything()
    measured.sample()
    return shapes(measured.render().decode())
