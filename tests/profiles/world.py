"""A cluster under policies, for tests: pods are placed one after the other, as the scheduler would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from tests.builders import HOST, POWER, RACK, ZONE, node, snapshot

from stowplan.api import base
from stowplan.api.policy import SchedulingPolicy
from stowplan.api.policy_status import DomainStatus
from stowplan.framework.choice import Decision
from stowplan.framework.plugin import CycleState
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.profiles import Backlog, Cluster, Outage, PluginArgs, Policies

DOMAINS = [
    {"name": "zone", "topologyKey": ZONE},
    {"name": "power", "topologyKey": POWER},
    {"name": "rack", "topologyKey": RACK},
    {"name": "host", "topologyKey": HOST},
]
Spec = Mapping[str, object]


def policy(
    name: str = "ha", *, namespace: str = "default", created: str = "2026-01-01T00:00:00Z", **spec: object
) -> SchedulingPolicy:
    """A policy over zone, power, rack and host; ``spec`` is said in the API's own names."""
    raw = {
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
        "spec": {"failureDomains": DOMAINS, **spec},
    }
    return base.parse(SchedulingPolicy, raw, what=f"policy {name}")


def spread(domain: str = "zone", name: str = "even", **more: object) -> Spec:
    """A spread rule."""
    return {"name": name, "domain": domain, **more}


EVERYTHING: Spec = {}
"""A selector of all pods of the namespace."""


class World:
    """Nodes, policies, and the pods placed so far.

    Args:
        nodes: the nodes.
        policies: the policies.
        running: pods that are on nodes already.
    """

    def __init__(
        self,
        nodes: Iterable[objects.Node],
        policies: Iterable[SchedulingPolicy],
        *,
        running: Iterable[PodInfo] = (),
        clusters: Iterable[Cluster] = (),
        args: PluginArgs | None = None,
        out: frozenset[Outage] = frozenset(),
    ) -> None:
        self.nodes: Snapshot = snapshot(nodes, running)
        self.backlog = Backlog()
        self.policies = Policies(policies, clusters, args or PluginArgs(), self.backlog, out)
        self.policies.govern(self.nodes)

    def expect(self, *pods: PodInfo) -> None:
        """These pods are there and wait."""
        for each in pods:
            self.backlog.add(each.cls, self.nodes)

    def feasible(self, pod: PodInfo) -> set[str]:
        """The nodes that are not rejected."""
        mask = self.policies.framework_for(pod.cls).feasible(pod, self.nodes, CycleState())
        return {self.nodes.name(int(row)) for row in np.flatnonzero(mask)}

    def why(self, pod: PodInfo) -> Counter[str]:
        """The histogram of reasons."""
        found = self.policies.framework_for(pod.cls).diagnose(pod, self.nodes, CycleState())
        return Counter(found.reasons)

    def decide(self, pod: PodInfo, chance: int = 0) -> Decision | Diagnosis:
        """What the scheduler would do."""
        return self.policies.framework_for(pod.cls).schedule(pod, self.nodes, CycleState(), chance)

    def place(self, *pods: PodInfo, chance: int = 0) -> list[str]:
        """Places the pods one after the other, as they wait; "" for one that fits nowhere."""
        self.expect(*pods)
        placed = []
        for pod in pods:
            decision = self.decide(pod, chance)
            if isinstance(decision, Diagnosis):
                placed.append("")
                continue
            pod.node_name = decision.node
            self.nodes.add_pod(pod)
            self.backlog.remove(pod.cls, self.nodes)
            placed.append(decision.node)
        return placed

    def points(self, plugin: str, pod: PodInfo) -> dict[str, int]:
        """What one plugin gives to each feasible node; empty where it has nothing to say."""
        framework = self.policies.framework_for(pod.cls)
        rows = np.flatnonzero(framework.feasible(pod, self.nodes, CycleState()))
        scored = framework.score(pod, self.nodes, CycleState(), rows).plugins.get(plugin)
        if scored is None:
            return {}
        return {self.nodes.name(int(row)): int(score) for row, score in zip(rows, scored[1], strict=True)}

    def report(self, key: str = "default/ha") -> list[DomainStatus]:
        """The rows of the policy's status."""
        return self.policies.report(key, self.nodes)


def racks(zones: Sequence[str] = ("a", "b"), racks: int = 2, hosts: int = 1) -> list[objects.Node]:
    """So many racks in each zone, called 1, 2, … in every one, with so many hosts called a1-1."""
    return [
        node(f"{zone}{rack}-{host}", zone=zone, rack=str(rack), power=f"{zone}-{rack % 2}")
        for zone in zones
        for rack in range(1, racks + 1)
        for host in range(1, hosts + 1)
    ]
