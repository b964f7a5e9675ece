"""The items of ``pluginConfig``: the arguments of Stowplan's own plugins in full, those of others as they came.

Names, defaults and rules are those of kube-scheduler's v0.36.3 ``config/v1/types_pluginargs.go`` and kubernetes v1.36.3
``pkg/scheduler/apis/config/validation/validation_pluginargs.go``. The arguments of a plugin by somebody else are read
when the plugin is made (:mod:`stowplan.app.plugins`), which knows what they mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self, TypeVar

import pydantic
from pydantic import Discriminator, Field, Tag

from stowplan.api import base, core
from stowplan.app import fields
from stowplan.app.section import Section

Label = Annotated[str, Field(min_length=1, max_length=317, pattern=r"^\S+$")]


class Args(Section):
    """Arguments of one plugin; they may say which type of kube-scheduler's they are, as its own files often do."""

    api_version: Literal["kubescheduler.config.k8s.io/v1"] | None = None
    kind: str | None = None

    plugin: ClassVar[str]

    @pydantic.model_validator(mode="after")
    def _is_of_its_kind(self) -> Self:
        if self.kind not in (None, f"{self.plugin}Args"):
            raise ValueError(f"kind: must be {self.plugin}Args, not {self.kind!r}")
        return self


class ResourceSpec(Section):
    """One resource of a scoring strategy."""

    name: Annotated[str, Field(min_length=1)]
    weight: Annotated[int, Field(ge=0, le=100)] = 1
    """0 means 1, as for kube-scheduler (pkg/scheduler/apis/config/v1/defaults.go)."""

    @property
    def effective_weight(self) -> int:
        """The weight that counts."""
        return self.weight or 1


class ShapePoint(Section):
    """A point of a piecewise linear function from utilization (percent) to score (0 to 10)."""

    utilization: Annotated[int, Field(ge=0, le=100)]
    score: Annotated[int, Field(ge=0, le=10)]


def _increases(shape: tuple[ShapePoint, ...]) -> tuple[ShapePoint, ...]:
    if any(a.utilization >= b.utilization for a, b in itertools.pairwise(shape)):
        raise ValueError("utilization must increase from point to point")
    return shape


Shape = Annotated[tuple[ShapePoint, ...], Field(strict=False), pydantic.AfterValidator(_increases)]


class RequestedToCapacityRatio(Section):
    """The function of the strategy of the same name."""

    shape: Annotated[Shape, Field(min_length=1)]


CPU_AND_MEMORY = (ResourceSpec(name="cpu"), ResourceSpec(name="memory"))


class ScoringStrategy(Section):
    """How NodeResourcesFit scores a node by what is requested on it."""

    type: Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"] = "LeastAllocated"
    resources: Annotated[tuple[ResourceSpec, ...], Field(min_length=1, strict=False)] = CPU_AND_MEMORY
    requested_to_capacity_ratio: RequestedToCapacityRatio | None = None

    @pydantic.model_validator(mode="after")
    def _shape_belongs_to_the_ratio(self) -> Self:
        fields.refuse_duplicates("resources", (resource.name for resource in self.resources))
        wanted = self.type == "RequestedToCapacityRatio"
        if wanted and self.requested_to_capacity_ratio is None:
            raise ValueError("requestedToCapacityRatio is required when type is RequestedToCapacityRatio")
        if not wanted and self.requested_to_capacity_ratio is not None:
            raise ValueError(f"requestedToCapacityRatio must be left out when type is {self.type}")
        return self


class NodeResourcesFitArgs(Args):
    """Arguments of NodeResourcesFit."""

    plugin = "NodeResourcesFit"
    ignored_resources: Annotated[tuple[Label, ...], Field(strict=False)] = ()
    """Extended resources that the filter does not look at."""
    ignored_resource_groups: Annotated[tuple[Label, ...], Field(strict=False)] = ()
    """The same for all extended resources with this prefix: example.com."""
    scoring_strategy: ScoringStrategy = ScoringStrategy()

    @pydantic.field_validator("ignored_resource_groups")
    @classmethod
    def _have_no_slash(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        for group in groups:
            if "/" in group:
                raise ValueError(f"{group!r} must not contain '/'")
        return groups


class BalancedResource(Section):
    """One resource that NodeResourcesBalancedAllocation looks at."""

    name: Annotated[str, Field(min_length=1)]
    weight: Literal[1] = 1


class NodeResourcesBalancedAllocationArgs(Args):
    """Arguments of NodeResourcesBalancedAllocation."""

    plugin = "NodeResourcesBalancedAllocation"
    resources: Annotated[tuple[BalancedResource, ...], Field(min_length=1, strict=False)] = (
        BalancedResource(name="cpu"),
        BalancedResource(name="memory"),
    )

    @pydantic.model_validator(mode="after")
    def _each_once(self) -> Self:
        fields.refuse_duplicates("resources", (resource.name for resource in self.resources))
        return self


class InterPodAffinityArgs(Args):
    """Arguments of InterPodAffinity."""

    plugin = "InterPodAffinity"
    hard_pod_affinity_weight: Annotated[int, Field(ge=0, le=100)] = 1
    """What a required affinity term of a running pod that matches the incoming one counts when scoring."""
    ignore_preferred_terms_of_existing_pods: bool = False
    """Give no scores to pods without preferred terms of their own."""


class NodeAffinityArgs(Args):
    """Arguments of NodeAffinity."""

    plugin = "NodeAffinity"
    added_affinity: core.NodeAffinity | None = None
    """What holds for every pod of the profile, beside its own node affinity."""


class VolumeBindingArgs(Args):
    """Arguments of VolumeBinding."""

    plugin = "VolumeBinding"
    bind_timeout_seconds: Annotated[int, Field(ge=0)] | None = None
    """The same as ``bindTimeout`` of the whole file, in seconds; one value for all profiles."""
    shape: Shape = ()
    """Score nodes by how full their storage would be; left out: no score."""


class DefaultConstraint(Section):
    """A topology spread constraint of pods that have none of their own."""

    cannot_act: ClassVar[Mapping[str, str]] = {
        "labelSelector": "leave it out: it follows from the Services and owners of each pod",
        "matchLabelKeys": "leave it out: it has no effect on default constraints, for kube-scheduler neither",
    }
    max_skew: Annotated[int, Field(ge=1)]
    topology_key: base.LabelKey
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    min_domains: Annotated[int, Field(ge=1)] | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] = "Honor"
    node_taints_policy: Literal["Honor", "Ignore"] = "Ignore"


class PodTopologySpreadArgs(Args):
    """Arguments of PodTopologySpread."""

    plugin = "PodTopologySpread"
    default_constraints: Annotated[tuple[DefaultConstraint, ...], Field(strict=False)] = ()
    """For pods without constraints of their own."""
    defaulting_type: Literal["System", "List"] = "System"
    """System: kube-scheduler's own, over hosts and zones. List: ``defaultConstraints``."""

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.default_constraints and self.defaulting_type == "System":
            raise ValueError("defaultingType must be List where there are defaultConstraints")
        keys = (f"{each.topology_key} with {each.when_unsatisfiable}" for each in self.default_constraints)
        fields.refuse_duplicates("defaultConstraints", keys)
        return self


class NodeResourcesFitConfig(Section):
    """An item of ``pluginConfig``."""

    name: Literal["NodeResourcesFit"]
    args: NodeResourcesFitArgs = NodeResourcesFitArgs()


class NodeResourcesBalancedAllocationConfig(Section):
    """An item of ``pluginConfig``."""

    name: Literal["NodeResourcesBalancedAllocation"]
    args: NodeResourcesBalancedAllocationArgs = NodeResourcesBalancedAllocationArgs()


class InterPodAffinityConfig(Section):
    """An item of ``pluginConfig``."""

    name: Literal["InterPodAffinity"]
    args: InterPodAffinityArgs = InterPodAffinityArgs()


class NodeAffinityConfig(Section):
    """An item of ``pluginConfig``."""

    name: Literal["NodeAffinity"]
    args: NodeAffinityArgs = NodeAffinityArgs()


class VolumeBindingConfig(Section):
    """An item of ``pluginConfig``."""

    name: Literal["VolumeBinding"]
    args: VolumeBindingArgs = VolumeBindingArgs()


class PodTopologySpreadConfig(Section):
    """An item of ``pluginConfig``."""

    name: Literal["PodTopologySpread"]
    args: PodTopologySpreadArgs = PodTopologySpreadArgs()


class Other(Section):
    """An item of ``pluginConfig`` of a plugin that is not Stowplan's."""

    name: Annotated[str, Field(min_length=1)]
    args: dict[str, pydantic.JsonValue] = Field(default_factory=dict)


OTHER = "Other"
IN_TREE: dict[str, type[Args]] = {
    each.plugin: each
    for each in (
        NodeResourcesFitArgs,
        NodeResourcesBalancedAllocationArgs,
        InterPodAffinityArgs,
        NodeAffinityArgs,
        VolumeBindingArgs,
        PodTopologySpreadArgs,
    )
}
"""By name, the arguments of each of Stowplan's plugins that has any in the configuration."""


def _which(item: object) -> str | None:
    name = item.get("name") if isinstance(item, dict) else getattr(item, "name", None)
    if name is None:
        return None
    return name if isinstance(name, str) and name in IN_TREE else OTHER


PluginConfig = Annotated[
    Annotated[NodeResourcesFitConfig, Tag("NodeResourcesFit")]
    | Annotated[NodeResourcesBalancedAllocationConfig, Tag("NodeResourcesBalancedAllocation")]
    | Annotated[InterPodAffinityConfig, Tag("InterPodAffinity")]
    | Annotated[NodeAffinityConfig, Tag("NodeAffinity")]
    | Annotated[VolumeBindingConfig, Tag("VolumeBinding")]
    | Annotated[PodTopologySpreadConfig, Tag("PodTopologySpread")]
    | Annotated[Other, Tag(OTHER)],
    Discriminator(_which),
]
PluginConfigs = Annotated[tuple[PluginConfig, ...], Field(strict=False)]
A = TypeVar("A", bound=Args)


def args_of(items: tuple[PluginConfig, ...], kind: type[A]) -> A | None:
    """The arguments of the plugin that takes this kind; None where nothing is said."""
    return next((item.args for item in items if isinstance(item.args, kind)), None)
