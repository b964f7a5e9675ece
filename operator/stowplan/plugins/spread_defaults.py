"""Topology spread constraints of pods that have none of their own; used by ``pod_topology_spread`` alone.

The configuration says over which domains (``PodTopologySpreadArgs``), Services and controllers say which pods count.
Source: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/podtopologyspread/plugin.go``
(``systemDefaultConstraints``) and ``common.go`` (``buildDefaultConstraints``).
"""

from __future__ import annotations

import dataclasses

from stowplan.framework.snapshot import Snapshot
from stowplan.model import selectors
from stowplan.model.pods import PodInfo, SpreadConstraint


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SpreadDefaults:
    """What the configuration says.

    Attributes:
        constraints: for every pod without constraints; their selectors do not count.
        lenient: whether a node that lacks one of the labels is scored by the others.
    """

    constraints: tuple[SpreadConstraint, ...] = ()
    lenient: bool = False

    @property
    def hard(self) -> bool:
        """Whether any of them must be kept."""
        return any(each.required for each in self.constraints)

    def of(self, pod: PodInfo, nodes: Snapshot) -> tuple[SpreadConstraint, ...]:
        """The constraints of a pod without any of its own; none where it belongs to nothing."""
        if not self.constraints:
            return ()
        key = (self, pod.cls, pod.owner, nodes.workloads.version(pod.namespace))
        return nodes.once(key, lambda: self._for(nodes.workloads.selector(pod)))

    def _for(self, selector: selectors.Selector) -> tuple[SpreadConstraint, ...]:
        if not selector.requirements:
            return ()
        return tuple(dataclasses.replace(each, selector=selector) for each in self.constraints)


def constraint(
    topology_key: str,
    max_skew: int,
    *,
    required: bool = False,
    min_domains: int = 1,
    honor_affinity: bool = True,
    honor_taints: bool = False,
) -> SpreadConstraint:
    """A default constraint; which pods count is found out for each pod."""
    return SpreadConstraint(
        topology_key, max_skew, required, selectors.EVERYTHING, min_domains, honor_affinity, honor_taints
    )


NONE = SpreadDefaults()
SYSTEM = SpreadDefaults(
    (constraint("kubernetes.io/hostname", 3), constraint("topology.kubernetes.io/zone", 5)), lenient=True
)
"""kube-scheduler's own; where some nodes have no zone, they are still spread over hosts."""
