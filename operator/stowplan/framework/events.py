"""What can happen in the cluster that may make an unschedulable pod schedulable.

A plugin names the events that can help the pods that it rejects (``requeue_on``); the queue tries a pod again only
after one of those. Source of the idea and the names: kube-scheduler v0.36.3 ``framework/types.go`` (``ClusterEvent``)
and KEP-4247 (queueing hints).
"""

from __future__ import annotations

import enum


class ClusterEvent(enum.Enum):
    """One kind of change; the value is the label used in metrics."""

    NODE_ADDED = "NodeAdd"
    NODE_REMOVED = "NodeDelete"
    NODE_ALLOCATABLE = "NodeAllocatableUpdate"
    NODE_LABELS = "NodeLabelUpdate"
    NODE_TAINTS = "NodeTaintUpdate"
    POD_ADDED = "AssignedPodAdd"
    POD_REMOVED = "AssignedPodDelete"
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
    POLICY = "PolicyUpdate"


ALL = frozenset(ClusterEvent)
"""Every event: for a plugin that does not say which ones can help."""

NODE_CHANGES = frozenset(
    {ClusterEvent.NODE_ADDED, ClusterEvent.NODE_REMOVED, ClusterEvent.NODE_LABELS, ClusterEvent.NODE_TAINTS}
)
"""Whatever may change which nodes and domains there are."""
