"""Controllers under test: reconciles on call, killed after any write, on a real API server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any

from tests.controlplane.api import Api, ApiFailure, condition, wait_until
from tests.controlplane.nodes import Manifest

from stowplan import profiles
from stowplan.api.common import LABEL_CLUSTER
from stowplan.api.policy import SchedulingPolicy
from stowplan.handlers.clusters import ClusterController
from stowplan.handlers.observer import Observer
from stowplan.handlers.policies import EVERYTHING, PolicyController
from stowplan.handlers.world import Bridge
from stowplan.kube import config, events, session
from stowplan.reconcile.observed import NodeView, Sight
from stowplan.reconcile.policy_status import PolicyFacts

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PATIENCE = 30.0


class FixedWorld:
    """A scheduling loop that knows the nodes and nothing else."""

    def __init__(self, nodes: dict[str, NodeView]) -> None:
        self.nodes = nodes
        self.policies: tuple[SchedulingPolicy, ...] = ()
        self.clusters: tuple[profiles.Cluster, ...] = ()
        self.known = PolicyFacts()
        self.sees = Sight()

    def apply(self, policies: Sequence[SchedulingPolicy], clusters: Sequence[profiles.Cluster]) -> None:
        self.policies, self.clusters = tuple(policies), tuple(clusters)

    def facts(self, policy: str) -> PolicyFacts | None:
        return self.known

    def sight(self, cluster: str, *, pods: Collection[str], nodes: Collection[str]) -> Sight:
        return dataclasses.replace(self.sees, nodes={name: view for name, view in self.nodes.items() if name in nodes})

    def clusters_on(self, nodes: Collection[str]) -> set[str]:
        return set()

    def clusters_of(self, policies: Collection[str]) -> set[str]:
        return set()

    def misplaced(self, pods: Collection[str]) -> frozenset[str]:
        return frozenset()

    def domains(self, keys: Collection[str]) -> Mapping[str, frozenset[str]]:
        return {key: frozenset(view.labels[key] for view in self.nodes.values() if key in view.labels) for key in keys}


async def node_views(api: Api) -> dict[str, NodeView]:
    nodes = await api.list("/api/v1/nodes")
    return {
        each["metadata"]["name"]: NodeView(name=each["metadata"]["name"], labels=each["metadata"]["labels"])
        for each in nodes
    }


class Killed(BaseException):
    """The operator is gone, between two requests."""


class CountingApi(session.Api):
    """Counts writes, and dies before the one after the last allowed."""

    def __init__(self, cluster: config.Cluster, *, allowed: int | None = None) -> None:
        super().__init__(cluster)
        self.writes: list[str] = []
        self.allowed = allowed

    async def request(self, method: str, path: str, **options: Any) -> bytes:
        if method in WRITES and "dryRun" not in (options.get("params") or {}):
            if self.allowed is not None and len(self.writes) >= self.allowed:
                raise Killed
            self.writes.append(f"{method} {path}")
        return await super().request(method, path, **options)


class Bench:
    """One StatefulCluster in a namespace of its own."""

    def __init__(self, target: config.Cluster, world: FixedWorld, api: Api, namespace: str) -> None:
        self._target = target
        self.world = world
        self.api = api
        self.namespace = namespace
        self.key = f"{namespace}/db"
        self.path = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/statefulclusters/db"

    async def create(self, *node_sets: Manifest, **spec: object) -> None:
        await self.api.create(cluster(self.namespace, *node_sets, **spec))

    async def change(self, **spec: object) -> None:
        await self.api.patch(self.path, {"spec": spec})

    async def reconcile(
        self, *, allowed: int | None = None, ahead: datetime.timedelta = datetime.timedelta(0), name: str = "db"
    ) -> list[str]:
        """Reconcile once as a new process would, dead before write ``allowed`` + 1; the writes that were done.

        Args:
            allowed: None for any number.
            ahead: how much later it thinks it is.
            name: of the cluster.
        """
        async with CountingApi(self._target, allowed=allowed) as client:
            bridge = Bridge(asyncio.get_running_loop())
            policies = PolicyController(
                client, self.world, bridge, self.recorder(client),
                now=now, on_change=nobody, on_count=nobody, resync=60,
            )  # fmt: skip
            await policies.refresh(EVERYTHING)
            observer = Observer(client, self.world, bridge, policies.policies)
            clock = lambda: now() + ahead  # noqa: E731
            controller = ClusterController(client, observer, self.recorder(client), now=clock, resync=60)
            with contextlib.suppress(Killed):
                await controller.reconcile(f"{self.namespace}/{name}")
            return client.writes

    def recorder(self, client: session.Api) -> events.Recorder:
        """Events are noted, and nobody sends them: what is counted are the writes of the controllers."""
        return events.Recorder(client, controller="stowplan.dev/operator", instance="test", busy=lambda: False)

    async def settle(self, *, allowed: int | None = None) -> Manifest:
        """Reconcile, and let the kubelets and everybody else work, until it is Ready and writes nothing more."""

        async def look() -> Manifest | None:
            if await self.reconcile(allowed=allowed):
                return None
            found = await self.api.get(self.path)
            return found if said(found, "Ready") == "True" else None

        try:
            return await wait_until(look, what=f"{self.key} to be Ready", within=PATIENCE)
        except Exception as error:
            error.add_note(str((await self.api.get(self.path)).get("status")))
            raise

    async def until(self, holds: Callable[[Manifest], bool]) -> Manifest:
        """Reconcile until this holds of the cluster."""

        async def look() -> Manifest | None:
            await self.reconcile()
            found = await self.api.get(self.path)
            return found if holds(found) else None

        return await wait_until(look, what=f"{self.key} to be as expected", within=PATIENCE)

    async def until_pod(self, name: str, holds: Callable[[Manifest], bool]) -> Manifest:
        """Reconcile until this holds of a pod."""

        async def look() -> Manifest | None:
            await self.reconcile()
            try:
                found = await self.api.get(self.pod(name))
            except ApiFailure as failure:
                if failure.status != 404:
                    raise
                return None
            return found if holds(found) else None

        return await wait_until(look, what=f"{name} to be as expected", within=PATIENCE)

    @contextlib.asynccontextmanager
    async def without_node(self, name: str) -> AsyncIterator[None]:
        """A node is deleted, and made again afterwards."""
        path = f"/api/v1/nodes/{name}"
        node = await self.api.get(path)
        await self.api.delete(path)
        view = self.world.nodes.pop(name)
        try:
            yield
        finally:
            meta = {"name": name, "labels": node["metadata"]["labels"]}
            await self.api.create({"apiVersion": "v1", "kind": "Node", "metadata": meta, "status": node["status"]})
            await self.api.wait(path, lambda it: condition(it, "Ready") == "True", within=PATIENCE)
            self.world.nodes[name] = view

    @contextlib.asynccontextmanager
    async def tainted(self, key: str, values: Collection[str], effect: str) -> AsyncIterator[None]:
        """While this goes on, the nodes with these values of a label have a taint that nobody tolerates."""
        chosen = [name for name, view in self.world.nodes.items() if view.labels.get(key) in values]
        taints = [{"key": "example.com/down", "effect": effect}]
        for name in chosen:
            await self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": taints}})
        try:
            yield
        finally:
            for name in chosen:
                await self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})

    async def events(self) -> list[Manifest]:
        """The events about the cluster."""
        found = await self.api.list(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")
        return [each for each in found if each["regarding"]["kind"] == "StatefulCluster"]

    async def wait_event(self, reason_: str) -> Manifest:
        """An event with this reason, once it is there."""

        async def look() -> Manifest | None:
            return next((each for each in await self.events() if each["reason"] == reason_), None)

        return await wait_until(look, what=f"an event {reason_}", within=PATIENCE)

    async def names(self, collection: str) -> list[str]:
        found = await self.api.list(self._collection(collection), labelSelector=f"{LABEL_CLUSTER}=db")
        return sorted(each["metadata"]["name"] for each in found)

    async def uids(self, collection: str) -> dict[str, str]:
        found = await self.api.list(self._collection(collection), labelSelector=f"{LABEL_CLUSTER}=db")
        return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}

    def _collection(self, name: str) -> str:
        groups = {"poddisruptionbudgets": "/apis/policy/v1", "controllerrevisions": "/apis/apps/v1"}
        group = groups.get(name, "/api/v1")
        return f"{group}/namespaces/{self.namespace}/{name}"

    def of(self, collection: str, name: str) -> str:
        """Path of an object."""
        return f"{self._collection(collection)}/{name}"

    def pod(self, name: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{name}"

    async def exists(self, path: str) -> bool:
        try:
            await self.api.get(path)
        except ApiFailure as failure:
            if failure.status == 404:
                return False
            raise
        return True


def nobody(*_: object) -> None:
    """Nobody has to be told of a change or a count."""


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def said(manifest: Manifest, kind: str) -> str | None:
    """The status of a condition that is about the present generation."""
    for each in manifest.get("status", {}).get("conditions", []):
        if each["type"] == kind and each["observedGeneration"] == manifest["metadata"]["generation"]:
            found: str = each["status"]
            return found
    return None


def reason(manifest: Manifest, kind: str) -> tuple[str, str]:
    """Reason and message of a condition."""
    each = next(each for each in manifest["status"]["conditions"] if each["type"] == kind)
    return each["reason"], each["message"]


def node_set(
    name: str = "data", replicas: int = 3, *, image: str = "v1", claim: str = "", scheduler: str = "default-scheduler",
    **more: object,
) -> Manifest:  # fmt: skip
    """A node set; ``claim`` is the StorageClass of its one volume."""
    claims: list[Manifest] = [
        {
            "metadata": {"name": "vol"},
            "spec": {"storageClassName": claim, "resources": {"requests": {"storage": "1Gi"}}},
        }
    ]
    return {
        "name": name,
        "replicas": replicas,
        "template": template(image, schedulerName=scheduler),
        "volumeClaimTemplates": claims if claim else [],
        **more,
    }


def template(image: str = "v1", *, annotations: Mapping[str, str] | None = None, **spec: object) -> Manifest:
    return {
        "metadata": {"annotations": dict(annotations or {})},
        "spec": {"containers": [{"name": "main", "image": f"example.com/db:{image}"}], **spec},
    }


def cluster(namespace: str, *node_sets: Manifest, **spec: object) -> Manifest:
    return {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "StatefulCluster",
        "metadata": {"name": "db", "namespace": namespace},
        "spec": {"nodeSets": list(node_sets), **spec},
    }
