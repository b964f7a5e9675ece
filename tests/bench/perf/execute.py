"""Does the steps of a scheduler_perf workload, with the order and the waiting of its executor.

Called by `measure` while the scheduler runs; upstream's is test/integration/scheduler_perf/executor.go. What is
different: volumes are written before the pods that use them and not between them, and pods in a namespace that has some
already are waited for, too.
"""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Awaitable, Callable, Iterator

from tests.bench import populate
from tests.bench.perf import manifests, ops
from tests.bench.perf.bound import Bound
from tests.bench.perf.source import Workload
from tests.controlplane.api import Api, path_of
from tests.controlplane.nodes import Manifest

POLL = 0.05
_LOOK = 1.0
"""Seconds between two looks at all pods of a namespace."""
_STRICT = {"fieldValidation": "Strict"}


class Executor:
    """One run of one workload.

    Attributes:
        doing: what is being done, for whoever waits.
        begun: when the first measured pod was about to be created, by ``time.perf_counter``; 0 before.
        created: when all of them were.
        churned: objects that churn has made.
    """

    def __init__(
        self, api: Api, bound: Bound, *, workload: Workload, scheduler: str, ready: Callable[[], Awaitable[None]]
    ) -> None:
        """Nothing is done yet.

        Args:
            api: as administrator.
            bound: kept up to date by the caller.
            workload: what to do.
            scheduler: ``schedulerName`` of all pods.
            ready: called when all that comes before the churn and the measured pods is done.
        """
        self._api = api
        self._bound = bound
        self._workload = workload
        self._scheduler = scheduler
        self._ready = ready
        self._is_ready = False
        self._nodes = 0
        self._pods: collections.Counter[str] = collections.Counter()
        self._unwaited: collections.Counter[str] = collections.Counter()
        self._namespaces: set[str] = set()
        self.doing = "nodes"
        self.begun = self.created = 0.0
        self.churned = 0
        self._measured = ("", 0)

    @property
    def binds(self) -> list[float]:
        """When each of the measured pods was seen bound, so far."""
        namespace, others = self._measured
        return self._bound.times[namespace][others:]

    async def run(self) -> None:
        """Does all steps; churn ends with the last one.

        Raises:
            ApiFailure: in a group of exceptions, where the API server does not take something.
        """
        async with asyncio.TaskGroup() as group:
            background = []
            for number, op in enumerate(self._workload.ops):
                namespace = f"namespace-{number}"
                match op:
                    case ops.CreateNodes():
                        await self._create_nodes(op)
                    case ops.CreateNamespaces():
                        await self._create_namespaces(op)
                    case ops.CreatePods():
                        await self._create_pods(op, op.namespace or namespace)
                    case ops.CreateAny():
                        await self._create_any(op)
                    case ops.Churn():
                        await self._quiet()
                        await self._namespace(op.namespace or namespace)
                        background.append(group.create_task(self._churn(op, op.namespace or namespace)))
                    case ops.Barrier():
                        await self._barrier(op)
                    case ops.DeletePods():
                        deleting = group.create_task(self._delete_pods(op, await self._pod_names(op.namespace)))
                        if op.skip_wait_to_completion:
                            background.append(deleting)
                        else:
                            await deleting
            for task in background:
                task.cancel()

    async def _quiet(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self.doing = "waiting until the scheduler has nothing more to do"
            await self._ready()

    async def _create(self, manifest: Manifest) -> Manifest:
        return await self._api.request("POST", path_of(manifest, collection=True), manifest, query=_STRICT)

    async def _create_nodes(self, op: ops.CreateNodes) -> None:
        self.doing = f"{op.count:,} nodes"
        template = self._workload.template(op.node_template_path) if op.node_template_path else None

        async def create(pair: tuple[Manifest, Manifest | None]) -> None:
            for manifest in filter(None, pair):
                await self._create(manifest)

        await populate.each(manifests.nodes(op, template, self._nodes), create)
        self._nodes += op.count

    async def _create_namespaces(self, op: ops.CreateNamespaces) -> None:
        base: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {}}
        if op.namespace_template_path:
            base = self._workload.template(op.namespace_template_path).render(0, 1)
        for index in range(op.count):
            await self._namespace(f"{op.prefix}-{index}", base)

    async def _namespace(self, name: str, base: Manifest | None = None) -> None:
        """Makes it unless it is there."""
        if name in self._namespaces:
            return
        self._namespaces.add(name)
        base = base or {"apiVersion": "v1", "kind": "Namespace", "metadata": {}}
        await self._create({**base, "metadata": {**base["metadata"], "name": name}})

    async def _create_pods(self, op: ops.CreatePods, namespace: str) -> None:
        await self._namespace(namespace)
        pods = self._pods_of(op, namespace)
        if op.persistent_volume_claim_template_path:
            self.doing = f"{op.count:,} volumes"
            await populate.each(self._volumes_of(op, namespace), self._create_volume)
        if op.collect_metrics:
            await self._quiet()
            self._measured = (namespace, len(self._bound.times[namespace]))
            self.begun = time.perf_counter()
        self.doing = f"{op.count:,} pods in {namespace}"
        await populate.each(pods, self._create)
        self._pods[namespace] += op.count
        if op.collect_metrics:
            self.created = time.perf_counter()
        if op.skip_wait_to_completion:
            self._unwaited[namespace] = self._pods[namespace]
        else:
            await self._until_bound(namespace)

    def _pods_of(self, op: ops.CreatePods, namespace: str) -> list[Manifest]:
        """All made beforehand: what takes time is then only to send them."""
        path = op.pod_template_path or self._workload.default_pod
        template = self._workload.template(path) if path else None
        pods = []
        for index in range(op.count):
            pod = template.render(index, op.count) if template else manifests.BASE_POD
            pod = manifests.placed(pod, namespace, self._scheduler)
            pods.append(manifests.with_claim(pod, f"pvc-{index}") if op.persistent_volume_claim_template_path else pod)
        return pods

    def _volumes_of(self, op: ops.CreatePods, namespace: str) -> Iterator[tuple[Manifest, Manifest]]:
        claim = self._workload.template(op.persistent_volume_claim_template_path).render(0, 1)
        template = self._workload.template(op.persistent_volume_template_path).render(0, 1)
        return (manifests.volume(claim, template, namespace, index) for index in range(op.count))

    async def _create_volume(self, pair: tuple[Manifest, Manifest]) -> None:
        for manifest in pair:
            await self._create(manifest)
            # which the API server does not take on creation
            await self._api.patch(f"{path_of(manifest)}/status", {"status": manifest["status"]})

    async def _create_any(self, op: ops.CreateAny) -> None:
        self.doing = op.template_path
        template = self._workload.template(op.template_path)
        if op.namespace:
            await self._namespace(op.namespace)
        for index in range(op.count):
            await self._create(manifests.placed(template.render(index, op.count), op.namespace, self._scheduler))

    async def _until_bound(self, namespace: str) -> None:
        while len(self._bound.times[namespace]) < self._pods[namespace]:
            self.doing = f"{len(self._bound.times[namespace]):,} of {self._pods[namespace]:,} pods bound in {namespace}"
            await asyncio.sleep(POLL)

    async def _barrier(self, op: ops.Barrier) -> None:
        for namespace, count in self._unwaited.items():
            self.doing = f"waiting for {count:,} pods in {namespace}"
            if op.stage_requirement == "Scheduled":
                await self._until_bound(namespace)
                continue
            while True:
                pods = await self._api.list(f"/api/v1/namespaces/{namespace}/pods")
                if sum(map(_attempted, pods)) >= count:
                    break
                await asyncio.sleep(_LOOK)
        if op.stage_requirement == "Scheduled":
            self._unwaited.clear()

    async def _pod_names(self, namespace: str) -> list[str]:
        pods = await self._api.list(f"/api/v1/namespaces/{namespace}/pods")
        return [pod["metadata"]["name"] for pod in pods]

    async def _delete_pods(self, op: ops.DeletePods, names: list[str]) -> None:
        tick = _Ticker(1 / op.delete_pods_per_second) if op.delete_pods_per_second else None
        for name in names:
            if tick:
                await tick.wait()
            await self._api.delete(f"/api/v1/namespaces/{op.namespace}/pods/{name}")

    async def _churn(self, op: ops.Churn, namespace: str) -> None:
        """Creates one of each template at each tick; in the mode ``recreate`` ``number`` times, then deletes them."""
        tick = _Ticker(op.interval_milliseconds / 1000)
        templates = [self._workload.template(path).render(0, 1) for path in op.template_paths]
        objects = [manifests.placed(each, namespace, self._scheduler) for each in templates]
        paths: list[list[str]] = [[""] * op.number for _ in objects]
        rounds = 0
        while op.mode == "recreate" or op.number == 0 or rounds < op.number:
            await tick.wait()
            for manifest, made in zip(objects, paths, strict=True):
                slot = rounds % op.number if op.mode == "recreate" else -1
                if slot >= 0 and made[slot]:
                    await self._api.delete(made[slot])
                    made[slot] = ""
                    continue
                path = path_of(await self._create(manifest))
                self.churned += 1
                if slot >= 0:
                    made[slot] = path
            rounds += 1


class _Ticker:
    """Ticks at even distances; a tick that nobody waited for is lost, as with Go's ``time.Ticker``."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._next = time.perf_counter() + every

    async def wait(self) -> None:
        """Returns at the next tick."""
        await asyncio.sleep(max(0.0, self._next - time.perf_counter()))
        self._next = max(self._next, time.perf_counter() - self._every) + self._every


def _attempted(pod: Manifest) -> bool:
    """Bound, or refused at least once; a gate counts as a refusal."""
    conditions = pod.get("status", {}).get("conditions", [])
    return "nodeName" in pod["spec"] or any(each["type"] == "PodScheduled" for each in conditions)
