"""What NodeResourcesFit and NodeResourcesBalancedAllocation have in common: who asks for what, of how much.

Source: kubernetes v1.36.3 ``plugins/noderesources/resource_allocation.go``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from stowplan.framework import nodes as node_table
from stowplan.framework.nodes import NodeTable, RowIndex
from stowplan.model import requests
from stowplan.model.pods import PodClass
from stowplan.plugins.args import ResourceWeight

Amounts = npt.NDArray[np.int64]
_NONZERO = {"cpu": 0, "memory": 1}


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """One resource on some nodes.

    Attributes:
        weight: of the resource in the score.
        asked: what the pod asks for.
        used: int64[row]: what the pods on the nodes ask for.
        allocatable: int64[row]: 0 where the node does not have it; such a resource does not count there.
    """

    weight: int
    asked: int
    used: Amounts
    allocatable: Amounts


def asked(cls: PodClass, resource: str, *, defaults: bool) -> int:
    """What a pod asks for; with defaults for CPU and memory, where it asks for none of them."""
    if defaults and resource in _NONZERO:
        return cls.scored[_NONZERO[resource]]
    return cls.requests.get(resource, 0)


def of(
    cls: PodClass, nodes: NodeTable, rows: RowIndex, resources: Sequence[ResourceWeight], *, defaults: bool
) -> Iterator[Usage]:
    """The resources that count for the pod, in order.

    Args:
        cls: of the pod that is to be placed.
        nodes: the nodes.
        rows: which of them.
        resources: what the score looks at; extended resources count for pods that ask for them alone.
        defaults: count pods without requests for CPU and memory as if they had some.
    """
    for spec in resources:
        want = asked(cls, spec.name, defaults=defaults)
        index = nodes.resources.get(spec.name)
        scalar = requests.is_scalar(spec.name)
        known = scalar or spec.name in ("cpu", "memory", "ephemeral-storage")
        if index is None or not known or (scalar and not want):
            continue
        used = nodes.nonzero if defaults and index <= node_table.MEMORY else nodes.requested
        yield Usage(spec.weight, want, used[index, rows], nodes.allocatable[index, rows])
