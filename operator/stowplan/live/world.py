"""The scheduling loop as the controllers see it: ``handlers.world.World``, answered from the cache.

``app`` hands one to the operator, which calls it in the scheduling loop's thread. Nothing here is kept or computed
ahead; each answer costs a look at a few nodes, or one report of a policy.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence

from stowplan import profiles
from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.plugin import CycleState
from stowplan.live.board import PolicyBoard
from stowplan.model.pods import PodInfo
from stowplan.reconcile.observed import Sight, glimpse
from stowplan.reconcile.policy_status import PolicyFacts


class BoardWorld:
    """Answers from the cache of a scheduling loop.

    Args:
        board: the policies in force, and the scheduler with its cache.
    """

    def __init__(self, board: PolicyBoard) -> None:
        self._board = board

    def apply(self, policies: Sequence[SchedulingPolicy], clusters: Sequence[profiles.Cluster]) -> None:
        """Put these policies in force."""
        self._board.apply(policies, clusters)

    def facts(self, policy: str) -> PolicyFacts | None:
        """What a policy governs; None where it is not in force (yet)."""
        try:
            return self._board.facts(policy)
        except KeyError:
            return None

    def policies_of(self, pod: PodInfo) -> Collection[str]:
        """The keys of the policies whose rules count a pod."""
        return self._board.policies.counting(pod.cls)

    def sight(self, cluster: str, *, pods: Collection[str], nodes: Collection[str]) -> Sight:
        """The members of a cluster: what governs them, what they break, and where they are."""
        snapshot = self._board.scheduler.cache.snapshot
        known = (snapshot.pods.get(uid) for uid in pods)
        key_for = self._board.policies.key_for
        policy = next((key for pod in known if pod is not None and (key := key_for(pod.cls))), "")
        broken = self._board.broken(policy).get(cluster, ()) if policy else ()
        rows = ((name, snapshot.row_of.get(name)) for name in nodes)
        return Sight(
            policy=policy,
            broken=broken,
            nodes={name: glimpse(snapshot.nodes[row]) for name, row in rows if row is not None},
        )

    def clusters_on(self, nodes: Collection[str]) -> set[str]:
        """The keys of the clusters that have a member on one of these nodes."""
        pods = self._board.scheduler.cache.snapshot.pods.values()
        return {f"{pod.namespace}/{pod.cls.cluster}" for pod in pods if pod.cls.cluster and pod.node_name in nodes}

    def clusters_of(self, policies: Collection[str]) -> set[str]:
        """The keys of the clusters that have a member on a node and are governed by one of these policies."""
        classes = self._board.scheduler.cache.snapshot.classes()
        key_for = self._board.policies.key_for
        return {f"{cls.namespace}/{cls.cluster}" for cls in classes if cls.cluster and key_for(cls) in policies}

    def misplaced(self, pods: Collection[str]) -> frozenset[str]:
        """The first of these pods that could not be placed where it is now, and could be placed elsewhere, if any."""
        nodes = self._board.scheduler.cache.snapshot
        if pods:
            nodes = nodes.fork()
        for uid in pods:
            here = nodes.pods.get(uid)
            row = nodes.row_of.get(here.node_name) if here is not None else None
            if here is None or row is None:
                continue
            nodes.remove_pod(uid)
            again = copy.copy(here)
            again.node_name = ""
            feasible = self._board.policies.framework_for(here.cls).feasible(again, nodes, CycleState())
            nodes.add_pod(here)
            if feasible.any() and not feasible[row]:
                return frozenset({uid})
        return frozenset()

    def domains(self, keys: Collection[str]) -> Mapping[str, frozenset[str]]:
        """By topology key, all values that nodes have."""
        snapshot = self._board.scheduler.cache.snapshot
        found: dict[str, frozenset[str]] = {}
        for key in keys:
            column = snapshot.label(key)
            used = {column.values[code] for code in set(column.codes.tolist())}
            found[key] = frozenset(value for value in used if value is not None)
        return found
