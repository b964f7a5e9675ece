"""Generated storage: classes, drivers, capacity, volumes and claims, and the pods' use of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tests.parity.draw import Draw, Object
from tests.parity.words import BETA_ZONE, HOST, NODE_LABELS, RACK, REGION, ZONE, ZONES, requirement

DRIVER, OTHER_DRIVER, UNTRACKED_DRIVER = "csi.example.com", "csi.other.com", "csi.untracked.com"

_CLASSES: dict[str, tuple[str, str]] = {
    "fast": (DRIVER, "WaitForFirstConsumer"),
    "zonal": (DRIVER, "WaitForFirstConsumer"),
    "other": (OTHER_DRIVER, "WaitForFirstConsumer"),
    "untracked": (UNTRACKED_DRIVER, "WaitForFirstConsumer"),
    "local": ("kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
    "immediate": (DRIVER, "Immediate"),
}
_WANTED = ("fast", "fast", "fast", "zonal", "other", "local", "local", "untracked")
_RARE = ("immediate", "", "no-such-class")
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
SELECTED_NODE = "volume.kubernetes.io/selected-node"


@dataclasses.dataclass(frozen=True)
class Storage:
    """The storage of a state.

    Attributes:
        objects: all of it.
        claims: names of the claims of each namespace.
    """

    objects: list[Object]
    claims: dict[str, list[str]]


class _Making:
    """What is made so far."""

    def __init__(self, draw: Draw, node_names: Sequence[str], features: frozenset[str]) -> None:
        self.draw = draw
        self.nodes = node_names
        self.features = features
        self.objects: list[Object] = []
        self.claims: dict[str, list[str]] = {"default": [], "blue": [], "green": []}
        self._sizes = draw.shuffled(range(20, 400, 2))  # all different: among equals upstream takes any

    def add(
        self, api: str, kind: str, name: str, rest: Object, *, namespace: str = "", meta: Object | None = None
    ) -> None:
        """One more object."""
        where = {"namespace": namespace} if namespace else {}
        uid = f"uid-{namespace}-{name}" if namespace else f"uid-{kind}-{name}"
        metadata: Object = {"name": name, **where, "uid": uid, **(meta or {})}
        self.objects.append({"apiVersion": api, "kind": kind, "metadata": metadata, **rest})

    def size(self) -> str:
        """Bytes that no other volume has."""
        return f"{self._sizes.pop()}Mi"


def storage(draw: Draw, node_names: Sequence[str], features: frozenset[str]) -> Storage:
    """Storage for some nodes; little of it unless a feature asks for it."""
    making = _Making(draw, node_names, features)
    _classes(making)
    for node in node_names:
        if draw.chance(0.9):
            _csi_node(making, node)
    for number in range(draw.number(2, 10)):
        _claim(making, f"d{number}", draw.one(("default", "default", "default", "blue", "green")))
    for number in range(draw.number(0, 6)):
        _free_volume(making, f"free{number}")
    if "limits" in features:
        _attachments(making)
    return Storage(making.objects, making.claims)


def _classes(making: _Making) -> None:
    draw = making.draw
    for name, (provisioner, mode) in _CLASSES.items():
        rest: Object = {"provisioner": provisioner, "volumeBindingMode": mode}
        if (name == "zonal" and draw.chance(0.9)) or draw.chance(0.05):
            terms = [_topology_term(draw) for _ in range(draw.number(1, 2))]
            rest["allowedTopologies"] = [each for at, each in enumerate(terms) if each not in terms[:at]]
        making.add("storage.k8s.io/v1", "StorageClass", name, rest)
    tracked = draw.chance(0.9 if "capacity" in making.features else 0.2)
    making.add("storage.k8s.io/v1", "CSIDriver", DRIVER, {"spec": {"storageCapacity": tracked}})
    if draw.chance(0.7):
        making.add("storage.k8s.io/v1", "CSIDriver", OTHER_DRIVER, {"spec": {"storageCapacity": draw.chance(0.4)}})
    for number in range(draw.number(0, 10)):
        _capacity(making, f"pool{number}")


def _topology_term(draw: Draw) -> Object:
    keys = draw.some((ZONE, ZONE, RACK), 1, 2)
    return {
        "matchLabelExpressions": [
            {"key": key, "values": sorted(draw.some(NODE_LABELS[key], 1, 2))} for key in sorted({*keys})
        ]
    }


def _capacity(making: _Making, name: str) -> None:
    draw = making.draw
    rest: Object = {"storageClassName": draw.one(("fast", "fast", "zonal", "other"))}
    if draw.chance(0.95):
        rest["nodeTopology"] = draw.one(
            (
                {"matchLabels": {ZONE: draw.one(ZONES)}},
                {"matchLabels": {ZONE: draw.one(ZONES), RACK: draw.one(NODE_LABELS[RACK])}},
                {"matchLabels": {HOST: draw.one(making.nodes)}},
                {"matchExpressions": [{"key": ZONE, "operator": "In", "values": draw.some(ZONES, 1, 2)}]},
                {"matchExpressions": [requirement(draw, NODE_LABELS)]},
                {},
            )
        )
    if draw.chance(0.95):
        rest["capacity"] = draw.one(("50Mi", "150Mi", "250Mi", "1Gi", "0"))
    if draw.chance(0.3):
        rest["maximumVolumeSize"] = draw.one(("60Mi", "100Mi", "500Mi"))
    making.add("storage.k8s.io/v1", "CSIStorageCapacity", name, rest, namespace="kube-system")


def _csi_node(making: _Making, node: str) -> None:
    draw = making.draw
    drivers = []
    for driver in (DRIVER, OTHER_DRIVER, UNTRACKED_DRIVER):
        if draw.chance(0.9):
            entry: Object = {"name": driver, "nodeID": node}
            if draw.chance(0.8 if "limits" in making.features else 0.1):
                entry["allocatable"] = {"count": draw.number(0, 4)} if draw.chance(0.95) else {}
            drivers.append(entry)
    making.add("storage.k8s.io/v1", "CSINode", node, {"spec": {"drivers": drivers} if drivers else {}})


# ---------------------------------------------------------------- claims and volumes


def _claim(making: _Making, name: str, namespace: str) -> None:
    draw = making.draw
    chosen = draw.one(_RARE) if draw.chance(0.06) else draw.one(_WANTED)
    modes = draw.one((["ReadWriteOnce"], ["ReadWriteOnce"], ["ReadWriteMany"], ["ReadWriteOncePod"], ["ReadOnlyMany"]))
    spec: Object = {"accessModes": modes, "resources": {"requests": {"storage": f"{draw.number(1, 150)}Mi"}}}
    annotations: dict[str, str] = {}
    if chosen != "" and draw.chance(0.04):
        annotations["volume.beta.kubernetes.io/storage-class"] = chosen
    elif chosen != "" or draw.chance(0.5):
        spec["storageClassName"] = chosen
    if draw.chance(0.07):
        spec["volumeMode"] = "Block"
    if chosen != "" and draw.chance(0.05):
        spec["volumeAttributesClassName"] = draw.one(("gold", "silver"))
    if draw.chance(0.45):
        phase = _bind(making, (namespace, name), chosen, spec, annotations)
    else:
        phase = "Pending"
        _leave_unbound(making, (namespace, name), chosen, spec, annotations)
    meta: Object = {"annotations": annotations} if annotations else {}
    if draw.chance(0.04):
        meta["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    making.claims[namespace].append(name)
    rest: Object = {"spec": spec, "status": {"phase": phase}}
    making.add("v1", "PersistentVolumeClaim", name, rest, namespace=namespace, meta=meta)


def _bind(
    making: _Making, claim: tuple[str, str], storage_class: str, spec: Object, annotations: dict[str, str]
) -> str:
    """Binds a claim to a volume that there is, most often; returns the claim's phase."""
    draw = making.draw
    modes = spec["accessModes"]
    assert isinstance(modes, list)
    spec["volumeName"] = f"v-{claim[0]}-{claim[1]}"
    if draw.chance(0.95):
        annotations[BIND_COMPLETED] = "yes"
    if draw.chance(0.95):
        _volume(making, f"v-{claim[0]}-{claim[1]}", storage_class, modes, claim=claim)
        return "Bound"
    return draw.one(("Bound", "Lost"))


def _leave_unbound(
    making: _Making, claim: tuple[str, str], storage_class: str, spec: Object, annotations: dict[str, str]
) -> None:
    """May give an unbound claim a selector, a node that was selected for it, or a volume that is set aside for it."""
    draw = making.draw
    modes = spec["accessModes"]
    assert isinstance(modes, list)
    if draw.chance(0.12):
        spec["selector"] = {"matchLabels": {"grade": draw.one(("a", "b"))}}
    if draw.chance(0.12):
        annotations[SELECTED_NODE] = draw.one([*making.nodes, *making.nodes, "no-such-node"])
    if draw.chance(0.12):
        _volume(making, f"v-{claim[0]}-{claim[1]}", storage_class, modes, claim=claim, reserved=True)


def _free_volume(making: _Making, name: str) -> None:
    draw = making.draw
    modes = draw.one((["ReadWriteOnce"], ["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"], ["ReadWriteOncePod"]))
    _volume(making, name, draw.one((*_WANTED, "local", "local", "")), modes)


def _volume(
    making: _Making,
    name: str,
    storage_class: str,
    modes: list[str],
    *,
    claim: tuple[str, str] | None = None,
    reserved: bool = False,
) -> None:
    draw = making.draw
    spec: Object = {"capacity": {"storage": making.size()}, "accessModes": modes}
    if storage_class:
        spec["storageClassName"] = storage_class
    if draw.chance(0.05):
        spec["volumeMode"] = "Block"
    phase = "Available"
    if claim is not None:
        phase = "Available" if reserved and draw.chance(0.7) else "Bound"
        uid = {} if reserved and draw.chance(0.5) else {"uid": f"uid-{claim[0]}-{claim[1]}"}
        if draw.chance(0.03):
            uid = {"uid": "uid-of-another"}
        spec["claimRef"] = {"kind": "PersistentVolumeClaim", "namespace": claim[0], "name": claim[1], **uid}
    elif draw.chance(0.05):
        phase = draw.one(("Released", "Pending", "Failed"))
    provisioner = _CLASSES.get(storage_class, (DRIVER, ""))[0]
    local = provisioner == "kubernetes.io/no-provisioner" and draw.chance(0.8)
    if local:
        spec["local"] = {"path": f"/mnt/{name}"}
    else:
        driver = DRIVER if provisioner == "kubernetes.io/no-provisioner" else provisioner
        spec["csi"] = {"driver": driver, "volumeHandle": name if draw.chance(0.95) else "same"}
        if storage_class and draw.chance(0.07):
            spec["volumeAttributesClassName"] = draw.one(("gold", "silver"))
    if local or draw.chance(0.5):
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": _places(making, local=local)}}
    labels: dict[str, str] = {"grade": draw.one(("a", "b"))} if draw.chance(0.4) else {}
    if draw.chance(0.25):
        labels[draw.one((ZONE, ZONE, BETA_ZONE, REGION))] = draw.one(("za", "zb", "ra", "za__zb", "zb__zc", "zd"))
    meta: Object = {"labels": labels} if labels else {}
    if draw.chance(0.03):
        meta["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    making.add("v1", "PersistentVolume", name, {"spec": spec, "status": {"phase": phase}}, meta=meta)


def _places(making: _Making, *, local: bool) -> list[Object]:
    draw = making.draw
    if local:
        host: Object = {"key": HOST, "operator": "In", "values": [draw.one(making.nodes)]}
        return [{"matchExpressions": [host]}]
    terms: list[Object] = [
        {"matchExpressions": [requirement(draw, NODE_LABELS, numbers=True) for _ in range(draw.number(1, 2))]}
        for _ in range(draw.number(1, 2))
    ]
    if draw.chance(0.1):
        field: Object = {"key": "metadata.name", "operator": "In", "values": [draw.one(making.nodes)]}
        terms.append({"matchFields": [field]})
    return terms


def _attachments(making: _Making) -> None:
    draw = making.draw
    volumes = [_name(each) for each in making.objects if each["kind"] == "PersistentVolume"]
    for number in range(draw.number(0, 8)):
        volume = draw.one([*volumes, "no-such-volume"])
        spec: Object = {
            "attacher": draw.one((DRIVER, DRIVER, OTHER_DRIVER)),
            "nodeName": draw.one(making.nodes),
            "source": {"persistentVolumeName": volume},
        }
        making.add("storage.k8s.io/v1", "VolumeAttachment", f"a{number}", {"spec": spec, "status": {"attached": True}})


# ---------------------------------------------------------------- pods


def give(draw: Draw, raw: Object, world: Storage, *, stranger: bool) -> None:
    """Gives a pod volumes; adds to the world the claims that the ephemeral ones of them need.

    Args:
        stranger: whether such a claim may belong to another pod. A pod with one is never bound; where it were,
            NodeVolumeLimits would end every decision that comes by with an error.
    """
    metadata, spec = raw["metadata"], raw["spec"]
    assert isinstance(metadata, dict)
    assert isinstance(spec, dict)
    before = spec.get("volumes", [])
    volumes: list[Object] = []
    known = world.claims[metadata["namespace"]]
    if known and draw.chance(0.85):
        volumes += [{"persistentVolumeClaim": {"claimName": each}} for each in draw.some(known, 1, draw.one((1, 2, 3)))]
        if draw.chance(0.03):
            volumes.append(volumes[0])
    if draw.chance(0.02):
        volumes.append({"persistentVolumeClaim": {"claimName": "no-such-claim"}})
    if draw.chance(0.2):
        volumes += draw.some(_DISKS, 1, 2)
    volumes = [{"name": f"v{number}", **each} for number, each in enumerate(volumes)]
    if draw.chance(0.12):
        volumes.append(_ephemeral(draw, raw, world, stranger=stranger))
    if volumes:
        spec["volumes"] = [*before, *volumes]


_DISKS: tuple[Object, ...] = (
    {"gcePersistentDisk": {"pdName": "one"}},
    {"gcePersistentDisk": {"pdName": "one", "readOnly": True}},
    {"awsElasticBlockStore": {"volumeID": "one"}},
    {"iscsi": {"targetPortal": "10.0.0.1:3260", "iqn": "iqn.2001-04.com.example:one", "lun": 0}},
    {"iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:one", "lun": 1, "readOnly": True}},
    {"rbd": {"monitors": ["a", "b"], "image": "one"}},
    {"rbd": {"monitors": ["b", "c"], "image": "one", "pool": "rbd", "readOnly": True}},
    {"csi": {"driver": DRIVER}},
    {"emptyDir": {}},
)


def _ephemeral(draw: Draw, raw: Object, world: Storage, *, stranger: bool) -> Object:
    metadata = raw["metadata"]
    assert isinstance(metadata, dict)
    namespace, pod, uid = metadata["namespace"], metadata["name"], metadata["uid"]
    chosen = draw.one(("fast", "other"))
    spec: Object = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": chosen,
        "resources": {"requests": {"storage": f"{draw.number(1, 150)}Mi"}},
    }
    if draw.chance(0.9):
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid, "controller": True}
        if stranger and draw.chance(0.05):
            owner["uid"] = "uid-of-another"
        world.objects.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": f"{pod}-scratch",
                    "namespace": namespace,
                    "uid": f"uid-{namespace}-{pod}-scratch",
                    "ownerReferences": [owner],
                },
                "spec": spec,
                "status": {"phase": "Pending"},
            }
        )
    return {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}


def _name(raw: Object) -> str:
    metadata = raw["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["name"])
