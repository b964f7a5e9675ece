"""What the fake CSI driver has in store and what it decides, from the API objects alone: no input, no output.

A StorageClass of the driver describes a pool per topology segment by its parameters:

- `topologyKey`: the node label whose values are the segments (`topology.kubernetes.io/zone`), by default
  `kubernetes.io/hostname`: a pool on every node;
- `capacity`: how much each segment holds, by default 1Ti;
- `disk`: only nodes with this value of the label `disk` take part (optional).

What is left of a segment is its capacity less the volumes that exist there, so nothing has to be remembered.
"""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tests.controlplane.nodes import DISK, DRIVER, HOSTNAME, Manifest

NAMESPACE: Final = "kube-system"
"""Where the CSIStorageCapacity objects are."""

PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
"""The PV controller sets it on a claim that an external provisioner shall serve (pv_controller.go)."""

SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
REFUSE: Final = f"{DRIVER}/refuse"
"""Annotation of a node: "true" makes the driver say "out of space" there, whatever it reports as its capacity."""

DELAY: Final = f"{DRIVER}/delay"
"""Annotation of a claim or a StorageClass: seconds that making the volume takes."""

_UNITS: Final = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Segment:
    """One pool: a StorageClass in one topology segment."""

    storage_class: str
    key: str
    value: str


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a claim gets its volume."""

    segment: Segment
    size: int


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a claim gets none; with `reschedule` the scheduler is to choose another node."""

    reason: str
    reschedule: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """The cluster as the driver sees it: objects by name (claims by namespace/name)."""

    nodes: Mapping[str, Manifest]
    classes: Mapping[str, Manifest]
    volumes: Mapping[str, Manifest]
    claims: Mapping[str, Manifest]
    reserved: Iterable[tuple[str, Place]] = ()
    """Volumes in the making, by the name that they will have."""

    def free(self) -> dict[Segment, int]:
        """Bytes left in every segment, 0 where it is overdrawn."""
        left = {segment: size for name in self.classes for segment, size in self._segments(name)}
        taken = [(where, size_of(volume)) for volume in self.volumes.values() if (where := segment_of(volume))]
        taken += [(place.segment, place.size) for name, place in self.reserved if name not in self.volumes]
        for segment, size in taken:
            if segment in left:
                left[segment] = max(0, left[segment] - size)
        return left

    def place(self, claim: Manifest, free: Mapping[Segment, int]) -> Place | Refusal | None:
        """Decide about a claim; None where it does not wait for this driver (yet)."""
        annotations = claim["metadata"].get("annotations", {})
        storage_class = self.classes.get(claim["spec"].get("storageClassName", ""))
        if annotations.get(PROVISIONER) != DRIVER or claim["spec"].get("volumeName") or storage_class is None:
            return None
        if "deletionTimestamp" in claim["metadata"]:
            return None
        name, size = storage_class["metadata"]["name"], request_of(claim)
        mine = {segment: left for segment, left in free.items() if segment.storage_class == name}
        if storage_class.get("volumeBindingMode") != "WaitForFirstConsumer":
            # First those with most space, then by name: the same claims always get the same places.
            best = min(mine, key=lambda segment: (-mine[segment], segment.value), default=None)
            if best is None or mine[best] < size:
                return Refusal("no segment has that much space left", reschedule=False)
            return Place(best, size)
        if SELECTED_NODE not in annotations:
            return None
        node = self.nodes.get(annotations[SELECTED_NODE])
        if node is None:
            return Refusal(f"node {annotations[SELECTED_NODE]} does not exist", reschedule=True)
        key = _topology_key(storage_class)
        segment = Segment(name, key, node["metadata"]["labels"].get(key, ""))
        if node["metadata"].get("annotations", {}).get(REFUSE) == "true":
            return Refusal(f"node {annotations[SELECTED_NODE]} is out of space", reschedule=True)
        if mine.get(segment, 0) < size:
            return Refusal(f"{segment.value or node['metadata']['name']} has {mine.get(segment, 0)} bytes left, "
                           f"{size} are wanted", reschedule=True)  # fmt: skip
        return Place(segment, size)

    def delay(self, claim: Manifest) -> float:
        """Seconds that making the volume takes."""
        for owner in (claim, self.classes[claim["spec"]["storageClassName"]]):
            if DELAY in owner["metadata"].get("annotations", {}):
                return float(owner["metadata"]["annotations"][DELAY])
        return 0.0

    def volume(self, claim: Manifest, place: Place) -> Manifest:
        """The PersistentVolume for a claim."""
        storage_class = self.classes[place.segment.storage_class]
        metadata = claim["metadata"]
        term = {"key": place.segment.key, "operator": "In", "values": [place.segment.value]}
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume_name(claim), "annotations": {PROVISIONED_BY: DRIVER}},
            "spec": {
                "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
                "accessModes": claim["spec"]["accessModes"],
                "volumeMode": claim["spec"].get("volumeMode", "Filesystem"),
                "storageClassName": place.segment.storage_class,
                "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": metadata["namespace"],
                    "name": metadata["name"], "uid": metadata["uid"],
                },
                "csi": {"driver": DRIVER, "volumeHandle": volume_name(claim)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
            },
        }  # fmt: skip

    def released(self) -> Iterator[str]:
        """Names of the driver's volumes whose claim is gone and that nobody keeps."""
        for name, volume in self.volumes.items():
            if (
                _is_ours(volume)
                and volume.get("status", {}).get("phase") == "Released"
                and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
                and "deletionTimestamp" not in volume["metadata"]
            ):
                yield name

    def growing(self, free: Mapping[Segment, int]) -> Iterator[tuple[Manifest, Manifest]]:
        """Bound claims that ask for more than they have and can get it, each with its volume."""
        for claim in self.claims.values():
            volume = self.volumes.get(claim["spec"].get("volumeName", ""))
            if volume is None or not _is_ours(volume) or claim.get("status", {}).get("phase") != "Bound":
                continue
            segment, more = segment_of(volume), request_of(claim) - size_of(volume)
            has = parse(claim["status"]["capacity"]["storage"])
            if has < request_of(claim) and segment is not None and more <= free.get(segment, 0):
                yield claim, volume

    def capacities(self, free: Mapping[Segment, int]) -> dict[str, Manifest]:
        """The CSIStorageCapacity objects that should exist, by name."""
        return {
            name: {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "CSIStorageCapacity",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "storageClassName": segment.storage_class,
                "nodeTopology": {"matchLabels": {segment.key: segment.value}},
                "capacity": str(left),
            }
            for segment, left in free.items()
            for name in [f"{segment.storage_class}.{segment.value}"]
        }

    def _segments(self, name: str) -> Iterator[tuple[Segment, int]]:
        storage_class = self.classes[name]
        if storage_class["provisioner"] != DRIVER:
            return
        parameters = storage_class.get("parameters") or {}
        key, capacity = _topology_key(storage_class), parse(parameters.get("capacity", "1Ti"))
        for node in self.nodes.values():
            labels = node["metadata"]["labels"]
            if key in labels and parameters.get("disk") in (None, labels.get(DISK)) and _allowed(storage_class, labels):
                yield Segment(name, key, labels[key]), capacity


def segment_of(volume: Manifest) -> Segment | None:
    """Where a volume of the driver lies."""
    if not _is_ours(volume):
        return None
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    (expression,) = term["matchExpressions"]
    return Segment(volume["spec"]["storageClassName"], expression["key"], expression["values"][0])


def volume_name(claim: Manifest) -> str:
    """Name of the volume made for a claim: always the same, so that it is made once."""
    return f"pvc-{claim['metadata']['uid']}"


def size_of(volume: Manifest) -> int:
    """Bytes of a volume."""
    return parse(volume["spec"]["capacity"]["storage"])


def request_of(claim: Manifest) -> int:
    """Bytes that a claim asks for."""
    return parse(claim["spec"]["resources"]["requests"]["storage"])


def parse(quantity: str) -> int:
    """Bytes of a quantity such as 10Gi or 1.5Ti, as a claim may ask for it."""
    digits = quantity.rstrip("kMGTPEi")
    return int(decimal.Decimal(digits) * _UNITS[quantity[len(digits) :]])


def _is_ours(volume: Manifest) -> bool:
    """Made by this driver; a static volume of a test that names it is not."""
    return bool(volume["metadata"].get("annotations", {}).get(PROVISIONED_BY) == DRIVER)


def _topology_key(storage_class: Manifest) -> str:
    key: str = (storage_class.get("parameters") or {}).get("topologyKey", HOSTNAME)
    return key


def _allowed(storage_class: Manifest, labels: Mapping[str, str]) -> bool:
    terms = storage_class.get("allowedTopologies") or [{}]
    return any(
        all(labels.get(each["key"]) in each["values"] for each in term.get("matchLabelExpressions", []))
        for term in terms
    )
