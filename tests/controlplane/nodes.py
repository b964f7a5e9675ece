"""Fake nodes laid out over failure domains, as the API objects that a kubelet and a CSI driver would register.

A `Layout` says how many and how large; `ControlPlane.create_nodes` writes them. Node `a-1-r3-h2` is host 2 in rack
`a-1-r3`, fed by power domain `a-1`, in zone `a`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import string
from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]
"""An API object as JSON."""

DRIVER = "csi.example.com"
"""Name of the CSI driver that the fake provisioner stands for."""

ZONE, REGION, HOSTNAME = "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "kubernetes.io/hostname"
POWER, RACK, DISK = "example.com/power-domain", "example.com/rack", "disk"
MANAGED = "kwok.x-k8s.io/node"
"""Label of the nodes that kwok keeps alive; without it a node falls silent, as if its kubelet had died."""

NOT_READY_TAINT = "node.kubernetes.io/not-ready"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How many failure domains of each kind, each inside the one before, and what each node offers."""

    zones: int = 3
    power_domains: int = 2
    racks: int = 5
    hosts: int = 2
    count: int | None = None
    """Only the first `count` nodes of the layout, which fill all domains evenly; None for all."""
    cpu: str = "16"
    memory: str = "64Gi"
    pods: int = 110
    ephemeral_storage: str = "200Gi"
    volumes: int = 24
    """How many volumes of the driver can be attached to one node (CSINode allocatable)."""
    disks: tuple[str, ...] = ("nvme", "nvme", "ssd", "hdd")
    """Values of the label `disk`, given out in turn."""

    @classmethod
    def of(cls, nodes: int) -> Layout:
        """The default domains (3 zones, 2 power domains in each, 5 racks in each) with hosts enough for `nodes`."""
        base = cls()
        racks = base.zones * base.power_domains * base.racks
        return cls(hosts=max(1, math.ceil(nodes / racks)), count=nodes)

    def names(self) -> Iterator[tuple[str, str, str, str]]:
        """Zone, power domain, rack and name of each node, neighbours in this order in different domains."""
        every = itertools.product(
            range(1, self.hosts + 1), range(1, self.racks + 1), range(1, self.power_domains + 1), range(self.zones)
        )
        for host, rack, power, zone in itertools.islice(every, self.count):
            zone_name = _letters(zone)
            power_name = f"{zone_name}-{power}"
            rack_name = f"{power_name}-r{rack}"
            yield zone_name, power_name, rack_name, f"{rack_name}-h{host}"

    def nodes(self) -> Iterator[Manifest]:
        """The v1 Nodes; status included, which the API server takes on creation (registry/core/node/strategy.go)."""
        capacity = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods),
                    "ephemeral-storage": self.ephemeral_storage}  # fmt: skip
        for index, (zone, power, rack, name) in enumerate(self.names()):
            yield {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": name,
                    "labels": {
                        HOSTNAME: name, ZONE: zone, REGION: "r1", POWER: power, RACK: rack,
                        DISK: self.disks[index % len(self.disks)], MANAGED: "fake",
                        "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                    },
                },
                "status": {
                    "phase": "Running",
                    "capacity": capacity,
                    "allocatable": capacity,
                    "addresses": [{"type": "Hostname", "address": name}],
                    "conditions": [
                        {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "a fake node"},
                        *({"type": kind, "status": "False", "reason": "KubeletHasNoPressure", "message": "a fake node"}
                          for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")),
                    ],
                },
            }  # fmt: skip

    def csi_node(self, node: Manifest) -> Manifest:
        """The CSINode that the kubelet of `node` (as answered by the API server) would publish."""
        name = node["metadata"]["name"]
        return {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": name, "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}]},
            "spec": {"drivers": [{"name": DRIVER, "nodeID": name, "topologyKeys": [HOSTNAME, ZONE],
                                  "allocatable": {"count": self.volumes}}]},
        }  # fmt: skip


def _letters(index: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa."""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = string.ascii_lowercase[rest] + text
    return text
