"""Members that are too many go, members that are too few come: the part of ``decide`` about how many there are.

A member with volumes that is scaled away is marked on its claims first (``specs.ANNOTATION_RELEASED``), then its pod is
deleted. So a claim without a mark always belongs to a member that shall have a pod, and whoever looks after a crash in
between goes on with the same member. Claims that were kept are used again when their ordinal is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import count
from typing import Final

from pydantic import JsonValue

from stowplan.api import common
from stowplan.api.policy import FailureDomain
from stowplan.model.words import counted
from stowplan.reconcile import draining, resizing, revisions, rollout, specs
from stowplan.reconcile.actions import Create, Delete, Patch
from stowplan.reconcile.classify import Group, Member, State, leaving, majority, released
from stowplan.reconcile.observed import Claim, Observed, controller
from stowplan.reconcile.placement import victim
from stowplan.reconcile.plan import Draft

CLAIM: Final = "PersistentVolumeClaim"


def shrink(
    observed: Observed,
    group: Group,
    domains: tuple[FailureDomain, ...],
    now: datetime,
    draft: Draft,
    *,
    held_by: str,
) -> Member | None:
    """Take away one member of a set that has too many, and wait until it is gone before the next.

    Args:
        observed: the cluster.
        group: the set.
        domains: over which it stays balanced.
        now: the time, UTC.
        draft: where the writes go.
        held_by: what keeps ready members from being taken away now; "" where nothing does.

    Returns:
        The member that is on its way out, or would be if nothing held it back.
    """
    if not group.surplus:
        return None
    leaves = victim(group, observed.cluster.spec.scale_down, domains)
    change = f"remove the member, {len(group.members)} of {group.wanted} wanted"
    stopping = next((member for member in group.every if member.state is State.TERMINATING), None)
    if stopping is not None and leaves.live:
        held_by = f"{stopping.name} has not stopped yet: {stopping.reason}"
    elif leaves.ready and group.quorum:
        left = group.ready - 1
        needed = majority(len(group.members) - 1)
        if left < needed:
            held_by = f"only {counted(left, 'ready member')} of {needed} needed for a majority would be left"
    elif not leaves.ready:
        held_by = ""
    held_by = held_by or draining.holds(leaves, now, draft)
    if held_by:
        draft.hold(leaves.name, change, held_by)
        return leaves
    promise = observed.cluster.spec.persistent_volume_claim_retention_policy.when_scaled
    for claim in leaves.claims:
        if not released(claim) and not leaving(claim):
            draft.do(_mark(claim, promise, f"{leaves.name} is scaled away"))
    if leaves.live and leaves.pod is not None:
        draft.do(Delete(kind="Pod", name=leaves.name, uid=leaves.pod.metadata.uid, why=change))
    return leaves


def _mark(claim: Claim, value: str | None, why: str) -> Patch:
    annotations: dict[str, JsonValue] = {specs.ANNOTATION_RELEASED: value}
    if common.ANNOTATION_GROWING in claim.metadata.annotations:
        annotations[common.ANNOTATION_GROWING] = None  # nobody is waited for
    return Patch(
        kind=CLAIM,
        name=claim.metadata.name,
        uid=claim.metadata.uid,
        body={"metadata": {"annotations": annotations}},
        why=why,
    )


def doomed(observed: Observed, claim: Claim) -> bool:
    """Whether the claim of a member that was scaled away is to be deleted: promised then, and still asked for."""
    policy = observed.cluster.spec.persistent_volume_claim_retention_policy
    return policy.when_scaled == "Delete" == claim.metadata.annotations.get(specs.ANNOTATION_RELEASED)


def clean(observed: Observed, group: Group, draft: Draft) -> None:
    """Claims of members that were scaled away go once their pod has gone, if the retention policy says so."""
    for member in group.every:
        if member.present or member.pod is not None:
            continue
        for claim in member.claims:
            if doomed(observed, claim) and not leaving(claim) and not _foreign(observed, claim):
                draft.do(Delete(kind=CLAIM, name=claim.metadata.name, uid=claim.metadata.uid,
                                why=f"{member.name} was scaled away and whenScaled is Delete"))  # fmt: skip


def grow(observed: Observed, group: Group, now: datetime, draft: Draft, *, leaves: Member | None) -> None:
    """Give a pod to every member that has none: first those that hold volumes, then new ones, gaps first."""
    spec = group.spec
    if spec is None:
        return
    choice = revisions.Choice(observed, group, spec)
    known = {member.ordinal: member for member in group.every}
    for ordinal in _ordinals(group):
        member = known.get(ordinal)
        if member is not None and member is leaves:
            continue
        if member is not None:
            draining.stays(member, draft)
        if member is not None and member.marked and member.present:
            for claim in member.claims:
                if released(claim) and not leaving(claim):
                    draft.do(_mark(claim, None, f"{member.name} stays"))
        if member is None or not member.live:
            _create(observed, choice, ordinal, member, now, draft)
        elif not member.placed:
            _complete(observed, choice, member, draft)


def _ordinals(group: Group) -> Iterator[int]:
    """The ordinals that the set's members shall have, as far as there is room: those they have, then gaps.

    An ordinal whose pod is still stopping is filled before a free one, so that a restart does not rename a member.
    """
    have = [member.ordinal for member in group.members]
    yield from have
    room = group.wanted - len(have)
    if room <= 0:
        return
    stopping = [member.ordinal for member in group.every if not member.present and member.pod is not None]
    yield from stopping[:room]
    taken = {*have, *stopping}
    free = (ordinal for ordinal in count() if ordinal not in taken)
    for _ in range(room - len(stopping)):
        yield next(free)


def _create(  # noqa: PLR0917
    observed: Observed, choice: revisions.Choice, ordinal: int, member: Member | None, now: datetime, draft: Draft
) -> None:
    cluster = observed.cluster
    name = specs.pod_name(cluster.metadata.name, specs.Identity(choice.node_set, ordinal))
    existing = {claim.metadata.name: claim for claim in member.claims} if member is not None else {}
    spec = choice.template(ordinal)
    wanted = specs.claims(cluster, spec, ordinal)
    old = [existing[each] for each in map(_name, wanted) if each in existing]
    blocked = _blocked(observed, member, old) or resizing.detached(old, now, draft)
    if not blocked and choice.unproven(spec) and rollout.judged(observed, choice.group, spec, draft) is None:
        blocked = rollout.UNJUDGED
    if blocked:
        draft.hold(name, "create the pod", blocked)
        return
    serves = choice.serves(spec)
    for manifest in wanted:
        claim = existing.get(_name(manifest))
        if claim is None:
            draft.do(Create(kind=CLAIM, name=_name(manifest), manifest=manifest, serves=serves))
        elif released(claim) and not (member is not None and member.present):
            draft.do(_mark(claim, None, f"{name} is needed again"))
    draft.do(Create(kind="Pod", name=name, manifest=specs.pod(cluster, spec, ordinal), serves=serves))
    choice.given(spec)


def _complete(observed: Observed, choice: revisions.Choice, member: Member, draft: Draft) -> None:
    """A pod that waits for a claim which was given up, or deleted by somebody, gets another one."""
    spec = choice.of(member)
    existing = {claim.metadata.name for claim in member.claims}
    for manifest in specs.claims(observed.cluster, spec, member.ordinal) if spec is not None else ():
        if _name(manifest) not in existing:
            draft.do(Create(kind=CLAIM, name=_name(manifest), manifest=manifest))


def _blocked(observed: Observed, member: Member | None, claims: list[Claim]) -> str:
    if observed.missing_policy:
        return f"SchedulingPolicy {observed.missing_policy} not found"
    if member is not None and member.state is not State.MISSING:
        return member.reason
    for claim in claims:
        if leaving(claim) or doomed(observed, claim):
            return f"its old claim {claim.metadata.name} is being deleted"
        if claim.metadata.name in observed.stranded and observed.cluster.spec.node_failure.volumes != "Keep":
            return f"its claim {claim.metadata.name} is given up"
        if _foreign(observed, claim):
            owner = controller(claim)
            assert owner is not None
            return f"the claim {claim.metadata.name} belongs to {owner.kind} {owner.name} ({owner.uid})"
    return ""


def _foreign(observed: Observed, claim: Claim) -> bool:
    return controller(claim) is not None and not observed.owns(claim)


def _name(manifest: specs.Manifest) -> str:
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["name"])
