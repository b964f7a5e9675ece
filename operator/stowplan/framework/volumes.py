"""The storage objects of the cluster, who uses them, and what pods in flight have taken of them.

``scheduler.cache`` puts in what the watch brings, ``Snapshot`` says which pods come and go, and the volume plugins
read, and take for the pods that they reserve for. What is taken is held here only until the API shows it::

    assume --> claim shows selected-node, or volume shows claimRef: the API says it, nothing is held any more
       |
       v
    forget (the pod is not bound after all), claim or volume deleted or made anew

Bytes are promised to a claim from the moment a node is selected for it, by us or by anybody (the annotation on the
claim counts as much as an assumption), until it has a volume. A pool's free bytes may be published anew before the
claim is seen to have its volume: then the bytes count twice for that moment, which only errs on the safe side.

Sources: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/volumebinding/passive_assume_cache.go`` and
``binder.go``, ``nodevolumelimits/csi.go``. Not carried over: the translation of in-tree volumes to CSI
(``csi-translation-lib``); such volumes are judged as they are and not counted for any driver.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stowplan.framework import disks, reach
from stowplan.framework import storage as parsed
from stowplan.framework.attachments import Attachments, ClaimUse, DriverVolume, Limits, driver_volume
from stowplan.framework.free import FreeVolumes
from stowplan.framework.indexes import Index
from stowplan.framework.inflight import Assumption, InFlight
from stowplan.framework.pools import Capacity, Promise
from stowplan.framework.refusals import Refusals
from stowplan.framework.storage import Claim, Volume
from stowplan.model import objects
from stowplan.model.pods import PodInfo

if TYPE_CHECKING:
    from stowplan.framework.snapshot import Snapshot

StorageObject = (
    objects.PersistentVolume
    | objects.PersistentVolumeClaim
    | objects.StorageClass
    | objects.CSINode
    | objects.CSIDriver
    | objects.CSIStorageCapacity
    | objects.VolumeAttachment
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
        volume_attachments: VolumeAttachments by name.
        disks: the pods on nodes that use a disk without a claim.
        limits: how many volumes of a CSI driver there may be on a node.
        in_flight: what is held for the claims of pods in flight.
        refusals: where drivers could not make volumes lately.
        capacity: what volumes can be made from, and what of it is promised.
        version: changes with every object that is put or removed, and with everything that is assumed or forgotten.
    """

    def __init__(self) -> None:
        self.volumes: dict[str, objects.PersistentVolume] = {}
        self.claims: dict[str, objects.PersistentVolumeClaim] = {}
        self.classes: dict[str, objects.StorageClass] = {}
        self.csi_nodes: dict[str, objects.CSINode] = {}
        self.drivers: dict[str, objects.CSIDriver] = {}
        self.capacities: dict[str, objects.CSIStorageCapacity] = {}
        self.volume_attachments: dict[str, objects.VolumeAttachment] = {}
        self.disks = disks.DiskUse()
        self.limits = Limits()
        self.in_flight = InFlight()
        self.refusals = Refusals()
        self.capacity = Capacity()
        self.version = 0
        self._claims: dict[str, Claim] = {}
        self._volumes: dict[str, Volume] = {}
        self._topologies: dict[str, reach.Topology] = {}
        self._reserved = Index()
        self._claims_of = Index()
        self._attachments_of = Index()
        self._free: dict[str, FreeVolumes] = {}
        self._use = ClaimUse()
        self._sharing: dict[reach.Topology, int] = {}

    # ------------------------------------------------------------ what plugins read

    @property
    def users(self) -> Mapping[str, Mapping[str, int]]:
        """Claim key to the pods that use it on a node: uid to row."""
        return self._use.users

    @property
    def attachments(self) -> Attachments:
        """Volumes per CSI driver and node."""
        return self._use.attachments

    def claim(self, key: str) -> Claim | None:
        """A claim, by ``namespace/name``."""
        return self._claims.get(key)

    def volume(self, name: str) -> Volume | None:
        """A volume."""
        return self._volumes.get(name)

    def claims_of(self, volume: str) -> Iterable[str]:
        """The keys of the claims that name a volume as theirs."""
        return self._claims_of.get(volume, ())

    def attached(self, volume: str) -> bool:
        """Whether a VolumeAttachment names a volume."""
        return volume in self._attachments_of

    def allowed_topology(self, storage_class: str) -> reach.Topology:
        """Where a StorageClass allows volumes to be made."""
        return self._topologies[storage_class]

    def shared(self, topology: reach.Topology) -> bool:
        """Whether more than one volume can be reached from just there: what is worth remembering between pods."""
        return self._sharing.get(topology, 0) > 1

    def selected_node(self, claim: Claim) -> str | None:
        """The node on which a volume for an unbound claim is, or will be asked, to be made."""
        held = self.in_flight.claims.get(claim.key)
        return held.node if held is not None and not held.volume else claim.selected_node

    def undecided(self, claim: Claim) -> bool:
        """Whether neither a node nor a volume is chosen for an unbound claim."""
        return self.selected_node(claim) is None and not self.reserved(claim)

    def reserved(self, claim: Claim) -> list[Volume]:
        """The volumes of the claim's class that are for it alone, by name: it is their claimRef, or assumed to be."""
        names = set(self._reserved.get(claim.key, ()))
        held = self.in_flight.claims.get(claim.key)
        if held is not None and held.volume:
            names.add(held.volume)
        volumes = [self._volumes[name] for name in sorted(names)]
        taken = self.in_flight.volumes
        return [
            each
            for each in volumes
            if each.storage_class == claim.storage_class and (each.is_for(claim) or taken.get(each.name) == claim.key)
        ]

    def free(self, storage_class: str) -> FreeVolumes | None:
        """The volumes of a class that anybody can get; None where there are none."""
        free = self._free.get(storage_class)
        return free if free is not None and free.volumes else None

    def driver_volume(self, claim: Claim) -> DriverVolume | None:
        """What the claim counts as on a node: its CSI volume, or the one that its StorageClass will make for it."""
        return driver_volume(claim, self._volumes.get(claim.volume), self.classes.get(claim.storage_class))

    # ------------------------------------------------------------ objects

    def put(self, item: StorageObject) -> StorageObject | None:
        """Adds or replaces an object; returns the one before. Raises InvalidObject and then changes nothing."""
        old = self._shelf(item).get(item.key)
        match item:
            case objects.PersistentVolume():
                self._put_volume(item.key, parsed.volume_of(item))
                self.volumes[item.key] = item
            case objects.PersistentVolumeClaim():
                self._put_claim(item.key, parsed.claim_of(item))
                self.claims[item.key] = item
            case objects.StorageClass():
                topology = reach.of_class(item.allowed_topologies)
                self._put_class(item.key, item)
                self._topologies[item.key] = topology
            case objects.CSINode():
                self.limits.put(self.csi_nodes.get(item.key), item)
                self.csi_nodes[item.key] = item
            case objects.CSIDriver():
                self.drivers[item.key] = item
            case objects.CSIStorageCapacity():
                self.capacity.put(item, self.capacities.get(item.key))
                self.capacities[item.key] = item
            case objects.VolumeAttachment():
                self._put_attachment(item.key, item)
        self.version += 1
        return old

    def remove(self, item: StorageObject) -> StorageObject | None:
        """Forgets an object, and returns it as it was; one that is not there is fine."""
        old = self._shelf(item).get(item.key)
        match item:
            case objects.PersistentVolume():
                self._put_volume(item.key, None)
                self.volumes.pop(item.key, None)
            case objects.PersistentVolumeClaim():
                self._put_claim(item.key, None)
                self.claims.pop(item.key, None)
            case objects.StorageClass():
                self._put_class(item.key, None)
                self._topologies.pop(item.key, None)
            case objects.CSINode():
                self.limits.put(self.csi_nodes.pop(item.key, None), None)
            case objects.CSIDriver():
                self.drivers.pop(item.key, None)
            case objects.CSIStorageCapacity():
                pool = self.capacities.pop(item.key, None)
                if pool is not None:
                    self.capacity.remove(pool)
            case objects.VolumeAttachment():
                self._put_attachment(item.key, None)
        self.version += 1
        return old

    # ------------------------------------------------------------ pods

    def add_pod(self, pod: PodInfo, row: int) -> None:
        """A pod is on a node now."""
        for name in pod.claims:
            key = f"{pod.namespace}/{name}"
            if self._use.add(key, pod.uid, row, pod.node_name):
                self._count(key)
        self.disks.add(pod, row)

    def remove_pod(self, pod: PodInfo, row: int) -> None:
        """A pod has left a node."""
        for name in pod.claims:
            self._use.remove(f"{pod.namespace}/{name}", pod.uid, row, pod.node_name)
        self.disks.remove(pod)

    # ------------------------------------------------------------ pods in flight

    def assume(self, pod: str, node: str, bindings: Mapping[str, str]) -> None:
        """Holds what a pod in flight needs.

        Args:
            pod: its uid.
            node: the name of its node.
            bindings: key of each unbound claim to the volume that it gets, or to "" where one is to be provisioned.
        """
        for key, volume in bindings.items():
            claim = self._claims[key]
            if key in self.in_flight.claims:
                self.in_flight.join(key, pod)
            elif volume or claim.selected_node != node:  # else the API says so already
                self._take(key, Assumption(claim.uid, node, volume, {pod}))
        self.version += 1

    def forget(self, pod: str) -> None:
        """Gives back what is held for a pod (uid) and for no other; fine where nothing is."""
        for key in self.in_flight.leave(pod):
            if not self._claims[key].volume:  # else the volume is not shown as the claim's yet, but it is
                self._release(key)
        self.version += 1

    def refuse(self, key: str, node: str, now: float) -> None:
        """A driver could not make a volume for a claim on a node."""
        claim = self._claims.get(key)
        if claim is not None and not claim.volume:
            self.refusals.refuse(key, claim.uid, node, now)
            self.version += 1

    def expire(self, now: float) -> list[objects.PersistentVolumeClaim]:
        """The claims that may be tried again on nodes on which no volume could be made for them."""
        over = self.refusals.expire(now)
        if over:
            self.version += 1
        return [self.claims[key] for key in over if key in self.claims]

    # ------------------------------------------------------------ copies and checks

    def fork(self) -> VolumeCatalog:
        """A copy in which pods come and go, and take volumes, apart from this one; the objects are shared."""
        twin = VolumeCatalog()
        twin.__dict__.update(self.__dict__)
        twin.disks = self.disks.fork()
        twin.limits = self.limits.fork()
        twin.in_flight = self.in_flight.fork()
        twin.capacity = self.capacity.fork()
        twin._use = self._use.fork()
        twin._free = {name: each.fork() for name, each in self._free.items()}
        return twin

    def rebuilt(self) -> VolumeCatalog:
        """A catalog with the same objects and assumptions, built anew, that no pod uses."""
        fresh = VolumeCatalog()
        shelves: tuple[Mapping[str, StorageObject], ...] = (
            self.claims, self.volumes, self.classes, self.csi_nodes, self.drivers, self.capacities,
            self.volume_attachments,
        )  # fmt: skip
        for shelf in shelves:
            for item in shelf.values():
                fresh.put(item)
        for key, held in self.in_flight.claims.items():
            fresh._take(key, dataclasses.replace(held, pods=set(held.pods)))
        return fresh

    def differences(self, nodes: Snapshot, fresh: VolumeCatalog, fresh_nodes: Snapshot) -> list[str]:
        """What differs from a catalog built anew, for ``Snapshot.check``."""
        wrong = self._use.differences(fresh._use, nodes, fresh_nodes)
        wrong.extend(self.capacity.differences(fresh.capacity, nodes, fresh_nodes))
        if self.in_flight.claims != fresh.in_flight.claims:
            wrong.append("claims of pods in flight")
        if self.disks.users != fresh.disks.users:
            wrong.append("users of disks")
        for what in ("_reserved", "_claims_of", "_attachments_of", "_sharing"):
            if getattr(self, what) != getattr(fresh, what):
                wrong.append(f"storage: {what.lstrip('_')}")
        for name in self._free.keys() | fresh._free.keys():
            mine, theirs = self.free(name), fresh.free(name)
            if (mine.volumes.keys() if mine else set()) != (theirs.volumes.keys() if theirs else set()):
                wrong.append(f"free volumes of {name}")
        return wrong

    # ------------------------------------------------------------ inside: objects

    def _shelf(self, item: StorageObject) -> Mapping[str, StorageObject]:
        shelves: dict[type[objects.KubeObject], Mapping[str, StorageObject]] = {
            objects.PersistentVolume: self.volumes,
            objects.PersistentVolumeClaim: self.claims,
            objects.StorageClass: self.classes,
            objects.CSINode: self.csi_nodes,
            objects.CSIDriver: self.drivers,
            objects.CSIStorageCapacity: self.capacities,
            objects.VolumeAttachment: self.volume_attachments,
        }
        return shelves[type(item)]

    def _put_claim(self, key: str, new: Claim | None) -> None:
        old = self._claims.pop(key, None)
        if new is not None:
            self._claims[key] = new
        self._claims_of.move(key, old.volume if old else "", new.volume if new else "")
        self.refusals.seen(key, new.uid if new else "", bound=bool(new and new.volume))
        held = self.in_flight.claims.get(key)
        if held is not None and (
            new is None
            or new.uid != held.claim_uid
            or new.volume not in ("", held.volume)
            or (new.selected_node is not None and not held.volume)
        ):
            self._release(key)
        self._promise(key)
        self._count(key)

    def _put_volume(self, name: str, new: Volume | None) -> None:
        old = self._volumes.pop(name, None)
        if old is not None and (count := self._sharing[old.topology] - 1):
            self._sharing[old.topology] = count
        elif old is not None:
            del self._sharing[old.topology]
        if new is not None:
            self._volumes[name] = new
            self._sharing[new.topology] = self._sharing.get(new.topology, 0) + 1
        self._reserved.move(name, old.claim if old else "", new.claim if new else "")
        holder = self.in_flight.volumes.get(name)
        if holder is not None and (new is None or new.claim):
            self._release(holder)
        if old is not None:
            self._free[old.storage_class].discard(name)
        if new is not None:
            self._offer(new)
        for key in self._claims_of.get(name, ()):
            self._count(key)
        for key in self._attachments_of.get(name, ()):
            self._hold(key)

    def _put_class(self, name: str, new: objects.StorageClass | None) -> None:
        old = self.classes.pop(name, None)
        if new is not None:
            self.classes[name] = new
        if (old.provisioner if old else "") != (new.provisioner if new else ""):
            for key in list(self.users):
                claim = self._claims.get(key)
                if claim is not None and claim.storage_class == name:
                    self._count(key)

    def _put_attachment(self, key: str, new: objects.VolumeAttachment | None) -> None:
        old = self.volume_attachments.pop(key, None)
        if new is not None:
            self.volume_attachments[key] = new
        before = old.spec.source.persistent_volume_name if old else None
        after = new.spec.source.persistent_volume_name if new else None
        self._attachments_of.move(key, before or "", after or "")
        self._hold(key)

    # ------------------------------------------------------------ inside: what follows from them

    def _offer(self, volume: Volume) -> None:
        """Lists a volume as free, if it is."""
        free = self._free.setdefault(volume.storage_class, FreeVolumes())
        taken = volume.claim or volume.deleting or not volume.available or volume.name in self.in_flight.volumes
        if not taken:
            free.add(volume)

    def _take(self, key: str, assumption: Assumption) -> None:
        """Makes an assumption."""
        self.in_flight.hold(key, assumption)
        if assumption.volume:
            self._free[self._volumes[assumption.volume].storage_class].discard(assumption.volume)
        self._promise(key)

    def _release(self, key: str) -> None:
        """Drops an assumption."""
        held = self.in_flight.release(key)
        volume = self._volumes.get(held.volume)
        if volume is not None:
            self._offer(volume)
        self._promise(key)

    def _promise(self, key: str) -> None:
        """Brings the promise to a claim in line with the claim and with what is assumed for it."""
        claim = self._claims.get(key)
        node = None
        if claim is not None and not claim.volume:
            held = self.in_flight.claims.get(key)
            node = (held.node if not held.volume else None) if held is not None else claim.selected_node
        size = claim.size if claim is not None else None
        promise = Promise(node, size) if node is not None and size else None
        self.capacity.promise(key, claim.storage_class if claim is not None else "", promise)

    def _count(self, key: str) -> None:
        """Counts a claim in use as the volume that it is now."""
        if key in self.users:
            claim = self._claims.get(key)
            self._use.count(key, self.driver_volume(claim) if claim is not None else None)

    def _hold(self, key: str) -> None:
        """Counts a VolumeAttachment as the volume that it is of now."""
        item = self.volume_attachments.get(key)
        volume = None
        if item is not None and item.spec.attacher and item.spec.source.persistent_volume_name:
            found = self._volumes.get(item.spec.source.persistent_volume_name)
            if found is not None and found.driver:
                volume = (item.spec.attacher, found.handle)
        self.attachments.hold(key, volume, item.spec.node_name if item else "")
