"""What can happen in the cluster that may make an unschedulable pod schedulable.

A plugin names the kinds of events that can help the pods that it rejects (``requeue_on``) and may look closer at each
(``may_help``); the queue tries a pod again only after one of those. :class:`Happening` is one such event with the
object before and after. Made by ``scheduler.cache``. Source of the idea and the names: kube-scheduler v0.36.3
``framework/types.go`` (``ClusterEvent``) and KEP-4247 (queueing hints).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from stowplan.model import objects
from stowplan.model.pods import PodInfo

R = TypeVar("R")
S = TypeVar("S", PodInfo, objects.Node, objects.Namespace, objects.PersistentVolume, objects.PersistentVolumeClaim,
            objects.StorageClass, objects.CSINode, objects.CSIDriver, objects.CSIStorageCapacity,
            objects.VolumeAttachment)  # fmt: skip

Subject = PodInfo | objects.KubeObject


class ClusterEvent(enum.Enum):
    """One kind of change; the value is the label used in metrics."""

    NODE_ADDED = "NodeAdd"
    NODE_REMOVED = "NodeDelete"
    NODE_ALLOCATABLE = "NodeAllocatableUpdate"
    NODE_LABELS = "NodeLabelUpdate"
    NODE_TAINTS = "NodeTaintUpdate"
    NODE_FEATURES = "NodeDeclaredFeatureUpdate"
    POD_PENDING = "UnscheduledPodAdd"
    POD_ADDED = "AssignedPodAdd"
    POD_REMOVED = "AssignedPodDelete"
    POD_TERMINATING = "AssignedPodTerminating"
    POD_LABELS = "AssignedPodLabelUpdate"
    POD_SCALED_DOWN = "AssignedPodScaleDown"
    POD_UPDATED = "PodUpdate"
    NAMESPACE = "NamespaceUpdate"
    VOLUME = "PersistentVolumeUpdate"
    CLAIM = "PersistentVolumeClaimUpdate"
    STORAGE_CLASS = "StorageClassUpdate"
    CSI_NODE = "CSINodeUpdate"
    CSI_DRIVER = "CSIDriverUpdate"
    CSI_CAPACITY = "CSIStorageCapacityUpdate"
    VOLUME_ATTACHMENT = "VolumeAttachmentUpdate"
    VOLUMES_RELEASED = "AssumedVolumesRelease"
    POLICY = "PolicyUpdate"


ALL = frozenset(ClusterEvent)
"""Every event: for a plugin that does not say which ones can help."""

NODE_CHANGES = frozenset(
    {ClusterEvent.NODE_ADDED, ClusterEvent.NODE_REMOVED, ClusterEvent.NODE_LABELS, ClusterEvent.NODE_TAINTS}
)
"""Whatever may change which nodes and domains there are."""


class Happening:
    """One event, after the snapshot has taken it in.

    Several may have happened since; whoever judges one looks at the snapshot as it is now, and at ``old`` and ``new``
    for what has changed.

    Attributes:
        kind: what it was.
        old: the object before; None where it is new.
        new: the object now; None where it is gone.
        node: the name of the node where it happened, or "".
    """

    __slots__ = ("_memo", "kind", "new", "node", "old")

    def __init__(
        self, kind: ClusterEvent, old: Subject | None = None, new: Subject | None = None, *, node: str = ""
    ) -> None:
        self.kind = kind
        self.old = old
        self.new = new
        self.node = node
        self._memo: dict[Hashable, object] = {}

    def of(self, kind: type[S]) -> tuple[S | None, S | None]:
        """The object before and after, where it is of that type; else None."""
        old, new = self.old, self.new
        return (old if isinstance(old, kind) else None), (new if isinstance(new, kind) else None)

    def once(self, key: Hashable, build: Callable[[], R]) -> R:
        """What ``build`` returns, worked out once for this event: for what many waiting pods would ask alike."""
        try:
            return cast("R", self._memo[key])
        except KeyError:
            value = self._memo[key] = build()
            return value

    def __repr__(self) -> str:
        return f"Happening({self.kind.value}, node={self.node!r})"
