"""Questions that the hints of the volume plugins ask: whether an event is about a pod's own claims and volumes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from stowplan.framework.events import Happening
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.storage import Claim
from stowplan.model import objects
from stowplan.model.pods import PodInfo


def alike(pod: PodInfo) -> Hashable:
    """Its claims, which are all that most volume plugins look at; a pod with other volumes is only like itself."""
    return (pod.namespace, pod.claims, pod.uid if pod.ephemeral or pod.volumes else "")


def alike_now(pod: PodInfo, nodes: Snapshot) -> Hashable:
    """What its claims look like, where there is nothing about them that is the pod's own; else the claims."""
    seen = look(pod, nodes)
    return alike(pod) if seen is None else seen


def look(pod: PodInfo, nodes: Snapshot) -> Hashable | None:
    """All that volume plugins see of a pod's claims, where nothing of that is the pod's own; else None.

    Nothing is where they are not bound, nothing is chosen, reserved or refused for them, and nobody uses them.
    """
    if pod.ephemeral or pod.volumes:
        return None
    catalog, found = nodes.volumes, list[Hashable]()
    for name in pod.claims:
        claim = catalog.claim(f"{pod.namespace}/{name}")
        if claim is None or claim.volume or catalog.users.get(claim.key) or catalog.refusals.nodes(claim.key):
            return None
        if not catalog.undecided(claim):
            return None
        found.append((claim.storage_class, claim.size, claim.traits, claim.selector, claim.lost, claim.deleting))
    return tuple(found)


def own_claim(pod: PodInfo, event: Happening) -> bool:
    """Whether the event is about a claim of the pod."""
    subject = event.new or event.old
    return (
        isinstance(subject, objects.PersistentVolumeClaim)
        and subject.metadata.namespace == pod.namespace
        and subject.metadata.name in pod.claims
    )


def own_volume(pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
    """Whether the event is about a volume that a claim of the pod has, or that is reserved for one."""
    subject = event.new or event.old
    if not isinstance(subject, objects.PersistentVolume):
        return False
    reference = subject.spec.claim_ref
    if reference is not None and reference.namespace == pod.namespace and reference.name in pod.claims:
        return True
    return any(claim.volume == subject.metadata.name for claim in claims(pod, nodes))


def share(pod: PodInfo, other: PodInfo) -> bool:
    """Whether two pods have a claim in common."""
    return pod.namespace == other.namespace and not set(pod.claims).isdisjoint(other.claims)


def in_use(event: Happening, nodes: Snapshot) -> bool:
    """Whether the event may change what a claim of a pod on a node counts as, or a volume that is attached to one."""
    subject = event.new or event.old
    match subject:
        case objects.PersistentVolumeClaim():
            old, new = event.of(objects.PersistentVolumeClaim)
            same = old is not None and new is not None and old.spec.volume_name == new.spec.volume_name
            return not same and subject.key in nodes.volumes.users
        case objects.PersistentVolume():
            reference = subject.spec.claim_ref
            used = reference is not None and f"{reference.namespace}/{reference.name}" in nodes.volumes.users
            return used or nodes.volumes.attached(subject.metadata.name)
    return True


def claims(pod: PodInfo, nodes: Snapshot) -> Iterator[Claim]:
    """The claims of the pod that there are."""
    for name in pod.claims:
        claim = nodes.volumes.claim(f"{pod.namespace}/{name}")
        if claim is not None:
            yield claim
