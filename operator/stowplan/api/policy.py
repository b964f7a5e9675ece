"""SchedulingPolicy: where the pods of a namespace may run, said in the words of its failure domains.

``profiles`` compiles the spec into what the scheduler runs; ``handlers`` write the status.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from stowplan.api.base import (
    ApiModel,
    Bool,
    DnsLabel,
    Duration,
    Int,
    IntOrString,
    LabelKey,
    LabelValue,
    ListMap,
    ListSet,
    Nullable,
    ObjectName,
    Ratio,
    Weight,
    cel,
    seconds,
)
from stowplan.api.common import API_VERSION, LabelSelector, ObjectMeta
from stowplan.api.core import NodeAffinity, Toleration
from stowplan.api.policy_status import SchedulingPolicyStatus

KIND: Final = "SchedulingPolicy"
PLURAL = "schedulingpolicies"
SHORT_NAMES = ("schpol",)

ACCEPTED = "Accepted"
SATISFIED = "Satisfied"
CONFLICTED = "Conflicted"
READY = "Ready"

DEFAULT_RELAX_AFTER = "5m"

Enforcement = Literal["Required", "Preferred"]
MaxPerDomain = Annotated[
    Annotated[int, Field(ge=1, strict=True)]
    | Annotated[str, Field(pattern=r"^(Minority|(100|[1-9][0-9]?)%)$", max_length=8)],
    IntOrString("a number from 1, a percentage such as 40%, or Minority"),
]


class FailureDomain(ApiModel):
    """Nodes that fail together: those with one value of a label."""

    name: DnsLabel
    """The name used in the rules below, in status and in reports."""
    topology_key: LabelKey
    """The node label whose values are the domains, such as topology.kubernetes.io/zone."""


class WhenDomainDown(ApiModel):
    """What a spread rule does while all nodes of a domain are unusable."""

    action: Literal["Relax", "Wait"]
    """Relax: the domain stops counting, so that the rest can be placed. When it is back, members of StatefulClusters
    that were placed meanwhile and break the rule are placed anew, one after the other, within their disruption budget;
    other pods stay where they are. Wait: it goes on counting, and pods that would have to go there wait for it."""
    after: Duration | None = None
    """With Relax: how long all nodes of the domain must have been unusable, such as 90s or 1h30m. Default: 5m."""

    @cel("!has(self.after) || self.action == 'Relax'", "only the action Relax has a time to wait", field=".after")
    def _after_belongs_to_relax(self) -> bool:
        return self.after is None or self.action == "Relax"

    @property
    def after_seconds(self) -> float:
        """The time to wait, in seconds."""
        return seconds(self.after or DEFAULT_RELAX_AFTER)


class WeightedRule(ApiModel):
    """What every placement rule has."""

    name: DnsLabel
    """The name of the rule, used in status and in the reason why a pod cannot be placed."""
    domain: DnsLabel
    """The failure domain that the rule is about: a name from failureDomains."""
    enforcement: Enforcement = "Required"
    """Required: nodes that break the rule are not used. Preferred: nodes that keep it are better, by the weight."""
    weight: Weight | None = None
    """With Preferred, and required there: how much the rule counts, 1 to 100."""

    @cel(
        "self.enforcement == 'Preferred' || !has(self.weight)",
        "only a rule with enforcement: Preferred has a weight",
        field=".weight",
    )
    def _only_preferred_has_a_weight(self) -> bool:
        return self.enforcement == "Preferred" or self.weight is None

    @cel(
        "self.enforcement == 'Required' || has(self.weight)",
        "a rule with enforcement: Preferred needs a weight from 1 to 100",
        field=".weight",
        reason="FieldValueRequired",
    )
    def _preferred_has_a_weight(self) -> bool:
        return self.enforcement == "Required" or self.weight is not None


class SpreadRule(WeightedRule):
    """Spread the pods evenly over the domains of one kind."""

    within: Annotated[DnsLabel | None, Nullable] = None
    """A broader failure domain: the pods are spread inside each of its domains on their own, such as over the racks
    of each zone. Absent: over all domains together."""
    group_by: Annotated[tuple[LabelKey, ...], ListSet(max_items=8)] = ()
    """Label keys of the pods: those with equal values are spread on their own. Absent: all pods together."""
    max_skew: Annotated[Int, Field(ge=1)] = 1
    """By how many pods the fullest and the emptiest domain may differ."""
    min_domains: Annotated[Int, Field(ge=1)] | None = None
    """With Required: while fewer domains than this have usable nodes, the emptiest domain counts as empty."""
    max_per_domain: MaxPerDomain | None = None
    """The most pods of a group that one domain may hold: a number, a percentage of the group's pods such as "40%", or
    Minority (no domain holds a majority of them)."""
    when_domain_down: WhenDomainDown | None = None
    """What happens while all nodes of a domain are unusable. Absent: the same as the action Wait."""
    node_affinity_policy: Literal["Honor", "Ignore"] = "Honor"
    """Honor: only nodes that match the pod's node selector and node affinity count as part of a domain."""
    node_taints_policy: Literal["Honor", "Ignore"] = "Ignore"
    """Honor: nodes with taints that the pod does not tolerate do not count as part of a domain."""

    @cel(
        "!has(self.minDomains) || self.enforcement == 'Required'",
        "minDomains needs enforcement: Required",
        field=".minDomains",
    )
    def _min_domains_are_required(self) -> bool:
        return self.min_domains is None or self.enforcement == "Required"


class SeparateRule(WeightedRule):
    """Keep pods out of the domains where certain other pods are (anti-affinity)."""

    pods: LabelSelector | None = None
    """The pods that the rule places. Absent: all pods that the policy governs."""
    from_: LabelSelector | None = None
    """The pods to keep away from. Absent: the same pods as in pods, each from every other."""


class ColocateRule(WeightedRule):
    """Bring pods into domains where certain other pods are (affinity)."""

    with_: LabelSelector
    """The pods to be near: any of the same namespace."""


class NodeLimits(ApiModel):
    """How much of one node the policy's pods may take."""

    pods_per_node: Annotated[Int, Field(ge=1)] | None = None
    """The most pods of this policy on one node. Absent: no limit."""
    utilization: Annotated[dict[str, Ratio], Field(max_length=16)] = Field(default_factory=dict)
    """By resource: the share of a node's allocatable amount that the requests of all pods on it may reach once a pod
    of this policy is placed there, such as cpu: "0.7". Resources that are not named may be used up."""


class NodeRules(ApiModel):
    """Which nodes the pods may use, and how much of them."""

    affinity: NodeAffinity | None = None
    """Added to the node affinity of every pod: both must hold."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = ()
    """Added to the tolerations of every pod."""
    limits: NodeLimits | None = None
    """Limits on what is placed on one node."""


class LocalCapacity(ApiModel):
    """Where nodes publish the free space of the volume group behind a StorageClass."""

    storage_class_name: ObjectName
    """The StorageClass whose volumes come out of that space."""
    node_annotation: LabelKey
    """The annotation of the node that holds the free bytes, such as capacity.topolvm.io/ssd."""


class MediaPreference(ApiModel):
    """Node labels that mark better storage."""

    key: LabelKey
    """The label of the node."""
    values: Annotated[tuple[LabelValue, ...], Field(min_length=1), ListSet(max_items=16)]
    """The values that make a node better; any of them will do."""
    weight: Weight
    """How much a match counts, 1 to 100."""


class StorageMedia(ApiModel):
    """Which storage media are better."""

    preferred: Annotated[tuple[MediaPreference, ...], Field(max_length=16)] = ()
    """Node labels that make a node better for the pods of this policy, by the sum of the weights that match."""


class StorageRules(ApiModel):
    """How the volumes of a pod decide about its node."""

    require_capacity: Bool = True
    """Only nodes with enough free capacity for all of the pod's unbound claims together are used, by
    CSIStorageCapacity and by localCapacity."""
    local_capacity: Annotated[tuple[LocalCapacity, ...], ListMap("storageClassName", max_items=16)] = ()
    """Capacity that nodes publish in an annotation. Needs requireCapacity."""
    media: StorageMedia | None = None
    """Which storage media are better."""

    @cel(
        "self.requireCapacity || !has(self.localCapacity) || size(self.localCapacity) == 0",
        "localCapacity is only looked at with requireCapacity: true",
        field=".localCapacity",
    )
    def _local_capacity_is_looked_at(self) -> bool:
        return self.require_capacity or not self.local_capacity


class Scoring(ApiModel):
    """How feasible nodes are compared."""

    weights: Annotated[dict[str, Annotated[Int, Field(ge=0, le=100)]], Field(max_length=64)] = Field(
        default_factory=dict
    )
    """By score plugin, such as NodeResourcesFit: its weight, 0 to 100; 0 turns it off. Plugins that are not named keep
    the weight of the scheduler's configuration."""


class Gang(ApiModel):
    """Pods that are placed all together or not at all."""

    min_member: Annotated[Int, Field(ge=1, le=1000)]
    """How many pods of a gang must fit at once before any of them is bound; those on nodes count. More of them are
    placed where there is room."""
    group_by: Annotated[tuple[LabelKey, ...], ListSet(max_items=8)] = ()
    """Label keys of the pods: those with equal values are one gang, and a pod without one of the labels is in none.
    Absent: all pods together. Members of a StatefulCluster are a gang only with others of the same cluster."""
    timeout: Duration = "5m"
    """How long the pods of a gang hold their room while volumes are made for some of them, such as 90s or 1h30m; then
    all of them give it up and are tried again. Nothing is held for pods that are missing or do not fit."""

    @cel("duration(self.timeout) > duration('0s')", "a gang needs a timeout above zero", field=".timeout")
    def _timeout_is_positive(self) -> bool:
        return seconds(self.timeout) > 0


class SchedulingPolicySpec(ApiModel):
    """Which pods are governed, and the rules for them."""

    mode: Literal["Enforce", "DryRun"] = "Enforce"
    """Enforce: the policy decides. DryRun: it is evaluated and reported in status.shadow, and changes no placement."""
    selector: LabelSelector | None = None
    """The pods of this namespace that the policy governs; an empty selector takes them all. Absent: only pods that name
    the policy, by a StatefulCluster's schedulingPolicyRef or by the annotation stowplan.dev/policy."""
    precedence: Annotated[Int, Field(ge=-1_000_000_000, le=1_000_000_000)] = 0
    """Where several policies select one pod, the highest precedence wins, then the oldest policy; the others say so in
    the condition Conflicted."""
    failure_domains: Annotated[tuple[FailureDomain, ...], ListMap("name", max_items=16)] = ()
    """The kinds of failure domain, from broad to narrow."""
    spread: Annotated[tuple[SpreadRule, ...], ListMap("name", max_items=32)] = ()
    """Rules that spread pods evenly."""
    separate: Annotated[tuple[SeparateRule, ...], ListMap("name", max_items=32)] = ()
    """Rules that keep pods apart."""
    colocate: Annotated[tuple[ColocateRule, ...], ListMap("name", max_items=32)] = ()
    """Rules that bring pods together."""
    nodes: NodeRules | None = None
    """Which nodes may be used, and how much of them."""
    storage: StorageRules | None = None
    """How volumes decide about the node."""
    scoring: Scoring | None = None
    """How feasible nodes are compared."""
    gang: Gang | None = None
    """Place groups of pods all together or not at all. Absent: each pod on its own."""
    preemption: Literal["PreemptLowerPriority", "Never"] | None = None
    """Whether a pod that fits nowhere may take the place of pods with a lower priority. Absent: as the pod's own
    preemptionPolicy says."""

    def domain(self, name: str) -> FailureDomain:
        """The failure domain called ``name``; a rule never names one that is not declared.

        Raises:
            KeyError: there is no such domain.
        """
        for domain in self.failure_domains:
            if domain.name == name:
                return domain
        raise KeyError(name)

    def _declares(self, rules: tuple[WeightedRule, ...]) -> bool:
        return {rule.domain for rule in rules} <= {domain.name for domain in self.failure_domains}

    @cel(
        "!has(self.failureDomains) || self.failureDomains.all(d,"
        " self.failureDomains.exists_one(e, e.topologyKey == d.topologyKey))",
        "two failure domains have the same topologyKey",
        field=".failureDomains",
    )
    def _topology_keys_are_unique(self) -> bool:
        keys = [domain.topology_key for domain in self.failure_domains]
        return len(keys) == len(set(keys))

    @cel(
        "!has(self.spread) || self.spread.all(r, has(self.failureDomains)"
        " && self.failureDomains.exists(d, d.name == r.domain))",
        "the domain of a spread rule must be one of failureDomains",
        field=".spread",
    )
    def _spread_names_declared_domains(self) -> bool:
        return self._declares(self.spread)

    @cel(
        "!has(self.spread) || self.spread.all(r, !has(r.within) || (r.within != r.domain && has(self.failureDomains)"
        " && self.failureDomains.exists(d, d.name == r.within)"
        " && self.failureDomains.filter(d, d.name == r.within || d.name == r.domain)[0].name == r.within))",
        "within must name one of failureDomains that stands before the domain of the rule, that is a broader one",
        field=".spread",
    )
    def _within_is_broader(self) -> bool:
        order = {domain.name: position for position, domain in enumerate(self.failure_domains)}
        return all(
            rule.within in order and order[rule.within] < order.get(rule.domain, len(order))
            for rule in self.spread
            if rule.within is not None
        )

    @cel(
        "!has(self.separate) || self.separate.all(r, has(self.failureDomains)"
        " && self.failureDomains.exists(d, d.name == r.domain))",
        "the domain of a separate rule must be one of failureDomains",
        field=".separate",
    )
    def _separate_names_declared_domains(self) -> bool:
        return self._declares(self.separate)

    @cel(
        "!has(self.colocate) || self.colocate.all(r, has(self.failureDomains)"
        " && self.failureDomains.exists(d, d.name == r.domain))",
        "the domain of a colocate rule must be one of failureDomains",
        field=".colocate",
    )
    def _colocate_names_declared_domains(self) -> bool:
        return self._declares(self.colocate)


class SchedulingPolicy(ApiModel):
    """Where pods may run: over which failure domains they spread, what keeps apart or together, on which nodes.

    A policy governs pods of its own namespace only. Its rules count the pods that it governs; for members of a
    StatefulCluster only members of the same cluster count.
    """

    api_version: Literal["stowplan.dev/v1alpha1"] = API_VERSION
    kind: Literal["SchedulingPolicy"] = KIND
    metadata: ObjectMeta
    spec: SchedulingPolicySpec
    """Which pods are governed, and the rules for them."""
    status: SchedulingPolicyStatus = SchedulingPolicyStatus()
    """What the policy does at the moment; written by Stowplan."""
