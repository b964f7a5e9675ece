"""Which nodes count as part of a domain for a pod: node inclusion policies (KEP-3094).

Source: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/podtopologyspread/common.go``
(``matchNodeInclusionPolicies``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from stowplan.framework import matching
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.model import objects, tolerations
from stowplan.model.pods import PodClass
from stowplan.model.selectors import NodeSelector, Requirement

HARD_EFFECTS = frozenset({tolerations.NO_SCHEDULE, tolerations.NO_EXECUTE})
"""The taint effects that keep a pod off a node."""


@dataclasses.dataclass(frozen=True, slots=True)
class Added:
    """What a policy adds to the specs of its pods: ``nodes.affinity`` and ``nodes.tolerations``."""

    required: tuple[NodeSelector, ...] = ()
    tolerations: tuple[objects.Toleration, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Wishes:
    """What a pod says about nodes: by its spec, and by the policy that governs it.

    A value: pods that differ in nothing but their labels wish for the same nodes, and share what follows from it.
    """

    node_selector: frozenset[Requirement]
    required: tuple[NodeSelector, ...]
    tolerations: tuple[objects.Toleration, ...]


def wishes(cls: PodClass, added: Added) -> Wishes:
    """What the pods of a class say about nodes."""
    own = () if cls.node_affinity is None else (cls.node_affinity,)
    return Wishes(cls.node_selector, (*own, *added.required), (*cls.tolerations, *added.tolerations))


def included(nodes: Snapshot, wish: Wishes, *, honor_affinity: bool, honor_taints: bool) -> Mask | None:
    """bool[node]: the nodes that count; None where all do."""
    mask: Mask | None = None
    if honor_affinity and (wish.node_selector or wish.required):
        mask = matching.labels_mask(wish.node_selector, nodes)
        for selector in wish.required:
            mask &= matching.selector_mask(selector, nodes)
    if honor_taints:
        tolerable = tolerated(nodes, wish.tolerations)
        mask = tolerable if mask is None else mask & tolerable
    return None if mask is None or mask.all() else mask


def tolerated(nodes: Snapshot, tolerating: Iterable[objects.Toleration]) -> Mask:
    """bool[node]: the nodes whose taints of effect NoSchedule and NoExecute are all tolerated."""
    known = tuple(tolerating)

    def bearable(taints: tuple[objects.Taint, ...] | None) -> bool:
        return tolerations.first_untolerated(taints or (), known, HARD_EFFECTS) is None

    return nodes.taints.where(bearable)


def usable(nodes: Snapshot, tolerating: Iterable[objects.Toleration]) -> Mask:
    """bool[node]: the nodes that take new pods with these tolerations: neither cordoned nor tainted for them."""
    known = tuple(tolerating)
    mask = tolerated(nodes, known)
    if not tolerations.any_tolerates(known, tolerations.UNSCHEDULABLE):
        mask &= ~nodes.unschedulable
    return mask
