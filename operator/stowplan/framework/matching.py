"""Node selectors over all nodes at once.

Called by the plugins that ask which nodes a pod or a policy may use: NodeAffinity, the spread rules
(``nodeAffinityPolicy``), hints; where volumes can be used is told by ``framework.reach``. Masks depend on names and
labels alone, so they can be kept with ``Snapshot.once``. Source of the rules: component-helpers v0.36.3
``scheduling/corev1/nodeaffinity/nodeaffinity.go``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stowplan.framework.nodes import NodeTable
from stowplan.framework.status import Mask
from stowplan.model import selectors
from stowplan.model.pods import PodClass


def labels_mask(requirements: Iterable[selectors.Requirement], nodes: NodeTable) -> Mask:
    """bool[node]: where the labels satisfy every requirement."""
    mask = np.ones(len(nodes), dtype=np.bool_)
    for each in requirements:
        mask &= nodes.label(each.key).where(each.allows)
    return mask


def term_mask(term: selectors.NodeTerm, nodes: NodeTable) -> Mask:
    """bool[node]: where the term matches; an empty term matches no node."""
    if term.empty:
        return np.zeros(len(nodes), dtype=np.bool_)
    mask = labels_mask(term.labels, nodes)
    for each in term.names:
        named = np.zeros(len(nodes), dtype=np.bool_)
        named[[nodes.row_of[name] for name in each.values if name in nodes.row_of]] = True
        mask &= named if each.operator == "In" else ~named
    return mask


def selector_mask(selector: selectors.NodeSelector, nodes: NodeTable) -> Mask:
    """bool[node]: where any of the terms matches."""
    mask = np.zeros(len(nodes), dtype=np.bool_)
    for term in selector.terms:
        mask |= term_mask(term, nodes)
    return mask


def required_mask(cls: PodClass, nodes: NodeTable) -> Mask:
    """bool[node]: where the pod's ``nodeSelector`` and its required node affinity both match."""
    mask = labels_mask(cls.node_selector, nodes)
    if cls.node_affinity is not None:
        mask &= selector_mask(cls.node_affinity, nodes)
    return mask
