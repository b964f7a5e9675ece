"""Clusters with storage in any state, for hypothesis."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from hypothesis import strategies as st
from tests.builders import (
    HOST,
    ZONE,
    capacity,
    claim,
    csi_driver,
    csi_node,
    node,
    node_term,
    pod,
    selector,
    snapshot,
    storage_class,
    volume,
)

from stowplan.framework.snapshot import Snapshot
from stowplan.framework.storage import BETA_ZONE
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.plugins.volume_args import LocalCapacity, VolumeBindingArgs

SELECTED = "volume.kubernetes.io/selected-node"
BOUND = "pv.kubernetes.io/bind-completed"
LOCAL = LocalCapacity("lvm", "capacity.example.com/ssd")
HOSTS = ("n0", "n1", "n2", "n3")
CLASSES = ("fast", "fast", "lvm", "lvm", "static", "static", "nowhere")
ARGS = (
    VolumeBindingArgs(),
    VolumeBindingArgs(require_capacity=False),
    VolumeBindingArgs(local_capacity=(LOCAL,)),
    VolumeBindingArgs(local_capacity=(LOCAL, LocalCapacity("fast", LOCAL.annotation))),
)

sizes = st.integers(1, 4).map(lambda number: f"{number}Gi")
hosts = st.sampled_from(HOSTS)
zones = st.sampled_from(["a", "b"])
modes = st.lists(st.sampled_from(["ReadWriteOnce", "ReadWriteMany"]), min_size=1, unique=True)

terms = st.one_of(
    zones.map(lambda zone: node_term((ZONE, "In", [zone]))),
    st.lists(hosts, min_size=1, max_size=2).map(lambda names: node_term((HOST, "In", names))),
    zones.map(lambda zone: node_term((ZONE, "NotIn", [zone]))),
    st.tuples(zones, hosts).map(lambda each: node_term((ZONE, "In", [each[0]]), (HOST, "NotIn", [each[1]]))),
    st.just(node_term(names=[("metadata.name", "In", ["n0"])])),
    st.just(node_term()),
)
topologies = st.one_of(
    st.none(),
    st.just(selector()),
    zones.map(lambda zone: selector({ZONE: zone})),
    hosts.map(lambda host: selector({HOST: host})),
    st.tuples(zones, hosts).map(lambda each: selector({ZONE: each[0]}, (HOST, "NotIn", [each[1]]))),
)


@st.composite
def nodes_of(draw: st.DrawFn, name: str) -> objects.Node:
    labels = draw(st.sampled_from([{}, {BETA_ZONE: "a"}, {"topology.kubernetes.io/region": "r"}]))
    free = draw(st.one_of(st.none(), st.integers(0, 8).map(lambda number: f"{number}Gi")))
    annotations = {LOCAL.annotation: free} if free is not None else {}
    return node(name, zone=draw(st.one_of(st.none(), zones)), labels=labels, annotations=annotations)


@st.composite
def claims(draw: st.DrawFn, name: str) -> objects.PersistentVolumeClaim:
    bound = draw(st.sampled_from(["no"] * 6 + ["selected", "selected", "bound", "bound", "incomplete"]))
    annotations: Mapping[str, str] = {}
    target = ""
    if bound == "selected":
        annotations = {SELECTED: draw(st.sampled_from([*HOSTS, "gone"]))}
    elif bound != "no":
        target = f"v{draw(st.integers(0, 5))}"
        annotations = {BOUND: "yes"} if bound == "bound" else {}
    return claim(
        name,
        storage_class=draw(st.sampled_from(CLASSES)),
        size=draw(sizes),
        modes=draw(modes),
        volume=target,
        annotations=annotations,
        select=draw(st.sampled_from([None] * 5 + [selector({"disk": "ssd"})])),
    )


@st.composite
def volumes(draw: st.DrawFn, name: str) -> objects.PersistentVolume:
    zoned = [{ZONE: "a"}, {ZONE: "a__b"}, {ZONE: "a____b"}, {BETA_ZONE: "b"}]
    labels = draw(st.sampled_from([{}, {"disk": "ssd"}, *zoned]))
    affinity = draw(st.one_of(st.none(), st.lists(terms, min_size=1, max_size=2), st.lists(terms, max_size=2)))
    return volume(
        name,
        storage_class=draw(st.sampled_from(["fast", "lvm", "static", "static"])),
        size=draw(sizes),
        modes=draw(st.one_of(st.just(["ReadWriteOnce", "ReadWriteMany"]), modes)),
        labels=labels,
        claimed_by=draw(st.sampled_from(["", "", "", "", "default/c0", "default/c1", "other/c0"])),
        node_affinity=affinity,
        driver=draw(st.sampled_from(["csi.example.com", "csi.example.com", ""])),
        phase=draw(st.sampled_from(["Available", "Available", "Available", "Released"])),
    )


@st.composite
def pools(draw: st.DrawFn, name: str) -> objects.CSIStorageCapacity:
    return capacity(
        name,
        storage_class=draw(st.sampled_from(["fast", "lvm"])),
        topology=draw(topologies),
        free=draw(st.one_of(st.none(), st.integers(0, 8).map(lambda number: f"{number}Gi"))),
        largest=draw(st.one_of(st.none(), st.none(), sizes)),
    )


@st.composite
def attachments(draw: st.DrawFn, name: str) -> objects.VolumeAttachment:
    of, on = f"v{draw(st.integers(0, 5))}", draw(hosts)
    spec = objects.VolumeAttachmentSpec("csi.example.com", on, objects.VolumeAttachmentSource(of))
    return objects.VolumeAttachment(objects.ObjectMeta(name=name), spec)


@dataclasses.dataclass
class World:
    """Nodes, storage objects, and claims of pods that are on nodes: (node, claims)."""

    nodes: list[objects.Node]
    storage: list[StorageObject]
    running: list[tuple[str, list[str]]]

    def snapshot(self) -> Snapshot:
        pods = [pod(f"running-{at}", on=on, claims=names) for at, (on, names) in enumerate(self.running)]
        return snapshot(self.nodes, pods, storage=self.storage)


@st.composite
def storage_objects(draw: st.DrawFn) -> list[StorageObject]:
    allowed = draw(st.sampled_from([(), (), ({ZONE: ["a"]},), ({ZONE: ["b"]}, {HOST: ["n0"]})]))
    found: list[StorageObject] = [
        storage_class("fast", topologies=allowed),
        storage_class("lvm", provisioner="lvm.example.com"),
        storage_class("static", provisioner="kubernetes.io/no-provisioner"),
        storage_class("nowhere", topologies=[{ZONE: []}]),
        csi_driver(storage_capacity=draw(st.booleans())),
        csi_driver("lvm.example.com", storage_capacity=draw(st.booleans())),
    ]
    found.extend(draw(claims(f"c{at}")) for at in range(4))
    found.extend(draw(volumes(f"v{at}")) for at in range(draw(st.integers(2, 6))))
    found.extend(draw(pools(f"p{at}")) for at in range(draw(st.integers(1, 5))))
    found.extend(draw(attachments(f"a{at}")) for at in range(draw(st.integers(0, 2))))
    found.extend(csi_node(name, {"csi.example.com": draw(st.sampled_from([None, 0, 1, 2]))}) for name in HOSTS)
    return found


@st.composite
def worlds(draw: st.DrawFn) -> World:
    nodes = [draw(nodes_of(name)) for name in HOSTS[: draw(st.integers(1, 4))]]
    names = st.lists(st.sampled_from(["c0", "c1", "c2", "c3"]), min_size=1, max_size=2, unique=True)
    running = draw(st.lists(st.tuples(st.sampled_from([each.metadata.name for each in nodes]), names), max_size=2))
    return World(nodes, draw(storage_objects()), running)


wanted = st.lists(st.sampled_from(["c0", "c1", "c2", "c3"]), min_size=1, max_size=2, unique=True)
"""Claims of a pod: two at most, for which our way to split claims over pools finds every split."""
