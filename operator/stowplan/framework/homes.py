"""Members of StatefulClusters that have no node now and will come back to one: the node where their volume is.

A member that loses its pod leaves a gap on its node for as long as it takes to make the pod anew; one whose volume is
being made has a node before it has a place there. A member without a volume that waits at that moment would take the
gap at once, and the other, which can run nowhere else, would wait for ever (kubernetes 129632). So whoever of the same
cluster has no home of its own is placed as if the absent members were on their nodes already: :meth:`Homes.beside`
names them, and ``scheduler.placing`` and ``simulator.explain`` count them for the length of a decision.

A home is a node that is the only one from which all of the member's volumes can be used, or that was selected for a
volume that is being made. Where several nodes can use them, such as those of a zone, the member has one of these for
the time being: others leave it its turn in the zone. It may come back to another one, so it roams: it is not kept from
any node but the homes of those that do not. A home is kept while the member's pod waits for a node, and for ``RETURN``
seconds without a pod (claims outlive the members of a cluster that was scaled down), or for as long as a volume grows
that nobody may use meanwhile.

Each ``Snapshot`` has one; ``scheduler.cache`` tells it what changes, ``scheduler.cycle`` lets it :meth:`Homes.settle`
before it decides.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stowplan.api import common
from stowplan.framework import reach
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.model import objects
from stowplan.model.pods import PodInfo, build_class

if TYPE_CHECKING:
    from stowplan.framework.snapshot import Snapshot
    from stowplan.framework.volumes import StorageObject

RETURN: Final = 30.0
"""Seconds for which the home of a member without a pod is kept."""


class Member(NamedTuple):
    """A member of a StatefulCluster, by the name of its pod."""

    namespace: str
    cluster: str
    pod: str


class Homes:
    """The homes of absent members.

    Args:
        nodes: the cluster.
    """

    def __init__(self, nodes: Snapshot) -> None:
        self._nodes = nodes
        self._claims: dict[Member, set[str]] = {}
        self._waiting: dict[Member, PodInfo] = {}
        self._by_uid: dict[str, Member] = {}
        self._last: dict[Member, PodInfo] = {}  # the pod that it had until now
        self._absent: dict[Member, float] = {}  # since when it has no pod, longest first
        self._given_up: set[Member] = set()
        self._guests: dict[tuple[str, str], dict[Member, PodInfo]] = {}
        self._roaming: set[Member] = set()  # those of the guests who may come back to another node
        self._changed: set[Member] = set()
        self._nodes_changed = False

    # ------------------------------------------------------------ what others ask

    def beside(self, pod: PodInfo) -> tuple[PodInfo, ...]:
        """The absent members that a pod must leave their homes to, as they would be there.

        None for a pod that has a home itself: it cannot go elsewhere. One that roams keeps clear of those only.
        """
        guests = self._guests.get((pod.namespace, pod.cls.cluster))
        if not guests:
            return ()
        member = _of_pod(pod)
        roams = member in self._roaming
        if member in guests and not roams:
            return ()
        return tuple(
            each
            for other, each in guests.items()
            if not (roams and other in self._roaming) and each.uid not in self._nodes.pods
        )

    def absent(self, pods: Iterable[PodInfo]) -> tuple[PodInfo, ...]:
        """The absent members of the cluster of some pods, besides those pods, as they would be there."""
        here = {_of_pod(pod) for pod in pods}
        found = [self._guests.get(cluster, {}) for cluster in {(member.namespace, member.cluster) for member in here}]
        taken = {guests[member].node_name for guests in found for member in here & guests.keys() - self._roaming}
        return tuple(
            guest
            for guests in found
            for member, guest in guests.items()
            if member not in here and not (member in self._roaming and guest.node_name in taken)
        )

    def has(self, pod: PodInfo) -> bool:
        """Whether a pod that waits has a home."""
        return _of_pod(pod) in self._guests.get((pod.namespace, pod.cls.cluster), ())

    def settle(self, now: float) -> tuple[list[Happening], list[str]]:
        """Takes in what has changed.

        Args:
            now: seconds of a monotonic clock.

        Returns:
            What may help others, as homes that are not kept any more do; and the uids of pods that wait and have a
            home that they had not before.
        """
        while self._absent:
            member, since = next(iter(self._absent.items()))
            if now - since < RETURN:
                break
            self._given_up.add(member)
            self._changed.add(member)
            del self._absent[member]
        if self._nodes_changed:
            self._nodes_changed = False
            self._changed.update(self._claims)
        happened: list[Happening] = []
        arrived: list[str] = []
        if not self._changed:
            return happened, arrived
        changed, self._changed = self._changed, set()
        for member in sorted(changed):
            before, after = self._look(member, now)
            if before is not None and (after is None or after.node_name != before.node_name):
                happened.append(Happening(ClusterEvent.POD_REMOVED, old=before, node=before.node_name))
            waiting = self._waiting.get(member)
            if waiting is not None and after is not None and (before is None or after.node_name != before.node_name):
                arrived.append(waiting.uid)
        return happened, arrived

    # ------------------------------------------------------------ what has changed

    def waits(self, pod: PodInfo) -> None:
        """A pod waits for a node."""
        if pod.cls.cluster and pod.claims:
            member = self._by_uid[pod.uid] = _of_pod(pod)
            self._waiting[member] = pod
            self._given_up.discard(member)
            self._changed.add(member)

    def waits_no_more(self, uid: str) -> None:
        """A pod has a node, or is gone; one that did not wait is fine."""
        member = self._by_uid.pop(uid, None)
        if member is not None and self._waiting[member].uid == uid:
            self._last[member] = self._waiting.pop(member)
            self._changed.add(member)

    def moved(self, pod: PodInfo) -> None:
        """A pod has got a node, or has left one."""
        if pod.cls.cluster and pod.claims:
            member = _of_pod(pod)
            self._last[member] = pod
            self._given_up.discard(member)
            self._changed.add(member)

    def stored(self, old: StorageObject | None, new: StorageObject | None) -> None:
        """A claim or a volume has come, changed or gone."""
        for item in (old, new):
            match item:
                case objects.PersistentVolumeClaim():
                    self._claim_stored(item, gone=new is None)
                case objects.PersistentVolume() if item.spec.claim_ref is not None:
                    reference = item.spec.claim_ref
                    claim = self._nodes.volumes.claims.get(f"{reference.namespace}/{reference.name}")
                    member = _of_claim(claim) if claim is not None else None
                    if member is not None:
                        self._changed.add(member)

    def nodes_changed(self) -> None:
        """A node has come or gone, or has other labels."""
        self._nodes_changed = True

    # ------------------------------------------------------------ inside

    def _claim_stored(self, claim: objects.PersistentVolumeClaim, *, gone: bool) -> None:
        member = _of_claim(claim)
        if member is None:
            return
        self._changed.add(member)
        claims = self._claims.setdefault(member, set())
        if gone:
            claims.discard(claim.key)
        else:
            claims.add(claim.key)
        if not claims:
            del self._claims[member]

    def _look(self, member: Member, now: float) -> tuple[PodInfo | None, PodInfo | None]:
        """Finds one home anew; returns the member as it was there, unless its pod is on a node, and as it is now."""
        cluster = member.namespace, member.cluster
        guests = self._guests.setdefault(cluster, {})
        before = guests.pop(member, None)
        where = self._present(member)
        guest = None if where else self._guest(member, before, now)
        if guest is not None:
            guests[member] = guest
        else:
            self._roaming.discard(member)
        if not guests:
            del self._guests[cluster]
        return None if before is not None and where == before.node_name else before, guest

    def _present(self, member: Member) -> str:
        """The node that a pod of the member is on, or ""."""
        users = self._nodes.volumes.users
        for key in self._claims.get(member, ()):
            for row in users.get(key, {}).values():
                self._absent.pop(member, None)
                self._last.pop(member, None)
                return self._nodes.name(row)
        return ""

    def _guest(self, member: Member, before: PodInfo | None, now: float) -> PodInfo | None:
        """The absent member as it will be on its node; None where no node is kept for it.

        Args:
            member: who.
            before: as it was thought to come back until now.
            now: see ``settle``.
        """
        node = self._home(member, before)
        waiting = self._waiting.get(member)
        if waiting is not None or not node or member in self._given_up or self._grows(member):
            self._absent.pop(member, None)
        else:
            self._absent.setdefault(member, now)
        if not node or member in self._given_up:
            self._last.pop(member, None)
            return None
        guest = copy.copy(waiting or self._last.get(member) or self._unknown(member))
        if guest.terminating:
            guest.cls = dataclasses.replace(guest.cls, terminating=False)
        guest.node_name = node
        return guest

    def _home(self, member: Member, before: PodInfo | None) -> str:
        """The node on which the member's volumes are or will be, or one of several; "" where there is none."""
        nodes, catalog = self._nodes, self._nodes.volumes
        left, pinned = np.ones(len(nodes), dtype=np.bool_), False
        for key in self._claims.get(member, ()):
            claim = catalog.claim(key)
            if claim is None or claim.deleting or claim.lost:
                return ""
            volume = catalog.volume(claim.volume)
            if volume is not None:
                left &= reach.mask(volume.topology, nodes)
                pinned = pinned or not volume.anywhere
            elif claim.selected_node is not None and not claim.volume:
                row = nodes.row_of.get(claim.selected_node)
                left &= np.arange(len(nodes)) == (-1 if row is None else row)
                pinned = True
        rows = np.flatnonzero(left)
        if not pinned or not len(rows):
            return ""
        (self._roaming.add if len(rows) > 1 else self._roaming.discard)(member)
        return self._one_of(rows, before or self._last.get(member))

    def _one_of(self, rows: npt.NDArray[np.intp], before: PodInfo | None) -> str:
        """One that is in use: where the member was, if it may still be there, else the first.

        On a node that is cordoned it would not count in its zone for rules that leave such nodes out.
        """
        nodes = self._nodes
        usable = rows[~nodes.unschedulable[rows]] if len(rows) > 1 else rows
        rows = usable if len(usable) else rows
        last = nodes.row_of.get(before.node_name) if before is not None else None
        return nodes.name(last if last is not None and last in rows else int(rows[0]))

    def _grows(self, member: Member) -> bool:
        """Whether the member stays away so that a volume can grow."""
        catalog = self._nodes.volumes
        return any(
            common.ANNOTATION_GROWING in catalog.claims[key].metadata.annotations
            for key in self._claims.get(member, ())
            if key in catalog.claims
        )

    def _unknown(self, member: Member) -> PodInfo:
        """A pod of a member of which no pod has been seen since this process started: what its claims say of it."""
        claims = self._nodes.volumes.claims
        labels = claims[min(self._claims[member])].metadata.labels
        meta = objects.ObjectMeta(name=member.pod, namespace=member.namespace, labels=labels)
        raw = objects.Pod(metadata=meta)
        return PodInfo(raw, build_class(raw))


def of_member(claim: objects.PersistentVolumeClaim) -> bool:
    """Whether a claim is of a member of a StatefulCluster."""
    return _of_claim(claim) is not None


def _of_pod(pod: PodInfo) -> Member:
    return Member(pod.namespace, pod.cls.cluster, pod.name)


def _of_claim(claim: objects.PersistentVolumeClaim) -> Member | None:
    meta = claim.metadata
    parts = [meta.labels.get(key, "") for key in (common.LABEL_CLUSTER, common.LABEL_NODE_SET, common.LABEL_MEMBER)]
    return Member(meta.namespace, parts[0], "-".join(parts)) if all(parts) else None
