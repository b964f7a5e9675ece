"""The separate rules of a SchedulingPolicy: anti-affinity between two sets of the policy's pods, both ways.

As with anti-affinity in Kubernetes, a node without the label of the domain is in no domain, so nobody is near it; and
pods that are being deleted count until they are gone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from stowplan.framework.departures import Departures
from stowplan.framework.events import NODE_CHANGES, Happening
from stowplan.framework.joint import Apart, Model, which
from stowplan.framework.plugin import MAX_SCORE, SKIP, CycleState, Rows, Scores, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Reject, Verdict
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins import domains, hints
from stowplan.plugins.policy_rules import SeparateRule
from stowplan.plugins.policy_score import weighted
from stowplan.plugins.policy_spread import REQUEUE_ON

_Avoided = tuple[SeparateRule, tuple[domains.Tally, ...]]


class PolicySeparate:
    """Keep pods of a policy out of the failure domains of others."""

    name = "PolicySeparate"
    requeue_on = REQUEUE_ON

    def __init__(self, rules: tuple[SeparateRule, ...]) -> None:
        self._rules = rules
        self._required = any(rule.required for rule in rules)

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Skip | None:
        """Steps aside where no rule is Required."""
        return None if self._required else SKIP

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects nodes in the domains of the pods to keep away from."""
        return self._rejects(pod.cls, nodes)

    def outlook(self, pod: PodInfo, nodes: Snapshot, gone: Departures) -> Verdict:
        """The same, without the pods that leave."""
        return Verdict(self.name, rejects=tuple(self._rejects(pod.cls, nodes, gone)))

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """The same between the pods."""
        for rule in self._rules:
            if rule.required:
                some = which(rule.pods.matches(pod.cls.labels) for pod in pods)
                others = which(rule.away_from.matches(pod.cls.labels) for pod in pods)
                places = domains.grouping(nodes, rule.domain.key).places
                model.add(Apart(rule.broken("separate", rule.domain.name), places, some, others))

    def alike(self, pod: PodInfo) -> Hashable:
        """The pods that the pod must keep away from, and the nodes that it chooses."""
        avoided = tuple(rule.avoided(pod.cls) for rule in self._rules if rule.required)
        return (avoided, pod.cls.node_selector, pod.cls.node_affinity)

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether the event is about nodes or pods to keep away from, and a node is acceptable now."""
        if event.kind not in NODE_CHANGES:
            avoided = [each for rule in self._rules if rule.required for each in rule.avoided(pod.cls)]
            if not hints.recounts(event, avoided, nodes):
                return False
        return hints.may_accept(self, pod, nodes, among=hints.chosen(pod.cls, nodes))

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """Preferred rules: 100 where nobody is to be kept away from, half with one such pod, a third with two."""
        return weighted(
            (rule.weight, _points(tallies, rows))
            for rule, tallies in self._avoided(pod.cls, nodes)
            if not rule.required and tallies
        )

    def _rejects(self, cls: PodClass, nodes: Snapshot, gone: Departures | None = None) -> Iterator[Reject]:
        for rule, tallies in self._avoided(cls, nodes):
            found = [tally.occupied(gone) for tally in tallies] if rule.required else []
            masks = [each for each in found if each is not None]
            if masks:
                yield Reject(np.logical_or.reduce(masks), rule.broken("separate", rule.domain.name))

    def _avoided(self, cls: PodClass, nodes: Snapshot) -> tuple[_Avoided, ...]:
        def find() -> tuple[_Avoided, ...]:
            return tuple(
                (rule, tuple(domains.tally(nodes, pods, rule.domain.key) for pods in rule.avoided(cls)))
                for rule in self._rules
            )

        return nodes.once((self, cls), find)


def _points(tallies: tuple[domains.Tally, ...], rows: Rows) -> Scores:
    counts = np.zeros_like(tallies[0].counts)
    for tally in tallies:
        counts += tally.counts
    near = tallies[0].gather_labelled(counts)
    return (MAX_SCORE // (1 + near)).take(rows)
