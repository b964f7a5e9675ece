"""What the three setups write for one and the same service: the objects of the scenarios.

The service is called `db` and its pods carry the label `app: db`, in whatever setup; checks go by that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.controlplane.nodes import HOSTNAME, RACK, ZONE, Manifest
from tests.scenarios.scenario import Setup

NAMESPACE: Final = "prod"
ELSEWHERE: Final = "elsewhere"
"""Namespace of services that have nothing to do with the scenario."""
NAME: Final = "db"
LABELS: Final = {"app": NAME}
IMAGE: Final = "example.com/db:1"

DOMAINS: Final = [
    {"name": "zone", "topologyKey": ZONE},
    {"name": "rack", "topologyKey": RACK},
    {"name": "host", "topologyKey": HOSTNAME},
]
OUTAGE: Final = {"key": "example.com/outage", "value": "true", "effect": "NoSchedule"}
"""Taint of the nodes of a zone that is out."""
RELAX: Final = {"action": "Relax", "after": "1s"}
"""For a spread rule: a domain that is down stops counting, soon enough for a scenario."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """A stateful service.

    Attributes:
        replicas: members.
        claims: storage class and size of each volume of a member, by the name of its template.
        cpu: that a member asks for.
        pod: more of the pod's spec, in every setup.
        name: of the service, where there are several in a scenario.
        namespace: that it is in.
        labels: of its pods, besides `service`, which has its name.
    """

    replicas: int
    claims: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    cpu: str = "100m"
    pod: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    name: str = NAME
    namespace: str = NAMESPACE
    labels: Mapping[str, str] = dataclasses.field(default_factory=lambda: LABELS)

    def template(self, **spec: object) -> Manifest:
        """The pod template."""
        container = {
            "name": "db", "image": IMAGE, "resources": {"requests": {"cpu": self.cpu, "memory": "64Mi"}},
        }  # fmt: skip
        return {"metadata": {"labels": self._selector}, "spec": {"containers": [container], **self.pod, **spec}}

    def claim_templates(self) -> list[Manifest]:
        """The volume claim templates."""
        return [claim_template(name, *of) for name, of in self.claims.items()]

    def stateful_set(self, *, parallel: bool = False, **spec: object) -> list[Manifest]:
        """StatefulSet and headless Service.

        Args:
            parallel: podManagementPolicy Parallel.
            spec: of the pods.
        """
        metadata = {"name": self.name, "namespace": self.namespace}
        return [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"clusterIP": "None", "selector": self._selector},
            },
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": metadata,
                "spec": {
                    "replicas": self.replicas,
                    "serviceName": self.name,
                    "selector": {"matchLabels": self._selector},
                    "podManagementPolicy": "Parallel" if parallel else "OrderedReady",
                    "template": self.template(**spec),
                    "volumeClaimTemplates": self.claim_templates(),
                },
            },
        ]

    def stateful_cluster(self, *, quorum: bool = False, **spec: object) -> Manifest:
        """StatefulCluster with one node set, which refers to the policy of the name `db`.

        Args:
            quorum: of its node set.
            spec: more of the StatefulCluster.
        """
        node_set = {
            "name": "data",
            "quorum": quorum,
            "template": self.template(),
            "volumeClaimTemplates": self.claim_templates(),
        }
        return {
            "apiVersion": "stowplan.dev/v1alpha1",
            "kind": "StatefulCluster",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "schedulingPolicyRef": {"name": NAME}, "replicas": self.replicas, "nodeSets": [node_set], **spec,
            },
        }  # fmt: skip

    @property
    def _selector(self) -> dict[str, str]:
        return {**self.labels, "service": self.name}


def bystander(name: str, setup: Setup) -> list[Manifest]:
    """A service in `ELSEWHERE` that fits on every node whose kubelet works, and that no scenario looks at."""
    tolerations = [{"key": key, "operator": "Exists"} for key in ("node.kubernetes.io/unschedulable", OUTAGE["key"])]
    service = Service(
        name=name, namespace=ELSEWHERE, labels={}, replicas=1, cpu="0", claims={"data": ("local", "1Gi")},
        pod={"tolerations": tolerations},
    )  # fmt: skip
    if setup is not Setup.OURS:
        return service.stateful_set()
    cluster = service.stateful_cluster()
    del cluster["spec"]["schedulingPolicyRef"]
    return [cluster]


def policy(*, domains: Sequence[Manifest] = DOMAINS, **spec: object) -> Manifest:
    """SchedulingPolicy `db`."""
    return {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "SchedulingPolicy",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"failureDomains": list(domains), **spec},
    }


def claim_template(name: str, storage_class: str, size: str) -> Manifest:
    """One of `volumeClaimTemplates`."""
    return {
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        },
    }


def spread(key: str, *, skew: int = 1, soft: bool = False, **more: object) -> Manifest:
    """One of a pod's `topologySpreadConstraints`, over the pods of the service."""
    return {
        "topologyKey": key,
        "maxSkew": skew,
        "whenUnsatisfiable": "ScheduleAnyway" if soft else "DoNotSchedule",
        "labelSelector": {"matchLabels": LABELS},
        **more,
    }


def apart(key: str) -> Manifest:
    """A pod's `affinity`: no two pods of the service in one domain."""
    term = {"topologyKey": key, "labelSelector": {"matchLabels": LABELS}}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def budget(**spec: object) -> Manifest:
    """PodDisruptionBudget over the pods of the service."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": LABELS}, **spec},
    }


def disks(name: str, *, capacity: str, **more: object) -> Manifest:
    """StorageClass of disks of the nodes: one pool on each node, which holds so much."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, **more},
        "provisioner": "csi.example.com",
        "parameters": {"topologyKey": HOSTNAME, "capacity": capacity},
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def filler(name: str, node: str, cpu: str) -> Manifest:
    """A pod of somebody else that is on a node already."""
    container = {"name": "main", "image": "example.com/other:1", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "other"}},
        "spec": {"nodeName": node, "containers": [container]},
    }


# ---------------------------------------------------------------- the same place in either kind


def template_of(workload: Manifest) -> Manifest:
    """The pod template of a StatefulSet, or of a StatefulCluster's first node set."""
    spec = workload["spec"]
    found: Manifest = spec["template"] if workload["kind"] == "StatefulSet" else spec["nodeSets"][0]["template"]
    return found


def claim_templates_of(workload: Manifest) -> list[Manifest]:
    """Its volume claim templates."""
    spec = workload["spec"]
    holder = spec if workload["kind"] == "StatefulSet" else spec["nodeSets"][0]
    found: list[Manifest] = holder.setdefault("volumeClaimTemplates", [])
    return found
