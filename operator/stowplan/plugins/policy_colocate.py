"""The colocate rules of a SchedulingPolicy: affinity to pods of the same namespace, governed by the policy or not.

As with affinity in Kubernetes, a pod that the rule itself selects may be the first in the place, and a node without
the label of the domain is near nobody.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from stowplan.framework.events import NODE_CHANGES, Happening
from stowplan.framework.joint import Model, Near, which
from stowplan.framework.plugin import MAX_SCORE, SKIP, CycleState, Rows, Scores, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Mask, Reject
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins import domains, hints
from stowplan.plugins.policy_rules import ColocateRule, InNamespace
from stowplan.plugins.policy_score import weighted
from stowplan.plugins.policy_spread import REQUEUE_ON


class PolicyColocate:
    """Bring pods of a policy into the failure domains of others."""

    name = "PolicyColocate"
    requeue_on = REQUEUE_ON
    relents = True

    def __init__(self, rules: tuple[ColocateRule, ...]) -> None:
        self._rules = rules
        self._required = any(rule.required for rule in rules)

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Skip | None:
        """Steps aside where no rule is Required."""
        return None if self._required else SKIP

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects nodes in domains without any of the pods to be near."""
        for rule, tally in self._near(pod.cls, nodes):
            if rule.required:
                first = tally.empty and rule.near.matches(pod.cls.labels)
                present = domains.grouping(nodes, rule.domain.key).present
                far = ~present if first else ~_inhabited(tally, nodes)
                yield Reject(far, rule.broken("colocate", rule.domain.name), UNRESOLVABLE)

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """Near the pods there are, or near one another."""
        for rule in self._rules:
            if not rule.required:
                continue
            name = rule.broken("colocate", rule.domain.name)
            group = domains.grouping(nodes, rule.domain.key)
            tally = domains.tally(nodes, InNamespace(pods[0].namespace, rule.near), rule.domain.key)
            everyone = np.ones(len(pods), dtype=np.bool_)
            whom = which(rule.near.matches(pod.cls.labels) for pod in pods)
            for index in range(len(pods)):
                model.forbid(name, index, ~group.present)
            model.add(Near(name, tally.places, everyone, whom, tally.counts > 0, first=tally.empty))

    def alike(self, pod: PodInfo) -> Hashable:
        """The namespace, the rules by which the pod may be the first, and the nodes that it chooses."""
        cls = pod.cls
        first = tuple(rule.near.matches(cls.labels) for rule in self._rules if rule.required)
        return (cls.namespace, first, cls.node_selector, cls.node_affinity)

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether the event is about nodes or pods to be near to, and a node is acceptable now."""
        if event.kind not in NODE_CHANGES:
            wanted = [InNamespace(pod.namespace, rule.near) for rule in self._rules if rule.required]
            if not hints.recounts(event, wanted, nodes):
                return False
        return hints.may_accept(self, pod, nodes, among=hints.chosen(pod.cls, nodes))

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """Preferred rules: 100 in a domain with any of the pods to be near."""
        return weighted(
            (rule.weight, MAX_SCORE * _inhabited(tally, nodes).take(rows).astype(np.int64))
            for rule, tally in self._near(pod.cls, nodes)
            if not rule.required
        )

    def _near(self, cls: PodClass, nodes: Snapshot) -> tuple[tuple[ColocateRule, domains.Tally], ...]:
        def find() -> tuple[tuple[ColocateRule, domains.Tally], ...]:
            return tuple(
                (rule, domains.tally(nodes, InNamespace(cls.namespace, rule.near), rule.domain.key))
                for rule in self._rules
            )

        return nodes.once((self, cls.namespace), find)


def _inhabited(tally: domains.Tally, nodes: Snapshot) -> Mask:
    mask = tally.occupied()
    return np.zeros(len(nodes), dtype=np.bool_) if mask is None else mask
