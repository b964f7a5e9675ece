"""How many pods a group has, placed or not: what ``maxPerDomain`` in percent, and Minority, are shares of.

The members of a StatefulCluster are as many as its spec says. Other pods are as many as there are, those that wait
for a node among them; ``live`` and ``simulator`` keep a :class:`Backlog` of those.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from stowplan.framework.counters import Predicate
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass
from stowplan.plugins.policy_rules import Governed


class Sizes(Protocol):
    """Tells how many pods a group has."""

    def __call__(self, group: Governed, nodes: Snapshot) -> int:
        """The number of its pods, placed or not."""


class Backlog:
    """The pods that have no node yet, the one being decided about among them, counted by class and by predicate.

    Counts per predicate are kept up to date like those of the snapshot, so that asking costs the same however many
    pods wait. ``forget`` must be called when the policies change.
    """

    def __init__(self) -> None:
        self._classes: Counter[PodClass] = Counter()
        self._counts: dict[Predicate, int] = {}
        self._matching: dict[PodClass, tuple[Predicate, ...]] = {}

    def add(self, cls: PodClass, nodes: Snapshot) -> None:
        """One more pod of the class waits."""
        self._change(cls, nodes, 1)

    def remove(self, cls: PodClass, nodes: Snapshot) -> None:
        """One pod of the class waits no more: it has a node, or is gone."""
        self._change(cls, nodes, -1)

    def count(self, predicate: Predicate, nodes: Snapshot) -> int:
        """How many of them satisfy the predicate."""
        count = self._counts.get(predicate)
        if count is None:
            count = sum(number for cls, number in self._classes.items() if predicate.matches(cls, nodes))
            self._counts[predicate] = count
            self._matching.clear()
        return count

    def number(self, cls: PodClass) -> int:
        """How many of them are of a class."""
        return self._classes.get(cls, 0)

    def classes(self) -> frozenset[PodClass]:
        """The classes that have pods waiting."""
        return frozenset(self._classes)

    def forget(self) -> None:
        """What predicates read has changed: count anew at the next use."""
        self._counts.clear()
        self._matching.clear()

    def _change(self, cls: PodClass, nodes: Snapshot, delta: int) -> None:
        self._classes[cls] += delta
        matching = self._matching.get(cls)
        if matching is None:
            matching = tuple(each for each in self._counts if each.matches(cls, nodes))
            self._matching[cls] = matching
        for predicate in matching:
            self._counts[predicate] += delta
        if not self._classes[cls]:
            del self._classes[cls]
            self._matching.pop(cls, None)


@dataclasses.dataclass(frozen=True, slots=True)
class DeclaredSet:
    """A node set of a StatefulCluster: the labels of its members, and how many it shall have.

    Attributes:
        quorum: whether it must keep a majority of them.
    """

    labels: Mapping[str, str]
    replicas: int
    quorum: bool = False


class GroupSizes:
    """Sizes from the specs of the StatefulClusters, and from the pods there are.

    Args:
        declared: the node sets of each StatefulCluster, by ``namespace/name``.
        backlog: the pods that wait.
    """

    def __init__(self, declared: Mapping[str, tuple[DeclaredSet, ...]], backlog: Backlog) -> None:
        self._declared = declared
        self._backlog = backlog

    def __call__(self, group: Governed, nodes: Snapshot) -> int:
        """The number of pods of a group, placed or not."""
        if group.cluster:
            namespace = group.policy.partition("/")[0]
            declared = sum(
                each.replicas
                for each in self._declared.get(f"{namespace}/{group.cluster}", ())
                if all(each.labels.get(key) == value for key, value in group.group)
            )
            if declared:
                return declared
        return nodes.counter(group).total + self._backlog.count(group, nodes)
