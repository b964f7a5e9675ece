"""Where a scenario happens: a running control plane, the service on it, and what can be done to both.

Scenarios act and look through this alone, so that what happens is the same in every setup.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from tests.controlplane.api import STRATEGIC, Api, ApiFailure, wait_until
from tests.controlplane.nodes import ZONE, Manifest
from tests.controlplane.plane import ControlPlane
from tests.scenarios import history, manifests
from tests.scenarios.history import Recorder
from tests.scenarios.invariants import Quorum
from tests.scenarios.manifests import LABELS, NAMESPACE, OUTAGE
from tests.scenarios.scenario import Failed, Setup

T = TypeVar("T")

QUIET: Final = 15.0
"""Seconds without any change of pods, claims or budgets after which no timer is left that could bring one: longer than
the longest backoff of either scheduler (10 s). A busy machine may be late with all of it; see `Stage.settled`."""
LONGEST: Final = 300.0
"""Seconds after which something that goes on changing is given up, too."""

_KINDS = {
    Setup.PLAIN: "/apis/apps/v1/namespaces/{}/statefulsets/{}",
    Setup.EXPERT: "/apis/apps/v1/namespaces/{}/statefulsets/{}",
    Setup.OURS: "/apis/stowplan.dev/v1alpha1/namespaces/{}/statefulclusters/{}",
}


class Stage:
    """One run of one scenario.

    Attributes:
        api: as administrator.
        given_up: names of claims that the scenario expects to be deleted.
        quorums: what was promised, and from when.
        marked: the revision after which the part began that a scenario looks back at.
    """

    def __init__(self, setup: Setup, plane: ControlPlane, api: Api, recorder: Recorder) -> None:
        self.setup = setup
        self.plane = plane
        self.api = api
        self.given_up: set[str] = set()
        self.quorums: list[Quorum] = []
        self.marked = 0
        self._recorder = recorder
        self._bystanders = itertools.count(1)

    # --- look ---------------------------------------------------------------------------------------------------

    async def pods(self) -> list[Manifest]:
        """The pods of the service, by name."""
        found = await self.api.list(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector="app=db")
        return sorted(found, key=lambda each: str(each["metadata"]["name"]))

    async def nodes(self) -> dict[str, Manifest]:
        """The nodes by name."""
        return {each["metadata"]["name"]: each for each in await self.api.list("/api/v1/nodes")}

    async def claims(self) -> dict[str, Manifest]:
        """The claims by name."""
        found = await self.api.list(f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims")
        return {each["metadata"]["name"]: each for each in found}

    async def domains(self, key: str) -> dict[str, str]:
        """Value of a node label for each pod of the service that has a node, by the pod's name."""
        nodes = await self.nodes()
        return {
            each["metadata"]["name"]: history.label(nodes[history.node_of(each)], key)
            for each in await self.pods()
            if history.node_of(each) in nodes
        }

    async def counts(self, key: str) -> dict[str, int]:
        """Pods of the service in each domain, the empty ones included."""
        found = {history.label(each, key): 0 for each in (await self.nodes()).values()}
        return dict(sorted((found | collections.Counter((await self.domains(key)).values())).items()))

    async def in_domain(self, key: str, value: str) -> list[str]:
        """Names of the nodes with a value of a label."""
        return sorted(name for name, each in (await self.nodes()).items() if history.label(each, key) == value)

    # --- wait ---------------------------------------------------------------------------------------------------

    async def until(self, look: Callable[[], Awaitable[T | None]], what: str) -> T:
        """Wait for something to be there, as long as anything goes on.

        Args:
            look: gives None while it is not there.
            what: the reason of the failure, as "… never came".

        Raises:
            Failed: nothing changes any more; with what the first waiting pod says.
        """
        found = await self.unless_settled(look)
        if found is None:
            raise Failed("; ".join(filter(None, (what, await self._waiting()))))
        return found

    async def unless_settled(self, look: Callable[[], Awaitable[T | None]]) -> T | None:
        """Wait for something to be there; None when nothing changes any more and it is still not there."""
        started = time.monotonic()
        while True:
            settled = time.monotonic() - started > LONGEST or await self._settled(started)
            found = await look()
            if found is not None or settled:
                return found
            await asyncio.sleep(0.1)

    async def _settled(self, started: float) -> bool:
        """Whether nothing will change any more by itself, however slow the machine is.

        All timers have run out, and whoever acts on the service has since done the same for another one from beginning
        to end, so none of them is behind, and has not touched the service meanwhile.
        """
        quiet = max(started, self._recorder.moved)
        if time.monotonic() - quiet < QUIET:
            return False
        bystander = manifests.bystander(f"bystander-{next(self._bystanders)}", self.setup)
        await self.apply(bystander)
        path = f"/api/v1/namespaces/{manifests.ELSEWHERE}/pods"
        name = bystander[-1]["metadata"]["name"]

        async def served() -> bool | None:
            pods = await self.api.list(path, labelSelector=f"service={name}")
            return True if any(history.ready(each) for each in pods) else None

        await wait_until(served, what=f"{name}, which anybody could place", within=LONGEST)
        await self._recorder.caught_up()
        return self._recorder.moved <= quiet

    async def running(self, count: int, *, without: Iterable[str] = (), what: str = "") -> list[Manifest]:
        """The members that serve, once there are so many and no others are left.

        Args:
            count: how many.
            without: uids of pods that shall be gone.
            what: the reason of a failure.
        """
        leaving = set(without)
        serving: list[Manifest] = []

        async def look() -> list[Manifest] | None:
            nonlocal serving
            pods = await self.pods()
            serving = [each for each in pods if history.healthy(each)]
            old = leaving & {each["metadata"]["uid"] for each in pods}
            return serving if len(serving) == count and not old else None

        try:
            return await self.until(look, what)
        except Failed as failed:
            said = str(failed)
            raise Failed(f"{len(serving)} of {count} members run{'; ' if said else ''}{said}") from None

    async def _waiting(self) -> str:
        for each in await self.pods():
            if history.healthy(each):
                continue
            name = each["metadata"]["name"]
            for condition in each["status"].get("conditions", []):
                if condition["type"] == "PodScheduled" and condition["status"] == "False":
                    return f"{name} waits: {condition.get('message', '')}"
            if history.node_of(each):
                return f"{name} is not ready"
            return f"{name} waits for its volumes, or for somebody to place it"
        return ""

    # --- act ----------------------------------------------------------------------------------------------------

    async def apply(self, objects: Iterable[Manifest]) -> None:
        """Create objects, one after the other."""
        for each in objects:
            await self.api.create(each)

    async def edit(self, change: Callable[[Manifest], None], *, name: str = manifests.NAME) -> None:
        """Change the StatefulSet or the StatefulCluster, as `kubectl edit` does.

        Raises:
            Failed: the API server does not take it.
        """
        path = _KINDS[self.setup].format(NAMESPACE, name)
        while True:
            workload = await self.api.get(path)
            change(workload)
            try:
                await self.api.request("PUT", path, workload)
            except ApiFailure as failure:
                if failure.status == 409:
                    continue
                raise Failed(f"refused by the API server: {failure.message}") from None
            return

    async def scale(self, replicas: int) -> None:
        """`kubectl scale`."""
        path = f"{_KINDS[self.setup].format(NAMESPACE, manifests.NAME)}/scale"
        await self.api.patch(path, {"spec": {"replicas": replicas}})

    async def delete_pods(self, names: Iterable[str]) -> set[str]:
        """`kubectl delete pod`, all at once; their uids."""
        chosen = set(names)
        uids = {each["metadata"]["uid"] for each in await self.pods() if each["metadata"]["name"] in chosen}
        await asyncio.gather(*(self.api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}") for name in chosen))
        return uids

    async def cordon(self, nodes: Iterable[str], *, undo: bool = False) -> None:
        """`kubectl cordon`, or `uncordon`."""
        body = {"spec": {"unschedulable": None if undo else True}}
        await asyncio.gather(*(self.api.patch(f"/api/v1/nodes/{name}", body) for name in nodes))

    async def fail_zone(self, zone: str, *, undo: bool = False) -> None:
        """A zone is out: all its nodes are tainted, and whoever comes back finds them so."""
        for name in await self.in_domain(ZONE, zone):
            node = await self.api.get(f"/api/v1/nodes/{name}")
            kept = [each for each in node["spec"].get("taints", []) if each["key"] != OUTAGE["key"]]
            await self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": kept if undo else [*kept, OUTAGE]}})

    async def doubt(self, pod: Manifest) -> None:
        """The pod of a silent node is ready no more: what kube-controller-manager says after its 40 s of grace."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}/status"
        not_ready = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
        await self.api.patch(path, {"status": {"conditions": [not_ready]}}, content_type=STRATEGIC)

    async def forget_pod(self, pod: Manifest) -> None:
        """The pod of a deleted node is deleted: what kube-controller-manager does after a minute."""
        uid = {"uid": pod["metadata"]["uid"]}
        try:
            await self.api.request(
                "DELETE",
                f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}",
                {"gracePeriodSeconds": 0, "preconditions": uid},
            )
        except ApiFailure as failure:
            if failure.status not in (404, 409):  # somebody else was quicker
                raise

    async def evict(self, name: str) -> bool:
        """Ask once for a pod to be evicted; False where its budget says no. A pod that is gone is fine."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
        try:
            await self.api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", body)
        except ApiFailure as failure:
            if failure.status == 429:
                return False
            if failure.status != 404:
                raise
        return True

    async def drain(self, nodes: Iterable[str]) -> None:
        """`kubectl drain` of all these nodes at once: evictions are tried again until no member is left there.

        Raises:
            Failed: a member is never let go.
        """
        drained = set(nodes)
        await self.cordon(drained)

        async def look() -> bool | None:
            left = [each for each in await self.pods() if history.node_of(each) in drained]
            await asyncio.gather(*(self.evict(each["metadata"]["name"]) for each in left if history.live(each)))
            return None if left else True

        await self.until(look, "the drain never ended")

    # --- what must hold from now on -----------------------------------------------------------------------------

    async def promise_quorum(self, size: int) -> None:
        """From now on so many members serve at every moment."""
        self.quorums.append(Quorum(LABELS, size, since=await self.revision()))

    async def revision(self) -> int:
        """What has been stored last by now."""
        answer = await self.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods")
        return int(answer["metadata"]["resourceVersion"])

    async def most_uneven(self, key: str, since: int) -> int:
        """The largest difference between two domains at any revision after one."""
        await self._recorder.caught_up()
        worst = 0
        for cluster, change in history.replay(self._recorder.seen):
            if change.seen.revision <= since:
                continue
            counts = {history.label(each, key): 0 for each in cluster.nodes.values()}
            for each in cluster.pods.values():
                if history.matches(each, LABELS) and history.live(each) and history.node_of(each) in cluster.nodes:
                    counts[history.label(cluster.nodes[history.node_of(each)], key)] += 1
            worst = max(worst, max(counts.values()) - min(counts.values()))
        return worst
