"""Where each kind lives in the REST API, and the struct that its JSON is decoded into.

Used by the reflectors, the writers and the command line. Kinds without a struct of their own get
``objects.KubeObject`` (metadata only) or any other struct through ``Resource`` itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from stowplan.model import objects, workloads

K_co = TypeVar("K_co", bound=objects.KubeObject, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Resource(Generic[K_co]):
    """One kind's place in the API, for example ``apps/v1`` ``deployments``."""

    kind: str
    plural: str
    type: type[K_co]
    group: str = ""
    version: str = "v1"
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL's path.

        Args:
            namespace: where; empty for all of them, and for cluster-scoped kinds.
            name: of one object; empty for the collection.
            subresource: ``status``, ``binding``, ...
        """
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)

    def of(self, obj: objects.KubeObject, subresource: str = "") -> str:
        """The URL's path of one object."""
        return self.path(obj.metadata.namespace, obj.metadata.name, subresource)


def named(path: str) -> str:
    """Which resource a path asks for, as RBAC names it: ``pods``, ``pods/binding``; ``none`` for ``/version``, say."""
    parts = path.partition("?")[0].split("/")
    rest = parts[4:] if parts[1] == "apis" else parts[3:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    if not rest:
        return "none"
    return f"{rest[0]}/{rest[2]}" if len(rest) > 2 else rest[0]


PODS: Final = Resource(kind="Pod", plural="pods", type=objects.Pod)
NODES: Final = Resource(kind="Node", plural="nodes", namespaced=False, type=objects.Node)
NAMESPACES: Final = Resource(kind="Namespace", plural="namespaces", namespaced=False, type=objects.Namespace)
CLAIMS: Final = Resource(
    kind="PersistentVolumeClaim", plural="persistentvolumeclaims", type=objects.PersistentVolumeClaim
)
VOLUMES: Final = Resource(
    kind="PersistentVolume", plural="persistentvolumes", namespaced=False, type=objects.PersistentVolume
)
STORAGE_CLASSES: Final = Resource(
    group="storage.k8s.io",
    kind="StorageClass",
    plural="storageclasses",
    namespaced=False,
    type=objects.StorageClass,
)
CSI_NODES: Final = Resource(
    group="storage.k8s.io", kind="CSINode", plural="csinodes", namespaced=False, type=objects.CSINode
)
CSI_DRIVERS: Final = Resource(
    group="storage.k8s.io", kind="CSIDriver", plural="csidrivers", namespaced=False, type=objects.CSIDriver
)
CSI_CAPACITIES: Final = Resource(
    group="storage.k8s.io",
    kind="CSIStorageCapacity",
    plural="csistoragecapacities",
    type=objects.CSIStorageCapacity,
)
VOLUME_ATTACHMENTS: Final = Resource(
    group="storage.k8s.io",
    kind="VolumeAttachment",
    plural="volumeattachments",
    namespaced=False,
    type=objects.VolumeAttachment,
)
DISRUPTION_BUDGETS: Final = Resource(
    group="policy",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    type=objects.PodDisruptionBudget,
)
PRIORITY_CLASSES: Final = Resource(
    group="scheduling.k8s.io",
    kind="PriorityClass",
    plural="priorityclasses",
    namespaced=False,
    type=objects.PriorityClass,
)
SERVICES: Final = Resource(kind="Service", plural="services", type=workloads.Service)
REPLICATION_CONTROLLERS: Final = Resource(
    kind="ReplicationController", plural="replicationcontrollers", type=workloads.ReplicationController
)
REPLICA_SETS: Final = Resource(group="apps", kind="ReplicaSet", plural="replicasets", type=workloads.ReplicaSet)
STATEFUL_SETS: Final = Resource(group="apps", kind="StatefulSet", plural="statefulsets", type=workloads.StatefulSet)

WORKLOADS: Final[tuple[Resource[objects.KubeObject], ...]] = (
    SERVICES,
    REPLICATION_CONTROLLERS,
    REPLICA_SETS,
    STATEFUL_SETS,
)
"""What is listed and watched, too, unless the configuration has no default spread constraints."""

WATCHED: Final[tuple[Resource[objects.KubeObject], ...]] = (
    NODES,
    NAMESPACES,
    STORAGE_CLASSES,
    CSI_NODES,
    CSI_DRIVERS,
    CSI_CAPACITIES,
    VOLUME_ATTACHMENTS,
    VOLUMES,
    CLAIMS,
    DISRUPTION_BUDGETS,
    PRIORITY_CLASSES,
    PODS,
)
"""What the scheduler lists and watches; pods last, since they are judged against all the others."""
