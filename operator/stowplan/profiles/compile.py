"""A SchedulingPolicy as the plugins read it: selectors compiled, names resolved, defaults filled in.

The API server has checked the spec (schema and CEL), and so have the models where it came from a file; what is left to
find here are names that only the scheduler knows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import TypeVar

import msgspec

from stowplan.api import common, core
from stowplan.api import policy as api
from stowplan.api.base import ApiModel
from stowplan.model import objects, selectors
from stowplan.plugins import inclusion
from stowplan.plugins.args import FailureDomainArgs, Media, NodeAffinityArgs, StorageMediaArgs
from stowplan.plugins.policy_rules import (
    MAX_WEIGHT,
    Cap,
    ColocateRule,
    Domain,
    NodeLimitRules,
    PerDomain,
    SeparateRule,
    SpreadRule,
)
from stowplan.plugins.volume_args import LocalCapacity, VolumeBindingArgs
from stowplan.profiles.gangs import GangRule, compile_gang

T = TypeVar("T")

MOST_PRECISE = 1000
"""Utilization caps are rounded down to thousandths, so that amounts times a cap stay whole numbers of 64 bits."""


@dataclasses.dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """One policy.

    Attributes:
        key: ``namespace/name``.
        enforced: False in mode DryRun: it governs nothing.
        selector: the pods of its namespace that it governs; None: only those that name it.
        rank: sorts the policies that select one pod, the one that governs it first.
        weights: score plugin name to weight, where the policy says so.
        gang: which of its pods are placed together; None: each on its own.
        preempts: whether its pods may take the place of others.
    """

    key: str
    enforced: bool
    selector: selectors.Selector | None
    rank: tuple[int, str, str]
    spread: tuple[SpreadRule, ...]
    separate: tuple[SeparateRule, ...]
    colocate: tuple[ColocateRule, ...]
    limits: NodeLimitRules
    node_affinity: NodeAffinityArgs
    tolerations: tuple[objects.Toleration, ...]
    media: StorageMediaArgs
    failure_domains: FailureDomainArgs | None
    volumes: VolumeBindingArgs | None
    weights: Mapping[str, int]
    gang: GangRule | None
    preempts: bool

    @property
    def namespace(self) -> str:
        """The namespace whose pods it governs."""
        return self.key.partition("/")[0]

    @property
    def added(self) -> inclusion.Added:
        """What it adds to the specs of its pods."""
        return inclusion.Added(self.node_affinity.added_required, self.tolerations)


def compile_policy(policy: api.SchedulingPolicy) -> CompiledPolicy:
    """Compiles a policy."""
    meta, spec = policy.metadata, policy.spec
    key = f"{meta.namespace}/{meta.name}"
    nodes = spec.nodes or api.NodeRules()
    storage = spec.storage
    created = meta.creation_timestamp.isoformat() if meta.creation_timestamp else ""
    return CompiledPolicy(
        key=key,
        enforced=spec.mode == "Enforce",
        selector=None if spec.selector is None else _selector(spec.selector),
        rank=(-spec.precedence, created, meta.name),
        spread=tuple(_spread(key, spec, rule) for rule in spec.spread),
        separate=tuple(_separate(key, spec, rule) for rule in spec.separate),
        colocate=tuple(_colocate(key, spec, rule) for rule in spec.colocate),
        limits=_limits(key, nodes.limits),
        node_affinity=node_affinity(nodes.affinity),
        tolerations=tuple(_core(each, objects.Toleration) for each in nodes.tolerations),
        media=_media(storage),
        failure_domains=(
            FailureDomainArgs(tuple(each.topology_key for each in spec.failure_domains))
            if spec.failure_domains
            else None
        ),
        volumes=None if storage is None else _volumes(storage),
        weights=spec.scoring.weights if spec.scoring is not None else {},
        gang=compile_gang(spec.gang),
        preempts=spec.preemption != "Never",
    )


def _core(model: ApiModel, kind: type[T]) -> T:
    """A piece of core/v1 as the struct that the scheduler's own objects have it in."""
    return msgspec.convert(model.to_json(), kind)


def _selector(model: common.LabelSelector | None) -> selectors.Selector:
    if model is None:
        return selectors.EVERYTHING
    return selectors.compile_selector(_core(model, objects.LabelSelector))


def _domain(spec: api.SchedulingPolicySpec, name: str) -> Domain:
    return Domain(name, spec.domain(name).topology_key)


def _weight(rule: api.WeightedRule) -> int:
    return MAX_WEIGHT if rule.weight is None else rule.weight


def _spread(key: str, spec: api.SchedulingPolicySpec, rule: api.SpreadRule) -> SpreadRule:
    down = rule.when_domain_down
    return SpreadRule(
        policy=key,
        name=rule.name,
        domain=_domain(spec, rule.domain),
        required=rule.enforcement == "Required",
        weight=_weight(rule),
        within=None if rule.within is None else _domain(spec, rule.within),
        group_by=tuple(sorted(rule.group_by)),
        max_skew=rule.max_skew,
        min_domains=rule.min_domains or 1,
        per_domain=None if rule.max_per_domain is None else _per_domain(rule.max_per_domain),
        relaxes=down is not None and down.action == "Relax",
        relax_after=0.0 if down is None else down.after_seconds,
        honor_affinity=rule.node_affinity_policy == "Honor",
        honor_taints=rule.node_taints_policy == "Honor",
    )


def _per_domain(value: int | str) -> PerDomain:
    if isinstance(value, int):
        return PerDomain(str(value), number=value)
    if value.endswith("%"):
        return PerDomain(value, percent=int(value.removesuffix("%")))
    return PerDomain(value)


def _separate(key: str, spec: api.SchedulingPolicySpec, rule: api.SeparateRule) -> SeparateRule:
    pods = _selector(rule.pods)
    return SeparateRule(
        policy=key,
        name=rule.name,
        domain=_domain(spec, rule.domain),
        required=rule.enforcement == "Required",
        weight=_weight(rule),
        pods=pods,
        away_from=pods if rule.from_ is None else _selector(rule.from_),
    )


def _colocate(key: str, spec: api.SchedulingPolicySpec, rule: api.ColocateRule) -> ColocateRule:
    return ColocateRule(
        policy=key,
        name=rule.name,
        domain=_domain(spec, rule.domain),
        required=rule.enforcement == "Required",
        weight=_weight(rule),
        near=_selector(rule.with_),
    )


def _limits(key: str, limits: api.NodeLimits | None) -> NodeLimitRules:
    if limits is None:
        return NodeLimitRules(key)
    return NodeLimitRules(
        key,
        limits.pods_per_node,
        tuple(_cap(resource, ratio) for resource, ratio in sorted(limits.utilization.items())),
    )


def _cap(resource: str, ratio: int | str) -> Cap:
    share = Fraction(max(int(Fraction(ratio) * MOST_PRECISE), 1), MOST_PRECISE)
    return Cap(resource, str(ratio), share.numerator, share.denominator)


def node_affinity(added: core.NodeAffinity | None) -> NodeAffinityArgs:
    """A node affinity that holds for pods beside their own."""
    if added is None:
        return NodeAffinityArgs()
    affinity = _core(added, objects.NodeAffinity)
    required = affinity.required_during_scheduling_ignored_during_execution
    preferred = affinity.preferred_during_scheduling_ignored_during_execution
    return NodeAffinityArgs(
        added_required=() if required is None else (selectors.compile_node_selector(required),),
        added_preferred=tuple((each.weight, selectors.compile_node_term(each.preference)) for each in preferred),
    )


def _media(storage: api.StorageRules | None) -> StorageMediaArgs:
    if storage is None or storage.media is None:
        return StorageMediaArgs()
    return StorageMediaArgs(
        tuple(Media(each.key, frozenset(each.values), each.weight) for each in storage.media.preferred)
    )


def _volumes(storage: api.StorageRules) -> VolumeBindingArgs:
    return VolumeBindingArgs(
        require_capacity=storage.require_capacity,
        local_capacity=tuple(
            LocalCapacity(each.storage_class_name, each.node_annotation) for each in storage.local_capacity
        ),
    )
