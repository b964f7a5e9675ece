"""The configuration's plugin arguments as the plugins take them."""

from __future__ import annotations

from stowplan.app import settings
from stowplan.plugins import args
from stowplan.plugins.inter_pod_affinity import InterPodAffinityArgs
from stowplan.profiles import PluginArgs


def plugin_args(configured: settings.Settings) -> PluginArgs:
    """What ``pluginConfig`` and ``scoring`` say.

    Raises:
        UsageError: a weight is for a plugin that there is not.
    """
    affinity = configured.plugin_args(settings.InterPodAffinityArgs)
    return PluginArgs(
        scheduler_name=configured.scheduler_name,
        fit=_fit(configured.plugin_args(settings.NodeResourcesFitArgs).scoring_strategy),
        inter_pod_affinity=InterPodAffinityArgs(hard_pod_affinity_weight=affinity.hard_pod_affinity_weight),
        weights=configured.scoring.weights,
    )


def _fit(strategy: settings.ScoringStrategy) -> args.FitArgs:
    ratio = strategy.requested_to_capacity_ratio
    return args.FitArgs(
        strategy=args.Strategy(strategy.type),
        resources=tuple(args.ResourceWeight(each.name, each.effective_weight) for each in strategy.resources),
        shape=() if ratio is None else tuple(args.ShapePoint(each.utilization, each.score) for each in ratio.shape),
    )
