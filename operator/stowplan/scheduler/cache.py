r"""The cluster as the watch shows it plus what the scheduler has decided since: assume, confirm, forget.

A pod's way through the cache::

                    +--------- forget (bind failed) ----------+
                    v                                         |
      (pending) -- assume --> ASSUMED -- watch: bound --> CONFIRMED
          |                      |  \                           |
          |                      |   watch: bound elsewhere ----+  (moved there)
          +-- watch: bound ------|------------------------------+
                                 |                              |
                                 +-- watch: deleted, finished --+--> gone

Every method takes the newest state of one object and may be called again with the same; what it returns are the
events that may make waiting pods schedulable. Source of the idea: kubernetes v1.36.3
``pkg/scheduler/backend/cache/interface.go`` and ``pkg/scheduler/eventhandlers.go``.
"""

from __future__ import annotations

from stowplan.framework.events import ClusterEvent
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.model.pods import Interner, PodClass, PodInfo

Events = frozenset[ClusterEvent]
NOTHING: Events = frozenset()

_STORAGE_EVENTS: dict[type[objects.KubeObject], Events] = {
    objects.PersistentVolume: frozenset({ClusterEvent.VOLUME}),
    objects.PersistentVolumeClaim: frozenset({ClusterEvent.CLAIM}),
    objects.StorageClass: frozenset({ClusterEvent.STORAGE_CLASS}),
    objects.CSINode: frozenset({ClusterEvent.CSI_NODE}),
    objects.CSIDriver: frozenset({ClusterEvent.CSI_DRIVER}),
    objects.CSIStorageCapacity: frozenset({ClusterEvent.CSI_CAPACITY}),
    objects.VolumeAttachment: frozenset({ClusterEvent.VOLUME_ATTACHMENT}),
}


class ClusterCache:
    """Keeps one :class:`Snapshot` true.

    Attributes:
        snapshot: what decisions read.
        interner: makes the PodInfos, so that equal specs share a class.
        budgets: PodDisruptionBudgets by ``namespace/name``.
        priorities: PriorityClasses by name.
    """

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.interner = Interner()
        self.budgets: dict[str, objects.PodDisruptionBudget] = {}
        self.priorities: dict[str, objects.PriorityClass] = {}
        self._assumed: set[str] = set()

    # ------------------------------------------------------------ pods

    def is_assumed(self, uid: str) -> bool:
        """Whether the pod has been given a node that the watch has not confirmed yet."""
        return uid in self._assumed

    @property
    def assumed(self) -> int:
        """How many pods are assumed."""
        return len(self._assumed)

    def assume(self, pod: PodInfo, node: str) -> None:
        """Counts a pending pod on a node from now on, before the API server knows."""
        pod.node_name = node
        self.snapshot.add_pod(pod)
        self._assumed.add(pod.uid)

    def forget(self, pod: PodInfo) -> Events:
        """Takes an assumption back; does nothing where the watch has confirmed or removed the pod meanwhile."""
        if pod.uid not in self._assumed:
            return NOTHING
        self._assumed.discard(pod.uid)
        self.snapshot.remove_pod(pod.uid)
        pod.node_name = ""
        return frozenset({ClusterEvent.POD_REMOVED})

    def put_pod(self, pod: PodInfo) -> Events:
        """Takes over the state of a pod as the watch shows it. Pending pods change nothing here."""
        old = self.snapshot.pods.get(pod.uid)
        if pod.finished:
            return self.remove_pod(pod.uid)
        if not pod.node_name:
            return NOTHING
        if old is None:
            self.snapshot.add_pod(pod)
            return frozenset({ClusterEvent.POD_ADDED})
        confirmed = pod.uid in self._assumed
        self._assumed.discard(pod.uid)
        if old.node_name == pod.node_name and old.cls is pod.cls and old.claims == pod.claims:
            self.snapshot.replace_pod(pod)
            return frozenset({ClusterEvent.POD_ADDED}) if confirmed else NOTHING
        self.snapshot.remove_pod(pod.uid)
        self.snapshot.add_pod(pod)
        return _pod_events(old, pod)

    def remove_pod(self, uid: str) -> Events:
        """The pod is gone."""
        self._assumed.discard(uid)
        if self.snapshot.remove_pod(uid) is None:
            return NOTHING
        return frozenset({ClusterEvent.POD_REMOVED})

    # ------------------------------------------------------------ everything else

    def put_node(self, node: objects.Node) -> Events:
        """Adds or updates a node. Raises InvalidObject and then changes nothing."""
        row = self.snapshot.row_of.get(node.metadata.name)
        old = self.snapshot.nodes[row] if row is not None else None
        self.snapshot.put_node(node)
        if old is None:
            return frozenset({ClusterEvent.NODE_ADDED})
        events = set()
        if old.status.allocatable != node.status.allocatable or old.metadata.annotations != node.metadata.annotations:
            events.add(ClusterEvent.NODE_ALLOCATABLE)
        if old.metadata.labels != node.metadata.labels:
            events.add(ClusterEvent.NODE_LABELS)
        if old.spec.taints != node.spec.taints or old.spec.unschedulable != node.spec.unschedulable:
            events.add(ClusterEvent.NODE_TAINTS)
        return frozenset(events)

    def remove_node(self, name: str) -> Events:
        """The node is gone."""
        if name not in self.snapshot.row_of:
            return NOTHING
        self.snapshot.remove_node(name)
        return frozenset({ClusterEvent.NODE_REMOVED})

    def put_namespace(self, namespace: objects.Namespace) -> Events:
        """Adds or updates a namespace."""
        meta = namespace.metadata
        if self.snapshot.namespaces.get(meta.name) == meta.labels:
            return NOTHING
        self.snapshot.put_namespace(meta.name, meta.labels)
        return frozenset({ClusterEvent.NAMESPACE})

    def remove_namespace(self, name: str) -> Events:
        """The namespace is gone."""
        self.snapshot.remove_namespace(name)
        return NOTHING

    def put_storage(self, item: StorageObject) -> Events:
        """Adds or updates a storage object."""
        self.snapshot.volumes.put(item)
        return _STORAGE_EVENTS[type(item)]

    def remove_storage(self, item: StorageObject) -> Events:
        """A storage object is gone."""
        self.snapshot.volumes.remove(item)
        return _STORAGE_EVENTS[type(item)]

    def sweep(self, waiting: set[PodClass]) -> None:
        """Frees what no pod uses any more: counters, memoised masks, classes; ``waiting`` are the queued classes."""
        self.snapshot.sweep()
        self.interner.keep({*self.snapshot.classes(), *waiting})


def _pod_events(old: PodInfo, new: PodInfo) -> Events:
    if old.node_name != new.node_name:
        return frozenset({ClusterEvent.POD_REMOVED, ClusterEvent.POD_ADDED})
    events = set()
    if old.cls.labels != new.cls.labels or old.cls.policy != new.cls.policy:
        events.add(ClusterEvent.POD_LABELS)
    if new.terminating and not old.terminating:
        events.add(ClusterEvent.POD_REMOVED)
    if any(new.cls.requests.get(name, 0) < amount for name, amount in old.cls.requests.items()):
        events.add(ClusterEvent.POD_SCALED_DOWN)
    return frozenset(events)
