"""Which policy governs a pod.

First the policy that the pod names in its annotation; then the one that its StatefulCluster refers to; then, of those
in its namespace that select it, the one with the highest precedence, and the oldest among equals. A policy in mode
DryRun governs nothing; it is tried on the pods that name it or that it selects, whoever governs them. Of several the
one that would go first is tried, so that a pod costs one more decision at most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from stowplan.api import cluster as cluster_api
from stowplan.api import common
from stowplan.model.pods import PodClass
from stowplan.model.selectors import Selector
from stowplan.plugins.group_size import DeclaredSet
from stowplan.plugins.policy_keeper import QuorumSet
from stowplan.profiles.compile import CompiledPolicy


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """What counts of a StatefulCluster here.

    Attributes:
        key: ``namespace/name``.
        policy: the name in its schedulingPolicyRef, or "".
        sets: its node sets.
    """

    key: str
    policy: str
    sets: tuple[DeclaredSet, ...]


def cluster_of(raw: cluster_api.StatefulCluster) -> Cluster:
    """What counts of it; the labels of a set are those that its members carry, but for the member's own."""
    meta, spec = raw.metadata, raw.spec
    sets = []
    for each in spec.node_sets:
        labels = {
            **each.template.metadata.labels,
            common.LABEL_CLUSTER: meta.name,
            common.LABEL_NODE_SET: each.name,
            **{common.role_label(role): "true" for role in each.roles},
        }
        sets.append(DeclaredSet(labels, spec.wanted(each), each.quorum))
    ref = spec.scheduling_policy_ref
    return Cluster(f"{meta.namespace}/{meta.name}", "" if ref is None else ref.name, tuple(sets))


class Governance:
    """Answers for classes of pods; remembers what it said.

    Args:
        policies: all policies.
        clusters: all StatefulClusters.
    """

    def __init__(self, policies: Iterable[CompiledPolicy], clusters: Iterable[Cluster]) -> None:
        self._policies = {policy.key: policy for policy in policies}
        self._clusters = {cluster.key: cluster for cluster in clusters}
        self._selecting: dict[str, list[CompiledPolicy]] = {}
        self._trying: dict[str, list[CompiledPolicy]] = {}
        for policy in sorted(self._policies.values(), key=lambda each: each.rank):
            if policy.selector is not None:
                table = self._selecting if policy.enforced else self._trying
                table.setdefault(policy.namespace, []).append(policy)
        self._near: dict[str, list[tuple[str, Selector]]] = {}
        for policy in self._policies.values():
            if policy.enforced:
                near = [(policy.key, rule.near) for rule in policy.colocate if rule.required]
                self._near.setdefault(policy.namespace, []).extend(near)
        self._tries = not all(policy.enforced for policy in self._policies.values())
        self._key: dict[PodClass, str] = {}
        self._shadow: dict[PodClass, str] = {}
        self._counting: dict[PodClass, frozenset[str]] = {}

    def key_for(self, cls: PodClass) -> str:
        """The key of the policy that governs the pods of a class, or ""."""
        key = self._key.get(cls)
        if key is None:
            key = self._key[cls] = self._find(cls)
        return key

    def shadow_for(self, cls: PodClass) -> str:
        """The key of the policy in mode DryRun that is tried on the pods of a class, or ""."""
        if not self._tries:
            return ""
        key = self._shadow.get(cls)
        if key is None:
            named = self._policies.get(self._named(cls))
            if named is not None and not named.enforced:
                key = named.key
            else:
                key = next((each.key for each in _selecting(self._trying, cls)), "")
            self._shadow[cls] = key
        return key

    def counting(self, cls: PodClass) -> frozenset[str]:
        """The keys of the policies whose rules count the pods of a class: their own, and who wants to be near them."""
        keys = self._counting.get(cls)
        if keys is None:
            near = (key for key, selector in self._near.get(cls.namespace, ()) if selector.matches(cls.labels))
            keys = self._counting[cls] = frozenset(filter(None, (self.key_for(cls), *near)))
        return keys

    def missing_for(self, cls: PodClass) -> str:
        """The key of the policy that the pods name and that does not exist, or ""."""
        named = self._named(cls)
        return named if named and named not in self._policies else ""

    def conflicts(self, classes: Iterable[PodClass]) -> dict[str, frozenset[str]]:
        """The policies that select pods which others govern, each with the names of those others.

        Counts the pods there are, and also a policy that could never govern any, because one that goes first selects
        all that it selects. A pod that names its policy is nobody's conflict.
        """
        found: dict[str, set[str]] = {}
        for cls in classes:
            self._collide(self._selected_by(cls) if not self._named(cls) else (), found)
        for policies in self._selecting.values():
            for at, loser in enumerate(policies):
                winner = next((each for each in policies[:at] if covers(each.selector, loser.selector)), None)
                if winner is not None:
                    self._collide((winner, loser), found)
        return {loser: frozenset(winners) for loser, winners in found.items()}

    def keep(self, used: set[PodClass]) -> None:
        """Forgets what was said of classes that are not in use."""
        self._key = {cls: key for cls, key in self._key.items() if cls in used}
        self._shadow = {cls: key for cls, key in self._shadow.items() if cls in used}
        self._counting = {cls: keys for cls, keys in self._counting.items() if cls in used}

    def _collide(self, policies: Sequence[CompiledPolicy], found: dict[str, set[str]]) -> None:
        for loser in policies[1:]:
            found.setdefault(loser.key, set()).add(policies[0].key.partition("/")[2])

    def _find(self, cls: PodClass) -> str:
        named = self._named(cls)
        policy = self._policies.get(named)
        if named and policy is None:
            return ""
        if policy is not None and policy.enforced:
            return policy.key
        return next((each.key for each in self._selected_by(cls)), "")

    def _named(self, cls: PodClass) -> str:
        """The key of the policy that the pods name, themselves or by their StatefulCluster, or ""."""
        name = cls.policy
        if not name and cls.cluster:
            cluster = self._clusters.get(f"{cls.namespace}/{cls.cluster}")
            name = "" if cluster is None else cluster.policy
        return f"{cls.namespace}/{name}" if name else ""

    def _selected_by(self, cls: PodClass) -> list[CompiledPolicy]:
        return list(_selecting(self._selecting, cls))


def declared(clusters: Iterable[Cluster]) -> Mapping[str, tuple[DeclaredSet, ...]]:
    """The node sets of each StatefulCluster, by its key."""
    return {cluster.key: cluster.sets for cluster in clusters}


def quorums(clusters: Iterable[Cluster]) -> Iterator[QuorumSet]:
    """The node sets that must keep a majority."""
    for cluster in clusters:
        namespace, _, name = cluster.key.partition("/")
        for each in cluster.sets:
            if each.quorum:
                yield QuorumSet(namespace, name, each.labels[common.LABEL_NODE_SET], each.replicas)


def _selecting(table: Mapping[str, Sequence[CompiledPolicy]], cls: PodClass) -> Iterator[CompiledPolicy]:
    """The policies that select the pods of a class, of those of each namespace."""
    for each in table.get(cls.namespace, ()):
        if each.selector is not None and each.selector.matches(cls.labels):
            yield each


def covers(broad: Selector | None, narrow: Selector | None) -> bool:
    """Whether whatever the narrow selector matches plainly matches the broad one: the same requirements, or fewer."""
    if broad is None or narrow is None or broad.requirements is None or narrow.requirements is None:
        return False
    return broad.requirements <= narrow.requirements
