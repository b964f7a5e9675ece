"""Volumes grow with their templates: the part of ``decide`` about sizes.

A claim's request is raised, the driver and the kubelet do the rest. Where the file system of a mounted volume does not
follow (FileSystemResizePending stays: KEP-284, KEP-1790, pkg/volume/util/resize_util.go), the volume must be mounted
anew, so the member is restarted, as ``rollout`` does it: within the same budget, one after the other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from stowplan.model import quantity
from stowplan.reconcile.actions import Patch
from stowplan.reconcile.classify import Group, Member, leaving
from stowplan.reconcile.observed import condition, parse_time
from stowplan.reconcile.plan import Draft

PENDING: Final = "FileSystemResizePending"
PATIENCE: Final = 120.0
"""Seconds that a kubelet has to grow the file system of a mounted volume before the member is restarted."""


def expand(group: Group, draft: Draft) -> None:
    """Claims grow with their template; they never shrink."""
    if group.spec is None:
        return
    sizes = {each.metadata.name: each.spec.resources.requests.storage for each in group.spec.volume_claim_templates}
    for member in group.members:
        for claim in member.claims:
            wanted = sizes.get(claim.metadata.name.removesuffix(f"-{member.name}"))
            have = claim.spec.resources.requests.get("storage")
            if wanted is None or have is None or leaving(claim) or quantity.value(wanted) <= quantity.value(have):
                continue
            change = f"grow from {have} to {wanted}"
            if claim.status.phase != "Bound":
                draft.hold(claim.metadata.name, change, "the claim is not bound yet")
            else:
                draft.do(Patch(
                    kind="PersistentVolumeClaim", name=claim.metadata.name, uid=claim.metadata.uid, why=change,
                    body={"spec": {"resources": {"requests": {"storage": wanted}}}},
                ))  # fmt: skip


def to_remount(group: Group, now: datetime, draft: Draft) -> list[Member]:
    """Members that run since before a file system of theirs was to grow, and have been waited for long enough."""
    found = []
    for member in group.members:
        waited = _waited(member, now)
        if waited is not None and waited < PATIENCE:
            draft.wake(PATIENCE - waited)
        elif waited is not None:
            found.append(member)
    return found


def _waited(member: Member, now: datetime) -> float | None:
    """Seconds that the member's pod has had a volume whose file system is to grow; None where it has none."""
    started = parse_time(member.pod.status.start_time) if member.pod is not None and member.live else None
    if started is None:
        return None
    pending = (condition(claim.status.conditions, PENDING) for claim in member.claims)
    since = [parse_time(each.last_transition_time) for each in pending if each is not None and each.status == "True"]
    waits = [(now - each).total_seconds() for each in since if each is not None and each > started]
    return max(waits, default=None)
