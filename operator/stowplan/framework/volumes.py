"""The storage objects of the cluster, by name, and which pods use which claim."""

from __future__ import annotations

from stowplan.model import objects
from stowplan.model.pods import PodInfo

StorageObject = (
    objects.PersistentVolume
    | objects.PersistentVolumeClaim
    | objects.StorageClass
    | objects.CSINode
    | objects.CSIDriver
    | objects.CSIStorageCapacity
)


class VolumeCatalog:
    """What the volume plugins read.

    Attributes:
        volumes: PersistentVolumes by name.
        claims: PersistentVolumeClaims by ``namespace/name``.
        classes: StorageClasses by name.
        csi_nodes: CSINodes by node name.
        drivers: CSIDrivers by name.
        capacities: CSIStorageCapacities by ``namespace/name``.
        users: claim key to the pods that use it on a node: uid to row.
        version: changes with every object that is put or removed.
    """

    def __init__(self) -> None:
        self.volumes: dict[str, objects.PersistentVolume] = {}
        self.claims: dict[str, objects.PersistentVolumeClaim] = {}
        self.classes: dict[str, objects.StorageClass] = {}
        self.csi_nodes: dict[str, objects.CSINode] = {}
        self.drivers: dict[str, objects.CSIDriver] = {}
        self.capacities: dict[str, objects.CSIStorageCapacity] = {}
        self.users: dict[str, dict[str, int]] = {}
        self.version = 0

    def put(self, item: StorageObject) -> None:
        """Adds or replaces an object."""
        self.version += 1
        self._shelf(item)[item.key] = item

    def remove(self, item: StorageObject) -> None:
        """Forgets an object; one that is not there is fine."""
        self.version += 1
        self._shelf(item).pop(item.key, None)

    def add_pod(self, pod: PodInfo, row: int) -> None:
        """A pod is on a node now."""
        for claim in pod.claims:
            self.users.setdefault(f"{pod.namespace}/{claim}", {})[pod.uid] = row

    def remove_pod(self, pod: PodInfo, row: int) -> None:  # noqa: ARG002 - the same shape as add_pod
        """A pod has left a node."""
        for claim in pod.claims:
            key = f"{pod.namespace}/{claim}"
            users = self.users.get(key)
            if users is not None:
                users.pop(pod.uid, None)
                if not users:
                    del self.users[key]

    def fork(self) -> VolumeCatalog:
        """A copy whose users may change apart from this one's; the objects are shared."""
        twin = VolumeCatalog()
        twin.__dict__.update(self.__dict__)
        twin.users = {claim: dict(users) for claim, users in self.users.items()}
        return twin

    def _shelf(self, item: StorageObject) -> dict[str, StorageObject]:
        shelf: dict[str, StorageObject]
        match item:
            case objects.PersistentVolume():
                shelf = self.volumes  # type: ignore[assignment]
            case objects.PersistentVolumeClaim():
                shelf = self.claims  # type: ignore[assignment]
            case objects.StorageClass():
                shelf = self.classes  # type: ignore[assignment]
            case objects.CSINode():
                shelf = self.csi_nodes  # type: ignore[assignment]
            case objects.CSIDriver():
                shelf = self.drivers  # type: ignore[assignment]
            case objects.CSIStorageCapacity():
                shelf = self.capacities  # type: ignore[assignment]
        return shelf
