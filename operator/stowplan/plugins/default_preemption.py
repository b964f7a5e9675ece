"""Preemption: pods of a lower priority leave a node so that a pod that fits nowhere fits there.

Source: kubernetes v1.36.3 ``plugins/defaultpreemption/default_preemption.go`` (``PodEligibleToPreemptOthers``) and
``pkg/scheduler/framework/preemption/preemption.go`` (``Preempt``); the search is in ``preemption_search``. Beside
kube-scheduler's rules there is ``policy_keeper``: nobody is evicted where that would break a Required rule of a policy.
"""

from __future__ import annotations

import dataclasses

from stowplan.framework.events import NODE_CHANGES, ClusterEvent
from stowplan.framework.postfilter import Filters, Nomination, Unhelped
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis
from stowplan.model.pods import PodInfo
from stowplan.plugins.preemption_search import Keeper, Search

NEVER = "Never"


@dataclasses.dataclass(frozen=True, slots=True)
class PreemptionArgs:
    """What a policy says about preemption.

    Attributes:
        forbidden_by: name of the policy whose ``preemption`` is Never; "" where the pod's own policy decides.
    """

    forbidden_by: str = ""


class DefaultPreemption:
    """Make room for pods that fit nowhere.

    Args:
        args: what the policy says.
        keeper: forbids victims.
    """

    name = "DefaultPreemption"
    requeue_on = NODE_CHANGES | {ClusterEvent.POD_ADDED, ClusterEvent.POD_REMOVED, ClusterEvent.POD_LABELS}
    """What changes whether an eviction would break a rule."""

    def __init__(self, args: PreemptionArgs, keeper: Keeper) -> None:
        self._args = args
        self._keeper = keeper

    def post_filter(
        self, pod: PodInfo, nodes: Snapshot, failure: Diagnosis, filters: Filters, chance: int
    ) -> Nomination | Unhelped:
        """The best node and its victims; or why there are none, in kube-scheduler's words."""
        problem = self._not_eligible(pod, nodes, failure)
        if problem:
            return Unhelped(f"preemption: not eligible due to {problem}", waits=True)
        search = Search(pod, nodes, filters, failure=failure, keeper=self._keeper, chance=chance)
        best = search.best()
        if best is None:
            return Unhelped(f"preemption: {search.message}", because_of=search.because_of)
        return Nomination(nodes.name(best.row), best.victims)

    def gives_up(self, pod: PodInfo, nodes: Snapshot, failure: Diagnosis, filters: Filters) -> Unhelped | None:
        """See ``framework.postfilter.GivesUp``: the pod may evict nobody, or nobody whose eviction could be enough."""
        problem = self._not_eligible(pod, nodes, failure)
        if problem:
            return Unhelped(f"preemption: not eligible due to {problem}", waits=True)
        search = Search(pod, nodes, filters, failure=failure, keeper=self._keeper, chance=0)
        if not search.hopeless():
            return None
        return Unhelped(f"preemption: {search.message}", because_of=search.because_of)

    def _not_eligible(self, pod: PodInfo, nodes: Snapshot, failure: Diagnosis) -> str:
        if pod.preemption_policy == NEVER:
            return "preemptionPolicy=Never."
        if self._args.forbidden_by:
            return f"preemption=Never of policy {self._args.forbidden_by}."
        row = nodes.row_of.get(nodes.nominations.node_of(pod.uid))
        if row is None or failure.unresolvable[row]:  # the promise is worth nothing any more
            return ""
        if any(each.priority < pod.priority and each.preempted for each in nodes.on_node[row].values()):
            return "a terminating pod on the nominated node."
        return ""
