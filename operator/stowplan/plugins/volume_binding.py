"""Volumes: bound ones are reachable, and unbound ones can be found or made, all of a pod's together.

Source: kubernetes v1.36.3 ``plugins/volumebinding/volume_binding.go`` and ``binder.go``. Deliberate differences:

- With ``require_capacity`` the claims of a pod must fit together beside those of pods in flight, see
  ``plugins.volume_provisioning``.
- A claim that a pod names in two volumes is one claim: upstream looks for two volumes for it.
- Among volumes that are equally good for a claim the first by name is taken: upstream takes any.
- A node on which the driver could not make the volume is left out for a while, see ``framework.refusals``.
- In-tree volumes are not translated to CSI, see ``framework.volumes``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np

from stowplan.framework import storage as parsed
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.joint import Model
from stowplan.framework.plugin import SKIP, BindVolume, CycleState, PreBindWrite, ProvisionClaim, Rows, Scores, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Mask, Refusal, Reject
from stowplan.framework.storage import Claim
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.plugins import hints, volume_hints, volume_masks, volume_matching, volume_scoring
from stowplan.plugins.volume_args import VolumeBindingArgs
from stowplan.plugins.volume_matching import Choices
from stowplan.plugins.volume_provisioning import Provisioning
from stowplan.plugins.volume_together import Together

NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
REFUSED = "node(s) where the volume could not be provisioned"
NO_SUCH_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a pod's unbound claims on each node.

    Attributes:
        basis: the nodes and storage objects that it was made from; another basis makes it void.
        refused: bool[node]: the driver could not make a volume for some claim there lately; None for no node.
        no_volume: bool[node]: some claim gets no volume.
        no_space: bool[node]: not enough room for the volumes that would have to be made.
        choices: the existing volumes that claims get, by claim key.
        claims: the unbound claims, in the order in which the writes are to be done.
    """

    basis: tuple[object, int]
    refused: Mask | None
    no_volume: Mask
    no_space: Mask
    choices: dict[str, Choices]
    claims: tuple[Claim, ...]


@dataclasses.dataclass(slots=True)
class PodVolumes:
    """A pod's claims, sorted, and the plan for those that are not bound."""

    bound: tuple[Claim, ...]
    unbound: tuple[Claim, ...]
    plan: Plan | None = None


class VolumeBinding:
    """Keep pods where their volumes are, or can be."""

    name = "VolumeBinding"
    alone = True
    requeue_on = frozenset(
        {
            ClusterEvent.STORAGE_CLASS,
            ClusterEvent.CLAIM,
            ClusterEvent.VOLUME,
            ClusterEvent.NODE_ADDED,
            ClusterEvent.NODE_REMOVED,  # what was promised to it is free in pools that others share
            ClusterEvent.NODE_LABELS,
            ClusterEvent.CSI_DRIVER,
            ClusterEvent.CSI_CAPACITY,
            ClusterEvent.VOLUMES_RELEASED,
        }
    )

    def __init__(self, args: VolumeBindingArgs) -> None:
        self._args = args
        if args.local_capacity:  # nodes publish it in annotations
            self.requeue_on = self.requeue_on | {ClusterEvent.NODE_ALLOCATABLE}

    # ------------------------------------------------------------ before the nodes

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Refusal | Skip | None:
        """Refuses pods whose claims are missing, lost, going, somebody else's or yet to be bound by others."""
        if not pod.claims:
            return SKIP
        volumes = self._sort(pod, nodes)
        if isinstance(volumes, Refusal):
            return volumes
        state[self.name] = volumes
        return None

    def _sort(self, pod: PodInfo, nodes: Snapshot) -> PodVolumes | Refusal:
        catalog = nodes.volumes
        claims: list[Claim] = []
        for name in pod.claims:
            claim = catalog.claim(f"{pod.namespace}/{name}")
            problem = _problem(pod, name, claim)
            if claim is None or problem is not None:
                return Refusal(problem or "")
            claims.append(claim)
        unbound = tuple(claim for claim in claims if not claim.bound)
        for claim in unbound:
            storage_class = catalog.classes.get(claim.storage_class)
            waits = storage_class is not None and storage_class.volume_binding_mode == "WaitForFirstConsumer"
            if claim.volume or not waits:
                return Refusal("pod has unbound immediate PersistentVolumeClaims")
        return PodVolumes(tuple(claim for claim in claims if claim.bound), unbound)

    # ------------------------------------------------------------ the nodes

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Bound volumes by their node affinity; unbound ones by what there is and what can be made."""
        volumes = state[self.name]
        assert isinstance(volumes, PodVolumes)
        missing: Mask | None = None
        if volumes.bound:
            conflict, missing = _unreachable(volumes.bound, nodes)
            if conflict is not None:
                yield Reject(conflict, NODE_CONFLICT, UNRESOLVABLE)
        if volumes.unbound:
            plan = self._plan(volumes, nodes)
            if plan.refused is not None:
                yield Reject(plan.refused, REFUSED, UNRESOLVABLE)
            yield Reject(plan.no_volume, NO_VOLUME, UNRESOLVABLE)
            yield Reject(plan.no_space, NO_SPACE, UNRESOLVABLE)
        if missing is not None:
            yield Reject(missing, NO_SUCH_VOLUME, UNRESOLVABLE)

    def lasting(self, pod: PodInfo, nodes: Snapshot) -> Iterable[Reject]:
        """The same: no volume depends on who is on a node."""
        return hints.rejects(self, pod, nodes)

    def _plan(self, volumes: PodVolumes, nodes: Snapshot) -> Plan:
        """The plan for the unbound claims, made anew where something has changed since."""
        basis = (nodes.epoch, nodes.volumes.version)
        if volumes.plan is None or volumes.plan.basis != basis:
            volumes.plan = self._make_plan(volumes.unbound, nodes, basis)
        return volumes.plan

    def _make_plan(self, claims: tuple[Claim, ...], nodes: Snapshot, basis: tuple[object, int]) -> Plan:
        selected = {claim.key: nodes.volumes.selected_node(claim) for claim in claims}
        to_match = volume_matching.by_size([claim for claim in claims if selected[claim.key] is None])
        choices = volume_matching.match(to_match, nodes)
        ordered = (*(claim for claim in claims if selected[claim.key] is not None), *to_match)
        provisioning = Provisioning(claims, nodes, self._args)
        provisioning.check(ordered, {key: choice.matched for key, choice in choices.items()})
        no_volume, no_space = provisioning.conflict, provisioning.full
        elsewhere = _not_selected({node for node in selected.values() if node is not None}, nodes)
        if elsewhere is not None:
            no_volume = no_volume | elsewhere
            no_space = no_space & ~elsewhere
        return Plan(basis, _refused(ordered, choices, nodes), no_volume, no_space, choices, ordered)

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """What the unbound claims of the pods take from one another."""
        claims: list[tuple[Claim, ...]] = []
        for pod in pods:
            volumes = self._sort(pod, nodes) if pod.claims else None
            unbound = volumes.unbound if isinstance(volumes, PodVolumes) else ()
            claims.append(tuple(claim for claim in unbound if nodes.volumes.undecided(claim)))
        if any(claims):
            together = Together(claims, nodes, self._args)
            for rule in (*together.volumes(NO_VOLUME), *together.shared(NO_VOLUME), *together.space(NO_SPACE)):
                model.add(rule)

    # ------------------------------------------------------------ what can help

    def alike_now(self, pod: PodInfo, nodes: Snapshot) -> Hashable:
        """What its claims look like."""
        return volume_hints.alike_now(pod, nodes)

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether it can change what the pod's volumes can be, or are made from, and a node is acceptable now.

        Thousands of pods may wait with a claim each, all of them alike: whether a node is acceptable is asked once.
        """
        look = volume_hints.look(pod, nodes)
        if look is None:
            return self._concerns(event, pod, nodes) and hints.accepts(self, pod, nodes)
        key = (self, look, nodes.epoch, nodes.volumes.version)
        return event.once(key, lambda: hints.accepts(self, pod, nodes)) and self._concerns(event, pod, nodes)

    def _concerns(self, event: Happening, pod: PodInfo, nodes: Snapshot) -> bool:
        if volume_hints.own_claim(pod, event) or volume_hints.own_volume(pod, event, nodes):
            return True
        unbound = {claim.storage_class for claim in volume_hints.claims(pod, nodes) if not claim.bound}
        local = {each.storage_class for each in self._args.local_capacity}
        if local & unbound:  # they may share the space of all the others
            unbound |= local
        match event.new or event.old:
            case objects.PersistentVolumeClaim() as claim:
                return parsed.storage_class_of(claim) in unbound
            case objects.PersistentVolume() as volume:
                return event.new is not None and parsed.storage_class_of(volume) in unbound
            case objects.StorageClass() as storage_class:
                return storage_class.metadata.name in unbound
            case objects.CSIDriver() as driver:
                classes = (nodes.volumes.classes.get(each) for each in unbound)
                return any(each is not None and each.provisioner == driver.metadata.name for each in classes)
            case objects.CSIStorageCapacity() as pool:
                return event.new is not None and pool.storage_class_name in unbound
        if event.kind is ClusterEvent.NODE_ALLOCATABLE:
            return bool(local & unbound)
        return event.kind is not ClusterEvent.VOLUMES_RELEASED or bool(unbound)

    # ------------------------------------------------------------ scores

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """How full the storage would be; nothing to say unless a shape was given."""
        volumes = state.get(self.name)
        if not self._args.shape or not isinstance(volumes, PodVolumes):
            return None
        if not volumes.unbound:
            return np.zeros(len(rows), dtype=np.int64)
        plan = self._plan(volumes, nodes)
        return volume_scoring.scores(self._args.shape, plan.claims, plan.choices, nodes, rows)

    # ------------------------------------------------------------ the chosen node

    def reserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState, row: int) -> Refusal | tuple[PreBindWrite, ...]:
        """Holds the volumes, and promises the space, that the pod's unbound claims get on the node."""
        if not pod.claims:
            return ()
        volumes = state.get(self.name)
        if not isinstance(volumes, PodVolumes):
            sorted_now = self._sort(pod, nodes)
            if isinstance(sorted_now, Refusal):
                return sorted_now
            volumes = state[self.name] = sorted_now
        if not volumes.unbound:
            return ()
        plan = self._plan(volumes, nodes)
        if plan.refused is not None and plan.refused[row]:
            return Refusal(REFUSED)
        if plan.no_volume[row]:
            return Refusal(NO_VOLUME)
        if plan.no_space[row]:
            return Refusal(NO_SPACE)
        node = nodes.name(row)
        bindings: dict[str, str] = {}
        for claim in plan.claims:
            volume = plan.choices[claim.key].at(row) if claim.key in plan.choices else None
            bindings[claim.key] = volume.name if volume is not None else ""
        nodes.volumes.assume(pod.uid, node, bindings)
        return (
            *(BindVolume(claim, volume) for claim, volume in bindings.items() if volume),
            *(ProvisionClaim(claim, node) for claim, volume in bindings.items() if not volume),
        )

    def unreserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> None:
        """Gives back what is held for the pod and not in the API yet; writes that were done stay, as upstream."""
        if pod.claims:
            nodes.volumes.forget(pod.uid)


def _problem(pod: PodInfo, name: str, claim: Claim | None) -> str | None:
    """Why the pod cannot use one of its claims, if it cannot. Source: podHasPVCs, ephemeral.VolumeIsForPod."""
    if claim is None:
        if name in pod.ephemeral:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        return f'persistentvolumeclaim "{name}" not found'
    if claim.lost:
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.volume}"'
    if claim.deleting:
        return f'persistentvolumeclaim "{name}" is being deleted'
    if name in pod.ephemeral and claim.owner_uid != pod.uid:
        return f"PVC {claim.key} was not created for pod {pod.key} (pod is not owner)"
    return None


def _unreachable(claims: tuple[Claim, ...], nodes: Snapshot) -> tuple[Mask | None, Mask | None]:
    """bool[node] each: where a bound volume cannot be used, and where (before that) one does not exist at all."""
    conflict: Mask | None = None
    for claim in claims:
        volume = nodes.volumes.volume(claim.volume)
        if volume is None:
            missing = np.ones(len(nodes), dtype=np.bool_) if conflict is None else ~conflict
            return conflict, missing
        if volume.anywhere:
            continue
        mask = volume_masks.unreachable(volume.topology, nodes)
        conflict = mask if conflict is None else conflict | mask
    return conflict, None


def _refused(claims: tuple[Claim, ...], choices: dict[str, Choices], nodes: Snapshot) -> Mask | None:
    """bool[node]: where a volume would have to be made for some claim, and could not be lately; None for no node."""
    mask: Mask | None = None
    for claim in claims:
        rows = [nodes.row_of[name] for name in nodes.volumes.refusals.nodes(claim.key) if name in nodes.row_of]
        if rows:
            here = np.zeros(len(nodes), dtype=np.bool_)
            here[rows] = True
            if claim.key in choices:
                here &= ~choices[claim.key].matched
            mask = here if mask is None else mask | here
    return mask


def _not_selected(selected: set[str], nodes: Snapshot) -> Mask | None:
    """bool[node]: all but the node that was selected for some claim before; None where none was."""
    if not selected:
        return None
    mask = np.ones(len(nodes), dtype=np.bool_)
    row = nodes.row_of.get(next(iter(selected)))
    if len(selected) == 1 and row is not None:
        mask[row] = False
    return mask
