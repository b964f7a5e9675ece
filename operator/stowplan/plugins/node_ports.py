"""Ports on the node itself.

Source: kubernetes v1.36.3 ``plugins/nodeports/node_ports.go`` and kube-scheduler v0.36.3 ``framework/types.go``
(``HostPortInfo``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from stowplan.framework.departures import Departures
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.joint import Apart, Model, which
from stowplan.framework.plugin import SKIP, CycleState, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask, Reject, Verdict
from stowplan.model.pods import HostPort, PodClass, PodInfo

TAKEN = "node(s) didn't have free ports for the requested pod ports"
_ANY = "0.0.0.0"  # noqa: S104 - what the API means by no address


@dataclasses.dataclass(frozen=True, slots=True)
class UsesPort:
    """Pods with a host port that cannot be on one node with ``port``."""

    port: HostPort

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        """Whether the class has such a port: the same number and protocol, and an address in common."""
        want = self.port
        return any(
            have.port == want.port
            and have.protocol == want.protocol
            and (_ANY in (want.ip, have.ip) or want.ip == have.ip)
            for have in cls.ports
        )


class NodePorts:
    """Keep pods off nodes where a host port that they want is taken."""

    name = "NodePorts"
    alone = True
    requeue_on = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.POD_REMOVED})

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Skip | None:
        """Steps aside for pods without host ports."""
        return None if pod.cls.ports else SKIP

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects nodes with a pod on one of the ports."""
        ports = pod.cls.ports
        taken: Mask = nodes.count(UsesPort(ports[0])) > 0
        for port in ports[1:]:
            taken |= nodes.count(UsesPort(port)) > 0
        yield Reject(taken, TAKEN)

    def outlook(self, pod: PodInfo, nodes: Snapshot, gone: Departures) -> Verdict:
        """The same, without those of the pods that leave."""
        taken: Mask = np.zeros(len(nodes), dtype=np.bool_)
        for port in pod.cls.ports:
            uses = UsesPort(port)
            taken |= nodes.count(uses) > gone.count(uses)
        return Verdict(self.name, rejects=(Reject(taken, TAKEN),) if taken.any() else ())

    def alike(self, pod: PodInfo) -> Hashable:
        """The ports that the pod wants."""
        return pod.cls.ports

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether it is a new node, or a pod has left that had one of the ports."""
        old, _ = event.of(PodInfo)
        return old is None or any(UsesPort(port).matches(old.cls, nodes) for port in pod.cls.ports)

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """Pods that want the same port, each on a node of its own."""
        for port in sorted({port for pod in pods for port in pod.cls.ports}, key=repr):
            clash = UsesPort(port)
            some = which(port in pod.cls.ports for pod in pods)
            others = which(clash.matches(pod.cls, nodes) for pod in pods)
            model.add(Apart(TAKEN, None, some, others))
