"""Gives a pod a node in the cache, or takes it back: the step that single pods and groups have in common.

Used by ``scheduler.cycle`` and ``scheduler.together``. What events a step causes is left to the caller: members of a
group that are taken back at once have not been there for anybody.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stowplan.framework.choice import Decision
from stowplan.framework.plugin import CycleState, Probe
from stowplan.framework.runtime import Framework
from stowplan.framework.status import Diagnosis, Refusal, Reject, Verdict
from stowplan.framework.trial import beside
from stowplan.model.pods import PodClass
from stowplan.scheduler import shadows
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.groups import Roster
from stowplan.scheduler.outcomes import Placed
from stowplan.scheduler.queued import QueuedPodInfo
from stowplan.scheduler.shadows import ShadowFor

JOINT = "JointPlacement"
"""What decided about a pod that was placed together with others, where a plugin would be named."""


class Placer:
    """Places the pods of one decision.

    Args:
        cache: the state of the cluster.
        roster: the pods without a node.
        framework_for: the plugins that place the pods of a class.
        chance: a non-negative number that picks among equally good nodes.
        probe_for: the clock that times the plugins of a profile.
        shadow_for: the policy that is tried on the pods of a class, if any.
    """

    def __init__(
        self,
        cache: ClusterCache,
        roster: Roster,
        framework_for: Callable[[PodClass], Framework],
        chance: int,
        probe_for: Callable[[Framework], Probe],
        *,
        shadow_for: ShadowFor,
    ) -> None:
        self._cache = cache
        self._roster = roster
        self._framework_for = framework_for
        self._chance = chance
        self._probe_for = probe_for
        self._shadow_for = shadow_for

    def framework(self, queued: QueuedPodInfo) -> Framework:
        """The plugins that place a pod."""
        return self._framework_for(queued.pod.cls)

    def place(self, queued: QueuedPodInfo) -> Placed | Diagnosis:
        """On the best node that there is."""
        framework = self.framework(queued)
        state = CycleState(self._probe_for(framework))
        nodes = self._cache.snapshot
        with beside(nodes.homes.beside(queued.pod), nodes):
            found = framework.schedule(queued.pod, nodes, state, self._chance)
        return found if isinstance(found, Diagnosis) else self.assume(queued, framework, state, found)

    def place_on(self, queued: QueuedPodInfo, node: str) -> Placed | Diagnosis:
        """On this node, if the filters agree."""
        framework, nodes = self.framework(queued), self._cache.snapshot
        state = CycleState(self._probe_for(framework))
        row = nodes.row_of.get(node)
        with beside(nodes.homes.beside(queued.pod), nodes):
            rows = np.flatnonzero(framework.feasible(queued.pod, nodes, state))
        if row is None or row not in rows:
            elsewhere = Reject(
                np.ones(len(nodes), dtype=np.bool_), f"the node of the joint placement is not {node} now"
            )
            return Diagnosis(len(nodes), [Verdict(JOINT, rejects=(elsewhere,))])
        table = framework.score(queued.pod, nodes, state, rows)
        at = int(np.searchsorted(rows, row))
        best = int(table.total.argmax())
        decision = Decision(
            row=row,
            node=node,
            score=int(table.total[at]),
            runner_up=("", 0) if best == at else (nodes.name(int(rows[best])), int(table.total[best])),
            feasible=len(rows),
            total=len(nodes),
            decisive=(JOINT,),
        )
        return self.assume(queued, framework, state, decision)

    def assume(
        self, queued: QueuedPodInfo, framework: Framework, state: CycleState, decision: Decision
    ) -> Placed | Diagnosis:
        """Counts the pod on the node that was chosen for it, and reserves what it needs there."""
        pod, nodes = queued.pod, self._cache.snapshot
        shadow = self._shadow_for(pod.cls)
        judgement = None if shadow is None else shadows.judge(shadow, pod, nodes, decision.row)
        self._cache.assume(pod, decision.node)
        writes = framework.reserve(pod, nodes, state, decision.row)
        if isinstance(writes, Verdict):
            self._cache.forget(pod)
            return Diagnosis(len(nodes), [writes])
        self._roster.settled(pod.uid)
        return Placed(queued, decision, framework, state, writes, judgement)

    def take_back(self, placed: Placed) -> None:
        """As if it had never been placed."""
        placed.framework.unreserve(placed.pod, self._cache.snapshot, placed.state)
        self._cache.forget(placed.pod)
        self._roster.waits(placed.pod)

    def relents(self, queued: QueuedPodInfo, diagnosis: Diagnosis) -> bool:
        """Whether a pod that fits nowhere may fit once more pods are placed (``framework.joint``)."""
        framework = self.framework(queued)
        return any(getattr(framework.plugin(name), "relents", False) for name in diagnosis.plugins)

    def waiting(self, reason: str) -> Diagnosis:
        """Why a pod waits that no plugin has anything against."""
        return Diagnosis(len(self._cache.snapshot), [Verdict("Gang", refusal=Refusal(reason))])
