"""SchedulingPolicies: all of them into the scheduling loop, and what they govern into their status.

Called by ``operator`` through two work queues: ``refresh`` whenever a policy or a StatefulCluster has changed, and
``tell`` for each policy whose pods have. Both kinds are listed whole: a watch can miss the end of an object, a list
cannot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, TypeVar

import msgspec
import structlog

from stowplan import profiles
from stowplan.api import base, common
from stowplan.api import cluster as cluster_api
from stowplan.api import policy as api
from stowplan.errors import InvalidObject, NotFound
from stowplan.handlers import announcing
from stowplan.handlers.observer import CLUSTERS, Json
from stowplan.handlers.world import Bridge, World
from stowplan.kube import events, resources, session
from stowplan.model import objects
from stowplan.reconcile import policy_status

log = structlog.get_logger(__name__)

M = TypeVar("M", api.SchedulingPolicy, cluster_api.StatefulCluster)

POLICIES: Final = resources.Resource(
    group=common.GROUP, version=common.VERSION, kind=api.KIND, plural=api.PLURAL, type=objects.KubeObject
)
EVERYTHING: Final = "*"
"""The one key of ``refresh``: all policies and clusters together."""


class _List(msgspec.Struct):
    items: list[Json] | None = None


class PolicyController:
    """Keeps the scheduling loop's policies, and their status.

    Args:
        client: the API server.
        world: the scheduling loop.
        bridge: the way into its event loop.
        recorder: sends the events.
        now: the time, UTC.
        on_change: told after each refresh which policies and clusters are new, changed or gone, by key.
        on_count: told after each count of a policy its key, and by key of each StatefulCluster that it governs the
            rules that the cluster's members break.
        resync: seconds after which all is looked at although nothing has changed.

    Attributes:
        policies: the policies there are, by key.
        clusters: the keys of the StatefulClusters there are.
    """

    def __init__(
        self,
        client: session.Api,
        world: World,
        bridge: Bridge,
        recorder: events.Recorder,
        *,
        now: Callable[[], datetime],
        on_change: Callable[[set[str], set[str]], None],
        on_count: Callable[[str, Mapping[str, tuple[str, ...]]], None],
        resync: float,
    ) -> None:
        self._api = client
        self._world = world
        self._bridge = bridge
        self._recorder = recorder
        self._now = now
        self._on_change = on_change
        self._on_count = on_count
        self._resync = resync
        self._in_force: tuple[dict[str, object], dict[str, object]] = ({}, {})
        self._turn = asyncio.Lock()  # what was listed before a status was written must not be taken for what is there
        self.policies: dict[str, api.SchedulingPolicy] = {}
        self.clusters: frozenset[str] = frozenset()

    async def refresh(self, key: str) -> float | None:
        """List both kinds, and put the policies in force if anything is different from last time."""
        del key
        async with self._turn:
            changed = await self._refresh()
        self._on_change(changed[0], changed[1])
        return self._resync

    async def _refresh(self) -> list[set[str]]:
        """The keys of the policies and of the clusters that are new, changed or gone."""
        policies, clusters = await asyncio.gather(
            self._list(POLICIES.path(), api.SchedulingPolicy, api.KIND),
            self._list(CLUSTERS.path(), cluster_api.StatefulCluster, cluster_api.KIND),
        )
        counting = {name: profiles.cluster_of(cluster) for name, cluster in clusters.items()}
        in_force: tuple[dict[str, object], dict[str, object]] = (
            {name: (policy.metadata.uid, policy.spec) for name, policy in policies.items()},
            dict(counting),
        )
        if in_force != self._in_force:
            await self._bridge.call(lambda: self._world.apply(tuple(policies.values()), tuple(counting.values())))
            log.info("policies in force", policies=len(policies), clusters=len(clusters))
        # Only now: a status about a policy that the scheduler does not go by yet would not be true.
        self.policies.clear()
        self.policies.update(policies)
        self.clusters = frozenset(clusters)
        changed = [_difference(old, new) for old, new in zip(self._in_force, in_force, strict=True)]
        self._in_force = in_force
        return changed

    async def _list(self, path: str, model: type[M], kind: str) -> dict[str, M]:
        answer = await self._api.get(path, _List)
        found: dict[str, M] = {}
        for item in answer.items or []:
            meta = msgspec.convert(item, objects.KubeObject, strict=False).metadata
            key = f"{meta.namespace}/{meta.name}"
            try:
                found[key] = base.parse(model, item, what=f"{kind} {key}")
            except InvalidObject as error:
                log.error("object ignored", kind=kind, key=key, error=str(error))
        return found

    async def tell(self, key: str) -> float | None:
        """Write the status of one policy, if it says something new."""
        async with self._turn:
            return await self._tell(key)

    async def _tell(self, key: str) -> float | None:
        policy = self.policies.get(key)
        if policy is None:
            return None
        facts = await self._bridge.call(lambda: self._world.facts(key))
        if facts is None:
            return self._resync
        self._on_count(key, facts.broken)
        new = policy_status.status(policy, facts, self._now())
        if new == policy.status:
            return self._resync
        meta = policy.metadata
        body = {"metadata": {"uid": meta.uid}, "status": new.to_json()}
        try:
            await self._api.patch(POLICIES.path(meta.namespace, meta.name, "status"), body, msgspec.Raw, repeat=True)
        except NotFound:
            return None
        announcing.tell_of_policy(self._recorder, policy, new)
        self.policies[key] = policy.model_copy(update={"status": new})
        return self._resync


def _difference(old: dict[str, object], new: dict[str, object]) -> set[str]:
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
