"""Every revision of the objects that matter, as watches show them, and the cluster as it was at each of them.

A `Recorder` watches while something happens; afterwards `replay` goes through all of it in the order in which etcd has
stored it, whatever the kind. That order is exact: all resource versions of one API server come from one counter, and
a watch names the version of a deletion, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Self

from tests.controlplane.api import Api, ApiFailure, wait_until
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import Manifest

WATCHED: Final = {
    "Node": "/api/v1/nodes",
    "Pod": "/api/v1/pods",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "PersistentVolumeClaim": "/api/v1/persistentvolumeclaims",
    "PodDisruptionBudget": "/apis/policy/v1/poddisruptionbudgets",
}
BEFORE: Final = float("-inf")
ENDED: Final = frozenset({"Succeeded", "Failed"})
"""Phases of a pod that uses its node no more."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """One revision of one object.

    Attributes:
        revision: its place in the order of all.
        at: when it arrived here, by the monotonic clock in seconds; `BEFORE` for what was there at the start.
        kind: of the object.
        gone: whether this is its deletion.
        obj: the object; for a deletion as it was last.
    """

    revision: int
    at: float
    kind: str
    gone: bool
    obj: Manifest

    @property
    def key(self) -> str:
        """Names the object among those of its kind."""
        return key_of(self.obj)


@dataclasses.dataclass(frozen=True)
class Change:
    """A revision, and what the object was before; None where there was none of that uid."""

    seen: Seen
    before: Manifest | None

    @property
    def bound(self) -> Manifest | None:
        """The pod that got its node by this."""
        obj = self.seen.obj
        if self.seen.kind != "Pod" or self.seen.gone or not node_of(obj):
            return None
        return None if self.before is not None and node_of(self.before) else obj


class Cluster:
    """The objects at one revision.

    Attributes:
        now: when that was, by the clock of `Seen.at`.
        pods: by namespace/name; the same for claims and budgets.
        nodes: by name; the same for volumes.
        turned: when each node became usable or unusable last.
        came: when each pod was made, by its uid.
        filled: when each claim got its volume, by namespace/name.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.nodes: dict[str, Manifest] = {}
        self.pods: dict[str, Manifest] = {}
        self.volumes: dict[str, Manifest] = {}
        self.claims: dict[str, Manifest] = {}
        self.budgets: dict[str, Manifest] = {}
        self.turned: dict[str, float] = {}
        self.came: dict[str, float] = {}
        self.filled: dict[str, float] = {}
        self._left: list[tuple[float, Manifest]] = []

    def take(self, seen: Seen) -> Change:
        """Go on to the next revision."""
        self.now = seen.at
        table = {
            "Node": self.nodes, "Pod": self.pods, "PersistentVolume": self.volumes,
            "PersistentVolumeClaim": self.claims, "PodDisruptionBudget": self.budgets,
        }[seen.kind]  # fmt: skip
        before = table.pop(seen.key, None)
        if before is not None and before["metadata"]["uid"] != seen.obj["metadata"]["uid"]:
            before = None
        if not seen.gone:
            table[seen.key] = seen.obj
        match seen.kind:
            case "Pod":
                self.came.setdefault(seen.obj["metadata"]["uid"], seen.at)
                if before is not None and live(before) and (seen.gone or not live(seen.obj)):
                    self._left.append((seen.at, before))
            case "Node" if before is None or usable(before) != usable(seen.obj):
                self.turned[seen.key] = seen.at
            case "PersistentVolumeClaim":
                if seen.gone:
                    self.filled.pop(seen.key, None)
                elif seen.obj["spec"].get("volumeName"):
                    self.filled.setdefault(seen.key, seen.at)
        return Change(seen, before)

    def lately_left(self, seconds: float) -> Iterator[Manifest]:
        """Pods that went, or began to, within so many seconds: whoever decides may not know it yet."""
        return (pod for at, pod in self._left if self.now - at <= seconds)


class Recorder:
    """Watches from `async with` on.

    Args:
        api: may read all that is watched.
        namespace: that `moved` is about.

    Attributes:
        seen: every revision, in the order of arrival.
        moved: when a pod, a claim or a budget of the namespace has changed last, by the monotonic clock.
    """

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._tasks: list[asyncio.Task[None]] = []
        self.seen: list[Seen] = []
        self.moved = time.monotonic()

    async def __aenter__(self) -> Self:
        for kind, path in WATCHED.items():
            answer = await self._api.get(path)
            for item in answer["items"]:
                self.seen.append(Seen(int(item["metadata"]["resourceVersion"]), BEFORE, kind, False, item))
            follow = self._follow(kind, path, answer["metadata"]["resourceVersion"])
            self._tasks.append(asyncio.create_task(follow))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def caught_up(self, *, within: float = 60) -> None:
        """Return when everything that has been stored before the call has been seen.

        Raises:
            ControlPlaneError: a watch has broken, or it takes too long.
        """
        for kind, path in WATCHED.items():
            items = {key_of(item): int(item["metadata"]["resourceVersion"]) for item in await self._api.list(path)}

            async def look(kind: str = kind, items: dict[str, int] = items) -> bool | None:
                for task in self._tasks:
                    if task.done():
                        task.result()
                latest = {each.key: each for each in self.seen if each.kind == kind}
                seen = all(key in latest and latest[key].revision >= version for key, version in items.items())
                gone = all(each.gone or key in items or each.revision > max(items.values(), default=0)
                           for key, each in latest.items())  # fmt: skip
                return True if seen and gone else None

            await wait_until(look, what=f"the watch of {path} to catch up", within=within)

    async def _follow(self, kind: str, path: str, version: str) -> None:
        """The API server ends a watch after some minutes: go on from there."""
        while True:
            try:
                async for event in self._api.watch(path, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._add(kind, event["object"], gone=event["type"] == "DELETED")
            except ApiFailure as failure:
                raise ControlPlaneError(f"a revision may have been missed: {failure}") from failure

    def _add(self, kind: str, obj: Manifest, *, gone: bool) -> None:
        now = time.monotonic()
        self.seen.append(Seen(int(obj["metadata"]["resourceVersion"]), now, kind, gone, obj))
        if obj["metadata"].get("namespace") == self._namespace:
            self.moved = now


def replay(seen: Iterable[Seen]) -> Iterator[tuple[Cluster, Change]]:
    """The cluster after each revision, one and the same object that goes on, with what has changed."""
    cluster = Cluster()
    for each in sorted(seen, key=lambda each: each.revision):
        yield cluster, cluster.take(each)


# ---------------------------------------------------------------- what an object says


def key_of(obj: Manifest) -> str:
    """Namespace and name."""
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else str(metadata["name"])


def node_of(pod: Manifest) -> str:
    """The node of a pod, or ""."""
    return str(pod["spec"].get("nodeName", ""))


def live(pod: Manifest) -> bool:
    """Whether it has a node, has not ended and is not being deleted."""
    return bool(node_of(pod)) and not ended(pod) and "deletionTimestamp" not in pod["metadata"]


def ended(pod: Manifest) -> bool:
    """Whether its containers run no more."""
    return pod.get("status", {}).get("phase") in ENDED


def ready(obj: Manifest) -> bool:
    """Whether a pod or a node has the condition Ready."""
    conditions = obj.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def healthy(pod: Manifest) -> bool:
    """Whether it serves: as a PodDisruptionBudget counts it."""
    return ready(pod) and "deletionTimestamp" not in pod["metadata"]


def usable(node: Manifest) -> bool:
    """Whether a pod without tolerations may go there."""
    taints = node["spec"].get("taints", [])
    barred = any(each["effect"] in ("NoSchedule", "NoExecute") for each in taints)
    return ready(node) and not barred and node["spec"].get("unschedulable") is not True


def out_of_service(node: Manifest) -> bool:
    """Whether somebody vouches that the node is off."""
    return any(each["key"] == "node.kubernetes.io/out-of-service" for each in node["spec"].get("taints", []))


def label(obj: Manifest, key: str) -> str:
    """Value of a label, or ""."""
    return str(obj["metadata"].get("labels", {}).get(key, ""))


def matches(obj: Manifest, labels: dict[str, str]) -> bool:
    """Whether the object has all these labels."""
    return all(label(obj, key) == value for key, value in labels.items())
