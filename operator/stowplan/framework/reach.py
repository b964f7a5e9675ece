"""Where storage can be reached from: volume node affinity, capacity segments and allowed topologies over all nodes.

A :data:`Topology` is what all three boil down to; ``mask`` asks which nodes satisfy one, :class:`Reach` which of many
topologies each node satisfies, without asking each pair: 5,000 nodes with a capacity segment each are one pass over
the nodes, not 25 million comparisons. Called by ``framework.volumes`` and the volume plugins.

Sources: component-helpers v0.36.3 ``storage/volume/helpers.go`` (CheckNodeAffinity), kubernetes v1.36.3
``pkg/apis/core/v1/helper/helpers.go`` (MatchTopologySelectorTerms) and
``pkg/scheduler/framework/plugins/volumebinding/binder.go`` (nodeHasAccess).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stowplan.framework.nodes import NodeTable
from stowplan.framework.status import Mask
from stowplan.model import objects, selectors

Topology = tuple[frozenset[selectors.Requirement], ...]
"""Terms of label requirements: a node satisfies it if all requirements of any term hold. No terms: no node."""

Indices = npt.NDArray[np.intp]

EVERYWHERE: Topology = (frozenset(),)
NOWHERE: Topology = ()


def of_volume(raw: objects.VolumeNodeAffinity | None) -> Topology:
    """A PersistentVolume's node affinity. Raises InvalidObject.

    As upstream, it is judged by the node's labels alone: ``matchFields`` are passed over (a term that has nothing
    else matches every node), and terms without anything match none.
    """
    if raw is None or raw.required is None:
        return EVERYWHERE
    return tuple(term.labels for term in selectors.compile_node_selector(raw.required).terms if not term.empty)


def of_capacity(raw: objects.LabelSelector | None) -> Topology:
    """The ``nodeTopology`` of a CSIStorageCapacity; absent means reachable from nowhere. Raises InvalidObject."""
    requirements = selectors.compile_selector(raw).requirements
    return NOWHERE if requirements is None else (requirements,)


def of_class(raw: Sequence[objects.TopologySelectorTerm]) -> Topology:
    """The ``allowedTopologies`` of a StorageClass; none means everywhere, an empty term allows nothing."""
    if not raw:
        return EVERYWHERE
    return tuple(
        frozenset(
            selectors.Requirement(each.key, "In", frozenset(each.values)) for each in term.match_label_expressions
        )
        for term in raw
        if term.match_label_expressions
    )


def admits(topology: Topology, labels: Mapping[str, str]) -> bool:
    """Whether one node, by its labels, satisfies a topology."""
    return any(all(each.allows(labels.get(each.key)) for each in term) for term in topology)


def mask(topology: Topology, nodes: NodeTable) -> Mask:
    """bool[node]: the nodes that satisfy a topology."""
    found = np.zeros(len(nodes), dtype=np.bool_)
    for term in topology:
        found |= _term_mask(term, nodes)
    return found


def _term_mask(term: Iterable[selectors.Requirement], nodes: NodeTable) -> Mask:
    found = np.ones(len(nodes), dtype=np.bool_)
    for each in term:
        column = nodes.label(each.key)
        if each.operator == "In" and len(each.values) <= 4:
            # codes compare faster than one call per distinct value: hostnames have thousands
            having = np.zeros(len(nodes), dtype=np.bool_)
            for value in each.values:
                having |= column.codes == column.code(value)
            found &= having
        else:
            found &= column.where(each.allows)
    return found


class Reach:
    """Which of many topologies each node satisfies, as pairs of a node and a topology.

    Attributes:
        rows: intp[pair], ascending.
        which: intp[pair]: index of the topology; ascending within a row.
        crowded: intp[]: the rows with more than one topology.
    """

    __slots__ = ("_starts", "crowded", "rows", "which")

    def __init__(self, topologies: Sequence[Topology], nodes: NodeTable) -> None:
        size = len(topologies)
        pairs: list[int] = []
        exact: dict[tuple[str, ...], dict[tuple[str, ...], list[int]]] = {}
        for index, topology in enumerate(topologies):
            for term in topology:
                values = _exact(term)
                if values is not None:
                    exact.setdefault(tuple(values), {}).setdefault(tuple(values.values()), []).append(index)
                else:
                    pairs.extend(row * size + index for row in np.flatnonzero(_term_mask(term, nodes)).tolist())
        for keys, wanted in exact.items():
            columns = [nodes.label(key) for key in keys]
            by_codes = {
                tuple(column.code(value) for column, value in zip(columns, values, strict=True)): indices
                for values, indices in wanted.items()
            }
            for row, codes in enumerate(zip(*(column.codes.tolist() for column in columns), strict=True)):
                pairs.extend(row * size + index for index in by_codes.get(codes, ()))
        found = np.unique(np.array(pairs, dtype=np.intp))
        self.rows: Indices = found // max(size, 1)
        self.which: Indices = found % max(size, 1)
        self._starts: Indices = np.searchsorted(self.rows, np.arange(len(nodes) + 1))
        self.crowded: Indices = np.flatnonzero(np.diff(self._starts) > 1)

    def of(self, row: int) -> Indices:
        """The topologies that one node satisfies. A view."""
        if row + 1 >= len(self._starts):
            return self.which[:0]
        return self.which[self._starts[row] : self._starts[row + 1]]

    def any(self, satisfied: Mask, size: int) -> Mask:
        """bool[size]: the nodes for which any of their pairs satisfies.

        Args:
            satisfied: bool[pair].
            size: number of nodes.
        """
        found = np.zeros(size, dtype=np.bool_)
        found[self.rows[satisfied]] = True
        return found


def _exact(term: frozenset[selectors.Requirement]) -> dict[str, str] | None:
    """Label to value where the term asks for exactly one value each, by label; else (or without any) None."""
    found: dict[str, str] = {}
    for each in sorted(term, key=lambda requirement: requirement.key):
        if each.operator != "In" or len(each.values) != 1 or each.key in found:
            return None
        (found[each.key],) = each.values
    return found or None
