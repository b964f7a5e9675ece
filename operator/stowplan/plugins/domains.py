"""Pods per failure domain, and what follows from them per node: shared by the plugins about where other pods are.

A :class:`Grouping` says which nodes belong together (same zone; same zone and rack). A :class:`Tally` counts the pods
of a predicate in each group and is kept up to date by the snapshot, so that a rule costs a decision as much as there
are domains, and one gather to bring its verdict to the nodes. Where every node is a domain of its own (host names)
the counts per node are the counts per domain, and nothing is gathered.

Both are made inside ``Snapshot.once`` and live until the nodes change.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from stowplan.framework.columns import Column
from stowplan.framework.counters import Counts, Predicate
from stowplan.framework.departures import Departures
from stowplan.framework.joint import Places
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask

Scalar = TypeVar("Scalar", bound=np.generic)
Codes = npt.NDArray[np.intp]

SEPARATOR = "/"
"""Between the values of a domain inside a domain. No label value contains it."""
_KNOWN = 32


class Grouping:
    """The nodes by the values of one label, or of several together.

    Attributes:
        column: the values; those of several labels are joined by ``SEPARATOR``.
        codes: intp[node]: index into ``column.values``; 0 where a label is missing.
        present: bool[node]: where no label is missing.
        missing: bool[node]: where one is; None where none is.
        alone: whether every node is a group of its own.
    """

    __slots__ = ("_known", "alone", "codes", "column", "missing", "present")

    def __init__(self, column: Column[str]) -> None:
        self.column = column
        self.codes: Codes = column.codes.astype(np.intp)
        self.present: Mask = self.codes != 0
        complete = bool(self.present.all())
        self.missing: Mask | None = None if complete else ~self.present
        # not by np.unique: its first call imports numpy.ma, 8 ms and 1.7 MiB
        self.alone = complete and bool(np.bincount(self.codes).max(initial=0) <= 1)
        self._known: dict[bytes, Mask] = {}

    @property
    def size(self) -> int:
        """How many values there are, the absent one among them."""
        return len(self.column.values)

    def nodes_of(self, groups: Mask) -> Mask | None:
        """bool[node]: the nodes of some groups, bool[value]; None where there is no group. Do not write.

        From one pod to the next the groups that a rule names are mostly the same, and pods of all kinds name the same
        few: what was gathered last is remembered.
        """
        key = groups.tobytes()
        if 1 not in key:  # a search for a byte: a tenth of what ``any`` takes
            return None
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            found = self._known[key] = groups.take(self.codes)
        return found

    @property
    def places(self) -> Places:
        """intp[node]: the group of each node, -1 where a label is missing: for rules of a joint placement."""
        return np.where(self.present, self.codes, -1)


def grouping(nodes: Snapshot, *keys: str) -> Grouping:
    """The nodes by the values of these labels, broadest first; made once until the nodes change."""
    return nodes.once((Grouping, keys), lambda: Grouping(_column(nodes, keys)))


def _column(nodes: Snapshot, keys: tuple[str, ...]) -> Column[str]:
    columns = [nodes.label(key) for key in keys]
    if len(columns) == 1:
        return columns[0]
    joint: Column[str] = Column(len(nodes))
    names: dict[tuple[int, ...], str | None] = {}
    for row, codes in enumerate(zip(*(column.codes.tolist() for column in columns), strict=True)):
        if codes not in names:
            values = [column.values[code] for column, code in zip(columns, codes, strict=True)]
            names[codes] = None if None in values else SEPARATOR.join(map(str, values))
        joint.put(row, names[codes])
    return joint


def tally(nodes: Snapshot, predicate: Predicate, key: str) -> Tally:
    """The pods that satisfy a predicate by one label, over all nodes; one for all who ask, until the nodes change."""
    return nodes.once((Tally, predicate, key), lambda: Tally(nodes, predicate, grouping(nodes, key), None))


class Tally:
    """The pods that satisfy a predicate, by group, counting the eligible nodes only.

    Attributes:
        counts: int64[domain], live. Do not write.
        existing: intp[number]: the domains that have an eligible node.
        number: how many there are.
        domain_of: intp[node]: the domain of each node. Domain 0 is that of nodes without the label, unless
            ``alone``.
        alone: whether the domains are the nodes.
        eligible: bool[node]: the nodes that count; None where all do.
        predicate: which pods count.
    """

    __slots__ = (
        "_counter", "_group", "_range", "alone", "counts", "domain_of", "eligible", "existing", "number", "predicate"
    )  # fmt: skip

    def __init__(self, nodes: Snapshot, predicate: Predicate, group: Grouping, eligible: Mask | None) -> None:
        counter = self._counter = nodes.counter(predicate)
        self._group = group
        per_node = counter.counts[: len(nodes)]
        everywhere = eligible is None or bool(eligible.all())
        self.alone = group.alone and everywhere
        self.predicate = predicate
        self.eligible = None if everywhere else eligible
        self.counts: Counts
        self.existing: Codes
        self.domain_of: Codes
        if self.alone:
            self.counts = per_node
            self.existing = self.domain_of = np.arange(len(nodes))
        else:
            domain = counter.by(group.column, None if everywhere else eligible)
            self.counts = domain.counts
            self.existing = np.flatnonzero(domain.domains)
            self.domain_of = group.codes
        self.number = len(self.existing)
        self._range = _as_range(self.existing)

    def width(self, nodes: Snapshot) -> int:
        """How many nodes count."""
        return len(nodes) if self.eligible is None else int(self.eligible.sum())

    def lowest(self) -> int:
        """The pods in the emptiest domain; 0 where there is no domain."""
        counts = self.counts.take(self.existing) if self._range is None else self.counts[self._range]
        return int(np.minimum.reduce(counts)) if self.number else 0

    def gather(self, table: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """A value per domain to a value per node."""
        return table if self.alone else table.take(self.domain_of)

    def nodes_of(self, domains: Mask) -> Mask | None:
        """bool[node]: the nodes of some domains, bool[domain]; None where there is no domain. Do not write."""
        if self.alone:
            return domains if 1 in domains.tobytes() else None
        return self._group.nodes_of(domains)

    def gather_labelled(self, table: Counts) -> Counts:
        """``gather``, with 0 for nodes without a domain. Writes to the table."""
        if not self.alone:
            table[0] = 0
        return self.gather(table)

    @property
    def places(self) -> Places:
        """intp[node]: the domain of each node, -1 for nodes without the label: for rules of a joint placement."""
        return self.domain_of if self.alone else np.where(self.domain_of == 0, -1, self.domain_of)

    def vacant(self) -> Mask | None:
        """bool[node]: the nodes in a domain without a pod; None for no node. Says nothing of nodes without a domain."""
        return self.nodes_of(self.counts == 0)

    def occupied(self, gone: Departures | None = None) -> Mask | None:
        """bool[node]: the nodes in a domain with at least one pod, never one without a domain; None for no node.

        Args:
            gone: pods that do not count: those of its own node for each node.
        """
        if gone is not None:
            near = self.remaining(gone) > 0
            if not self.alone:
                near &= self.domain_of != 0
            return near if near.any() else None
        if self.alone:
            return self._counter.where_some(len(self.counts)) if self._counter.total else None
        table = self.counts > 0
        table[0] = False
        return self._group.nodes_of(table)

    def remaining(self, gone: Departures) -> Counts:
        """int64[node]: the pods in the domain of each node, if those that leave this very node counted no more."""
        left = gone.count(self.predicate)
        if self.eligible is not None:
            left = np.where(self.eligible, left, 0)
        found: Counts = self.gather(self.counts) - left
        return found

    @property
    def empty(self) -> bool:
        """Whether no domain has a pod."""
        return not (self._counter.total if self.alone else self.counts[1:].any())


def _as_range(codes: Codes) -> slice | None:
    """The codes as a slice, which reads faster, where they have no gaps."""
    if not len(codes) or int(codes[-1]) - int(codes[0]) != len(codes) - 1:
        return None
    return slice(int(codes[0]), int(codes[-1]) + 1)
