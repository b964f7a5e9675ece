"""Claims and volumes as the volume plugins read them: parsed once, when the watch brings the object.

Made by ``framework.volumes`` alone. Sources: component-helpers v0.36.3 ``storage/volume/helpers.go`` and
``pv_helpers.go``; kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/volumebinding/binder.go`` (isPVCFullyBound)
and ``volumezone/volume_zone.go`` (getPVTopologies).
"""

from __future__ import annotations

import dataclasses

from stowplan.framework import reach
from stowplan.model import objects, quantity, selectors

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
BETA_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
READ_WRITE_ONCE_POD = "ReadWriteOncePod"

ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
BETA_ZONE = "failure-domain.beta.kubernetes.io/zone"
BETA_REGION = "failure-domain.beta.kubernetes.io/region"
ZONE_LABELS = (BETA_ZONE, BETA_REGION, ZONE, REGION)

MAX_SIZE = 2**60
"""Bytes: larger claims and volumes are taken to be this large, so that sums of them stay in an int64."""

Zones = tuple[tuple[str, frozenset[str]], ...]
"""Label and the values of it that a volume is in."""


@dataclasses.dataclass(frozen=True, slots=True)
class Traits:
    """What a volume is, or what a claim asks for, beside size and place.

    Attributes:
        block: volume mode Block, not Filesystem.
        attributes_class: name of the VolumeAttributesClass, or "".
    """

    modes: frozenset[str]
    block: bool
    attributes_class: str

    def satisfies(self, wanted: Traits) -> bool:
        """Whether a volume of these traits will do for a claim that wants those."""
        return self.alike(wanted) and wanted.modes <= self.modes

    def alike(self, wanted: Traits) -> bool:
        """The same without access modes: all that is asked of a volume that is reserved for the claim by name."""
        return self.block == wanted.block and self.attributes_class == wanted.attributes_class


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A PersistentVolumeClaim.

    Attributes:
        key: ``namespace/name``.
        storage_class: name, or "".
        volume: name of the volume that it is bound, or about to be bound, to; or "".
        bound: the binding is complete.
        size: bytes asked for, or None where it does not say.
        selected_node: where a provisioner has been told to make the volume, or None.
        selector: labels that a volume must have, or None for any.
        owner_uid: of the controller, or "".
    """

    key: str
    name: str
    uid: str
    storage_class: str
    volume: str
    bound: bool
    size: int | None
    selected_node: str | None
    traits: Traits
    selector: selectors.Selector | None
    owner_uid: str
    lost: bool
    deleting: bool


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A PersistentVolume.

    Attributes:
        size: bytes.
        topology: the nodes that can use it.
        claim: key of the claim that it is bound to or reserved for, or "".
        claim_uid: uid of that claim, or "" where any claim of that name will do.
        available: phase Available.
        driver: its CSI driver, or "".
        handle: what the driver calls it.
        zones: from its zone and region labels.
    """

    name: str
    storage_class: str
    size: int
    traits: Traits
    labels: dict[str, str]
    topology: reach.Topology
    claim: str
    claim_uid: str
    available: bool
    deleting: bool
    driver: str
    handle: str
    zones: Zones

    @property
    def anywhere(self) -> bool:
        """Whether every node can use it."""
        return self.topology is reach.EVERYWHERE

    def is_for(self, claim: Claim) -> bool:
        """Whether it is bound to or reserved for this very claim."""
        return self.claim == claim.key and self.claim_uid in ("", claim.uid)


def claim_of(raw: objects.PersistentVolumeClaim) -> Claim:
    """Parses a claim. Raises InvalidObject."""
    meta, spec = raw.metadata, raw.spec
    asked = spec.resources.requests.get("storage")
    return Claim(
        key=raw.key,
        name=meta.name,
        uid=meta.uid,
        storage_class=storage_class_of(raw),
        volume=spec.volume_name,
        bound=bool(spec.volume_name) and BIND_COMPLETED in meta.annotations,
        size=None if asked is None else min(quantity.value(asked), MAX_SIZE),
        selected_node=meta.annotations.get(SELECTED_NODE),
        traits=_traits(spec),
        selector=selectors.compile_selector(spec.selector) if spec.selector is not None else None,
        owner_uid=next((each.uid for each in meta.owner_references if each.controller), ""),
        lost=raw.status.phase == "Lost",
        deleting=meta.deletion_timestamp is not None,
    )


def volume_of(raw: objects.PersistentVolume) -> Volume:
    """Parses a volume. Raises InvalidObject."""
    meta, spec = raw.metadata, raw.spec
    reference = spec.claim_ref
    return Volume(
        name=meta.name,
        storage_class=storage_class_of(raw),
        size=min(quantity.value(spec.capacity.get("storage", 0)), MAX_SIZE),
        traits=_traits(spec),
        labels=meta.labels,
        topology=reach.of_volume(spec.node_affinity),
        claim=f"{reference.namespace}/{reference.name}" if reference else "",
        claim_uid=reference.uid if reference else "",
        available=raw.status.phase == "Available",
        deleting=meta.deletion_timestamp is not None,
        driver=spec.csi.driver if spec.csi else "",
        handle=spec.csi.volume_handle if spec.csi else "",
        zones=zones_of(meta.labels),
    )


def storage_class_of(raw: objects.PersistentVolume | objects.PersistentVolumeClaim) -> str:
    """The name of its StorageClass, or ""."""
    return raw.metadata.annotations.get(BETA_STORAGE_CLASS, raw.spec.storage_class_name or "")


def zones_of(labels: dict[str, str]) -> Zones:
    """The zone and region labels of a volume; ``__`` separates values, and a label with an empty one is passed over."""
    found = []
    for key in ZONE_LABELS:
        if key in labels:
            values = frozenset(part.strip() for part in labels[key].split("__"))
            if "" not in values:
                found.append((key, values))
    return tuple(found)


def _traits(spec: objects.PersistentVolumeSpec | objects.PersistentVolumeClaimSpec) -> Traits:
    return Traits(
        modes=frozenset(spec.access_modes),
        block=spec.volume_mode == "Block",
        attributes_class=spec.volume_attributes_class_name or "",
    )
