"""Every member in one named state, with the reason: what ``decide`` and ``status`` look at instead of raw pods.

``fleet`` is called once per reconcile. The states exclude each other; whether a member is outdated is a fact of its
own, because a member in any state can be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from stowplan.api import cluster as api
from stowplan.api import common
from stowplan.reconcile import specs
from stowplan.reconcile.observed import Claim, NodeView, Observed, Pod, condition, controller, parse_time


class State(Enum):
    """What a member is doing."""

    MISSING = "Missing"
    """It has no pod: none was made yet, or it was deleted."""
    FOREIGN = "Foreign"
    """A pod that belongs to somebody else, such as an earlier cluster of this name, has its name."""
    PENDING = "Pending"
    """Its pod waits to be placed."""
    UNSCHEDULABLE = "Unschedulable"
    """The scheduler found no node for its pod."""
    STARTING = "Starting"
    """It has a node and was not ready yet."""
    BROKEN = "Broken"
    """It has a node and cannot start: no such image, a crash loop."""
    READY = "Ready"
    """It serves."""
    NOT_READY = "NotReady"
    """It was ready, and is not any more."""
    UNREACHABLE = "Unreachable"
    """Its node is not ready: nobody can tell whether it still runs."""
    TERMINATING = "Terminating"
    """Its pod is being deleted and may still run."""
    LOST = "Lost"
    """Its node does not exist any more, or is vouched to be off: it does not run, whatever its pod says."""
    FAILED = "Failed"
    """Its containers ended with an error, or it was evicted by its kubelet."""
    SUCCEEDED = "Succeeded"
    """Its containers ended, which a member's should not."""


STARTED_BEFORE_READY = timedelta(seconds=2)
"""A kubelet writes Ready=False together with the start time (pkg/kubelet/status/generate.go); where it turned False
later than that, it was True in between."""

NO_START = frozenset({
    "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
})  # fmt: skip
"""Reasons of a waiting container that do not pass by waiting (pkg/kubelet/images/types.go, pkg/kubelet/container)."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One identity of a node set: its pod, its claims, its state.

    Attributes:
        identity: the node set and the ordinal.
        name: the name of its pod.
        pod: the pod with that name, if there is one.
        claims: its claims, also those that wait for its return.
        state: what it is doing.
        reason: why, for people; empty where there is nothing to say.
        node: the node its pod is on, where that exists.
        outdated: its pod has another revision than the spec.
    """

    identity: specs.Identity
    name: str
    pod: Pod | None
    claims: tuple[Claim, ...]
    state: State
    reason: str
    node: NodeView | None
    outdated: bool

    @property
    def ordinal(self) -> int:
        """Its number in the node set."""
        return self.identity.ordinal

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self.state is State.READY

    @property
    def live(self) -> bool:
        """Whether it has a pod of ours that is not being deleted."""
        return self.pod is not None and self.pod.metadata.deletion_timestamp is None and self.state is not State.FOREIGN

    @property
    def placed(self) -> bool:
        """Whether its pod has a node."""
        return self.pod is not None and self.state is not State.FOREIGN and bool(self.pod.spec.node_name)

    @property
    def present(self) -> bool:
        """Whether it counts as a member of its set: it lives, or holds a volume and will be given a pod again."""
        return self.live or any(not released(claim) and not leaving(claim) for claim in self.claims)

    @property
    def marked(self) -> bool:
        """Whether one of its claims says that it was scaled away, or is about to be."""
        return any(released(claim) for claim in self.claims)

    @property
    def leaves(self) -> bool:
        """Whether its removal has begun."""
        return self.marked or (self.pod is not None and specs.ANNOTATION_DRAINING in self.pod.metadata.annotations)


@dataclass(frozen=True, kw_only=True)
class Group:
    """The members of one node set.

    Attributes:
        name: the node set's name.
        spec: the node set; None where the spec has it no longer.
        wanted: how many members it shall have.
        revision: the revision they shall have; "" where ``spec`` is None.
        stable: the set with the last template that served with all its members; None where no other than that of
            ``spec`` is known.
        every: every identity that has a pod or a claim, by ordinal.
    """

    name: str
    spec: api.NodeSet | None
    wanted: int
    revision: str
    stable: api.NodeSet | None
    every: tuple[Member, ...]

    @property
    def members(self) -> tuple[Member, ...]:
        """Those that are members now; the others are only being deleted, or are volumes that were kept."""
        return tuple(member for member in self.every if member.present)

    @property
    def surplus(self) -> int:
        """How many members there are too many."""
        return max(len(self.members) - self.wanted, 0)

    @property
    def size(self) -> int:
        """How many members a majority is counted of: those that are and those that shall be."""
        return max(len(self.members), self.wanted)

    @property
    def ready(self) -> int:
        """How many members serve."""
        return sum(member.ready for member in self.members)

    @property
    def quorum(self) -> bool:
        """Whether a majority must never be unavailable by our own doing."""
        return self.spec is not None and self.spec.quorum

    @property
    def settled(self) -> bool:
        """Whether all members wanted, and no others, are ready."""
        return len(self.members) == self.wanted == self.ready and not any(
            member.state is State.TERMINATING for member in self.every
        )


def majority(size: int) -> int:
    """The least number that is more than half of ``size``; 0 of nothing."""
    return size // 2 + 1 if size else 0


def released(claim: Claim) -> bool:
    """Whether the claim's member was scaled away."""
    return specs.ANNOTATION_RELEASED in claim.metadata.annotations


def leaving(claim: Claim) -> bool:
    """Whether the claim is being deleted."""
    return claim.metadata.deletion_timestamp is not None


def fleet(observed: Observed) -> tuple[Group, ...]:
    """All members, by node set: first those of the spec in its order, then sets that are no longer in it."""
    pods: dict[specs.Identity, Pod] = {}
    claims: dict[specs.Identity, list[Claim]] = {}
    for pod in observed.pods:
        identity = specs.identity(pod.metadata)
        if identity is not None and pod.metadata.name == specs.pod_name(observed.cluster.metadata.name, identity):
            pods[identity] = pod
    for claim in observed.claims:
        if (identity := specs.identity(claim.metadata)) is not None:
            claims.setdefault(identity, []).append(claim)
    seen = sorted(pods.keys() | claims.keys())

    def group(name: str, spec: api.NodeSet | None) -> Group:
        revision = specs.revision(spec) if spec is not None else ""
        members = (
            _member(observed, identity, pods.get(identity), claims.get(identity, ()), revision)
            for identity in seen
            if identity.node_set == name
        )
        wanted = observed.cluster.spec.wanted(spec) if spec is not None else 0
        stable = _stable(observed, spec, revision) if spec is not None else None
        return Group(name=name, spec=spec, wanted=wanted, revision=revision, stable=stable, every=tuple(members))

    kept = {node_set.name: node_set for node_set in observed.cluster.spec.node_sets}
    gone = sorted({identity.node_set for identity in seen} - kept.keys())
    return (*(group(name, spec) for name, spec in kept.items()), *(group(name, None) for name in gone))


def _stable(observed: Observed, spec: api.NodeSet, revision: str) -> api.NodeSet | None:
    """The newest template kept of the set, unless it is that of the spec."""
    kept = [each for each in observed.revisions if each.metadata.labels.get(common.LABEL_NODE_SET) == spec.name]
    for each in sorted(kept, key=lambda one: one.revision, reverse=True):
        named = each.metadata.labels.get(common.LABEL_REVISION, "")
        found = specs.stored(spec, each.data, named) if observed.owns(each) else None
        if found is not None:
            return found if named != revision else None
    return None


def _member(
    observed: Observed,
    identity: specs.Identity,
    pod: Pod | None,
    claims: Iterable[Claim],
    revision: str,
) -> Member:
    node = observed.nodes.get(pod.spec.node_name) if pod is not None else None
    state, reason = _state(observed, pod, node)
    return Member(
        identity=identity,
        name=specs.pod_name(observed.cluster.metadata.name, identity),
        pod=pod,
        claims=tuple(sorted(claims, key=lambda claim: claim.metadata.name)),
        state=state,
        reason=reason,
        node=node,
        outdated=pod is not None and bool(revision) and pod.metadata.labels.get(common.LABEL_REVISION) != revision,
    )


def _state(observed: Observed, pod: Pod | None, node: NodeView | None) -> tuple[State, str]:
    """The rules, first match wins."""
    if pod is None:
        return State.MISSING, "it has no pod"
    owner = controller(pod)
    if owner is not None and not observed.owns(pod):
        return State.FOREIGN, f"the pod {pod.metadata.name} belongs to {owner.kind} {owner.name} ({owner.uid})"
    where = pod.spec.node_name
    if where and node is None:
        return State.LOST, f"its node {where} does not exist any more"
    if node is not None and node.out_of_service and not node.ready:
        return State.LOST, f"its node {where} is out of service"
    if pod.metadata.deletion_timestamp is not None:
        if node is not None and not node.ready:
            return State.TERMINATING, (
                f"its node {where} is not ready and cannot confirm that the pod has stopped: once it is off, delete"
                " the node, or taint it node.kubernetes.io/out-of-service"
            )
        return State.TERMINATING, "its pod is being deleted"
    if pod.status.phase == "Failed":
        return State.FAILED, _joined(pod.status.reason or "its containers failed", pod.status.message)
    if pod.status.phase == "Succeeded":
        return State.SUCCEEDED, "its containers have ended"
    if not where:
        scheduled = condition(pod.status.conditions, "PodScheduled")
        if scheduled is not None and scheduled.status == "False" and scheduled.reason == "Unschedulable":
            return State.UNSCHEDULABLE, scheduled.message
        return State.PENDING, "it waits to be placed"
    if node is not None and not node.ready:
        return State.UNREACHABLE, f"its node {where} is not ready"
    return _running(pod)


def _running(pod: Pod) -> tuple[State, str]:
    ready = condition(pod.status.conditions, "Ready")
    if ready is not None and ready.status == "True":
        return State.READY, ""
    for container in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        waiting = container.state.waiting
        if waiting is not None and waiting.reason in NO_START:
            return State.BROKEN, _joined(f"container {container.name}: {waiting.reason}", waiting.message)
    started = parse_time(pod.status.start_time)
    turned = parse_time(ready.last_transition_time) if ready is not None else None
    if started is not None and turned is not None and turned - started > STARTED_BEFORE_READY:
        return State.NOT_READY, "it was ready and is not any more"
    return State.STARTING, "it is starting"


def _joined(reason: str, message: str) -> str:
    return f"{reason}: {message}" if message else reason


def age(pod: Pod, now: datetime) -> timedelta:
    """How long ago the pod was made."""
    created = parse_time(pod.metadata.creation_timestamp)
    return now - created if created is not None else timedelta(0)
