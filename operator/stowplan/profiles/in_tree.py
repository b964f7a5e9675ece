"""The plugins that Stowplan has, in their order and with their weights: kube-scheduler's, and then our own.

Source of order and weights: kubernetes v1.36.3 ``pkg/scheduler/apis/config/v1/default_plugins.go``
(``getDefaultPlugins``). SchedulingGates is left to the queue. Our own plugins come last, so that a node counts for
kube-scheduler's reason where both have one. ``assembly`` makes them, ``selection`` says which of them a profile has.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from stowplan.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from stowplan.plugins.default_preemption import DefaultPreemption
from stowplan.plugins.dynamic_resources import DynamicResources
from stowplan.plugins.failure_domain import FailureDomain
from stowplan.plugins.image_locality import ImageLocality
from stowplan.plugins.inter_pod_affinity import InterPodAffinity
from stowplan.plugins.node_affinity import NodeAffinity
from stowplan.plugins.node_declared_features import NodeDeclaredFeatures
from stowplan.plugins.node_limits import NodeLimits
from stowplan.plugins.node_name import NodeName
from stowplan.plugins.node_ports import NodePorts
from stowplan.plugins.node_resources_fit import NodeResourcesFit
from stowplan.plugins.node_unschedulable import NodeUnschedulable
from stowplan.plugins.node_volume_limits import NodeVolumeLimits
from stowplan.plugins.pod_topology_spread import PodTopologySpread
from stowplan.plugins.policy_colocate import PolicyColocate
from stowplan.plugins.policy_missing import PolicyMissing
from stowplan.plugins.policy_separate import PolicySeparate
from stowplan.plugins.policy_spread import PolicySpread
from stowplan.plugins.storage_media import StorageMedia
from stowplan.plugins.taint_toleration import TaintToleration
from stowplan.plugins.volume_binding import VolumeBinding
from stowplan.plugins.volume_restrictions import VolumeRestrictions
from stowplan.plugins.volume_zone import VolumeZone
from stowplan.profiles.selection import Available, Selection, points_of, select


class _Named(Protocol):
    name: str


WEIGHTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "NodeResourcesFit": 1,
        "VolumeBinding": 1,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
        "StorageMedia": 2,
        "FailureDomain": 0,  # pulls against spread: only where it is asked for
        "PolicySpread": 5,  # what a policy is for outweighs how full the nodes are
        "PolicySeparate": 5,
        "PolicyColocate": 5,
    }
)
"""Weights of the score plugins where nobody sets others."""

_DEFAULT: Final[tuple[type[_Named], ...]] = (
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    DynamicResources,
    NodeResourcesFit,
    VolumeRestrictions,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    DefaultPreemption,
    NodeResourcesBalancedAllocation,
    ImageLocality,
    NodeDeclaredFeatures,
    FailureDomain,
)
_BROUGHT_BY_POLICIES: Final[tuple[type[_Named], ...]] = (
    StorageMedia,
    PolicySpread,
    PolicySeparate,
    PolicyColocate,
    NodeLimits,
    PolicyMissing,
)


def _available(plugin: type[_Named], *, policy: bool) -> Available:
    weight = WEIGHTS.get(plugin.name, 1)
    return Available(
        plugin.name, points_of(plugin), default=weight > 0 and not policy, weight=max(weight, 1), policy=policy
    )


IN_TREE: Final[tuple[Available, ...]] = (
    *(_available(each, policy=False) for each in _DEFAULT),
    *(_available(each, policy=True) for each in _BROUGHT_BY_POLICIES),
)
"""All of them."""

OF_POLICIES: Final[Mapping[str, int]] = MappingProxyType(
    {each.name: WEIGHTS[each.name] for each in IN_TREE if each.policy and each.name in WEIGHTS}
)
"""Weights of the score plugins that SchedulingPolicies bring."""

BY_DEFAULT: Final[Selection] = select({}, IN_TREE)
"""The profile of a configuration that says nothing about plugins."""
