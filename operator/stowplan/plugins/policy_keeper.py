"""Whom preemption must not evict, whatever the priorities: nobody whose leaving would break what a policy requires.

Asked by ``preemption_search`` about the victims of a node before that node is chosen. An eviction is refused

- where a Required rule of any SchedulingPolicy (spread with its maxSkew and minDomains, colocate) is kept before and
  would be broken after it, or broken further, the preemptor standing in for the victims. Rules are judged as in
  ``status.domains`` (``policy_report``): by the pods on nodes that are not being deleted. A group keeps its size
  meanwhile, as victims are replaced: ``maxPerDomain`` is never broken by fewer pods;
- where it would leave a quorum set of a StatefulCluster with fewer than a majority of its members on nodes, or takes a
  member against its PodDisruptionBudget. Elsewhere, as in kube-scheduler, a budget makes a victim the last choice.

Victims are judged one after the other, the least important one first, each beside those that may go: of two that may
not go together, the less important one goes.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from stowplan.api import common
from stowplan.api.policy_status import DomainStatus
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.trial import Trial
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins import policy_report
from stowplan.plugins.group_size import Sizes
from stowplan.plugins.policy_rules import Governed


@dataclasses.dataclass(frozen=True, slots=True)
class QuorumSet:
    """A node set that must keep a majority of its ``size`` members. As a predicate: those that stay where they are."""

    namespace: str
    cluster: str
    name: str
    size: int

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        """Whether pods of this class are members, and not being deleted."""
        return not cls.terminating and set_of(cls) == (self.namespace, self.cluster, self.name)

    @property
    def majority(self) -> int:
        """How many members that is."""
        return self.size // 2 + 1


def set_of(cls: PodClass) -> tuple[str, str, str]:
    """Namespace, StatefulCluster and node set of the pods of a class."""
    return (cls.namespace, cls.cluster, cls.labels.get(common.LABEL_NODE_SET, ""))


class PolicyKeeper:
    """Keeps the rules of all policies, and the quorum sets of all clusters.

    Args:
        rules: those of each policy; only the Required ones count.
        quorums: the quorum sets.
    """

    def __init__(self, rules: Iterable[policy_report.Rules], quorums: Iterable[QuorumSet]) -> None:
        self._rules: dict[str, list[policy_report.Rules]] = {}
        for each in map(_required, rules):
            if each.spread or each.colocate:  # nobody comes nearer to anybody by an eviction
                self._rules.setdefault(each.policy.partition("/")[0], []).append(each)
        self._quorums = {(each.namespace, each.cluster, each.name): each for each in quorums}

    def holds(self, victim: PodInfo) -> bool:
        """Whether the pod is not to be evicted against its budget at all."""
        return set_of(victim.cls) in self._quorums

    def refuses(self, pod: PodInfo, node: str, victims: Sequence[PodInfo], nodes: Snapshot) -> Mapping[str, str]:
        """Those of the victims (the most important first), by uid, that must not go, and a reason for each."""
        spaces = {each.namespace for each in victims}
        if not (spaces & self._rules.keys() or any(map(self.holds, victims))):
            return {}
        guest = copy.copy(pod)
        guest.node_name = node
        before = _Standing(self._rules, self._quorums, victims, nodes)
        refused: dict[str, str] = {}
        with Trial(nodes) as trial:
            trial.add(guest)
            for victim in reversed(victims):
                trial.take(victim)
                problem = before.broken(nodes)
                if problem:
                    refused[victim.uid] = problem
                    trial.give_back(victim)
        return refused


class _Standing:
    """How the rules stood before anybody was evicted."""

    def __init__(
        self,
        rules: Mapping[str, list[policy_report.Rules]],
        quorums: Mapping[tuple[str, str, str], QuorumSet],
        victims: Sequence[PodInfo],
        nodes: Snapshot,
    ) -> None:
        self._rules = [
            dataclasses.replace(each, sizes=_Remembered(each.sizes))
            for namespace in sorted({victim.namespace for victim in victims})
            for each in rules.get(namespace, ())
        ]
        self._classes = {victim.cls for victim in victims}
        named = {set_of(cls) for cls in self._classes}
        self._members = {each: nodes.counter(each).total for key, each in quorums.items() if key in named}
        self._rows = self._report(nodes)

    def broken(self, nodes: Snapshot) -> str:
        """What is broken now that was not, or not as much; "" for nothing."""
        for quorum, before in self._members.items():
            now = nodes.counter(quorum).total
            if now < before and now < quorum.majority:
                return f"node(s) where evictions would cost node set {quorum.name} of {quorum.cluster} its majority"
        for key, row in self._report(nodes).items():
            if _worse(self._rows.get(key), row):
                return f"node(s) where evictions would break rule {row.rule} of policy {key[0].partition('/')[2]}"
        return ""

    def _report(self, nodes: Snapshot) -> dict[tuple[str, str, str, str | None], DomainStatus]:
        return {
            (rules.policy, row.rule, row.group, row.within): row
            for rules in self._rules
            for row in policy_report.report(rules, nodes, self._classes)
        }


class _Remembered:
    """Sizes of groups as they were when they were first asked for."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._known: dict[Governed, int] = {}

    def __call__(self, group: Governed, nodes: Snapshot) -> int:
        """The number of its pods, placed or not."""
        if group not in self._known:
            self._known[group] = self._sizes(group, nodes)
        return self._known[group]


def _worse(before: DomainStatus | None, now: DomainStatus) -> bool:
    if not now.violated:
        return False
    if before is None or not before.violated:
        return True
    if now.skew or before.skew:
        return now.skew > before.skew
    return bool(now.counts.keys() - before.counts.keys())  # domains in which a colocate rule is broken


def _required(rules: policy_report.Rules) -> policy_report.Rules:
    return dataclasses.replace(
        rules,
        spread=tuple(each for each in rules.spread if each.required),
        separate=(),
        colocate=tuple(each for each in rules.colocate if each.required),
    )
