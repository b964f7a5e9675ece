"""Which existing volume each node would give to each unbound claim of a pod, for all nodes at once.

Used by VolumeBinding. A claim gets the volume that is reserved for it, or else the smallest free one that will do;
the claims of a pod are served smallest first, and never get the same volume. Among equals the first by name is taken
(upstream: any). Source: component-helpers v0.36.3 ``storage/volume/pv_helpers.go`` (FindMatchingVolume), kubernetes
v1.36.3 ``plugins/volumebinding/binder.go`` (findMatchingVolumes).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stowplan.framework import free, reach
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.framework.storage import Claim, Volume
from stowplan.plugins import volume_masks

Codes = npt.NDArray[np.intp]
NONE = -1


class Choices:
    """The volume that a claim would get on each node.

    Attributes:
        volumes: the candidates.
        codes: intp[node]: index of the chosen one, or ``NONE``.
    """

    __slots__ = ("codes", "volumes")

    def __init__(self, volumes: Sequence[Volume], codes: Codes) -> None:
        self.volumes = volumes
        self.codes = codes

    @property
    def matched(self) -> Mask:
        """bool[node]: where there is one."""
        mask: Mask = self.codes != NONE
        return mask

    def at(self, row: int) -> Volume | None:
        """The one on a node."""
        code = int(self.codes[row])
        return None if code == NONE else self.volumes[code]


def match(claims: Sequence[Claim], nodes: Snapshot) -> dict[str, Choices]:
    """The choices by claim key, for the claims that any volume is there for at all.

    Args:
        claims: unbound, by rising size, as ``by_size`` sorts them.
        nodes: the cluster.
    """
    found: dict[str, Choices] = {}
    taken: dict[str, list[Codes]] = {}
    for claim in claims:
        own = _reserved(claim, nodes)
        if own is not None:
            found[claim.key] = Choices((own,), np.where(volume_masks.unreachable(own.topology, nodes), NONE, 0))
            continue
        volumes = nodes.volumes.free(claim.storage_class)
        if volumes is None:
            continue
        table, places = volumes.table(nodes)
        before = taken.setdefault(claim.storage_class, [])
        codes = _smallest(_suitable(claim, table), table, places, before, len(nodes))
        if codes is not None:
            before.append(codes)
            found[claim.key] = Choices(table.volumes, codes)
    return found


def by_size(claims: Sequence[Claim]) -> list[Claim]:
    """Smallest first, so that each gets the tightest fit; equals stay in the pod's order."""
    return sorted(claims, key=lambda claim: claim.size or 0)


def _reserved(claim: Claim, nodes: Snapshot) -> Volume | None:
    """The volume that is reserved for the claim and fits it, wherever it can be used: then no other will do."""
    for each in nodes.volumes.reserved(claim):
        if each.size >= (claim.size or 0) and each.traits.alike(claim.traits) and not each.deleting:
            return each
    return None


def _suitable(claim: Claim, table: free.FreeTable) -> Mask:
    """bool[volume]: free, large enough, of the traits and labels that the claim asks for."""
    alike = np.array([each.satisfies(claim.traits) for each in table.traits], dtype=np.bool_)
    suitable: Mask = table.usable & (table.size >= (claim.size or 0)) & alike[table.trait_codes]
    if claim.selector is not None:
        for index in np.flatnonzero(suitable).tolist():
            suitable[index] = claim.selector.matches(table.volumes[index].labels)
    return suitable


def _smallest(
    suitable: Mask, table: free.FreeTable, places: reach.Reach, before: Sequence[Codes], size: int
) -> Codes | None:
    """intp[node]: the first suitable volume that a node can use and that no claim before took there."""
    candidates = np.flatnonzero(suitable)
    if len(candidates) == 0:
        return None
    # the candidates of each place, first to last
    order = np.argsort(table.place_codes[candidates], kind="stable")
    listed = candidates[order]
    starts = np.searchsorted(table.place_codes[listed], np.arange(len(table.places) + 1))
    at = starts[places.which]
    ends = starts[places.which + 1]
    listed = np.append(listed, NONE)

    def pick() -> Codes:
        return np.where(at < ends, listed[np.minimum(at, ends)], NONE)

    picked = pick()
    for _ in before:  # each claim before took at most one of them, so that many steps pass all of those
        clash = np.zeros(len(picked), dtype=np.bool_)
        for codes in before:
            clash |= (picked != NONE) & (picked == codes[places.rows])
        if not clash.any():
            break
        at = at + clash
        picked = pick()
    none = len(table.volumes)
    best = np.full(size, none, dtype=np.intp)
    np.minimum.at(best, places.rows, np.where(picked == NONE, none, picked))
    best[best == none] = NONE
    return best
