"""Services and the controllers of pods, reduced to their selectors: which pods belong together.

Read for default spread constraints, unless the configuration has none. Source of every field: k8s.io/api v0.36.3,
``core/v1/types.go``, ``apps/v1/types.go``.
"""

from __future__ import annotations

import msgspec

from stowplan.model.objects import KubeObject, LabelSelector, Struct


class LabelsSpec(Struct):
    """A selector of labels by their values alone."""

    selector: dict[str, str] = msgspec.field(default_factory=dict)


class SelectorSpec(Struct):
    """A selector with expressions."""

    selector: LabelSelector | None = None


class Workload(KubeObject):
    """Any of them."""


class Service(Workload):
    """A Service; one without a selector chooses no pods."""

    spec: LabelsSpec = msgspec.field(default_factory=LabelsSpec)


class ReplicationController(Workload):
    """A ReplicationController."""

    spec: LabelsSpec = msgspec.field(default_factory=LabelsSpec)


class ReplicaSet(Workload):
    """A ReplicaSet."""

    spec: SelectorSpec = msgspec.field(default_factory=SelectorSpec)


class StatefulSet(Workload):
    """A StatefulSet."""

    spec: SelectorSpec = msgspec.field(default_factory=SelectorSpec)


KINDS: dict[tuple[str, str], type[KubeObject]] = {
    ("v1", "Service"): Service,
    ("v1", "ReplicationController"): ReplicationController,
    ("apps/v1", "ReplicaSet"): ReplicaSet,
    ("apps/v1", "StatefulSet"): StatefulSet,
}
"""(apiVersion, kind) to struct."""
