"""The nodes as columns: one array per resource, label and taint set, all of the same length and order.

Rows are dense: removing a node moves the last one into its place, so a plugin never meets a hole. Only
``framework.snapshot`` writes here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Set
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from stowplan import errors
from stowplan.framework.columns import Column
from stowplan.framework.status import Mask
from stowplan.model import objects, quantity, requests, sharing

Amounts = npt.NDArray[np.int64]

CPU, MEMORY, EPHEMERAL_STORAGE, PODS = range(4)
_FIXED = ("cpu", "memory", "ephemeral-storage", "pods")

RowIndex = npt.NDArray[np.intp] | slice
"""Which nodes to compute something for: an index into any array over the nodes."""
Small = npt.NDArray[np.uint8]
N = TypeVar("N", bound=np.integer)

_JOURNAL = 1 << 14
_KEPT = 512
_KNOWN = 256
_FEW = 16


class _Kept:
    """An array of ``NodeTable.kept``: right for all that stood in the journal before ``seen``.

    Attributes:
        array: the result for all nodes.
        by_row: the same, with the nodes as the first axis. A view.
        known: results for one node by what its resources look like: nodes of one make with as many pods of one kind
            on them look the same, and a look-up costs a twentieth of working it out for one row.
    """

    __slots__ = ("array", "by_row", "journal", "known", "seen")

    def __init__(self, array: npt.NDArray[np.integer], journal: list[int]) -> None:
        self.array = array
        self.by_row = array.T
        self.journal = journal
        self.seen = len(journal)
        self.known: dict[bytes, npt.NDArray[np.integer]] = {}


class NodeTable:
    """Nodes by row.

    Attributes:
        nodes: the API objects by row.
        row_of: name to row.
        resources: resource name to its index in ``allocatable`` and ``requested``.
        taints: each node's taints with an effect on scheduling, as one value.
        features: what each node declares that it can do, as one value.
        layout: changes when rows do: when nodes come or go.
        images_version: changes when an image that somebody asked for comes to or leaves a node.
    """

    def __init__(self) -> None:
        self.nodes: list[objects.Node] = []
        self.row_of: dict[str, int] = {}
        self.resources: dict[str, int] = {name: index for index, name in enumerate(_FIXED)}
        self._take_amounts(np.zeros((2 * len(_FIXED) + 2, 16), dtype=np.int64))
        self._unschedulable: Mask = np.zeros(16, dtype=np.bool_)
        self._labels: dict[str, Column[str]] = {}
        self.taints: Column[tuple[objects.Taint, ...]] = Column(0)
        self.features: Column[frozenset[str]] = Column(0)
        self.layout = 0
        self.images_version = 0
        self._images: dict[str, Amounts] = {}
        self._annotated: dict[str, Amounts] = {}
        self._journal: list[int] = []
        self._kept: dict[Hashable, _Kept] = {}
        self._sharing = sharing.Sharing()

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def capacity(self) -> int:
        """Rows that the arrays have room for."""
        return len(self._unschedulable)

    @property
    def allocatable(self) -> Amounts:
        """int64[resource, node]: milli-CPU, bytes, units. A view: do not write."""
        return self._allocatable[:, : len(self.nodes)]

    @property
    def requested(self) -> Amounts:
        """int64[resource, node]: the sum over the pods on the node; row ``PODS`` counts them. A view."""
        return self._requested[:, : len(self.nodes)]

    @property
    def nonzero(self) -> Amounts:
        """int64[2, node]: requested milli-CPU and bytes with defaults for pods that ask for none. A view."""
        return self._nonzero[:, : len(self.nodes)]

    @property
    def unschedulable(self) -> Mask:
        """bool[node]: cordoned. A view."""
        return self._unschedulable[: len(self.nodes)]

    def name(self, row: int) -> str:
        """The name of a node."""
        return self.nodes[row].metadata.name

    def label(self, key: str) -> Column[str]:
        """The column of a label; built at first use, then kept up to date."""
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = Column.of([node.metadata.labels.get(key) for node in self.nodes])
        return column

    def resource(self, name: str) -> int:
        """The index of a resource, with a new row of zeros where it was not known."""
        index = self.resources.get(name)
        if index is None:
            index = self.resources[name] = len(self.resources)
            row = np.zeros((1, self.capacity), dtype=np.int64)
            self._take_amounts(np.vstack([self._allocatable, row, self._requested, row, self._nonzero]))
        return index

    def image(self, name: str) -> Amounts:
        """int64[node]: bytes of an image on each node, -1 where it is not. Kept up to date from now on. A view."""
        sizes = self._images.get(name)
        if sizes is None:
            sizes = self._images[name] = np.full(self.capacity, -1, dtype=np.int64)
            for row, node in enumerate(self.nodes):
                sizes[row] = _image_sizes(node).get(name, -1)
        return sizes[: len(self.nodes)]

    def annotated(self, key: str) -> Amounts:
        """int64[node]: an annotation as a quantity, -1 where there is none. Kept up to date from now on. A view."""
        amounts = self._annotated.get(key)
        if amounts is None:
            amounts = self._annotated[key] = np.full(self.capacity, -1, dtype=np.int64)
            for row, node in enumerate(self.nodes):
                amounts[row] = _annotated(node, key)
        return amounts[: len(self.nodes)]

    def forget_images(self) -> None:
        """Follows images no longer, until somebody asks again."""
        self._images.clear()
        self.images_version += 1

    def kept(self, key: Hashable, compute: Callable[[RowIndex], npt.NDArray[N]]) -> npt.NDArray[N]:
        """int[..., node] of what ``compute`` returns, which is called again only for rows that have changed.

        Thousands of pods of one class each change one node: what was worked out for the others stays right. Integers
        that are small, as there are many of these arrays. The array is live: it changes with the next call.

        Args:
            key: everything that the result depends on besides the nodes' resources, e.g. ``(self, pod.cls)``.
            compute: the result for some rows (or all, as a slice), of a shape that ends with their number; for each
                row it reads nothing but that row's ``allocatable``, ``requested`` and ``nonzero``.
        """
        journal = self._journal
        entry = self._kept.get(key)
        if entry is None or entry.journal is not journal or len(journal) - entry.seen > len(self.nodes) // 4:
            self._kept.pop(key, None)
            if len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            entry = self._kept[key] = _Kept(compute(slice(0, len(self.nodes))), journal)
        elif entry.seen < len(journal):
            self._catch_up(entry, set(journal[entry.seen :]), compute)
            entry.seen = len(journal)
        return cast("npt.NDArray[N]", entry.array)

    def _catch_up(self, entry: _Kept, rows: Set[int], compute: Callable[[RowIndex], npt.NDArray[N]]) -> None:
        """Works some rows out anew: where they are few by what they look like, and all that is new at once."""
        if len(rows) > _FEW:
            changed = np.fromiter(rows, dtype=np.intp)
            entry.array[..., changed] = compute(changed)
            return
        new: dict[bytes, list[int]] = {}
        for row in rows:
            look = self._amounts[:, row].tobytes()
            result = entry.known.get(look)
            if result is None:
                new.setdefault(look, []).append(row)
            else:
                entry.by_row[row] = result
        if new:
            if len(entry.known) >= _KNOWN:
                entry.known.clear()
            results = compute(np.array([alike[0] for alike in new.values()], dtype=np.intp))
            for place, (look, alike) in enumerate(new.items()):
                entry.known[look] = entry.by_row[alike] = results[..., place]

    def add(self, node: objects.Node) -> int:
        """Appends a node and returns its row. Raises InvalidObject and then changes nothing."""
        amounts = requests.amounts(node.status.allocatable)
        row = len(self.nodes)
        if row >= self.capacity:
            self._grow()
        self._sharing.node(node)
        self.nodes.append(node)
        self.row_of[node.metadata.name] = row
        self._write_allocatable(row, amounts)
        self._write_rest(row, node)
        self._journal = []
        self.layout += 1
        return row

    def write(self, row: int, node: objects.Node) -> None:
        """Takes over an API object into an existing row. Raises InvalidObject and then changes nothing."""
        if node.status.allocatable != self.nodes[row].status.allocatable:
            self._write_allocatable(row, requests.amounts(node.status.allocatable))
            self._touch(row)
        self._sharing.node(node)
        self.nodes[row] = node
        self._write_rest(row, node)

    def remove(self, row: int) -> str | None:
        """Removes a row without pods; returns the name of the node that took its place, if one did."""
        last = len(self.nodes) - 1
        del self.row_of[self.nodes[row].metadata.name]
        moved = self.nodes.pop()
        self._amounts[:, row] = self._amounts[:, last]
        self._amounts[:, last] = 0
        self._unschedulable[row] = self._unschedulable[last]
        for each in self._labels.values():
            each.put(row, each.at(last))
            each.truncate(last)
        self.taints.put(row, self.taints.at(last))
        self.taints.truncate(last)
        self.features.put(row, self.features.at(last))
        self.features.truncate(last)
        for sizes in self._images.values():
            sizes[row] = sizes[last]
            sizes[last] = -1
        for amounts in self._annotated.values():
            amounts[row] = amounts[last]
            amounts[last] = -1
        self._journal = []
        self.layout += 1
        if row == last:
            return None
        self.nodes[row] = moved
        self.row_of[moved.metadata.name] = row
        return moved.metadata.name

    def charge(self, row: int, amounts: Mapping[str, int], nonzero: tuple[int, int], sign: int) -> None:
        """Adds (sign 1) or takes away (sign -1) what one pod asks of a node."""
        requested = self._requested
        for name, amount in amounts.items():
            index = self.resources.get(name)
            if index is None:
                index = self.resource(name)
                requested = self._requested
            requested[index, row] += sign * amount
        requested[PODS, row] += sign
        self._nonzero[0, row] += sign * nonzero[0]
        self._nonzero[1, row] += sign * nonzero[1]
        self._touch(row)

    def _write_allocatable(self, row: int, amounts: Mapping[str, int]) -> None:
        indices = [self.resource(name) for name in amounts]
        self._allocatable[:, row] = 0
        self._allocatable[indices, row] = list(amounts.values())

    def _write_rest(self, row: int, node: objects.Node) -> None:
        self._unschedulable[row] = node.spec.unschedulable
        self.taints.put(row, tuple(node.spec.taints) or None)
        self.features.put(row, frozenset(node.status.declared_features) or None)
        for key, column in self._labels.items():
            column.put(row, node.metadata.labels.get(key))
        if self._images:
            self._write_images(row, node)
        for key, amounts in self._annotated.items():
            amounts[row] = _annotated(node, key)

    def _touch(self, row: int) -> None:
        if len(self._journal) >= _JOURNAL:
            self._journal = []
        else:
            self._journal.append(row)

    def _write_images(self, row: int, node: objects.Node) -> None:
        have = _image_sizes(node)
        for name, sizes in self._images.items():
            size = have.get(name, -1)
            if sizes[row] != size:
                sizes[row] = size
                self.images_version += 1

    def _take_amounts(self, amounts: Amounts) -> None:
        """Takes int64[2 * resource + 2, node]: allocatable, requested and nonzero, of which views are kept.

        One array, so that what a node looks like is one column.
        """
        number = len(self.resources)
        self._amounts = amounts
        self._allocatable, self._requested, self._nonzero = np.vsplit(amounts, (number, 2 * number))

    def _grow(self) -> None:
        self._take_amounts(np.concatenate([self._amounts, np.zeros_like(self._amounts)], axis=1))
        self._unschedulable = np.concatenate([self._unschedulable, np.zeros_like(self._unschedulable)])
        for growing in (self._images, self._annotated):
            for name, sizes in growing.items():
                growing[name] = np.concatenate([sizes, np.full_like(sizes, -1)])


def _image_sizes(node: objects.Node) -> dict[str, int]:
    return {name: image.size_bytes for image in node.status.images for name in image.names or ()}


def _annotated(node: objects.Node, key: str) -> int:
    try:
        return quantity.value(node.metadata.annotations[key])
    except (KeyError, errors.InvalidObject):
        return -1
