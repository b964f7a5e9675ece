"""Masks over the nodes that the volume plugins share, remembered as long as the nodes stay as they are."""

from __future__ import annotations

from stowplan.framework import reach
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask


def unreachable(topology: reach.Topology, nodes: Snapshot) -> Mask:
    """bool[node]: the nodes that cannot use a volume of this topology. Do not write.

    Zonal volumes by the thousand share a few topologies, whose masks are remembered; that of a volume which is alone
    with its own (a disk of one host) is quicker to make than to keep.
    """
    if nodes.volumes.shared(topology):
        return nodes.once(("unreachable", topology), lambda: ~reach.mask(topology, nodes))
    return ~reach.mask(topology, nodes)


def not_allowed(topology: reach.Topology, nodes: Snapshot) -> Mask:
    """bool[node]: the nodes that the allowedTopologies of a StorageClass leave out. Do not write."""
    return nodes.once(("not allowed", topology), lambda: ~reach.mask(topology, nodes))
