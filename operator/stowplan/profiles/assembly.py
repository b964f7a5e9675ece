"""The plugins of a profile, made: those that the configuration selects, and then those that a policy needs.

``in_tree`` knows order and weights, ``selection`` what is on at which extension point.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from stowplan import errors
from stowplan.api import common
from stowplan.framework.conduct import Conduct
from stowplan.framework.plugin import Plugin, Score
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
from stowplan.plugins.node_declared_features import NodeDeclaredFeatures
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
from stowplan.plugins.spread_defaults import SYSTEM, SpreadDefaults
from stowplan.plugins.storage_media import StorageMedia
from stowplan.plugins.taint_toleration import TaintToleration
from stowplan.plugins.volume_args import VolumeBindingArgs
from stowplan.plugins.volume_binding import VolumeBinding
from stowplan.plugins.volume_restrictions import VolumeRestrictions
from stowplan.plugins.volume_zone import VolumeZone
from stowplan.profiles import in_tree
from stowplan.profiles.compile import CompiledPolicy
from stowplan.profiles.selection import METHODS, RULES, Selection, points_of

LEVELS = FailureDomainArgs(("topology.kubernetes.io/zone", "kubernetes.io/hostname"))
"""What FailureDomain goes by where no policy names failure domains."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PluginArgs:
    """What the configuration says about the plugins of one profile.

    Attributes:
        scheduler_name: of the pods that it places; names the profile in metrics.
        node_affinity: what is added to every pod's node affinity.
        volume_binding: for pods whose policy says nothing about storage.
        spread_defaults: for pods without topology spread constraints of their own.
        weights: score plugin name to weight, where it shall not be that of the selection.
        selection: which plugins are on, where, and with which weight.
        others: the plugins of the selection that are not Stowplan's, by name.
        conduct: which plugins fail, kept for as long as the process runs.
    """

    scheduler_name: str = common.SCHEDULER_NAME
    fit: FitArgs = dataclasses.field(default_factory=FitArgs)
    balanced: BalancedAllocationArgs = dataclasses.field(default_factory=BalancedAllocationArgs)
    node_affinity: NodeAffinityArgs = dataclasses.field(default_factory=NodeAffinityArgs)
    inter_pod_affinity: InterPodAffinityArgs = dataclasses.field(default_factory=InterPodAffinityArgs)
    volume_binding: VolumeBindingArgs = dataclasses.field(default_factory=VolumeBindingArgs)
    spread_defaults: SpreadDefaults = SYSTEM
    weights: Mapping[str, int] = dataclasses.field(default_factory=dict)
    selection: Selection = in_tree.BY_DEFAULT
    others: Mapping[str, Plugin] = dataclasses.field(default_factory=dict)
    conduct: Conduct = dataclasses.field(default_factory=Conduct, compare=False)

    @property
    def scoring(self) -> frozenset[str]:
        """Names of the plugins that may have a weight."""
        theirs = (name for name, plugin in self.others.items() if isinstance(plugin, Score))
        return frozenset(in_tree.WEIGHTS).union(theirs)

    def __post_init__(self) -> None:
        """Raises UsageError where a weight is for a plugin that there is not."""
        unknown = unknown_weights(self.weights, self.scoring)
        if unknown:
            raise errors.UsageError(f"scoring.weights: {unknown}")


def unknown_weights(names: Iterable[str], known: frozenset[str]) -> str:
    """What is wrong with weights for these plugins, as one line; "" where they are all known."""
    unknown = sorted(set(names) - known)
    if not unknown:
        return ""
    return f"no score plugin is called {', '.join(unknown)}; there are {', '.join(sorted(known))}"


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
    made: list[Plugin] = [
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
        PodTopologySpread(added, args.spread_defaults),
        InterPodAffinity(args.inter_pod_affinity),
        DefaultPreemption(PreemptionArgs(forbidden_by), keeper),
        NodeResourcesBalancedAllocation(args.balanced),
        ImageLocality(),
        NodeDeclaredFeatures(),
        FailureDomain(LEVELS if policy is None or policy.failure_domains is None else policy.failure_domains),
    ]
    by_name = {each.name: each for each in made} | dict(args.others)
    weights = {**dict.fromkeys(args.scoring, 0), **in_tree.OF_POLICIES, **args.selection.weights, **args.weights}
    if policy is not None:
        weights.update((name, weight) for name, weight in policy.weights.items() if name in args.scoring)
    plugins = [part(by_name[name], args.selection) for name in dict.fromkeys((*args.selection.order, *by_name))]
    if policy is not None:
        plugins.extend(_of_policy(policy, out, sizes))
    return Framework(args.scheduler_name, plugins, weights, args.conduct)


class _Part:
    """A plugin of which some extension points are off: it has what is on, and nothing else."""

    name: str

    def __init__(self, plugin: Plugin, kept: Iterable[str]) -> None:
        self.__dict__.update((attribute, getattr(plugin, attribute)) for attribute in kept)


def part(plugin: Plugin, selection: Selection) -> Plugin:
    """As much of a plugin as is on; a score that is off has no weight, and stays for policies that give it one."""
    points = points_of(plugin)
    ruling = plugin.name in selection.ruling
    off = set() if ruling else points.intersection(RULES)
    if plugin.name not in selection.rescuing:
        off |= points & {"postFilter"}
    if not off:
        return plugin
    if ruling:
        hidden = {METHODS[point] for point in off}
        return _Part(plugin, (each for each in dir(plugin) if not each.startswith("_") and each not in hidden))
    return _Part(plugin, ("name", *(METHODS[point] for point in points - off)))


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
