"""What NodeResourcesFit and NodeResourcesBalancedAllocation have in common: who asks for how much, of what.

Source: kubernetes v1.36.3 ``plugins/noderesources/resource_allocation.go``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stowplan.framework import nodes as node_table
from stowplan.framework.nodes import NodeTable, RowIndex
from stowplan.model import requests
from stowplan.model.pods import PodClass
from stowplan.plugins.args import ResourceWeight

Amounts = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """The resources that count for a pod, on some nodes.

    Attributes:
        weights: int64[resource, 1].
        asked: int64[resource, 1]: what the pod asks for.
        used: int64[resource, row]: what the pods on the nodes ask for.
        allocatable: int64[resource, row]: 0 where the node does not have it; the resource does not count there.
    """

    weights: Amounts
    asked: Amounts
    used: Amounts
    allocatable: Amounts


def asked(cls: PodClass, resource: str, *, defaults: bool) -> int:
    """What a pod asks for; with defaults for CPU and memory, where it asks for none of them."""
    return (cls.scored if defaults else cls.requests).get(resource, 0)


def of(
    cls: PodClass, nodes: NodeTable, rows: RowIndex, resources: Sequence[ResourceWeight], *, defaults: bool
) -> Usage:
    """What is used of what.

    Args:
        cls: of the pod that is to be placed.
        nodes: the nodes.
        rows: which of them.
        resources: what the score looks at; extended resources count for pods that ask for them alone.
        defaults: count pods without requests for CPU and memory as if they had some.
    """
    found: list[tuple[int, int, int]] = []
    for spec in resources:
        index = nodes.resources.get(spec.name, node_table.PODS)
        amount = asked(cls, spec.name, defaults=defaults)
        if index < node_table.PODS or (index > node_table.PODS and amount and requests.is_scalar(spec.name)):
            found.append((index, spec.weight, amount))
    indices, weights, amounts = np.array(found, dtype=np.int64).reshape(-1, 3).T
    used = nodes.requested[:, rows][indices]
    if defaults:
        for at in np.flatnonzero(indices <= node_table.MEMORY).tolist():
            used[at] = nodes.nonzero[indices[at], rows]
    return Usage(weights[:, None], amounts[:, None], used, nodes.allocatable[:, rows][indices])
