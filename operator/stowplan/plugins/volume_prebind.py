"""Whether the writes that VolumeBinding asked for have had their effect: what the live loop waits for before a bind.

Pure: it reads the objects as the watch shows them, never what is assumed. Source: kubernetes v1.36.3
``plugins/volumebinding/binder.go`` (checkBindings); the reasons are upstream's words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from stowplan.framework import reach
from stowplan.framework.plugin import BindVolume, PreBindWrite, ProvisionClaim
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.storage import Volume
from stowplan.model import objects


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A write that was done.

    Attributes:
        version: resourceVersion in the API server's answer; an object older than that does not show the write yet.
    """

    write: PreBindWrite
    version: str


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """All claims are bound to volumes that the node can use."""


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """Something is still to happen; look again when a claim or a volume changes.

    Attributes:
        claims: keys of the claims that are not bound yet, as far as was looked.
    """

    claims: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """It will not happen: the pod must be placed anew.

    Attributes:
        refused: key of the claim for which no volume could be made on the node; "" where something else is wrong.
    """

    reason: str
    refused: str = ""


Progress = Done | Waiting | Failed


def prebind_status(written: Iterable[Written], node: str, nodes: Snapshot) -> Progress:
    """Looks at the claims and volumes of a pod in flight.

    Args:
        written: all writes of the pod.
        node: the name of its node.
        nodes: the cluster; its assumptions are not looked at.
    """
    row = nodes.row_of.get(node)
    if row is None:
        return Failed(f'failed to get node "{node}": node "{node}" not found')
    waiting: list[str] = []
    for each in written:
        match each.write:
            case BindVolume():
                progress = _binding(each.write, each.version, nodes.nodes[row], nodes)
            case ProvisionClaim():
                progress = _provisioning(each.write, each.version, nodes.nodes[row], nodes)
        if isinstance(progress, Failed):
            return progress
        if isinstance(progress, Waiting):
            waiting.extend(progress.claims)
    return Waiting(tuple(waiting)) if waiting else Done()


def _binding(write: BindVolume, version: str, node: objects.Node, nodes: Snapshot) -> Progress:
    catalog = nodes.volumes
    raw, volume = catalog.volumes.get(write.volume), catalog.volume(write.volume)
    if raw is None or volume is None:
        return Failed(f'failed to check binding: persistentvolumes "{write.volume}" not found')
    claim = catalog.claim(write.claim)
    if claim is None:
        return Failed(f'failed to check binding: persistentvolumeclaims "{write.claim}" not found')
    if _older(raw, version):
        return Waiting((write.claim,))
    unusable = _unusable(volume, node)
    if unusable is not None:
        return unusable
    if not volume.claim or not volume.claim_uid:
        return Failed(f'ClaimRef got reset for pv "{volume.name}"')
    return Done() if claim.bound else Waiting((write.claim,))


def _provisioning(write: ProvisionClaim, version: str, node: objects.Node, nodes: Snapshot) -> Progress:
    catalog = nodes.volumes
    raw, claim = catalog.claims.get(write.claim), catalog.claim(write.claim)
    if raw is None or claim is None:
        return Failed(f'failed to check provisioning pvc: persistentvolumeclaims "{write.claim}" not found')
    if _older(raw, version):
        return Waiting((write.claim,))
    if not raw.metadata.annotations:
        return Failed(f'selectedNode annotation reset for PVC "{claim.name}"', refused=write.claim)
    if claim.selected_node != write.node:
        return Failed(f'provisioning failed for PVC "{claim.name}"', refused=write.claim)
    if claim.volume:
        volume = catalog.volume(claim.volume)
        if volume is None:  # the watch of volumes may be behind that of claims
            return Waiting((write.claim,))
        unusable = _unusable(volume, node)
        if unusable is not None:
            return unusable
    return Done() if claim.bound else Waiting((write.claim,))


def _unusable(volume: Volume, node: objects.Node) -> Failed | None:
    if reach.admits(volume.topology, node.metadata.labels):
        return None
    name = node.metadata.name
    return Failed(f'pv "{volume.name}" node affinity doesn\'t match node "{name}": no matching NodeSelectorTerms')


def _older(raw: objects.KubeObject, version: str) -> bool:
    """Whether an object is from before a write; resource versions are numbers that grow."""
    seen = raw.metadata.resource_version
    return seen.isdecimal() and version.isdecimal() and int(seen) < int(version)
