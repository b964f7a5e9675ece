"""The pieces of core/v1 that our kinds carry: node affinity, tolerations, pod and claim templates.

Affinity, tolerations and selectors are read by this project, so they are typed in full and nothing unknown passes.
Templates are handed on to the API server as they came: only what this project reads or decides by is typed, all the
rest is kept, and the API server judges it when the object is made. Source: k8s.io/api/core/v1/types.go.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from stowplan.api.base import ApiModel, DnsLabel, Int, LabelKey, LabelValue, Quantity, Weight, cel
from stowplan.api.common import GROUP, ROLE_LABEL_PREFIX

OPEN = ConfigDict(extra="allow", json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
"""For what is handed on: fields that are not named here are kept as they came."""


class NodeSelectorRequirement(ApiModel):
    """One comparison of a node's label or field with values."""

    key: LabelKey
    """The label of the node, or metadata.name in matchFields."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How it relates to the values; Gt and Lt compare whole numbers."""
    values: Annotated[tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=64)] = ()
    """The values compared with: at least one for In and NotIn, exactly one for Gt and Lt, none for the others."""

    @cel(
        "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0"
        " : self.operator in ['Gt', 'Lt'] ? has(self.values) && size(self.values) == 1"
        " : !has(self.values) || size(self.values) == 0",
        "In and NotIn need at least one value, Gt and Lt exactly one, Exists and DoesNotExist take none",
        field=".values",
    )
    def _values_suit_the_operator(self) -> bool:
        match self.operator:
            case "In" | "NotIn":
                return bool(self.values)
            case "Gt" | "Lt":
                return len(self.values) == 1
            case _:
                return not self.values


class NodeSelectorTerm(ApiModel):
    """Requirements on one node that hold together; a term without any matches no node."""

    match_expressions: Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=32)] = ()
    """Requirements on the node's labels."""
    match_fields: Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=32)] = ()
    """Requirements on the node's fields; metadata.name is the only one, In or NotIn the operator, with one value."""

    @cel(
        "!has(self.matchFields) || self.matchFields.all(f, f.key == 'metadata.name' && f.operator in ['In', 'NotIn']"
        " && has(f.values) && size(f.values) == 1)",
        "matchFields compares metadata.name only, by In or NotIn with one value",
        field=".matchFields",
    )
    def _fields_are_names(self) -> bool:
        """As for pods (pkg/apis/core/validation/validation.go, ValidateNodeFieldSelectorRequirement)."""
        return all(
            each.key == "metadata.name" and each.operator in {"In", "NotIn"} and len(each.values) == 1
            for each in self.match_fields
        )


class NodeSelector(ApiModel):
    """Terms of which at least one must hold."""

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=32)]
    """A node matches when at least one of these terms does."""


class PreferredSchedulingTerm(ApiModel):
    """A term that makes a node better by its weight."""

    weight: Weight
    """How much a match counts, 1 to 100."""
    preference: NodeSelectorTerm
    """The term that a node may match."""


class NodeAffinity(ApiModel):
    """A core/v1 NodeAffinity."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Nodes that do not match are not used."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredSchedulingTerm, ...], Field(max_length=32)
    ] = ()
    """Nodes that match are better by the sum of the weights."""


class Toleration(ApiModel):
    """A core/v1 Toleration."""

    key: LabelKey | None = None
    """The key of the taint tolerated; absent, together with the operator Exists, tolerates every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Exists tolerates any value of the key, Equal only the value given."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """The value of the taint, with the operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The effect tolerated; absent: all of them."""
    toleration_seconds: Int | None = None
    """How long a running pod tolerates a NoExecute taint; absent: for ever."""

    @cel(
        "has(self.key) || self.operator == 'Exists'",
        "a toleration without a key needs the operator Exists",
        field=".operator",
    )
    def _no_key_tolerates_everything(self) -> bool:
        return self.key is not None or self.operator == "Exists"

    @cel("!has(self.value) || self.value == '' || self.operator == 'Equal'", "Exists takes no value", field=".value")
    def _exists_takes_no_value(self) -> bool:
        return not self.value or self.operator == "Equal"

    @cel(
        "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        "tolerationSeconds needs the effect NoExecute",
        field=".effect",
    )
    def _seconds_need_no_execute(self) -> bool:
        return self.toleration_seconds is None or self.effect == "NoExecute"


class TemplateMeta(ApiModel):
    """Metadata that the objects made from a template carry."""

    model_config = OPEN

    labels: Annotated[dict[str, LabelValue], Field(max_length=64)] = Field(default_factory=dict)
    """Labels of the objects made; Stowplan adds its own, which start with stowplan.dev/ and role.stowplan.dev/."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations of the objects made."""

    @cel(
        "!has(self.labels) || self.labels.all(key,"
        " !key.startsWith('stowplan.dev/') && !key.startsWith('role.stowplan.dev/'))",
        "labels that start with stowplan.dev/ and role.stowplan.dev/ are set by Stowplan",
        field=".labels",
    )
    def _our_labels_are_free(self) -> bool:
        return not any(key.startswith((f"{GROUP}/", ROLE_LABEL_PREFIX)) for key in self.labels)


class PodSpec(ApiModel):
    """A core/v1 PodSpec: every field of it may be given, and the API server judges it when a pod is made."""

    model_config = OPEN

    containers: Annotated[tuple[dict[str, JsonValue], ...], Field(min_length=1)]
    """The containers of a pod, as in core/v1."""
    scheduler_name: str | None = None
    """Who places the pods; absent: stowplan."""


class PodTemplateSpec(ApiModel):
    """A core/v1 PodTemplateSpec."""

    model_config = OPEN

    metadata: TemplateMeta = TemplateMeta()
    """Labels and annotations of the pods."""
    spec: PodSpec | None = None
    """What the pods run, as in core/v1."""


class ClaimMeta(TemplateMeta):
    """Metadata of the claims made from a template."""

    name: DnsLabel
    """The name by which the pod's containers mount the claim; the claim itself is called <name>-<pod>."""


class ClaimRequests(ApiModel):
    """What a claim asks for."""

    model_config = OPEN

    storage: Quantity
    """The size of the volume; it may grow, and never shrinks."""

    @cel(
        "quantity(string(self.storage)).isGreaterThan(quantity('0'))",
        "a volume needs a size above zero",
        field=".storage",
    )
    def _size_is_above_zero(self) -> bool:
        return re.match(r"\+?[0.]*[1-9]", str(self.storage)) is not None


class ClaimResources(ApiModel):
    """The resources of a claim."""

    model_config = OPEN

    requests: ClaimRequests
    """What the claim asks for."""


class ClaimSpec(ApiModel):
    """A core/v1 PersistentVolumeClaimSpec: every field of it may be given."""

    model_config = OPEN

    access_modes: Annotated[
        tuple[Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"], ...],
        Field(min_length=1, max_length=4),
    ] = ("ReadWriteOnce",)
    """How the volume may be mounted."""
    storage_class_name: Annotated[str, Field(max_length=253)] | None = None
    """The StorageClass; absent: the cluster's default one."""
    resources: ClaimResources
    """The size of the volume."""


class VolumeClaimTemplate(ApiModel):
    """A core/v1 PersistentVolumeClaim from which every member gets its own."""

    model_config = OPEN

    metadata: ClaimMeta
    """The name of the volume, and labels and annotations of the claims."""
    spec: ClaimSpec
    """The claims, as in core/v1."""
