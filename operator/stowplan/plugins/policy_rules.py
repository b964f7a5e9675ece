"""The rules of a SchedulingPolicy as the plugins read them: values, compiled by ``profiles`` from the API objects.

Also who counts for them (:class:`Governed`) and how a rule is called in what users read.
"""

from __future__ import annotations

import dataclasses

from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass
from stowplan.model.selectors import EVERYTHING, Selector

MAX_WEIGHT = 100
"""What a Required rule counts in a score, and the largest weight of a Preferred one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Governed:
    """The pods of a policy that a rule counts: those that it governs, or is tried on.

    Rules look at the members of one StatefulCluster on their own.

    Attributes:
        policy: key of the policy.
        cluster: name of the StatefulCluster; "" for the pods that are in none, None for all of the policy's pods.
        selector: which of them.
        group: values of the labels that the rule groups by; None for a pod without the label.
        leaving: whether pods that are being deleted count.
    """

    policy: str
    cluster: str | None
    selector: Selector = EVERYTHING
    group: tuple[tuple[str, str | None], ...] = ()
    leaving: bool = True

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        """Whether pods of this class count."""
        return (
            self.cluster in (None, cls.cluster)
            and (self.leaving or not cls.terminating)
            and all(cls.labels.get(key) == value for key, value in self.group)
            and self.selector.matches(cls.labels)
            and self.policy in (nodes.policy_of(cls), nodes.shadow_of(cls))
        )


@dataclasses.dataclass(frozen=True, slots=True)
class InNamespace:
    """The pods of a namespace that a selector matches, governed or not."""

    namespace: str
    selector: Selector

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        """Whether pods of this class count."""
        return cls.namespace == self.namespace and self.selector.matches(cls.labels)


@dataclasses.dataclass(frozen=True, slots=True)
class Domain:
    """A kind of failure domain: its name in the policy and the label of the nodes."""

    name: str
    key: str


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What every rule has.

    Attributes:
        policy: key of the policy, ``namespace/name``.
        name: of the rule.
        domain: what it is about.
        required: whether nodes that break it are rejected.
        weight: what it counts in the score, 1 to 100.
    """

    policy: str
    name: str
    domain: Domain
    required: bool
    weight: int

    def broken(self, kind: str, detail: str) -> str:
        """The reason why a node is rejected, in the user's words."""
        policy = self.policy.rpartition("/")[2]
        return f"node(s) would break {kind} rule {self.name} of policy {policy} ({detail})"


@dataclasses.dataclass(frozen=True, slots=True)
class PerDomain:
    """The most pods of a group that a domain may hold.

    Attributes:
        text: as the user wrote it.
        number: of pods, or None where it depends on the size of the group.
        percent: of the group; None: a minority of it.
    """

    text: str
    number: int | None = None
    percent: int | None = None

    def of(self, size: int) -> int:
        """The limit for a group of so many pods; at least 1, or else a small group could never be placed.

        A percentage is rounded down. A minority is less than half: two of five, one of four.
        """
        if self.number is not None:
            return self.number
        limit = (size - 1) // 2 if self.percent is None else size * self.percent // 100
        return max(limit, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class SpreadRule(Rule):
    """Spread pods evenly over domains.

    Attributes:
        within: the broader domain inside each of which the skew is judged; None: everywhere.
        relaxes: whether a domain that has been unusable for ``relax_after`` seconds stops counting.
    """

    within: Domain | None = None
    group_by: tuple[str, ...] = ()
    max_skew: int = 1
    min_domains: int = 1
    per_domain: PerDomain | None = None
    relaxes: bool = False
    relax_after: float = 0.0
    honor_affinity: bool = True
    honor_taints: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The labels whose values make a domain, broadest first."""
        return (self.domain.key,) if self.within is None else (self.within.key, self.domain.key)

    @property
    def place(self) -> str:
        """What it spreads over, in words."""
        return self.domain.name if self.within is None else f"{self.domain.name} in {self.within.name}"

    def counted(self, cls: PodClass) -> Governed:
        """The pods that count together with those of a class: the group."""
        group = tuple((key, cls.labels.get(key)) for key in self.group_by)
        return Governed(self.policy, cls.cluster, group=group, leaving=False)


@dataclasses.dataclass(frozen=True, slots=True)
class SeparateRule(Rule):
    """Keep ``pods`` and ``away_from`` out of each other's domains."""

    pods: Selector = EVERYTHING
    away_from: Selector = EVERYTHING

    def avoided(self, cls: PodClass) -> tuple[Governed, ...]:
        """The pods in whose domains those of a class must not be; the rule holds both ways."""
        found = []
        if self.pods.matches(cls.labels):
            found.append(Governed(self.policy, cls.cluster, self.away_from))
        if self.away_from.matches(cls.labels) and self.pods != self.away_from:
            found.append(Governed(self.policy, cls.cluster, self.pods))
        return tuple(found)


@dataclasses.dataclass(frozen=True, slots=True)
class ColocateRule(Rule):
    """Bring the policy's pods into domains with pods of the same namespace that ``near`` selects."""

    near: Selector = EVERYTHING


@dataclasses.dataclass(frozen=True, slots=True)
class Cap:
    """The share of a resource that may be requested: ``numerator / denominator``, at most 1.

    Attributes:
        denominator: at most 1000.
        text: as the user wrote it.
    """

    resource: str
    text: str
    numerator: int
    denominator: int


@dataclasses.dataclass(frozen=True, slots=True)
class NodeLimitRules:
    """How much of one node the pods of a policy may take."""

    policy: str
    pods_per_node: int | None = None
    caps: tuple[Cap, ...] = ()
