"""Members whose pod or node is beyond repair, and objects that have drifted: the part of ``decide`` that heals."""

from __future__ import annotations

from datetime import datetime

import msgspec

from stowplan.api import cluster as api
from stowplan.api import common
from stowplan.api.base import seconds
from stowplan.model import objects
from stowplan.model.words import counted
from stowplan.reconcile import specs
from stowplan.reconcile.actions import Create, Delete, Kind, Patch
from stowplan.reconcile.classify import Group, Member, State, age, leaving
from stowplan.reconcile.observed import Budget, BudgetSpec, Claim, Observed, ServiceSpec, controller
from stowplan.reconcile.plan import Draft, Problem

FAILED_PAUSE = 10.0
"""Seconds that a pod must have existed before it is replaced for having failed: one that fails at once must not be
made anew in a tight loop."""
FOREIGN_PAUSE = 10.0
"""Seconds after which an object in the way is looked at again: Services are not watched, and the remains of a cluster
of the same name are on their way out."""


def service(observed: Observed, draft: Draft) -> None:
    """The headless Service exists, is ours, and leads to the members; what else it says, such as ports, may stay."""
    cluster, found = observed.cluster, observed.service
    if found is None:
        draft.do(Create(kind="Service", name=cluster.metadata.name, manifest=specs.service(cluster)))
    elif ours("Service", observed, found, draft):
        selector = {common.LABEL_CLUSTER: cluster.metadata.name}
        if found.spec != ServiceSpec(selector=selector, publish_not_ready_addresses=True):
            others: dict[str, str | None] = dict.fromkeys(found.spec.selector)
            body: specs.Manifest = {"selector": {**others, **selector}, "publishNotReadyAddresses": True}
            draft.do(Patch(
                kind="Service", name=found.metadata.name, uid=found.metadata.uid, body={"spec": body},
                why="it leads to the members",
            ))  # fmt: skip


def ours(kind: Kind, observed: Observed, obj: objects.KubeObject, draft: Draft) -> bool:
    """Whether an object is this cluster's; one with its label that nobody owns (any more) is adopted."""
    cluster = observed.cluster
    if observed.owns(obj):
        return True
    if controller(obj) is None and obj.metadata.labels.get(common.LABEL_CLUSTER) == cluster.metadata.name:
        draft.do(Patch(
            kind=kind, name=obj.metadata.name, uid=obj.metadata.uid, why="adopt it",
            body={"metadata": {"ownerReferences": [specs.owner_reference(cluster)]}},
        ))  # fmt: skip
    else:
        draft.problems.append(foreign(kind, obj))
        draft.wake(FOREIGN_PAUSE)
    return False


def foreign(kind: str, obj: objects.KubeObject) -> Problem:
    """An object of somebody else is where ours should be."""
    owner = controller(obj)
    whose = f"belongs to {owner.kind} {owner.name} ({owner.uid})" if owner else "has no owner"
    return Problem(
        reason="ForeignObject",
        message=f"the {kind} {obj.metadata.name} exists and {whose}: delete it, or rename the StatefulCluster",
    )


def budgets(observed: Observed, groups: tuple[Group, ...], draft: Draft) -> bool:
    """One PodDisruptionBudget for each node set; True where all of them are as they should be."""
    cluster = observed.cluster
    live = {budget.metadata.name: budget for budget in observed.budgets}
    planned = len(draft.actions)
    for group in groups:
        name = specs.budget_name(cluster.metadata.name, group.name)
        if group.spec is None:
            if any(member.pod is not None for member in group.every):
                live.pop(name, None)  # it goes after the last of its members
            continue
        found = live.pop(name, None)
        wanted = specs.budget(cluster, group.spec, size=group.size, hold=group.quorum and group.surplus > 0)
        if found is None:
            draft.do(Create(kind="PodDisruptionBudget", name=name, manifest=wanted))
        elif ours("PodDisruptionBudget", observed, found, draft):
            _budget_spec(found, wanted, group, draft)
    for name, budget in sorted(live.items()):
        mine = observed.owns(budget) or controller(budget) is None
        if mine and budget.metadata.deletion_timestamp is None:
            uid = budget.metadata.uid
            draft.do(Delete(kind="PodDisruptionBudget", name=name, uid=uid, why="its node set is gone"))
    return len(draft.actions) == planned


def _budget_spec(found: Budget, wanted: specs.Manifest, group: Group, draft: Draft) -> None:
    spec = wanted["spec"]
    assert isinstance(spec, dict)
    if found.spec != msgspec.convert(spec, BudgetSpec):
        draft.do(Patch(
            kind="PodDisruptionBudget", name=found.metadata.name, uid=found.metadata.uid,
            body={"spec": {**spec, "maxUnavailable": None}}, why=f"for {counted(group.size, 'member')}",
        ))  # fmt: skip


def metadata(observed: Observed, groups: tuple[Group, ...], draft: Draft) -> None:
    """Pods without an owner are adopted and have the spec's annotations, claims have the owner that they should."""
    for group in groups:
        for member in group.every:
            if member.live and member.pod is not None:
                _pod_metadata(observed, group.spec, member, draft)
            for claim in member.claims:
                _claim_owner(observed, claim, draft)


def _pod_metadata(observed: Observed, spec: api.NodeSet | None, member: Member, draft: Draft) -> None:
    cluster, pod = observed.cluster, member.pod
    assert pod is not None
    if controller(pod) is None:
        draft.do(Patch(
            kind="Pod", name=member.name, uid=pod.metadata.uid, why="adopt it",
            body={"metadata": {"ownerReferences": [specs.owner_reference(cluster)]}},
        ))  # fmt: skip
    if spec is None:
        return
    given = spec.template.metadata.annotations.get(common.ANNOTATION_POLICY)
    wanted: dict[str, str | None] = {
        specs.ANNOTATION_DRAIN: None, common.ANNOTATION_POLICY: given, **specs.live_annotations(cluster, spec)
    }  # fmt: skip
    have = pod.metadata.annotations
    if changed := {key: value for key, value in wanted.items() if have.get(key) != value}:
        draft.do(Patch(
            kind="Pod", name=member.name, uid=pod.metadata.uid, why="the spec says so, without a restart",
            body={"metadata": {"annotations": {**changed}}},
        ))  # fmt: skip


def _claim_owner(observed: Observed, claim: Claim, draft: Draft) -> None:
    cluster = observed.cluster
    owned = observed.owns(claim)
    wanted = cluster.spec.persistent_volume_claim_retention_policy.when_deleted == "Delete"
    if leaving(claim) or owned == wanted or (not owned and controller(claim) is not None):
        return
    reference: specs.Manifest = (
        specs.owner_reference(cluster) if wanted else {"$patch": "delete", "uid": cluster.metadata.uid}
    )
    draft.do(Patch(
        kind="PersistentVolumeClaim", name=claim.metadata.name, uid=claim.metadata.uid,
        body={"metadata": {"ownerReferences": [reference]}}, why=f"whenDeleted is {'Delete' if wanted else 'Retain'}",
    ))  # fmt: skip


def pods(observed: Observed, group: Group, now: datetime, draft: Draft) -> None:
    """Pods that will not serve again make room for new ones."""
    for member in group.every:
        pod = member.pod
        if pod is None:
            continue
        name, uid = member.name, pod.metadata.uid
        match member.state:
            case State.LOST:
                draft.do(Delete(kind="Pod", name=name, uid=uid, why=member.reason, force=True))
            case State.FAILED | State.SUCCEEDED:
                left = FAILED_PAUSE - age(pod, now).total_seconds()
                if left > 0:
                    draft.hold(name, "replace the pod", f"{member.reason}; tried again in a moment")
                    draft.wake(left)
                else:
                    draft.do(Delete(kind="Pod", name=name, uid=uid, why=member.reason))
            case State.UNREACHABLE:
                _unreachable(observed.cluster.spec.node_failure, member, now, draft)
            case _:
                pass


def _unreachable(spec: api.NodeFailure, member: Member, now: datetime, draft: Draft) -> None:
    pod, node = member.pod, member.node
    assert pod is not None
    assert node is not None
    if spec.replace_after is None:
        draft.hold(member.name, "replace the pod", f"{member.reason}; nodeFailure.replaceAfter is not set")
        return
    after = seconds(spec.replace_after)
    left = after - (now - node.since).total_seconds() if node.since is not None else after
    if left <= 0:
        draft.do(Delete(kind="Pod", name=member.name, uid=pod.metadata.uid, why=f"{member.reason}: replace it"))
        return
    draft.hold(member.name, "replace the pod", f"{member.reason}; replaced after {spec.replace_after}")
    draft.wake(left)


def stranded(observed: Observed, group: Group, draft: Draft) -> None:
    """Claims pinned to nodes that do not exist any more are given up, where the spec says so and nothing runs there."""
    for member in group.members:
        if member.placed:
            continue
        for claim in member.claims:
            if claim.metadata.name not in observed.stranded or leaving(claim):
                continue
            if observed.cluster.spec.node_failure.volumes == "ReplaceIfNodeGone":
                draft.do(Delete(
                    kind="PersistentVolumeClaim", name=claim.metadata.name, uid=claim.metadata.uid,
                    why="its volume is on a node that does not exist any more",
                ))  # fmt: skip
            else:
                draft.hold(claim.metadata.name, "replace the volume",
                           "its node does not exist any more, and nodeFailure.volumes is Keep")  # fmt: skip
