"""The configuration's profiles as the scheduler takes them: plugins made, arguments converted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stowplan import errors
from stowplan.app import plugin_config, plugins, settings
from stowplan.app.profile import Profile
from stowplan.framework.plugin import Plugin
from stowplan.model.pods import SpreadConstraint
from stowplan.plugins import args, spread_defaults
from stowplan.plugins.inter_pod_affinity import InterPodAffinityArgs
from stowplan.plugins.pod_topology_spread import PodTopologySpread
from stowplan.plugins.volume_args import VolumeBindingArgs
from stowplan.profiles import PluginArgs, in_tree, selection
from stowplan.profiles.compile import node_affinity


def profiles(configured: settings.Settings) -> tuple[PluginArgs, ...]:
    """What the configuration says about plugins; one for each profile, at least one.

    Raises:
        UsageError: a plugin is not there, or cannot do what is asked for; one line that names the profile.
    """
    return tuple(_profile(each, configured.scoring.weights) for each in configured.each_profile)


def reads_workloads(made: Iterable[PluginArgs]) -> bool:
    """Whether any of the profiles needs to know Services and controllers."""
    return any(each.spread_defaults.constraints and PodTopologySpread.name in each.selection.order for each in made)


def _profile(profile: Profile, weights: Mapping[str, int]) -> PluginArgs:
    try:
        sets = profile.plugins.sets()
        others = _others(profile, sets.values())
        theirs = (selection.Available(name, selection.points_of(plugin)) for name, plugin in others.items())
        chosen = selection.select(sets, (*in_tree.IN_TREE, *theirs))
        _check_configured(profile, chosen)
        affinity = profile.args(plugin_config.NodeAffinityArgs)
        return PluginArgs(
            scheduler_name=profile.scheduler_name,
            fit=_fit(profile.args(plugin_config.NodeResourcesFitArgs)),
            balanced=_balanced(profile.args(plugin_config.NodeResourcesBalancedAllocationArgs)),
            node_affinity=node_affinity(affinity.added_affinity if affinity is not None else None),
            inter_pod_affinity=_inter_pod_affinity(profile.args(plugin_config.InterPodAffinityArgs)),
            volume_binding=_volume_binding(profile.args(plugin_config.VolumeBindingArgs)),
            spread_defaults=_spread_defaults(profile.args(plugin_config.PodTopologySpreadArgs)),
            weights=weights,
            selection=chosen,
            others=others,
        )
    except errors.UsageError as error:
        raise errors.UsageError(f"profile {profile.scheduler_name}: {error}") from error


def _others(profile: Profile, sets: Iterable[selection.PluginSet]) -> dict[str, Plugin]:
    """The plugins by others that the profile enables."""
    said = {item.name: item.args for item in profile.plugin_config if isinstance(item, plugin_config.Other)}
    ours = {each.name for each in in_tree.IN_TREE} | selection.BUILT_IN
    made: dict[str, Plugin] = {}
    for name in dict.fromkeys(each.name for one in sets for each in one.enabled):
        plugin = None if name in ours else plugins.make(name, said.get(name, {}))
        if plugin is not None:
            made[name] = plugin
    return made


def _check_configured(profile: Profile, chosen: selection.Selection) -> None:
    """Refuses arguments that would act on nothing."""
    for item in profile.plugin_config:
        if item.name in chosen.order:
            if (
                isinstance(item, plugin_config.Other)
                and item.args
                and any(item.name == e.name for e in in_tree.IN_TREE)
            ):
                raise errors.UsageError(f"pluginConfig: {item.name} takes no arguments")
            continue
        if item.name in plugins.installed() or item.name in plugin_config.IN_TREE:
            raise errors.UsageError(f"pluginConfig: {item.name} is not enabled, so its arguments mean nothing")
        known = ", ".join(sorted({*plugin_config.IN_TREE, *plugins.installed()}))
        raise errors.UsageError(f"pluginConfig: no plugin {item.name} takes arguments; these do: {known}")


def _fit(said: plugin_config.NodeResourcesFitArgs | None) -> args.FitArgs:
    if said is None:
        return args.FitArgs()
    strategy = said.scoring_strategy
    ratio = strategy.requested_to_capacity_ratio
    return args.FitArgs(
        ignored_resources=frozenset(said.ignored_resources),
        ignored_resource_groups=frozenset(said.ignored_resource_groups),
        strategy=args.Strategy(strategy.type),
        resources=tuple(args.ResourceWeight(each.name, each.effective_weight) for each in strategy.resources),
        shape=() if ratio is None else _shape(ratio.shape),
    )


def _shape(points: tuple[plugin_config.ShapePoint, ...]) -> tuple[args.ShapePoint, ...]:
    return tuple(args.ShapePoint(each.utilization, each.score) for each in points)


def _balanced(said: plugin_config.NodeResourcesBalancedAllocationArgs | None) -> args.BalancedAllocationArgs:
    if said is None:
        return args.BalancedAllocationArgs()
    return args.BalancedAllocationArgs(tuple(args.ResourceWeight(each.name) for each in said.resources))


def _inter_pod_affinity(said: plugin_config.InterPodAffinityArgs | None) -> InterPodAffinityArgs:
    if said is None:
        return InterPodAffinityArgs()
    return InterPodAffinityArgs(said.hard_pod_affinity_weight, said.ignore_preferred_terms_of_existing_pods)


def _spread_defaults(said: plugin_config.PodTopologySpreadArgs | None) -> spread_defaults.SpreadDefaults:
    if said is None or said.defaulting_type == "System":
        return spread_defaults.SYSTEM
    return spread_defaults.SpreadDefaults(tuple(_constraint(each) for each in said.default_constraints))


def _constraint(said: plugin_config.DefaultConstraint) -> SpreadConstraint:
    return spread_defaults.constraint(
        said.topology_key,
        said.max_skew,
        required=said.when_unsatisfiable == "DoNotSchedule",
        min_domains=said.min_domains or 1,
        honor_affinity=said.node_affinity_policy == "Honor",
        honor_taints=said.node_taints_policy == "Honor",
    )


def _volume_binding(said: plugin_config.VolumeBindingArgs | None) -> VolumeBindingArgs:
    return VolumeBindingArgs() if said is None else VolumeBindingArgs(shape=_shape(said.shape))
