"""Reads all that one decision about a StatefulCluster needs.

Called by ``clusters`` before each decision. The cluster and what carries its label are read from the API server itself,
never from a cache: a list without a resourceVersion is what etcd's majority agrees on, so a decision never misses the
operator's own last write, nor that of the leader before it. That costs six small requests for a reconcile, which only
happens when something has changed. Nodes come from the scheduling loop's cache; one that looks gone or not ready is
read anew, because pods are given up for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

import msgspec

from stowplan.api import base, common
from stowplan.api import cluster as api
from stowplan.api.policy import SchedulingPolicy
from stowplan.errors import NotFound
from stowplan.handlers import executor
from stowplan.handlers.world import Bridge, World
from stowplan.kube import resources, session
from stowplan.model import objects
from stowplan.reconcile import observed, placement

K = TypeVar("K", bound=objects.KubeObject)
Json = dict[str, object]

CLUSTERS: Final = resources.Resource(
    group=common.GROUP, version=common.VERSION, kind=api.KIND, plural=api.PLURAL, type=objects.KubeObject
)


class _List(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


class Observer:
    """Reads clusters.

    Args:
        client: the API server.
        world: the scheduling loop.
        bridge: the way into its event loop.
        policies: the policies there are, by key; kept by ``policies.PolicyController``.
    """

    def __init__(
        self, client: session.Api, world: World, bridge: Bridge, policies: Mapping[str, SchedulingPolicy]
    ) -> None:
        self._api = client
        self._world = world
        self._bridge = bridge
        self._policies = policies
        self._seen: dict[str, tuple[str, tuple[str, ...]]] = {}

    def outdated(self, policy: str, broken: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
        """The keys of the clusters that were last read when their members broke other rules of a policy.

        Args:
            policy: its key.
            broken: the rules that they break now, by key of the cluster.
        """
        for key, rules in broken.items():
            governed_by, seen = self._seen.get(key, ("", ()))
            if governed_by == policy and seen != rules:
                yield key

    async def observe(self, key: str, templates: Mapping[str, str]) -> observed.Observed | None:
        """Read a cluster; None where there is none.

        Args:
            key: ``namespace/name``.
            templates: see ``Observed.templates``.

        Raises:
            InvalidObject: the cluster cannot be understood.
            ApiError, ApiUnreachable: it cannot be read.
        """
        namespace, _, name = key.partition("/")
        try:
            raw = await self._api.get(CLUSTERS.path(namespace, name), Json)
        except NotFound:
            self._seen.pop(key, None)
            return None
        cluster = base.parse(api.StatefulCluster, raw, what=f"{api.KIND} {key}")
        pods = await self._list(resources.PODS.path(namespace), name, observed.Pod)
        claims = await self._list(resources.CLAIMS.path(namespace), name, observed.Claim)
        budgets = await self._list(resources.DISRUPTION_BUDGETS.path(namespace), name, observed.Budget)
        revisions = await self._list(executor.REVISIONS.path(namespace), name, observed.Revision)
        sight = await self._sight(key, pods)
        self._seen[key] = sight.policy, sight.broken
        policy = self._policies.get(self._governed_by(cluster, sight))
        spec = policy.spec if policy is not None else None
        named = spec.failure_domains if spec is not None and spec.failure_domains else placement.DEFAULT_DOMAINS
        keys = [domain.topology_key for domain in named]
        return observed.Observed(
            cluster=cluster,
            service=await self._service(namespace, name),
            pods=tuple(pods),
            claims=tuple(claims),
            budgets=tuple(budgets),
            revisions=tuple(revisions),
            nodes=await self._nodes(pods, sight),
            policy=spec,
            domains=await self._bridge.call(lambda: self._world.domains(keys)),
            violations=sight.broken,
            misplaced=await self._misplaced(pods, sight),
            stranded=await self._stranded(pods, claims),
            templates=templates,
        )

    async def _list(self, path: str, cluster: str, kind: type[K]) -> list[K]:
        params = {"labelSelector": f"{common.LABEL_CLUSTER}={cluster}"}
        answer = await self._api.get(path, _List, params=params)
        return [msgspec.json.decode(item, type=kind) for item in answer.items or []]

    async def _service(self, namespace: str, name: str) -> observed.Service | None:
        try:
            return await self._api.get(executor.SERVICES.path(namespace, name), observed.Service)
        except NotFound:
            return None

    async def _sight(self, key: str, pods: list[observed.Pod]) -> observed.Sight:
        uids = [pod.metadata.uid for pod in pods]
        names = {pod.spec.node_name for pod in pods if pod.spec.node_name}
        return await self._bridge.call(lambda: self._world.sight(key, pods=uids, nodes=names))

    async def _misplaced(self, pods: list[observed.Pod], sight: observed.Sight) -> frozenset[str]:
        """Asked only where a rule is broken that made allowance for an outage when a pod was placed."""
        broken = set(sight.broken)
        asked = [pod.metadata.uid for pod in pods if broken and broken & observed.relaxed(pod)]
        return await self._bridge.call(lambda: self._world.misplaced(asked)) if asked else frozenset()

    def _governed_by(self, cluster: api.StatefulCluster, sight: observed.Sight) -> str:
        """The key of the policy: the one that the spec names; else the one that the scheduler goes by."""
        ref = cluster.spec.scheduling_policy_ref
        return sight.policy if ref is None else f"{cluster.metadata.namespace}/{ref.name}"

    async def _nodes(self, pods: list[observed.Pod], sight: observed.Sight) -> dict[str, observed.NodeView]:
        found = {name: view for name, view in sight.nodes.items() if view.ready}
        doubtful = {pod.spec.node_name for pod in pods if pod.spec.node_name} - found.keys()
        for name in sorted(doubtful):
            try:
                found[name] = observed.node_view(await self._api.get(resources.NODES.path("", name), observed.Node))
            except NotFound:
                continue
        return found

    async def _stranded(self, pods: list[observed.Pod], claims: list[observed.Claim]) -> frozenset[str]:
        """Claims of members that run nowhere, whose volume can only be used on nodes that do not exist any more."""
        running = {pod.metadata.labels.get(common.LABEL_MEMBER, ""): pod for pod in pods if pod.spec.node_name}
        stranded = set()
        for claim in claims:
            labels = claim.metadata.labels
            pod = running.get(labels.get(common.LABEL_MEMBER, ""))
            same = pod is not None and _node_set(pod) == _node_set(claim)
            if not same and claim.spec.volume_name and await self._is_stranded(claim.spec.volume_name):
                stranded.add(claim.metadata.name)
        return frozenset(stranded)

    async def _is_stranded(self, name: str) -> bool:
        try:
            volume = await self._api.get(resources.VOLUMES.path("", name), objects.PersistentVolume)
        except NotFound:
            return False
        hosts = observed.pinned_hosts(volume)
        if not hosts:
            return False
        params = {"labelSelector": f"kubernetes.io/hostname in ({','.join(sorted(hosts))})", "limit": "1"}
        if (await self._api.get(resources.NODES.path(), _List, params=params)).items:
            return False
        for host in sorted(hosts):
            try:
                await self._api.get(resources.NODES.path("", host), msgspec.Raw)
            except NotFound:
                continue
            return False
        return True


def _node_set(obj: objects.KubeObject) -> str:
    return obj.metadata.labels.get(common.LABEL_NODE_SET, "")
