"""What the plugins of the node itself can be told: by the configuration file and by a SchedulingPolicy.

``profiles`` makes these from either. Names and defaults are those of kube-scheduler's
``kubescheduler.config.k8s.io/v1`` (kube-scheduler v0.36.3 ``config/v1/types_pluginargs.go``).
"""

from __future__ import annotations

import dataclasses
import enum

from stowplan.api import common
from stowplan.model import objects, selectors


@dataclasses.dataclass(frozen=True, slots=True)
class TolerationArgs:
    """For NodeUnschedulable and TaintToleration.

    Attributes:
        added_tolerations: every pod has these too (a policy's ``nodes.tolerations``).
    """

    added_tolerations: tuple[objects.Toleration, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class NodeAffinityArgs:
    """For NodeAffinity: what holds for every pod, beside its own affinity.

    Attributes:
        added_required: all of these must match (the configuration's ``addedAffinity``, a policy's ``nodes.affinity``).
        added_preferred: (weight, term), scored like the pod's own.
    """

    added_required: tuple[selectors.NodeSelector, ...] = ()
    added_preferred: tuple[tuple[int, selectors.NodeTerm], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class ResourceWeight:
    """A resource that a score looks at; ``weight`` is 1 to 100."""

    name: str
    weight: int = 1


CPU_AND_MEMORY = (ResourceWeight("cpu"), ResourceWeight("memory"))


class Strategy(enum.Enum):
    """How NodeResourcesFit scores."""

    LEAST_ALLOCATED = "LeastAllocated"
    MOST_ALLOCATED = "MostAllocated"
    REQUESTED_TO_CAPACITY_RATIO = "RequestedToCapacityRatio"


@dataclasses.dataclass(frozen=True, slots=True)
class ShapePoint:
    """A point of the function from utilization (0 to 100) to score (0 to 10)."""

    utilization: int
    score: int


@dataclasses.dataclass(frozen=True, slots=True)
class FitArgs:
    """For NodeResourcesFit.

    Attributes:
        ignored_resources: extended resources that the filter does not look at.
        ignored_resource_groups: the same for all extended resources with this prefix, e.g. ``example.com``.
        strategy: how to score.
        resources: what to score by.
        shape: of RequestedToCapacityRatio, by rising utilization; not empty there.
    """

    ignored_resources: frozenset[str] = frozenset()
    ignored_resource_groups: frozenset[str] = frozenset()
    strategy: Strategy = Strategy.LEAST_ALLOCATED
    resources: tuple[ResourceWeight, ...] = CPU_AND_MEMORY
    shape: tuple[ShapePoint, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class BalancedAllocationArgs:
    """For NodeResourcesBalancedAllocation; the weights count for nothing, as in kube-scheduler."""

    resources: tuple[ResourceWeight, ...] = CPU_AND_MEMORY


@dataclasses.dataclass(frozen=True, slots=True)
class Media:
    """A node label that marks better storage: any of the values earns ``weight``."""

    key: str
    values: frozenset[str]
    weight: int


@dataclasses.dataclass(frozen=True, slots=True)
class StorageMediaArgs:
    """For StorageMedia (a policy's ``storage.media.preferred``)."""

    preferred: tuple[Media, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class FailureDomainArgs:
    """For FailureDomain.

    Attributes:
        levels: node label keys of the failure domains, broad to narrow (a policy's ``failureDomains``).
        group_by: pods of one namespace with equal values of these labels belong together; a pod without one of them
            belongs to nobody. By default: the members of a StatefulCluster.
    """

    levels: tuple[str, ...]
    group_by: tuple[str, ...] = (common.LABEL_CLUSTER,)
