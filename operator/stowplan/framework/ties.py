"""Picks among nodes with equal scores: by chance, but of a few in the zone that has the fewest pods.

kube-scheduler picks by chance alone (``selectHost`` in pkg/scheduler/schedule_one.go), from nodes that it has
interleaved by zone (pkg/scheduler/backend/cache/node_tree.go). Chance leaves zones uneven: of 2,000 pods without any
rule, 626 to 714 in three zones. The better of a few choices is nearly even, at a cost that does not depend on the nodes
("The power of two choices in randomized load balancing", Mitzenmacher 2001). Used by ``runtime``.
"""

from __future__ import annotations

from typing import Final

from stowplan.framework.counters import Counts
from stowplan.framework.plugin import Rows
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.storage import ZONE
from stowplan.model.pods import PodClass

CHOICES: Final = 4
"""Nodes that are compared: with nodes listed zone by zone, four that lie evenly are in at least three of the zones."""
_STEP: Final = 0.6180339887
"""Of all ties, between two that are compared; multiples of the golden ratio lie evenly however many there are."""


class _Everybody:
    """Counts all pods."""

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        return True


EVERYBODY: Final = _Everybody()


def pick(nodes: Snapshot, rows: Rows, ties: Rows, chance: int) -> int:
    """The place in ``rows`` of the node to take.

    Args:
        nodes: the cluster.
        rows: intp[feasible].
        ties: intp[ties]: the places in ``rows`` of equally good nodes, at least one.
        chance: a non-negative number.
    """
    number = len(ties)
    first = chance % number
    if number == 1:
        return int(ties[0])
    zones = nodes.label(ZONE).codes
    pods = _pods_by_zone(nodes)
    step = int(number * _STEP) | 1
    places = [int(ties[(first + choice * step) % number]) for choice in range(min(CHOICES, number))]
    return min(places, key=lambda place: pods[zones[rows[place]]])


def _pods_by_zone(nodes: Snapshot) -> Counts:
    """int64[zone]: all pods by code of the zone; live."""
    everybody = nodes.counter(EVERYBODY)
    return nodes.once(_pods_by_zone, lambda: everybody.by(nodes.label(ZONE)).counts)
