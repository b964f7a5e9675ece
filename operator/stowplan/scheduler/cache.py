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

Every method takes the newest state of one object and may be called again with the same; what it returns is what has
happened by that, as far as it may make waiting pods schedulable. Source of the idea: kubernetes v1.36.3
``pkg/scheduler/backend/cache/interface.go`` and ``pkg/scheduler/eventhandlers.go``.
"""

from __future__ import annotations

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.model.pods import Interner, PodClass, PodInfo

Events = tuple[Happening, ...]
NOTHING: Events = ()

_STORAGE_KINDS: dict[type[objects.KubeObject], ClusterEvent] = {
    objects.PersistentVolume: ClusterEvent.VOLUME,
    objects.PersistentVolumeClaim: ClusterEvent.CLAIM,
    objects.StorageClass: ClusterEvent.STORAGE_CLASS,
    objects.CSINode: ClusterEvent.CSI_NODE,
    objects.CSIDriver: ClusterEvent.CSI_DRIVER,
    objects.CSIStorageCapacity: ClusterEvent.CSI_CAPACITY,
    objects.VolumeAttachment: ClusterEvent.VOLUME_ATTACHMENT,
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
        self.budgets = self.snapshot.budgets
        self.priorities: dict[str, objects.PriorityClass] = {}
        self._homes = self.snapshot.homes
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
        self._homes.moved(pod)

    def forget(self, pod: PodInfo) -> Events:
        """Takes an assumption back; does nothing where the watch has confirmed or removed the pod meanwhile."""
        if pod.uid not in self._assumed:
            return NOTHING
        self._assumed.discard(pod.uid)
        self.snapshot.remove_pod(pod.uid)
        node, pod.node_name = pod.node_name, ""
        self._homes.moved(pod)
        return (Happening(ClusterEvent.POD_REMOVED, old=pod, node=node),)

    def put_pod(self, pod: PodInfo) -> Events:
        """Takes over the state of a pod as the watch shows it. Pending pods change nothing here."""
        old = self.snapshot.pods.get(pod.uid)
        if pod.finished:
            return self.remove_pod(pod.uid)
        if not pod.node_name:
            return NOTHING
        if old is None:
            self.snapshot.add_pod(pod)
            self._homes.moved(pod)
            return (Happening(ClusterEvent.POD_ADDED, new=pod, node=pod.node_name),)
        confirmed = pod.uid in self._assumed
        self._assumed.discard(pod.uid)
        stays = old.node_name == pod.node_name
        if stays and old.claims == pod.claims and _take_alike(old, pod):
            self.snapshot.replace_pod(pod)
        else:
            self.snapshot.remove_pod(pod.uid)
            self.snapshot.add_pod(pod)
        happened = _pod_events(old, pod)
        if confirmed and stays:
            return (Happening(ClusterEvent.POD_ADDED, new=pod, node=pod.node_name), *happened)
        return happened

    def remove_pod(self, uid: str) -> Events:
        """The pod is gone."""
        self._assumed.discard(uid)
        pod = self.snapshot.remove_pod(uid)
        if pod is None:
            return NOTHING
        self._homes.moved(pod)
        return (Happening(ClusterEvent.POD_REMOVED, old=pod, node=pod.node_name),)

    def put_waiting(self, pod: PodInfo) -> Events:
        """Takes over what the watch shows of a pod of ours that has no node: the node that is promised to it."""
        self._homes.waits(pod)
        return _left(self.snapshot.nominations.seen(pod))

    def remove_waiting(self, uid: str) -> Events:
        """A pod of ours has a node, or is gone; one that no node was promised to is fine."""
        self._homes.waits_no_more(uid)
        return _left(self.snapshot.nominations.remove(uid))

    # ------------------------------------------------------------ everything else

    def put_node(self, node: objects.Node) -> Events:
        """Adds or updates a node. Raises InvalidObject and then changes nothing."""
        row = self.snapshot.row_of.get(node.metadata.name)
        old = self.snapshot.nodes[row] if row is not None else None
        self.snapshot.put_node(node)
        name = node.metadata.name
        if old is None:
            self._homes.nodes_changed()
            return (Happening(ClusterEvent.NODE_ADDED, new=node, node=name),)
        kinds = []
        if old.status.allocatable != node.status.allocatable or old.metadata.annotations != node.metadata.annotations:
            kinds.append(ClusterEvent.NODE_ALLOCATABLE)
        if old.metadata.labels != node.metadata.labels:
            kinds.append(ClusterEvent.NODE_LABELS)
            self._homes.nodes_changed()
        if old.spec.taints != node.spec.taints or old.spec.unschedulable != node.spec.unschedulable:
            kinds.append(ClusterEvent.NODE_TAINTS)
        if old.status.declared_features != node.status.declared_features:
            kinds.append(ClusterEvent.NODE_FEATURES)
        return tuple(Happening(kind, old, node, node=name) for kind in kinds)

    def remove_node(self, name: str) -> Events:
        """The node is gone."""
        row = self.snapshot.row_of.get(name)
        if row is None:
            return NOTHING
        old = self.snapshot.nodes[row]
        self.snapshot.remove_node(name)
        self._homes.nodes_changed()
        return (Happening(ClusterEvent.NODE_REMOVED, old=old, node=name),)

    def put_namespace(self, namespace: objects.Namespace) -> Events:
        """Adds or updates a namespace."""
        meta = namespace.metadata
        if self.snapshot.namespaces.get(meta.name) == meta.labels:
            return NOTHING
        self.snapshot.put_namespace(meta.name, meta.labels)
        return (Happening(ClusterEvent.NAMESPACE, new=namespace),)

    def remove_namespace(self, name: str) -> Events:
        """The namespace is gone."""
        if name not in self.snapshot.namespaces:
            return NOTHING
        self.snapshot.remove_namespace(name)
        return (Happening(ClusterEvent.NAMESPACE),)

    def put_storage(self, item: StorageObject) -> Events:
        """Adds or updates a storage object."""
        old = self.snapshot.volumes.put(item)
        self._homes.stored(old, item)
        return (_stored(item, old, item),)

    def remove_storage(self, item: StorageObject) -> Events:
        """A storage object is gone."""
        old = self.snapshot.volumes.remove(item)
        self._homes.stored(old, None)
        return (_stored(item, old, None),)

    def sweep(self, waiting: set[PodClass]) -> None:
        """Frees what no pod uses any more: counters, memoised masks, classes; ``waiting`` are the queued classes."""
        self.snapshot.sweep()
        self.interner.keep({*self.snapshot.classes(), *waiting})


def _stored(item: StorageObject, old: StorageObject | None, new: StorageObject | None) -> Happening:
    match item:
        case objects.CSINode():
            node = item.metadata.name
        case objects.VolumeAttachment():
            node = item.spec.node_name
        case _:
            node = ""
    return Happening(_STORAGE_KINDS[type(item)], old, new, node=node)


def _take_alike(old: PodInfo, new: PodInfo) -> bool:
    """Whether the two take the same from a node, and may be evicted by the same pods."""
    before, after = old.cls, new.cls
    same = before is after or (before.requests == after.requests and before.nonzero == after.nonzero)
    return same and old.priority == new.priority


def _pod_events(old: PodInfo, new: PodInfo) -> Events:
    if old.node_name != new.node_name:
        return (
            Happening(ClusterEvent.POD_REMOVED, old=old, node=old.node_name),
            Happening(ClusterEvent.POD_ADDED, new=new, node=new.node_name),
        )
    if old.cls is new.cls:
        return NOTHING
    kinds = []
    if old.cls.labels != new.cls.labels or old.cls.policy != new.cls.policy:
        kinds.append(ClusterEvent.POD_LABELS)
    if new.terminating and not old.terminating:
        kinds.append(ClusterEvent.POD_TERMINATING)
    if any(new.cls.requests.get(name, 0) < amount for name, amount in old.cls.requests.items()):
        kinds.append(ClusterEvent.POD_SCALED_DOWN)
    return tuple(Happening(kind, old, new, node=new.node_name) for kind in kinds)


def _left(guest: PodInfo | None) -> Events:
    """Room that was promised is free: as if the pod had been there (eventhandlers.go, hasNominatedNodeNameChanged)."""
    return () if guest is None else (Happening(ClusterEvent.POD_REMOVED, old=guest, node=guest.node_name),)
