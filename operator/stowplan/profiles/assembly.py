"""The plugins of a profile, in their order and with their weights: kube-scheduler's, and then our own.

Source of order and weights: kubernetes v1.36.3 ``pkg/scheduler/apis/config/v1/default_plugins.go``
(``getDefaultPlugins``). SchedulingGates is left to the queue. Our own plugins come last, so that a node counts for
kube-scheduler's reason where both have one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from stowplan import errors
from stowplan.api import common
from stowplan.framework.conduct import Conduct
from stowplan.framework.plugin import Plugin
from stowplan.framework.runtime import Framework
from stowplan.plugins.args import BalancedAllocationArgs, FailureDomainArgs, FitArgs, NodeAffinityArgs, TolerationArgs
from stowplan.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from stowplan.plugins.default_preemption import DefaultPreemption, PreemptionArgs
from stowplan.plugins.dynamic_resources import DynamicResources
from stowplan.plugins.failure_domain import FailureDomain
from stowplan.plugins.group_size import Sizes
from stowplan.plugins.image_locality import ImageLocality
from stowplan.plugins.inclusion import Added
from stowplan.plugins.inter_pod_affinity import InterPodAffinity, InterPodAffinityArgs
from stowplan.plugins.node_affinity import NodeAffinity
from stowplan.plugins.node_limits import NodeLimits
from stowplan.plugins.node_name import NodeName
from stowplan.plugins.node_ports import NodePorts
from stowplan.plugins.node_resources_fit import NodeResourcesFit
from stowplan.plugins.node_unschedulable import NodeUnschedulable
from stowplan.plugins.node_volume_limits import NodeVolumeLimits
from stowplan.plugins.outages import Outage
from stowplan.plugins.pod_topology_spread import PodTopologySpread
from stowplan.plugins.policy_colocate import PolicyColocate
from stowplan.plugins.policy_separate import PolicySeparate
from stowplan.plugins.policy_spread import PolicySpread
from stowplan.plugins.preemption_search import Keeper
from stowplan.plugins.storage_media import StorageMedia
from stowplan.plugins.taint_toleration import TaintToleration
from stowplan.plugins.volume_args import VolumeBindingArgs
from stowplan.plugins.volume_binding import VolumeBinding
from stowplan.plugins.volume_restrictions import VolumeRestrictions
from stowplan.plugins.volume_zone import VolumeZone
from stowplan.profiles.compile import CompiledPolicy

WEIGHTS: Mapping[str, int] = MappingProxyType(
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

LEVELS = FailureDomainArgs(("topology.kubernetes.io/zone", "kubernetes.io/hostname"))
"""What FailureDomain goes by where no policy names failure domains."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PluginArgs:
    """What the configuration says about the plugins, for all pods.

    Attributes:
        scheduler_name: names the profile in metrics.
        node_affinity: what is added to every pod's node affinity.
        volume_binding: for pods whose policy says nothing about storage.
        weights: score plugin name to weight, where it shall not be the default.
        conduct: which plugins fail, kept for as long as the process runs.
    """

    scheduler_name: str = common.SCHEDULER_NAME
    fit: FitArgs = dataclasses.field(default_factory=FitArgs)
    balanced: BalancedAllocationArgs = dataclasses.field(default_factory=BalancedAllocationArgs)
    node_affinity: NodeAffinityArgs = dataclasses.field(default_factory=NodeAffinityArgs)
    inter_pod_affinity: InterPodAffinityArgs = dataclasses.field(default_factory=InterPodAffinityArgs)
    volume_binding: VolumeBindingArgs = dataclasses.field(default_factory=VolumeBindingArgs)
    weights: Mapping[str, int] = dataclasses.field(default_factory=dict)
    conduct: Conduct = dataclasses.field(default_factory=Conduct, compare=False)

    def __post_init__(self) -> None:
        """Raises UsageError where a weight is for a plugin that there is not."""
        unknown = unknown_weights(self.weights)
        if unknown:
            raise errors.UsageError(f"scoring.weights: {unknown}")


def unknown_weights(names: Iterable[str]) -> str:
    """What is wrong with weights for these plugins, as one line; "" where they all exist."""
    unknown = sorted(set(names) - set(WEIGHTS))
    if not unknown:
        return ""
    return f"no score plugin is called {', '.join(unknown)}; there are {', '.join(sorted(WEIGHTS))}"


def assemble(
    args: PluginArgs, policy: CompiledPolicy | None, out: frozenset[Outage], sizes: Sizes, keeper: Keeper
) -> Framework:
    """The profile of the pods of a policy, or of those without one.

    Args:
        args: from the configuration.
        policy: the policy; None for pods that none governs.
        out: the domains that have been unusable for as long as the policies' rules wait.
        sizes: how many pods a group has.
        keeper: whom preemption must not evict.
    """
    added = Added() if policy is None else policy.added
    tolerations = TolerationArgs(added.tolerations)
    volumes = args.volume_binding
    if policy is not None and policy.volumes is not None:
        volumes = dataclasses.replace(policy.volumes, shape=args.volume_binding.shape)
    forbidden_by = "" if policy is None or policy.preempts else policy.key.partition("/")[2]
    plugins: list[Plugin] = [
        NodeUnschedulable(tolerations),
        NodeName(),
        TaintToleration(tolerations),
        NodeAffinity(_node_affinity(args, policy)),
        NodePorts(),
        DynamicResources(),
        NodeResourcesFit(args.fit),
        VolumeRestrictions(),
        NodeVolumeLimits(),
        VolumeBinding(volumes),
        VolumeZone(),
        PodTopologySpread(added),
        InterPodAffinity(args.inter_pod_affinity),
        DefaultPreemption(PreemptionArgs(forbidden_by), keeper),
        NodeResourcesBalancedAllocation(args.balanced),
        ImageLocality(),
        FailureDomain(LEVELS if policy is None or policy.failure_domains is None else policy.failure_domains),
    ]
    weights = {**WEIGHTS, **args.weights}
    if policy is not None:
        plugins.extend(_of_policy(policy, out, sizes))
        weights.update((name, weight) for name, weight in policy.weights.items() if name in WEIGHTS)
    return Framework(args.scheduler_name, plugins, weights, args.conduct)


def _node_affinity(args: PluginArgs, policy: CompiledPolicy | None) -> NodeAffinityArgs:
    if policy is None:
        return args.node_affinity
    return NodeAffinityArgs(
        args.node_affinity.added_required + policy.node_affinity.added_required,
        args.node_affinity.added_preferred + policy.node_affinity.added_preferred,
    )


def _of_policy(policy: CompiledPolicy, out: frozenset[Outage], sizes: Sizes) -> Iterable[Plugin]:
    """The plugins that the policy needs."""
    if policy.media.preferred:
        yield StorageMedia(policy.media)
    if policy.spread:
        yield PolicySpread(policy.spread, policy.added, out, sizes)
    if policy.separate:
        yield PolicySeparate(policy.separate)
    if policy.colocate:
        yield PolicyColocate(policy.colocate)
    if policy.limits.pods_per_node is not None or policy.limits.caps:
        yield NodeLimits(policy.limits)
