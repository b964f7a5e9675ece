"""StatefulCluster: the members of a stateful service, with their volumes, as one object.

``reconcile`` decides from the spec what to do next; ``handlers`` do it and write the status.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from stowplan.api.base import (
    ApiModel,
    Bool,
    DnsLabel,
    Duration,
    Int,
    IntOrPercent,
    ListMap,
    ListSet,
    ObjectName,
    Rule,
    SomeOrPercent,
    cel,
)
from stowplan.api.common import API_VERSION, Condition, ObjectMeta
from stowplan.api.core import PodTemplateSpec, VolumeClaimTemplate

KIND: Final = "StatefulCluster"
PLURAL = "statefulclusters"
SHORT_NAMES = ("stc",)

READY = "Ready"
PROGRESSING = "Progressing"
DEGRADED = "Degraded"
PLACEMENT_SATISFIED = "PlacementSatisfied"
VOLUMES_READY = "VolumesReady"

MAX_REPLICAS = 9999
MAX_NODE_SETS = 32
MAX_NAMES = 57
"""Characters for the cluster's and the node set's name: ``<cluster>-<nodeSet>-<n>`` is a hostname of at most 63, with
two dashes and an ordinal of up to four digits."""

Replicas = Annotated[Int, Field(ge=0, le=MAX_REPLICAS)]


class SchedulingPolicyRef(ApiModel):
    """Names a SchedulingPolicy of the same namespace."""

    name: ObjectName
    """The name of the policy."""


class DrainHttpPost(ApiModel):
    """A request to a member's pod."""

    path: Annotated[str, Field(pattern=r"^/[^\s]*$", max_length=1024)] = "/"
    """The path of the URL."""
    port: Annotated[Int, Field(ge=1, le=65535)]
    """The port of the pod."""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    """HTTPS takes any certificate, as probes do."""


class Drain(ApiModel):
    """What a member is asked before it is removed for good: to give away what it holds.

    It is asked when its set shrinks or is taken out of the spec; not when its pod is replaced or evicted, or the whole
    cluster is deleted: for these there is a container's preStop hook.
    """

    http_post: DrainHttpPost
    """An empty POST, sent again and again until the answer is 200 (or any other 2xx but 202, which means: not yet).
    It must do no harm to be asked twice, nor to be asked for nothing when the set grows again."""
    timeout: Duration = "10m"
    """How long that may take."""
    on_timeout: Literal["Hold", "Continue"] = "Hold"
    """Hold: the member stays, the conditions say so, and it is asked now and then. Continue: it is removed anyway."""


class NodeSet(ApiModel):
    """Members of one kind: the same template, roles and volumes."""

    transitions = (
        Rule(
            cel="(has(self.roles) ? self.roles : []) == (has(oldSelf.roles) ? oldSelf.roles : [])",
            message="the roles of a node set cannot be changed; add a new node set and remove this one",
            field=".roles",
        ),
        Rule(
            cel="!has(self.volumeClaimTemplates) || !has(oldSelf.volumeClaimTemplates)"
            " || self.volumeClaimTemplates.all(t, oldSelf.volumeClaimTemplates.all(o,"
            " o.metadata.name != t.metadata.name || quantity(string(t.spec.resources.requests.storage))"
            ".compareTo(quantity(string(o.spec.resources.requests.storage))) >= 0))",
            message="the storage of a volume claim template cannot shrink",
            field=".volumeClaimTemplates",
        ),
    )

    name: Annotated[DnsLabel, Field(max_length=MAX_NAMES - 1)]
    """The name of the set: its members are called <cluster>-<name>-<n>."""
    roles: Annotated[tuple[Annotated[DnsLabel, Field(max_length=63)], ...], ListSet(max_items=16)] = ()
    """What the members do. Each role becomes a label role.stowplan.dev/<role>: "true" of theirs, for the rules of a
    policy and for Services. The roles of a set cannot be changed."""
    quorum: Bool = False
    """Never let a majority of this set be unavailable by Stowplan's own doing, and count the set as down when a
    majority of it is."""
    replicas: Replicas | None = None
    """How many members. Default: 1, or spec.replicas."""
    template: PodTemplateSpec
    """The pods of the members, as in core/v1."""
    volume_claim_templates: Annotated[tuple[VolumeClaimTemplate, ...], Field(max_length=16)] = ()
    """The volumes of each member: a claim <template>-<pod> is made from each template and stays with the member."""
    drain: Drain | None = None
    """What a member is asked before it is removed for good. Absent: nothing."""

    @cel(
        "!has(self.volumeClaimTemplates) || self.volumeClaimTemplates.all(t,"
        " self.volumeClaimTemplates.exists_one(u, u.metadata.name == t.metadata.name))",
        "two volume claim templates have the same name",
        field=".volumeClaimTemplates",
    )
    def _claim_names_are_unique(self) -> bool:
        names = [template.metadata.name for template in self.volume_claim_templates]
        return len(names) == len(set(names))


class UpdateStrategy(ApiModel):
    """How a changed template reaches the running members."""

    type: Literal["RollingUpdate", "OnDelete"] = "RollingUpdate"
    """RollingUpdate: members are replaced step by step, each step waiting until they are ready. OnDelete: a member
    gets the new template when somebody deletes its pod."""
    order: Annotated[tuple[DnsLabel, ...], Field(max_length=32)] = ()
    """Names of node sets, or roles: which sets are updated first. Sets that are not named follow in the order of
    nodeSets."""
    max_unavailable: SomeOrPercent = 1
    """How many members of a set may be unavailable at once while it is updated: a number, or a percentage of its
    members, rounded up. Never more than disruptionBudget allows."""
    partition: Annotated[Int, Field(ge=0, le=MAX_REPLICAS)] = 0
    """Only members with this ordinal or a higher one are updated. The others keep the template that they have, also
    when they lose their pod."""


class ScaleDown(ApiModel):
    """Which members go when a set shrinks."""

    victim: Literal["DomainBalanced", "HighestOrdinal"] = "DomainBalanced"
    """DomainBalanced: the member whose removal leaves the failure domains most even; ordinals may have gaps, which are
    filled first when the set grows again. HighestOrdinal: as a StatefulSet does."""


class NodeFailure(ApiModel):
    """What happens to a member whose node does not come back."""

    replace_after: Duration | None = None
    """How long a node must have been unreachable, such as 10m, before the pods of its members are deleted. A
    replacement starts once it is sure that the old pod has stopped: its node says so, is deleted, or is tainted
    node.kubernetes.io/out-of-service. Absent: the pods are deleted only then."""
    volumes: Literal["Keep", "ReplaceIfNodeGone"] = "Keep"
    """Keep: a member waits for its volumes. ReplaceIfNodeGone: a claim whose volume is pinned to a node that no longer
    exists is given up, and the member starts with an empty one."""


class ClaimRetentionPolicy(ApiModel):
    """Whether claims outlive their members."""

    when_deleted: Literal["Retain", "Delete"] = "Retain"
    """What happens to the claims when the StatefulCluster is deleted."""
    when_scaled: Literal["Retain", "Delete"] = "Retain"
    """What happens to a member's claims when its set shrinks."""


class DisruptionBudget(ApiModel):
    """How many members may be evicted at once."""

    max_unavailable: IntOrPercent = 1
    """How many members of each node set may be unavailable when a node is drained: a number, or a percentage of the
    set's members, rounded up. 0 refuses every eviction."""


class StatefulClusterSpec(ApiModel):
    """The members wanted, and how they are changed and repaired."""

    scheduling_policy_ref: SchedulingPolicyRef | None = None
    """The SchedulingPolicy that places the members. Absent: the one whose selector matches them, if any."""
    paused: Bool = False
    """Make no changes; status is still kept."""
    replicas: Replicas | None = None
    """Shorthand for a cluster with one node set whose own replicas is left out: what kubectl scale and a
    HorizontalPodAutoscaler write. An autoscaler needs it to be there. Leave it out otherwise: kubectl apply
    --server-side takes no null here."""
    node_sets: Annotated[tuple[NodeSet, ...], Field(min_length=1), ListMap("name", max_items=MAX_NODE_SETS)]
    """The kinds of member."""
    update_strategy: UpdateStrategy = UpdateStrategy()
    """How a changed template reaches the running members."""
    scale_down: ScaleDown = ScaleDown()
    """Which members go when a set shrinks."""
    node_failure: NodeFailure = NodeFailure()
    """What happens to a member whose node does not come back."""
    persistent_volume_claim_retention_policy: ClaimRetentionPolicy = ClaimRetentionPolicy()
    """Whether claims outlive their members."""
    disruption_budget: DisruptionBudget = DisruptionBudget()
    """How many members may be evicted at once."""

    @cel(
        "!has(self.replicas) || size(self.nodeSets) < 2",
        "replicas is for a cluster with one node set; this one has several: set nodeSets[].replicas instead",
        field=".replicas",
    )
    def _replicas_is_for_one_set(self) -> bool:
        return self.replicas is None or len(self.node_sets) < 2

    @cel(
        "!has(self.replicas) || size(self.nodeSets) != 1 || !has(self.nodeSets[0].replicas)",
        "replicas and nodeSets[0].replicas say the same thing: leave one of them out",
        field=".replicas",
    )
    def _replicas_is_said_once(self) -> bool:
        return self.replicas is None or len(self.node_sets) != 1 or self.node_sets[0].replicas is None

    def wanted(self, node_set: NodeSet) -> int:
        """How many members ``node_set`` shall have."""
        if node_set.replicas is not None:
            return node_set.replicas
        return 1 if self.replicas is None else self.replicas


class NodeSetStatus(ApiModel):
    """The members of one node set, counted."""

    model_config = ConfigDict(extra="ignore")

    name: str
    """The name of the node set."""
    replicas: Int = 0
    """Members that exist."""
    scheduled: Int = 0
    """Those of them that have a node."""
    ready: Int = 0
    """Those of them that are ready."""
    updated: Int = 0
    """Those of them that have the template of the spec."""


class PlacementStatus(ApiModel):
    """Where the members are, by one failure domain of the policy."""

    model_config = ConfigDict(extra="ignore")

    domain: str
    """The name of the failure domain."""
    counts: dict[str, Int] = Field(default_factory=dict)
    """Members in each domain."""
    skew: Int = 0
    """The difference between the fullest and the emptiest domain."""


class PendingChange(ApiModel):
    """Something that the controller would do next, and what holds it back."""

    model_config = ConfigDict(extra="ignore")

    target: str
    """The member or object that it is about."""
    change: str
    """What would be done."""
    held_by: str = ""
    """What holds it back; empty where it is under way."""


class ClusterSummary(ApiModel):
    """Texts for the columns of kubectl get."""

    model_config = ConfigDict(extra="ignore")

    ready: str = ""
    """Ready and wanted members, such as 5/6."""
    updated: str = ""
    """Updated and wanted members, such as 6/6."""
    survives: str = ""
    """The failure domains of which any single one may fail, such as zone,rack,host."""


class StatefulClusterStatus(ApiModel):
    """What runs at the moment."""

    model_config = ConfigDict(extra="ignore")

    observed_generation: Int = 0
    """The metadata.generation that this status is about."""
    replicas: Int = 0
    """Members that exist."""
    ready_replicas: Int = 0
    """Those of them that are ready."""
    updated_replicas: Int = 0
    """Those of them that have the template of the spec."""
    selector: str = ""
    """The label selector of the members, for kubectl scale and a HorizontalPodAutoscaler."""
    node_sets: Annotated[tuple[NodeSetStatus, ...], ListMap("name", max_items=MAX_NODE_SETS)] = ()
    """The members by node set."""
    placement: tuple[PlacementStatus, ...] = ()
    """Where the members are, by failure domain of the policy."""
    survives: tuple[str, ...] = ()
    """Failure domains of which any single one may fail and every quorum set keeps its majority, every other set a
    member."""
    pending_changes: tuple[PendingChange, ...] = ()
    """What the controller would do next and what holds it back."""
    conditions: Annotated[tuple[Condition, ...], ListMap("type", max_items=16)] = ()
    """Ready, Progressing, Degraded, PlacementSatisfied and VolumesReady."""
    summary: ClusterSummary = ClusterSummary()
    """Texts for the columns of kubectl get."""


class StatefulCluster(ApiModel):
    """The members of a stateful service, with their volumes, placed over failure domains and kept that way.

    It owns Pods, PersistentVolumeClaims, a headless Service and a PodDisruptionBudget per node set.
    """

    api_version: Literal["stowplan.dev/v1alpha1"] = API_VERSION
    kind: Literal["StatefulCluster"] = KIND
    metadata: ObjectMeta
    spec: StatefulClusterSpec
    """The members wanted, and how they are changed and repaired."""
    status: StatefulClusterStatus = StatefulClusterStatus()
    """What runs at the moment; written by Stowplan."""

    @cel(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "the name of a StatefulCluster is also that of its Service: lower case letters, digits and dashes, starting"
        " with a letter",
        field=".metadata.name",
    )
    def _name_suits_a_service(self) -> bool:
        return re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", self.metadata.name) is not None

    @cel(
        f"self.spec.nodeSets.all(s, size(self.metadata.name) + size(s.name) <= {MAX_NAMES})",
        "members are called <cluster>-<nodeSet>-<n>, which must fit into 63 characters: the names of the cluster and"
        f" of each node set may have {MAX_NAMES} characters together",
        field=".metadata.name",
    )
    def _member_names_fit(self) -> bool:
        return all(len(self.metadata.name) + len(s.name) <= MAX_NAMES for s in self.spec.node_sets)
