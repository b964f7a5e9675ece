"""The volume plugins once more, node by node and claim by claim on the raw API objects: what the fast ones must equal.

Written after kubernetes v1.36.3 ``plugins/volumebinding``, ``volumezone``, ``volumerestrictions`` and
``nodevolumelimits``, with our own rule for capacity where ``require_capacity`` is on.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping

from stowplan.framework.snapshot import Snapshot
from stowplan.framework.volumes import VolumeCatalog
from stowplan.model import objects, quantity, selectors
from stowplan.model.pods import PodInfo
from stowplan.plugins.volume_args import VolumeBindingArgs

NO_MATCH = "node(s) didn't find available persistent volumes to bind"
CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
FULL = "node(s) did not have enough free storage"
MISSING = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


def class_of(item: objects.PersistentVolumeClaim | objects.PersistentVolume) -> str:
    name = item.metadata.annotations.get("volume.beta.kubernetes.io/storage-class")
    return item.spec.storage_class_name or "" if name is None else name


def size_of(claim: objects.PersistentVolumeClaim) -> int | None:
    asked = claim.spec.resources.requests.get("storage")
    return None if asked is None else quantity.value(asked)


def can_use(volume: objects.PersistentVolume, node: objects.Node) -> bool:
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return True
    labels = node.metadata.labels
    return any(
        all(each.allows(labels.get(each.key)) for each in selectors.compile_node_term(term).labels)
        for term in affinity.required.node_selector_terms
        if term.match_expressions or term.match_fields
    )


def is_for(volume: objects.PersistentVolume, claim: objects.PersistentVolumeClaim) -> bool:
    holder = volume.spec.claim_ref
    return (
        holder is not None
        and (holder.namespace, holder.name) == (claim.metadata.namespace, claim.metadata.name)
        and holder.uid in ("", claim.metadata.uid)
    )


def find_volume(
    claim: objects.PersistentVolumeClaim,
    volumes: Iterable[objects.PersistentVolume],
    node: objects.Node,
    chosen: set[str],
    held: Mapping[str, str],
) -> str | None:
    """FindMatchingVolume: the name of a volume; ``held`` are volumes that pods in flight have, to claim keys."""
    best: tuple[int, str] | None = None
    for volume in sorted(volumes, key=lambda each: each.metadata.name):
        name, spec = volume.metadata.name, volume.spec
        mine = is_for(volume, claim) or held.get(name) == claim.key
        if name in chosen or ((spec.claim_ref is not None or name in held) and not mine):
            continue
        size = quantity.value(spec.capacity.get("storage", 0))
        if size < (size_of(claim) or 0) or spec.volume_mode != claim.spec.volume_mode:
            continue
        if (spec.volume_attributes_class_name or "") != (claim.spec.volume_attributes_class_name or ""):
            continue
        if volume.metadata.deletion_timestamp is not None:
            continue
        if mine:
            return name if can_use(volume, node) else None
        wanted = claim.spec.selector
        if (
            volume.status.phase == "Available"
            and (wanted is None or selectors.compile_selector(wanted).matches(volume.metadata.labels))
            and can_use(volume, node)
            and set(claim.spec.access_modes) <= set(spec.access_modes)
            and (best is None or best[0] > size)
        ):
            best = (size, name)
    return best[1] if best else None


@dataclasses.dataclass
class Found:
    """What a node would do for a pod: reasons against it, volumes by claim key, claims to provision."""

    reasons: list[str]
    static: dict[str, str]
    dynamic: list[str]


def bind(pod: PodInfo, node: objects.Node, nodes: Snapshot, args: VolumeBindingArgs) -> Found:
    """FindPodVolumes, for a pod that passes PreFilter."""
    catalog = nodes.volumes
    claims = [catalog.claims[f"{pod.namespace}/{name}"] for name in pod.claims]
    bound = [c for c in claims if c.spec.volume_name and "pv.kubernetes.io/bind-completed" in c.metadata.annotations]
    found = Found([], {}, [])
    missing = False
    for claim in bound:
        volume = catalog.volumes.get(claim.spec.volume_name)
        if volume is None:
            missing = True
            break
        if not can_use(volume, node):
            found.reasons.append(CONFLICT)
            break
    problem = _bind_unbound([claim for claim in claims if claim not in bound], node, nodes, args, found)
    if problem is not None:
        found.reasons.append(problem)
    if missing:
        found.reasons.append(MISSING)
    return found


def selected_node(catalog: VolumeCatalog, claim: objects.PersistentVolumeClaim) -> str | None:
    held = catalog.in_flight.claims.get(claim.key)
    if held is not None and not held.volume:
        return held.node
    return claim.metadata.annotations.get("volume.kubernetes.io/selected-node")


def _bind_unbound(
    claims: list[objects.PersistentVolumeClaim],
    node: objects.Node,
    nodes: Snapshot,
    args: VolumeBindingArgs,
    found: Found,
) -> str | None:
    catalog = nodes.volumes
    provision, match = [], []
    for claim in claims:
        selected = selected_node(catalog, claim)
        if selected is None:
            match.append(claim)
        elif selected == node.metadata.name:
            provision.append(claim)
        else:
            return NO_MATCH
    chosen: set[str] = set()
    for claim in sorted(match, key=lambda each: size_of(each) or 0):
        volumes = [each for each in catalog.volumes.values() if class_of(each) == class_of(claim)]
        name = find_volume(claim, volumes, node, chosen, catalog.in_flight.volumes)
        if name is None:
            provision.append(claim)
        else:
            chosen.add(name)
            found.static[claim.key] = name
    before: list[objects.PersistentVolumeClaim] = []
    for claim in provision:
        storage_class = catalog.classes[class_of(claim)]
        if storage_class.provisioner in ("", "kubernetes.io/no-provisioner"):
            return NO_MATCH
        if not _allowed(storage_class, node):
            return NO_MATCH
        before.append(claim)
        if size_of(claim) is not None and not _room(before, node, nodes, args, {c.key for c in claims}):
            return FULL
        found.dynamic.append(claim.key)
    return None


def _allowed(storage_class: objects.StorageClass, node: objects.Node) -> bool:
    terms = storage_class.allowed_topologies
    return not terms or any(
        term.match_label_expressions
        and all(node.metadata.labels.get(each.key) in each.values for each in term.match_label_expressions)
        for term in terms
    )


def _pools(storage_class: str, node: objects.Node, catalog: VolumeCatalog) -> list[objects.CSIStorageCapacity]:
    return [
        each
        for each in catalog.capacities.values()
        if each.storage_class_name == storage_class
        and selectors.compile_selector(each.node_topology).matches(node.metadata.labels)
    ]


def _promised(
    classes: set[str], nodes: Snapshot, own: set[str], also: objects.CSIStorageCapacity | None, node: objects.Node
) -> int:
    """Bytes that unbound claims of others will take: from a pool, or on a node where there is no pool given."""
    total = 0
    for claim in nodes.volumes.claims.values():
        selected = selected_node(nodes.volumes, claim)
        size = size_of(claim)
        held = nodes.volumes.in_flight.claims.get(claim.key)
        if claim.key in own or claim.spec.volume_name or selected not in nodes.row_of or not size:
            continue
        if class_of(claim) not in classes or (held is not None and held.volume):
            continue
        there = nodes.nodes[nodes.row_of[selected]]
        if also is None:
            total += size if there is node else 0
        elif selectors.compile_selector(also.node_topology).matches(there.metadata.labels):
            total += size
    return total


def _room(
    claims: list[objects.PersistentVolumeClaim],
    node: objects.Node,
    nodes: Snapshot,
    args: VolumeBindingArgs,
    own: set[str],
) -> bool:
    """Whether there is room for the last of the claims after the others."""
    catalog = nodes.volumes
    name = class_of(claims[-1])
    sizes = [size_of(each) or 0 for each in claims if class_of(each) == name and size_of(each) is not None]
    driver = catalog.drivers.get(catalog.classes[name].provisioner)
    if driver is not None and driver.spec.storage_capacity:
        pools = []
        for each in _pools(name, node, catalog):
            capacity = None if each.capacity is None else quantity.value(each.capacity)
            largest = capacity if each.maximum_volume_size is None else quantity.value(each.maximum_volume_size)
            free = 2**62 if capacity is None else capacity
            if args.require_capacity:
                free -= _promised({name}, nodes, own, each, node)
            pools.append((-1 if largest is None else largest, free))
        if not args.require_capacity:
            return any(largest >= sizes[-1] for largest, _ in pools)
        if not _fits(sizes, pools):
            return False
    if args.require_capacity:
        local = {each.storage_class: each.annotation for each in args.local_capacity}
        if name in local:
            sharing = {each for each in local if local[each] == local[name]}
            wanted = sum(size_of(each) or 0 for each in claims if class_of(each) in sharing)
            try:
                free = quantity.value(node.metadata.annotations[local[name]])
            except KeyError:
                return False
            return wanted <= free - _promised(sharing, nodes, own, None, node)
    return True


def _fits(sizes: list[int], pools: list[tuple[int, int]]) -> bool:
    """Whether the sizes can be split over the pools, by trying."""
    for split in itertools.product(range(len(pools)), repeat=len(sizes)):
        left = [free for _, free in pools]
        for size, at in zip(sizes, split, strict=True):
            left[at] -= size if size <= pools[at][0] else 2**63
        if all(left[at] >= 0 for at in set(split)):
            return True
    return False


# ---------------------------------------------------------------- the other plugins


def zone_conflict(pod: PodInfo, node: objects.Node, catalog: VolumeCatalog) -> bool:
    """VolumeZone, for a pod that passes PreFilter."""
    labels = node.metadata.labels
    old = {
        "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    }
    keys = [*old, *old.values()]
    if not any(key in labels for key in keys):
        return False
    for name in pod.claims:
        volume = catalog.volumes.get(catalog.claims[f"{pod.namespace}/{name}"].spec.volume_name)
        for key in keys if volume is not None and name not in pod.ephemeral else ():
            assert volume is not None
            if key not in volume.metadata.labels:
                continue
            values = {each.strip() for each in volume.metadata.labels[key].split("__")}
            if "" in values:
                continue
            if labels.get(key, labels.get(old.get(key, key))) not in values:
                return True
    return False


def volumes_of(pod: PodInfo, catalog: VolumeCatalog) -> dict[tuple[str, str], str]:
    """The CSI volumes of a pod, to their driver."""
    found = {}
    for name in pod.claims:
        claim = catalog.claims.get(f"{pod.namespace}/{name}")
        if claim is None:
            continue
        volume = catalog.volumes.get(claim.spec.volume_name)
        if volume is not None:
            if volume.spec.csi is not None:
                found[volume.spec.csi.driver, volume.spec.csi.volume_handle] = volume.spec.csi.driver
            continue
        storage_class = catalog.classes.get(class_of(claim))
        if storage_class is not None and storage_class.provisioner:
            found[storage_class.provisioner, f"unbound {claim.key}"] = storage_class.provisioner
    return found


def too_many(pod: PodInfo, node: objects.Node, nodes: Snapshot) -> bool:
    """NodeVolumeLimits, for a pod whose claims exist."""
    catalog = nodes.volumes
    csi_node = catalog.csi_nodes.get(node.metadata.name)
    limits = {
        each.name: each.allocatable.count
        for each in ((csi_node.spec.drivers or ()) if csi_node else ())
        if each.allocatable is not None and each.allocatable.count is not None
    }
    here: dict[tuple[str, str], str] = {}
    for other in nodes.on_node[nodes.row_of[node.metadata.name]].values():
        here.update(volumes_of(other, catalog))
    attached = {}
    for each in catalog.volume_attachments.values():
        volume = catalog.volumes.get(each.spec.source.persistent_volume_name or "")
        if each.spec.node_name == node.metadata.name and volume is not None and volume.spec.csi is not None:
            attached[each.spec.attacher, volume.spec.csi.volume_handle] = each.spec.attacher
    new = {key: driver for key, driver in volumes_of(pod, catalog).items() if key not in here}
    for driver in set(new.values()):
        count = sum(each == driver for each in (here | attached).values())
        if driver in limits and count + sum(each == driver for each in new.values()) > limits[driver]:
            return True
    return False
