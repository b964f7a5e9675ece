"""What a reconcile has read: the cluster, what carries its label, and the nodes its members are on.

``handlers.observer`` fills an :class:`Observed` from the API server, ``fleet`` reads it. The structs here hold the
fields that the decisions need of members' pods, claims and budgets; they are decoded from a list of a few objects, so
that the scheduler's own structs (``model.objects``), of which it keeps hundreds of thousands, stay small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from stowplan.api import common
from stowplan.api.cluster import StatefulCluster
from stowplan.api.policy import SchedulingPolicySpec
from stowplan.model import objects


class Struct(msgspec.Struct, rename="camel", omit_defaults=True):
    """Base: camelCase on the wire."""


class Waiting(Struct):
    """Why a container has not started: ``reason`` is a word such as ImagePullBackOff."""

    reason: str = ""
    message: str = ""


class ContainerState(Struct):
    """The state of a container, as far as it waits."""

    waiting: Waiting | None = None


class ContainerStatus(Struct):
    """One container of a member."""

    name: str = ""
    state: ContainerState = msgspec.field(default_factory=ContainerState)


class TimedCondition(Struct):
    """A condition and when its status last changed (RFC 3339)."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class PodStatus(Struct):
    """How a member is."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    start_time: str | None = None
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: list[TimedCondition] = []
    container_statuses: list[ContainerStatus] = []
    init_container_statuses: list[ContainerStatus] = []


class PodSpec(Struct):
    """Where a member is."""

    node_name: str = ""


class Pod(objects.KubeObject):
    """A pod that carries the cluster's label."""

    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class _Why(Struct):
    relaxed: list[str] = []


def relaxed(pod: Pod) -> frozenset[str]:
    """The rules that made allowance for a domain that was out when the pod was placed; its scheduler has noted them."""
    text = pod.metadata.annotations.get(common.ANNOTATION_WHY, "")
    try:
        return frozenset(msgspec.json.decode(text, type=_Why).relaxed) if text else frozenset()
    except msgspec.DecodeError:
        return frozenset()


class ClaimStatus(Struct):
    """How a claim is."""

    phase: str = "Pending"
    capacity: objects.Quantities = {}
    conditions: list[TimedCondition] = []


class Claim(objects.KubeObject):
    """A claim that carries the cluster's label."""

    spec: objects.PersistentVolumeClaimSpec = msgspec.field(default_factory=objects.PersistentVolumeClaimSpec)
    status: ClaimStatus = msgspec.field(default_factory=ClaimStatus)


class ServiceSpec(Struct):
    """What a headless Service says."""

    selector: dict[str, str] = {}
    publish_not_ready_addresses: bool = False


class Service(objects.KubeObject):
    """The Service with the cluster's name."""

    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)


class BudgetSpec(Struct):
    """A PodDisruptionBudget's spec."""

    selector: objects.LabelSelector | None = None
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    unhealthy_pod_eviction_policy: str | None = None


class Budget(objects.KubeObject):
    """A PodDisruptionBudget that carries the cluster's label."""

    spec: BudgetSpec = msgspec.field(default_factory=BudgetSpec)


class Revision(objects.KubeObject):
    """An apps/v1 ControllerRevision that carries the cluster's label.

    Attributes:
        revision: higher is newer.
        data: what ``specs.stored`` reads.
    """

    revision: int = 0
    data: dict[str, object] = msgspec.field(default_factory=dict)


class Taint(Struct):
    """A taint, and since when (RFC 3339; only with the effect NoExecute)."""

    key: str = ""
    effect: str = ""
    time_added: str | None = None


class NodeSpec(Struct):
    """A node's taints."""

    taints: list[Taint] = []


class NodeStatus(Struct):
    """A node's conditions."""

    conditions: list[TimedCondition] = []


class Node(objects.KubeObject):
    """The node of a member, read when it is not ready."""

    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


_UNREADY = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Somebody vouches that the node is off (KEP-2268): what ran on it does not run any more."""


@dataclass(frozen=True, kw_only=True)
class NodeView:
    """A node that exists.

    Attributes:
        name: the node's name.
        labels: the node's labels.
        ready: its kubelet reports, and says that it is ready.
        since: when ``ready`` last changed, where that is known.
        out_of_service: it carries the taint that vouches that nothing runs on it.
    """

    name: str
    labels: Mapping[str, str]
    ready: bool = True
    since: datetime | None = None
    out_of_service: bool = False


def node_view(node: Node) -> NodeView:
    """A node as read from the API server."""
    ready = condition(node.status.conditions, "Ready")
    since = parse_time(ready.last_transition_time) if ready is not None else None
    tainted = [each.time_added for each in node.spec.taints if each.key in _UNREADY and each.time_added]
    return NodeView(
        name=node.metadata.name,
        labels=node.metadata.labels,
        ready=ready is not None and ready.status == "True",
        since=since or parse_time(min(tainted, default=None)),
        out_of_service=any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints),
    )


def glimpse(node: objects.Node) -> NodeView:
    """A node as the scheduling loop knows it, without times."""
    return NodeView(
        name=node.metadata.name,
        labels=node.metadata.labels,
        ready=any(each.type == "Ready" and each.status == "True" for each in node.status.conditions),
        out_of_service=any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints),
    )


@dataclass(frozen=True, kw_only=True)
class Sight:
    """The members of a StatefulCluster as the scheduling loop sees them.

    Attributes:
        policy: the key of the policy that governs them, or "".
        broken: names of its rules that they break where they are now.
        nodes: of the nodes asked for, those that exist.
    """

    policy: str = ""
    broken: tuple[str, ...] = ()
    nodes: Mapping[str, NodeView] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """All that one decision is made from.

    Attributes:
        cluster: the cluster itself.
        service: the Service with the cluster's name, whoever made it.
        pods: pods with the cluster's label.
        claims: claims with the cluster's label.
        budgets: PodDisruptionBudgets with the cluster's label.
        revisions: ControllerRevisions with the cluster's label.
        nodes: by name, the nodes that ``pods`` are on; one that is missing does not exist (confirmed, not cached).
        policy: the policy that places the members; None where there is none.
        domains: by topology key of the policy's failure domains, all values that nodes of the cluster have.
        violations: names of the policy's rules that the members break where they are now.
        misplaced: uids of pods to be placed anew: placed while a domain was out, they break a rule now that made
            allowance for that, and could be placed elsewhere. One is enough, since each move changes the others' case.
        stranded: names of claims whose volume is pinned to nodes of which none exists any more.
        templates: by revision, what the API server says of a pod of it: "" is accepted, else the refusal.
    """

    cluster: StatefulCluster
    service: Service | None = None
    pods: tuple[Pod, ...] = ()
    claims: tuple[Claim, ...] = ()
    budgets: tuple[Budget, ...] = ()
    revisions: tuple[Revision, ...] = ()
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    policy: SchedulingPolicySpec | None = None
    domains: Mapping[str, frozenset[str]] = field(default_factory=dict)
    violations: tuple[str, ...] = ()
    misplaced: frozenset[str] = frozenset()
    stranded: frozenset[str] = frozenset()
    templates: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing_policy(self) -> str:
        """The name of the policy that the spec refers to and that does not exist; "" where all is well."""
        ref = self.cluster.spec.scheduling_policy_ref
        return ref.name if ref is not None and self.policy is None else ""

    def owns(self, obj: objects.KubeObject) -> bool:
        """Whether the object's controller is this very cluster, not one of the same name before it."""
        return any(ref.controller and ref.uid == self.cluster.metadata.uid for ref in obj.metadata.owner_references)


def controller(obj: objects.KubeObject) -> objects.OwnerReference | None:
    """The owner that manages the object, if any."""
    return next((ref for ref in obj.metadata.owner_references if ref.controller), None)


def condition(conditions: list[TimedCondition], type_: str) -> TimedCondition | None:
    """The condition of this type, if it is there."""
    return next((each for each in conditions if each.type == type_), None)


def parse_time(text: str | None) -> datetime | None:
    """An API timestamp (RFC 3339, UTC); None where there is none."""
    if not text:
        return None
    return datetime.fromisoformat(text).astimezone(UTC)


_HOSTNAME = "kubernetes.io/hostname"


def pinned_hosts(volume: objects.PersistentVolume) -> frozenset[str]:
    """The host names that a volume is tied to, or nothing where other nodes could use it as well.

    A volume is tied to hosts when each of its node selector terms names hosts, by the hostname label or by
    metadata.name; a zone without nodes today may have some tomorrow, so zonal volumes are never tied.
    """
    required = volume.spec.node_affinity.required if volume.spec.node_affinity else None
    hosts: set[str] = set()
    for term in required.node_selector_terms if required else ():
        named = [
            each.values
            for each in (*term.match_expressions, *term.match_fields)
            if each.operator == "In" and each.key in {_HOSTNAME, "metadata.name"}
        ]
        if not named:
            return frozenset()
        hosts.update(*named)
    return frozenset(hosts)
