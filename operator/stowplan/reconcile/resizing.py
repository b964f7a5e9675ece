"""Volumes grow with their templates: the part of ``decide`` about sizes.

A claim's request is raised, the driver and the kubelet do the rest. Two things may need the member's help, which it
gives as ``rollout`` restarts it: within the same budget, one after the other.

* The file system of a mounted volume does not follow (FileSystemResizePending stays: KEP-284, KEP-1790,
  pkg/volume/util/resize_util.go in kubernetes): the volume must be mounted anew.
* The driver grows only volumes that nobody uses, and says so (FAILED_PRECONDITION of ControllerExpandVolume in the CSI
  specification). kubernetes-csi/external-resizer notes that as the condition ControllerResizeError, and from then on
  tries again only while no pod names the claim, not even one that waits for a node (inuse_pvc_store.go in
  pkg/controller). So the member stays without a pod until the volume has grown, but not for ever: what was tried in
  vain is noted on the claim, and the member comes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from stowplan.api import common
from stowplan.model import quantity, times
from stowplan.reconcile.actions import Patch
from stowplan.reconcile.classify import Group, Member, leaving
from stowplan.reconcile.observed import Claim, condition, parse_time
from stowplan.reconcile.plan import Draft

PENDING: Final = "FileSystemResizePending"
FAILED: Final = "ControllerResizeError"
IN_USE: Final = "FailedPrecondition"
"""How grpc-go writes the code FAILED_PRECONDITION."""
PATIENCE: Final = 120.0
"""Seconds that a kubelet has to grow the file system of a mounted volume before the member is restarted."""
DETACHED: Final = 600.0
"""Seconds that a member stays without a pod at most, so that its volume can grow: external-resizer tries again every
five minutes at least (--retry-interval-max), and the volume must be detached first."""


def expand(group: Group, draft: Draft) -> None:
    """Claims grow with their template; they never shrink, and never move to another StorageClass."""
    if group.spec is None:
        return
    templates = {each.metadata.name: each.spec for each in group.spec.volume_claim_templates}
    for member in group.members:
        for claim in member.claims:
            name, have = claim.metadata.name, _asked(claim)
            if common.ANNOTATION_GROWING in claim.metadata.annotations and not _smaller(claim) and not leaving(claim):
                draft.do(_note(claim, None, "it has grown"))
            template = templates.get(name.removesuffix(f"-{member.name}"))
            if template is None or leaving(claim):
                continue
            if template.storage_class_name not in {None, claim.spec.storage_class_name}:
                change = f"move from StorageClass {claim.spec.storage_class_name} to {template.storage_class_name}"
                held_by = f"a claim keeps its class: delete it and the pod {member.name}, and it is made anew, empty"
                draft.hold(name, change, held_by)
            wanted = template.resources.requests.storage
            if not have or quantity.value(wanted) <= quantity.value(have):
                continue
            change = f"grow from {have} to {wanted}"
            if claim.status.phase != "Bound":
                draft.hold(name, change, "the claim is not bound yet")
            else:
                draft.do(Patch(
                    kind="PersistentVolumeClaim", name=name, uid=claim.metadata.uid, why=change,
                    body={"spec": {"resources": {"requests": {"storage": wanted}}}},
                ))  # fmt: skip


def to_restart(group: Group, now: datetime, draft: Draft) -> list[Member]:
    """Members whose volumes wait for a restart of theirs.

    They run since before a file system was to grow, and have been waited for long enough; or the driver does not grow
    the volume while they use it, and it was not tried in vain without them.
    """
    found = []
    for member in group.members:
        if member.live and in_use(member):
            vain = [claim for claim in member.claims if _refused(claim) and _since(claim) is not None]
            for claim in vain:
                draft.hold(claim.metadata.name, _growth(claim), (
                    f"the driver has not done it within {DETACHED / 60:g}m while nobody used the volume: see the events"
                    f" of the claim, and take its annotation {common.ANNOTATION_GROWING} away to try again"
                ))  # fmt: skip
            if not vain:
                found.append(member)
            continue
        waited = _waited(member, now)
        if waited is not None and waited < PATIENCE:
            draft.wake(PATIENCE - waited)
        elif waited is not None:
            found.append(member)
    return found


def in_use(member: Member) -> bool:
    """Whether a volume of the member does not grow because it is in use."""
    return any(_refused(claim) for claim in member.claims)


def detached(claims: Iterable[Claim], now: datetime, draft: Draft) -> str:
    """What a member that has no pod waits for before it gets one: volumes that grow only now; "" for nothing."""
    for claim in claims:
        if not _refused(claim):
            continue
        since = _since(claim)
        left = DETACHED - (now - since).total_seconds() if since is not None else DETACHED
        if since is None:
            stamp = times.rfc3339(now.timestamp())
            draft.do(_note(claim, f"{_asked(claim)} {stamp}", "it grows while nobody uses it"))
        if left > 0:
            draft.wake(left)
            return f"{claim.metadata.name} is to {_growth(claim)}, which its driver does only while nobody uses it"
    return ""


def _refused(claim: Claim) -> bool:
    """Whether the driver has refused to grow the volume because it is in use.

    The condition stays until the whole growth is done, also while only the file system is left to grow.
    """
    pending, failed = (condition(claim.status.conditions, each) for each in (PENDING, FAILED))
    if failed is None or failed.status != "True" or IN_USE not in failed.message:
        return False
    return _smaller(claim) and (pending is None or pending.status != "True")


def _smaller(claim: Claim) -> bool:
    have, asked = claim.status.capacity.get("storage"), _asked(claim)
    return have is not None and bool(asked) and quantity.value(have) < quantity.value(asked)


def _asked(claim: Claim) -> str:
    return str(claim.spec.resources.requests.get("storage", ""))


def _growth(claim: Claim) -> str:
    return f"grow from {claim.status.capacity.get('storage')} to {_asked(claim)}"


def _since(claim: Claim) -> datetime | None:
    """Since when nobody uses the claim so that it can grow to what it asks for; None where that was not tried."""
    size, _, since = claim.metadata.annotations.get(common.ANNOTATION_GROWING, "").partition(" ")
    return parse_time(since) if size == _asked(claim) else None


def _note(claim: Claim, value: str | None, why: str) -> Patch:
    return Patch(
        kind="PersistentVolumeClaim", name=claim.metadata.name, uid=claim.metadata.uid, why=why,
        body={"metadata": {"annotations": {common.ANNOTATION_GROWING: value}}},
    )  # fmt: skip


def _waited(member: Member, now: datetime) -> float | None:
    """Seconds that the member's pod has had a volume whose file system is to grow; None where it has none."""
    started = parse_time(member.pod.status.start_time) if member.pod is not None and member.live else None
    if started is None:
        return None
    pending = (condition(claim.status.conditions, PENDING) for claim in member.claims)
    since = [parse_time(each.last_transition_time) for each in pending if each is not None and each.status == "True"]
    waits = [(now - each).total_seconds() for each in since if each is not None and each > started]
    return max(waits, default=None)
