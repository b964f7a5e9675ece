"""Why a pod waits, as users read it: word for word what kube-scheduler says of the same pod beside it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.controlplane.api import Api, condition
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.nodes import HOSTNAME, ZONE, Layout, Manifest
from tests.controlplane.plane import Options
from tests.live import objects
from tests.live.test_preemption import priority_class
from tests.process import install
from tests.process_fixtures import NAMESPACE, NewReplica

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TEST = "words"
WEB = {"app": "web"}
SCHEDULERS = {"theirs": "default-scheduler", "ours": objects.SCHEDULER}
BEFORE_NODES = ("no-claim", "immediate-claim")
"""Those that are refused before nodes are looked at."""
PODS: dict[str, dict[str, Any]] = {
    "too-large": {"cpu": "900"},
    "no-such-node": {"nodeSelector": {"example.com/such": "nowhere"}},
    "several-reasons": {"cpu": "17", "nodeSelector": {ZONE: "a"}},
    "tolerates-one": {"tolerations": [{"key": "old", "operator": "Exists"}], "cpu": "100"},
    "no-claim": {"claims": ["missing"]},
    "immediate-claim": {"claims": ["immediate"]},
    "no-volume": {"claims": ["unbound"]},
    "alone": {"affinity": objects.apart(ZONE, WEB)},
    "together": {"affinity": objects.beside(HOSTNAME, {"app": "nobody"})},
    "port": {"ports": [8080], "nodeSelector": {HOSTNAME: "busy"}},
    "uneven": {
        "labels": WEB, "topologySpreadConstraints": [objects.spread(HOSTNAME, WEB) | {"nodeAffinityPolicy": "Ignore"}],
        "nodeSelector": {HOSTNAME: "busy"},
    },
    "no-domain": {"labels": WEB, "topologySpreadConstraints": [objects.spread("example.com/none", WEB)]},
    "humble": {"cpu": "900", "priorityClassName": "humble"},
}  # fmt: skip
"""Name to what is asked for. Two pods of each: none of them gets a node, so none is in another's way."""


async def furnish(api: Api) -> None:
    """A node that is tainted, one that is cordoned, one with a pod; claims that no volume is there for; a priority."""
    await priority_class(api, TEST, "humble", value=1000, preemptionPolicy="Never")
    taint = {"key": "old", "effect": "NoSchedule"}
    await objects.ready_node(api, objects.node("tainted", own=TEST, taints=[taint]))
    await objects.ready_node(api, objects.node("cordoned", own=TEST, unschedulable=True))
    await objects.ready_node(api, objects.node("busy", own=TEST))
    for zone in "bc":
        await api.create(objects.pod(TEST, f"web-{zone}", labels=WEB, nodeSelector={ZONE: zone}))
    busy = objects.pod(TEST, "busy", labels=WEB, ports=[8080], nodeSelector={HOSTNAME: "busy"})
    await api.create(busy)
    await objects.all_bound(api, TEST, 3)
    for name, mode in (("immediate", "Immediate"), ("unbound", "WaitForFirstConsumer")):
        await api.create(
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": f"{TEST}-{name}"},
             "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": mode}
        )  # fmt: skip
        await api.create(objects.claim(TEST, name, f"{TEST}-{name}"))


async def said_of(api: Api, name: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The condition and the event of a pod that waits, both without times and names."""
    path = objects.pod_path(TEST, name)
    found: Manifest = await api.wait(
        path, lambda pod: condition(pod, "PodScheduled") == "False", within=objects.PATIENCE
    )
    (scheduled,) = (each for each in found["status"]["conditions"] if each["type"] == "PodScheduled")
    event = await objects.event(api, found, "FailedScheduling")
    fields = ("type", "status", "reason", "message", "observedGeneration")
    told = tuple(without_claims(name, str(event.get(field))) for field in ("type", "action", "note"))
    return {field: without_claims(name, str(scheduled.get(field))) for field in fields}, told


def without_claims(name: str, text: str) -> str:
    """The text without what DynamicResources of kube-scheduler adds: that it could take nothing from anybody.

    Where a pod is refused before nodes are looked at that is "not found", and preemption says nothing any more.
    """
    if name.rpartition("-")[0] in BEFORE_NODES:
        return text.partition(". ")[0]
    return text.replace(" no new claims to deallocate,", "")


async def test_both_say_the_same_of_pods_that_fit_nowhere(
    new_control_plane: NewControlPlane, new_replica: NewReplica
) -> None:
    layout = Layout(zones=3, power_domains=1, racks=1, hosts=1)
    plane = new_control_plane(Options(layout=layout, provisioner=False, scheduler=True))
    release = install(plane, namespace=NAMESPACE)
    await plane.create_namespace(TEST)
    new_replica(release, {"leaderElection": {"leaderElect": False}})
    async with plane.api() as api:
        await furnish(api)
        for name, spec in PODS.items():
            for who, scheduler in SCHEDULERS.items():
                await api.create(objects.pod(TEST, f"{name}-{who}", scheduler=scheduler, **spec))
        names = [f"{name}-{who}" for name in PODS for who in SCHEDULERS]
        said = dict(zip(names, await asyncio.gather(*(said_of(api, name) for name in names)), strict=True))
    different = [
        f"{name}:\n  {said[f'{name}-ours']}\n  {said[f'{name}-theirs']}"
        for name in PODS
        if said[f"{name}-ours"] != said[f"{name}-theirs"]
    ]
    assert not different, "\n".join(different)
    assert len({told for _, told in said.values()}) == len(PODS), "each has a reason of its own"
