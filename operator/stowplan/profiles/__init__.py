"""SchedulingPolicies to the plugins that place their pods: the only place that joins plugins and scheduler.

``policies`` is the place to start. ``compile`` turns one SchedulingPolicy into rules, ``governance`` finds the policy
of a pod, ``assembly`` puts the plugins together.
"""

from __future__ import annotations

from stowplan.plugins.group_size import Backlog
from stowplan.plugins.outages import Observation, Outage, OutageWatch
from stowplan.profiles.assembly import PluginArgs
from stowplan.profiles.governance import Cluster, cluster_of
from stowplan.profiles.in_tree import WEIGHTS
from stowplan.profiles.policies import Policies

__all__ = [
    "WEIGHTS",
    "Backlog",
    "Cluster",
    "Observation",
    "Outage",
    "OutageWatch",
    "PluginArgs",
    "Policies",
    "cluster_of",
]
