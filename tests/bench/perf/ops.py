"""What scheduler_perf's files say, as Kubernetes spells it: test cases, their sizes and their steps.

Read by `source`, done by `execute`. Every field that is not here makes reading fail: nothing is skipped in silence.
Meaning of the fields: test/integration/scheduler_perf/operations.go and test/utils/runners.go of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec
from tests.controlplane.errors import ControlPlaneError


class Part(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Anything that is written in such a file."""


class Op(Part, tag_field="opcode"):
    """One step; the tag of each kind is its ``opcode``."""


class Counted(Op, kw_only=True):
    """A step that is done ``count`` times; ``countParam`` names the parameter of the workload that says how often."""

    count: int = 0
    count_param: str = ""


class LabelNodes(Part):
    """A label that goes round the nodes, one value after the other."""

    label_key: str
    label_values: list[str]


class CsiLimit(Part):
    """How many volumes of a driver a node takes."""

    count: int


class NodeAllocatable(Part):
    """What nodes can take besides their template, and the CSINode of each."""

    node_allocatable: dict[str, str] = {}
    csi_node_allocatable: dict[str, CsiLimit] = {}
    migrated_plugins: list[str] = []


class CreateNodes(Counted, kw_only=True, tag="createNodes"):
    """Nodes, from the template or ``manifests.BASE_NODE``."""

    node_template_path: str = ""
    label_node_prepare_strategy: LabelNodes | None = None
    node_allocatable_strategy: NodeAllocatable | None = None


class CreateNamespaces(Counted, kw_only=True, tag="createNamespaces"):
    """Namespaces ``<prefix>-0`` and so on."""

    prefix: str
    namespace_template_path: str = ""


class CreatePods(Counted, kw_only=True, tag="createPods"):
    """Pods, a bound volume for each where it has templates for that; waits for them to be bound unless told not to."""

    namespace: str = ""
    pod_template_path: str = ""
    persistent_volume_template_path: str = ""
    persistent_volume_claim_template_path: str = ""
    collect_metrics: bool = False
    skip_wait_to_completion: bool = False


class CreatePodSets(Counted, kw_only=True, tag="createPodSets"):
    """The same pods in each of the namespaces ``<namespacePrefix>-0`` and so on."""

    namespace_prefix: str
    create_pods_op: CreatePods


class CreateAny(Counted, kw_only=True, tag="createAny"):
    """Objects of any kind."""

    template_path: str
    namespace: str = ""
    count: int = 1


class Churn(Op, kw_only=True, tag="churn"):
    """Objects that come, or come and go, from here to the end; ``number`` 0: without end."""

    mode: Literal["create", "recreate"]
    template_paths: list[str]
    number: int = 0
    interval_milliseconds: int = 500
    namespace: str = ""


class Barrier(Op, kw_only=True, tag="barrier"):
    """Waits for the pods that were created without waiting for them."""

    stage_requirement: Literal["Scheduled", "Attempted"] = "Scheduled"


class DeletePods(Op, kw_only=True, tag="deletePods"):
    """Deletes all pods of a namespace, so many a second; 0: all at once."""

    namespace: str
    delete_pods_per_second: int = 0
    skip_wait_to_completion: bool = False


AnyOp = CreateNodes | CreateNamespaces | CreatePods | CreatePodSets | CreateAny | Churn | Barrier | DeletePods
_Counted = TypeVar("_Counted", bound=Counted)


class Size(Part):
    """A test case with numbers; scheduler_perf calls it a workload."""

    name: str
    params: dict[str, int]
    feature_gates: dict[str, bool] = {}
    labels: list[str] = []
    threshold: float | dict[str, float] = 0.0


class Case(Part):
    """A test case: what to do, and in which sizes."""

    name: str
    workload_template: list[AnyOp]
    workloads: list[Size]
    default_pod_template_path: str = ""
    feature_gates: dict[str, bool] = {}
    labels: list[str] = []


def counted(op: _Counted, params: Mapping[str, int]) -> _Counted:
    """The same with its count filled in.

    Raises:
        ControlPlaneError: the workload has no such parameter.
    """
    if not op.count_param:
        return op
    name = op.count_param.removeprefix("$")
    if name not in params:
        raise ControlPlaneError(f"no parameter {name!r} for {type(op).__name__}")
    return msgspec.structs.replace(op, count=params[name], count_param="")
