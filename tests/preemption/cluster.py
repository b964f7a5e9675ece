"""A cluster on which a pod that fits nowhere looks for victims."""

from __future__ import annotations

from collections.abc import Iterable

from tests.profiles.world import World

from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.plugin import CycleState
from stowplan.framework.postfilter import Nomination, Unhelped
from stowplan.framework.rescue import Rescue
from stowplan.framework.status import Diagnosis
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.profiles import Cluster


class Crowd:
    """Nodes and the pods on them, with all plugins of a profile.

    Args:
        nodes: the nodes.
        running: pods on nodes.
        budgets: PodDisruptionBudgets.
        policies: SchedulingPolicies in force.
        clusters: StatefulClusters.
    """

    def __init__(
        self,
        nodes: Iterable[objects.Node],
        running: Iterable[PodInfo],
        *,
        budgets: Iterable[objects.PodDisruptionBudget] = (),
        policies: Iterable[SchedulingPolicy] = (),
        clusters: Iterable[Cluster] = (),
    ) -> None:
        self.world = World(nodes, policies, running=running, clusters=clusters)
        self.nodes = self.world.nodes
        self.nodes.budgets.update({each.key: each for each in budgets})

    def ask(self, pod: PodInfo, *, chance: int = 0) -> Nomination | Unhelped:
        """What preemption does for a pod that fits nowhere; afterwards all is as before."""
        framework = self.world.policies.framework_for(pod.cls)
        failure = framework.schedule(pod, self.nodes, CycleState(), chance)
        assert isinstance(failure, Diagnosis), f"{pod.name} fits on {failure.node}"
        answer = Rescue(framework).post_filter(pod, self.nodes, failure, chance)
        assert self.nodes.check() == []
        return answer

    def victims(self, pod: PodInfo, *, chance: int = 0) -> tuple[str, list[str]]:
        """The node and the names of its victims, the most important first."""
        answer = self.ask(pod, chance=chance)
        assert isinstance(answer, Nomination), answer.reason
        return answer.node, [each.name for each in answer.victims]

    def refused(self, pod: PodInfo, *, chance: int = 0) -> str:
        """Why nothing can be done."""
        answer = self.ask(pod, chance=chance)
        assert isinstance(answer, Unhelped), f"{answer.node}: {answer.victims}"
        return answer.reason

    def fits_without(self, pod: PodInfo, node: str, gone: Iterable[PodInfo]) -> bool:
        """Whether the pod fits on a node that these have left."""
        nodes = self.nodes.fork()
        for each in gone:
            nodes.remove_pod(each.uid)
        feasible = self.world.policies.framework_for(pod.cls).feasible(pod, nodes, CycleState())
        return bool(feasible[nodes.row_of[node]])
