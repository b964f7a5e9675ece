"""What is scheduled: nodes, pods and volumes as manifests. Pure; used by the runs, the decisions and their tests.

A workload is a number of pods that are alike but for their group; each of its rules is one field of ``Workload``.
Whoever follows the rules can place all of them, one pod after the other in the order of their names: the volumes of a
group go round the zones, and a group never has more members than half of the nodes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import DRIVER, HOSTNAME, RACK, ZONE, Layout, Manifest

NAMESPACE = "bench"
GROUP = "group"
"""Label of a pod: the pods that are spread and kept apart together."""
STORAGE_CLASS = "zonal"
RACK_SIZE = 20
"""Hosts in a rack, about."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """The rules of some pods.

    Attributes:
        pods: how many, unless somebody says otherwise.
        groups: at least so many groups.
        zone_skew: maxSkew over the zones, DoNotSchedule; None for no such rule.
        rack_skew: the same over the racks.
        one_per_host: required anti-affinity over the host names, within the group.
        volume: a volume each, bound to its claim and accessible from one zone only.
    """

    name: str
    pods: int = 2000
    groups: int = 1
    zone_skew: int | None = None
    rack_skew: int | None = None
    one_per_host: bool = False
    volume: bool = False

    def groups_of(self, pods: int, nodes: int) -> int:
        """How many groups so many pods form."""
        least = math.ceil(pods / max(1, nodes // 2)) if self.one_per_host else 1
        return max(self.groups, least)

    def check(self, pods: int, layout: Layout) -> None:
        """Raises ControlPlaneError where the nodes cannot hold the pods with room to spare."""
        per_node = min(layout.pods, layout.volumes) if self.volume else layout.pods
        nodes = layout.count or 0
        room = nodes * per_node // 2
        if pods > room:
            raise ControlPlaneError(f"{nodes} nodes are for {room} pods of {self.name} at most: use more --nodes")

    def manifests(self, pods: int, layout: Layout, scheduler: str) -> Iterator[Manifest]:
        """The pods, in the order in which they should be scheduled; unscheduled.

        Args:
            pods: how many.
            layout: the nodes they are for.
            scheduler: their ``schedulerName``.
        """
        groups = self.groups_of(pods, layout.count or 0)
        for index in range(pods):
            yield self._pod(index, f"g{index % groups}", scheduler)

    def volumes(self, pods: int, layout: Layout) -> Iterator[tuple[Manifest, Manifest]]:
        """The claim and the volume of each pod, as they are once bound.

        The uid in the volume's ``claimRef`` is left to whoever creates the claim.
        """
        if not self.volume:
            return
        groups = self.groups_of(pods, layout.count or 0)
        zones = sorted({zone for zone, *_ in layout.names()})
        for index in range(pods):
            yield _volume(self._name(index), zones[index // groups % len(zones)])

    def zone_of_volume(self, manifest: Manifest) -> str:
        """The zone of a volume as ``volumes`` made it."""
        (term,) = manifest["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        zone: str = term["matchExpressions"][0]["values"][0]
        return zone

    def _name(self, index: int) -> str:
        return f"{self.name}-{index:06}"

    def _pod(self, index: int, group: str, scheduler: str) -> Manifest:
        selector = {"matchLabels": {GROUP: group}}
        name = self._name(index)
        spec: Manifest = {
            "schedulerName": scheduler,
            "containers": [
                {"name": "main", "image": "app:1", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}
            ],
        }
        skews = [(ZONE, self.zone_skew), (RACK, self.rack_skew)]
        spread = [
            {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
            for key, skew in skews
            if skew is not None
        ]
        if spread:
            spec["topologySpreadConstraints"] = spread
        if self.one_per_host:
            term = {"topologyKey": HOSTNAME, "labelSelector": selector}
            spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        if self.volume:
            spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": self.name, GROUP: group}},
            "spec": spec,
        }


WORKLOADS = (
    Workload(name="basic"),
    Workload(name="spread", zone_skew=5),
    Workload(name="antiaffinity", one_per_host=True),
    Workload(name="pvc", volume=True),
    Workload(name="mission", pods=1000, groups=10, zone_skew=1, rack_skew=2, one_per_host=True, volume=True),
)
BY_NAME = {each.name: each for each in WORKLOADS}


def bound(workload: Workload, pods: int, layout: Layout) -> Iterator[Manifest]:
    """Pods of the same rules that are on the nodes already, in groups of their own: one of each group on every node."""
    names = [name for *_, name in layout.names()]
    others = dataclasses.replace(workload, name=f"old-{workload.name}", volume=False)
    for index, manifest in enumerate(others.manifests(pods, layout, "somebody")):
        group = f"old{index // len(names)}"
        manifest["metadata"]["labels"][GROUP] = group
        spec = manifest["spec"]
        for constraint in spec.get("topologySpreadConstraints", []):
            constraint["labelSelector"] = {"matchLabels": {GROUP: group}}
        for terms in spec.get("affinity", {}).get("podAntiAffinity", {}).values():
            for term in terms:
                term["labelSelector"] = {"matchLabels": {GROUP: group}}
        spec["nodeName"] = names[index % len(names)]
        yield manifest


def layout_of(nodes: int) -> Layout:
    """3 zones, 2 power domains in each, and in those as many racks of about ``RACK_SIZE`` hosts as are needed."""
    racks = math.ceil(nodes / (6 * RACK_SIZE))
    return Layout(racks=racks, hosts=math.ceil(nodes / (6 * racks)), count=nodes)


def csi_nodes(layout: Layout) -> Iterator[Manifest]:
    """What the CSI driver registers for each node."""
    for *_, name in layout.names():
        driver = {
            "name": DRIVER,
            "nodeID": name,
            "topologyKeys": [HOSTNAME, ZONE],
            "allocatable": {"count": layout.volumes},
        }
        yield {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": name},
            "spec": {"drivers": [driver]},
        }


def _volume(name: str, zone: str) -> tuple[Manifest, Manifest]:
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": STORAGE_CLASS}
    capacity = {"storage": "10Gi"}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "annotations": {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"},
        },
        "spec": {**common, "resources": {"requests": capacity}, "volumeName": f"pv-{name}"},
        "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": capacity},
    }
    expression = {"key": ZONE, "operator": "In", "values": [zone]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"pv-{name}", "annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}},
        "spec": {
            **common,
            "capacity": capacity,
            "csi": {"driver": DRIVER, "volumeHandle": name},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": NAMESPACE, "name": name},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
        "status": {"phase": "Bound"},
    }
    return claim, volume
