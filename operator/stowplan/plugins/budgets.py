"""Which of the pods that preemption would evict have a PodDisruptionBudget that does not allow it.

Source: kubernetes v1.36.3 ``plugins/defaultpreemption/default_preemption.go`` (``filterPodsWithPDBViolation``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stowplan import errors
from stowplan.model import objects, selectors
from stowplan.model.pods import PodInfo
from stowplan.model.selectors import Selector


class Budgets:
    """The budgets of the cluster at one moment.

    Args:
        budgets: PodDisruptionBudgets by ``namespace/name``.
    """

    def __init__(self, budgets: Mapping[str, objects.PodDisruptionBudget]) -> None:
        self._raw: dict[str, list[objects.PodDisruptionBudget]] = {}
        for each in budgets.values():
            self._raw.setdefault(each.metadata.namespace, []).append(each)
        self._compiled: dict[str, list[tuple[Selector, objects.PodDisruptionBudgetStatus]]] = {}

    def split(self, pods: Iterable[PodInfo]) -> tuple[list[PodInfo], list[PodInfo]]:
        """The pods whose eviction would break a budget if all of these were evicted, in this order, and the others."""
        taken: dict[int, int] = {}
        violating: list[PodInfo] = []
        fine: list[PodInfo] = []
        for pod in pods:
            violates = False
            for selector, status in self._of(pod.namespace):
                if selector.matches(pod.cls.labels) and pod.name not in status.disrupted_pods:
                    taken[id(status)] = taken.get(id(status), 0) + 1
                    violates |= taken[id(status)] > status.disruptions_allowed
            (violating if violates else fine).append(pod)
        return violating, fine

    def _of(self, namespace: str) -> list[tuple[Selector, objects.PodDisruptionBudgetStatus]]:
        found = self._compiled.get(namespace)
        if found is None:
            found = self._compiled[namespace] = [
                (selector, each.status)
                for each in self._raw.get(namespace, ())
                if (selector := _selector(each)).requirements
            ]
        return found


def _selector(budget: objects.PodDisruptionBudget) -> Selector:
    """What it protects; one without requirements, or that cannot be understood, protects nothing."""
    try:
        return selectors.compile_selector(budget.spec.selector)
    except errors.InvalidObject:
        return selectors.NOTHING
