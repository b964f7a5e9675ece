"""Manifests for the tests of the running process, and what to wait for.

What a test waits for comes within a second on an idle machine; `PATIENCE` is for a busy one. It is far from the five
minutes after which every waiting pod is tried again anyway.
"""

from __future__ import annotations

import asyncio
import collections
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.controlplane.api import Api, condition, wait_until
from tests.controlplane.nodes import HOSTNAME, ZONE, Layout, Manifest

SCHEDULER: Final = "stowplan"
PATIENCE: Final = 45.0
OWN: Final = "example.com/own"
"""Label of nodes that a test has made for itself; the value is its namespace."""


# ---------------------------------------------------------------- manifests


def pod(
    namespace: str,
    name: str,
    *,
    cpu: str = "10m",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    claims: Sequence[str] = (),
    ports: Sequence[int] = (),
    scheduler: str = SCHEDULER,
    **spec: Any,
) -> Manifest:
    """A Pod; `spec` as in the API."""
    container = {
        "name": "main",
        "image": "example.com/none",
        "resources": {"requests": {"cpu": cpu}},
        "ports": [{"containerPort": port, "hostPort": port} for port in ports],
    }
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace, "labels": dict(labels or {}), "annotations": dict(annotations or {}),
        },
        "spec": {
            "schedulerName": scheduler, "containers": [container], "volumes": volumes,
            "terminationGracePeriodSeconds": 0, **spec,
        },
    }  # fmt: skip


def spread(key: str, labels: Mapping[str, str], *, skew: int = 1) -> Manifest:
    """A topology spread constraint that must hold."""
    return {
        "topologyKey": key,
        "maxSkew": skew,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": dict(labels)},
    }


def apart(key: str, labels: Mapping[str, str]) -> Manifest:
    """An affinity that keeps pods with these labels in different domains."""
    term = {"topologyKey": key, "labelSelector": {"matchLabels": dict(labels)}}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def beside(key: str, labels: Mapping[str, str]) -> Manifest:
    """An affinity to pods with these labels."""
    term = {"topologyKey": key, "labelSelector": {"matchLabels": dict(labels)}}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def node(
    name: str, *, own: str, cpu: str = "4", zone: str = "a", labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None, taints: Iterable[Manifest] = (), unschedulable: bool = False,
) -> Manifest:  # fmt: skip
    """A Node that kwok keeps alive; `own` is the value of the label `OWN`."""
    (manifest,) = Layout(zones=1, power_domains=1, racks=1, hosts=1, cpu=cpu, disks=("ssd",)).nodes()
    metadata = manifest["metadata"]
    metadata["name"] = name
    metadata["labels"] |= {HOSTNAME: name, ZONE: zone, OWN: own, **(labels or {})}
    metadata["annotations"] = dict(annotations or {})
    manifest["spec"] = {"taints": list(taints), "unschedulable": unschedulable}
    return manifest


def claim(
    namespace: str, name: str, storage_class: str, *, size: str = "1Gi", annotations: Mapping[str, str] | None = None
) -> Manifest:
    """A PersistentVolumeClaim."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, "annotations": dict(annotations or {})},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        },
    }  # fmt: skip


# ---------------------------------------------------------------- paths, waiting


def pods_path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def pod_path(namespace: str, name: str) -> str:
    return f"{pods_path(namespace)}/{name}"


def claim_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"


async def create_all(api: Api, manifests: Iterable[Manifest]) -> None:
    """Create many objects at a time."""
    await asyncio.gather(*(api.create(each) for each in manifests))


async def bound(api: Api, namespace: str, name: str, *, within: float = PATIENCE) -> Manifest:
    """The pod, once it has a node."""
    return await api.wait(pod_path(namespace, name), lambda each: "nodeName" in each["spec"], within=within)


async def all_bound(api: Api, namespace: str, count: int, *, within: float = PATIENCE) -> list[Manifest]:
    """All pods of a namespace, once there are so many and each has a node."""

    async def look() -> list[Manifest] | None:
        pods = await api.list(pods_path(namespace))
        return pods if len(pods) == count and all("nodeName" in each["spec"] for each in pods) else None

    return await wait_until(look, what=f"{count} bound pods in {namespace}", within=within)


async def unschedulable(api: Api, namespace: str, name: str, *, saying: str = "", reason: str = "Unschedulable") -> str:
    """Why the pod waits, as its condition says, once it says so (and contains `saying`)."""

    def waits(each: Manifest) -> bool:
        return condition(each, "PodScheduled") == "False" and saying in _scheduled(each)["message"]

    found = await api.wait(pod_path(namespace, name), waits, within=PATIENCE)
    scheduled = _scheduled(found)
    assert scheduled["reason"] == reason
    message: str = scheduled["message"]
    return message


def _scheduled(each: Manifest) -> Manifest:
    one: Manifest = next(one for one in each["status"]["conditions"] if one["type"] == "PodScheduled")
    return one


async def event(api: Api, each: Manifest, reason: str) -> Manifest:
    """The event about this very pod with this reason, once it is there."""
    namespace, uid = each["metadata"]["namespace"], each["metadata"]["uid"]

    async def look() -> Manifest | None:
        found = await api.list(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
        return next((one for one in found if one["regarding"].get("uid") == uid and one["reason"] == reason), None)

    return await wait_until(look, what=f"event {reason}", within=PATIENCE)


async def ready_node(api: Api, manifest: Manifest) -> None:
    """Create a node and wait until the taint of new nodes is gone."""
    await api.create(manifest)
    await api.wait(
        f"/api/v1/nodes/{manifest['metadata']['name']}",
        lambda each: not any(one["key"] == "node.kubernetes.io/not-ready" for one in each["spec"].get("taints", [])),
        within=PATIENCE,
    )


# ---------------------------------------------------------------- what must hold


def why(each: Manifest) -> dict[str, Any]:
    """The annotation that tells how the decision was made."""
    document: dict[str, Any] = json.loads(each["metadata"]["annotations"]["stowplan.dev/why"])
    return document


def counts(pods: Iterable[Manifest], nodes: Iterable[Manifest], key: str) -> dict[str, int]:
    """Pods per value of a node label; 0 for values without pods."""
    domain = {each["metadata"]["name"]: each["metadata"]["labels"][key] for each in nodes}
    return dict.fromkeys(domain.values(), 0) | collections.Counter(domain[each["spec"]["nodeName"]] for each in pods)


async def overbooked(api: Api) -> dict[str, int]:
    """Nodes whose pods ask for more CPU than there is, with the millicores asked for."""
    asked: collections.Counter[str] = collections.Counter()
    for each in await api.list("/api/v1/pods"):
        if each["status"]["phase"] not in ("Succeeded", "Failed") and "nodeName" in each["spec"]:
            for container in each["spec"]["containers"]:
                asked[each["spec"]["nodeName"]] += _milli(container.get("resources", {}).get("requests", {}).get("cpu"))
    free = {each["metadata"]["name"]: _milli(each["status"]["allocatable"]["cpu"])
            for each in await api.list("/api/v1/nodes")}  # fmt: skip
    return {name: amount for name, amount in asked.items() if amount > free.get(name, 0)}


def _milli(quantity: str | None) -> int:
    if quantity is None:
        return 0
    return int(quantity[:-1]) if quantity.endswith("m") else int(quantity) * 1000
