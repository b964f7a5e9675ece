"""The state of the cluster that one scheduling decision sees: nodes, the pods on them, counts, volumes.

There is one snapshot and the scheduler's cache changes it in place between decisions, never during one: a decision
runs from filter to assume without an await. ``fork`` gives a copy to try things on; ``framework.trial`` tries things on
the snapshot itself and puts it back.

What a plugin derives from a pod's class and the nodes alone it keeps with ``once``: that memory is dropped whenever
the nodes, their labels and taints, the namespaces or the policies change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from stowplan.framework.counters import Counts, PodCounter, Predicate
from stowplan.framework.homes import Homes
from stowplan.framework.nodes import NodeTable
from stowplan.framework.nominations import Nominations
from stowplan.framework.priorities import Priorities
from stowplan.framework.status import Mask
from stowplan.framework.volumes import VolumeCatalog
from stowplan.framework.workloads import Workloads
from stowplan.model import objects
from stowplan.model.pods import AffinityTerm, PodClass, PodInfo, WeightedTerm

R = TypeVar("R")
K = TypeVar("K", bound=Hashable)


class Snapshot(NodeTable):
    """Nodes, pods, counts and volumes.

    Attributes:
        pods: every pod that is on a node or assumed to be, by uid.
        on_node: pods by row, by uid.
        orphans: pods whose node is not known (yet, or any more), by node name, by uid.
        namespaces: labels by namespace.
        required_terms: distinct required affinity terms that pods on nodes carry, to the number of their classes;
            likewise ``required_anti_terms``, ``preferred_terms`` and ``preferred_anti_terms``. One that nobody carries
            any more stays until the next sweep, so that it may come back without anything being dropped.
        terms: changes when a pod comes with a term that none has had: part of the key of what is kept with ``once`` and
            depends on the terms.
        volumes: storage objects and who uses them.
        workloads: which pods belong together.
        nominations: the pods that wait for a node that is promised to them.
        homes: the nodes that absent members of StatefulClusters will come back to.
        budgets: PodDisruptionBudgets by ``namespace/name``.
        policy_of: class to the key (``namespace/name``) of the SchedulingPolicy that governs it, or "".
        shadow_of: class to the key of the SchedulingPolicy that is tried on it (mode DryRun), or "".
    """

    def __init__(self) -> None:
        super().__init__()
        self.pods: dict[str, PodInfo] = {}
        self.on_node: list[dict[str, PodInfo]] = []
        self.orphans: dict[str, dict[str, PodInfo]] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.volumes = VolumeCatalog()
        self.workloads = Workloads()
        self.nominations = Nominations()
        self.homes = Homes(self)
        self.budgets: dict[str, objects.PodDisruptionBudget] = {}
        self.policy_of: Callable[[PodClass], str] = _ungoverned
        self.shadow_of: Callable[[PodClass], str] = _ungoverned
        self.required_anti_terms: dict[AffinityTerm, int] = {}
        self.required_terms: dict[AffinityTerm, int] = {}
        self.preferred_terms: dict[WeightedTerm, int] = {}
        self.preferred_anti_terms: dict[WeightedTerm, int] = {}
        self.terms = 0
        self._rows_of: dict[PodClass, dict[int, int]] = {}
        self._counters: dict[Predicate, PodCounter] = {}
        self._counters_of: dict[PodClass, tuple[PodCounter, ...]] = {}
        self._memo: dict[Hashable, object] = {}
        self._priorities: Priorities | None = None
        self._tiers: dict[int, int] = {}

    # ------------------------------------------------------------ what plugins read

    def once(self, key: Hashable, build: Callable[[], R]) -> R:
        """What ``build`` returns, computed once until the nodes (or namespaces, policies) change.

        The key must name everything that the result depends on besides those, e.g. ``(self, pod.cls)``.
        """
        try:
            return cast("R", self._memo[key])
        except KeyError:
            value = self._memo[key] = build()
            return value

    @property
    def epoch(self) -> object:
        """Stays the same object for as long as ``once`` keeps what it has: for columns that others keep in step."""
        return self.once("epoch", object)

    def rows_where(self, mask: Mask) -> npt.NDArray[np.intp]:
        """intp[...]: the rows where a bool[node] is True, ascending; read-only, as all share it, where all are."""
        return self.once("rows", self._every_row) if mask.all() else mask.nonzero()[0]

    def counter(self, predicate: Predicate) -> PodCounter:
        """The counter of a predicate; counted from the pods at first use, kept up to date from then on."""
        counter = self._counters.get(predicate)
        if counter is None:
            counter = PodCounter(predicate, self.capacity)
            for cls, rows in self._rows_of.items():
                if predicate.matches(cls, self):
                    for row, count in rows.items():
                        counter.add(row, count)
            self._counters[predicate] = counter
            self._counters_of.clear()
        counter.used = True
        return counter

    def count(self, predicate: Predicate) -> Counts:
        """int64[node]: pods per node that satisfy the predicate. A view: do not write."""
        return self.counter(predicate).counts[: len(self.nodes)]

    def priorities(self) -> Priorities:
        """The pods by priority; counted from the pods at first use, kept up to date from then on."""
        kept = self._priorities
        if kept is None:
            kept = self._priorities = Priorities(self)
        kept.used = True
        return kept

    def lowest_priority(self) -> float:
        """The lowest priority of all pods on nodes; infinity where there are none."""
        return min(self._tiers, default=math.inf)

    # ------------------------------------------------------------ nodes

    def put_node(self, node: objects.Node) -> None:
        """Adds a node, with the pods that were waiting for it, or takes over its new state. Raises InvalidObject."""
        name = node.metadata.name
        row = self.row_of.get(name)
        if row is not None:
            old = self.nodes[row]
            self.write(row, node)
            if _placement_differs(old, node):
                self.invalidate()
            return
        row = self.add(node)
        self.on_node.append({})
        self._grow_counters()
        self.invalidate()
        for pod in list(self.orphans.pop(name, {}).values()):
            self._attach(pod, row)

    def remove_node(self, name: str) -> None:
        """Removes a node; its pods are kept until they go or the node comes back."""
        row = self.row_of.get(name)
        if row is None:
            return
        orphans = list(self.on_node[row].values())
        for pod in orphans:
            self._detach(pod, row)
        last = len(self.nodes) - 1
        movers = list(self.on_node[last].values()) if row != last else []
        for pod in movers:
            self._detach(pod, last)
        self.remove(row)
        self.on_node.pop()
        for pod in movers:
            self._attach(pod, row)
        if orphans:
            self.orphans[name] = {pod.uid: pod for pod in orphans}
        self.invalidate()

    # ------------------------------------------------------------ pods

    def add_pod(self, pod: PodInfo) -> None:
        """Counts a pod on ``pod.node_name``. It must not be counted already."""
        self.pods[pod.uid] = pod
        self._tiers[pod.priority] = self._tiers.get(pod.priority, 0) + 1
        row = self.row_of.get(pod.node_name)
        if row is None:
            self.orphans.setdefault(pod.node_name, {})[pod.uid] = pod
        else:
            self._attach(pod, row)

    def remove_pod(self, uid: str) -> PodInfo | None:
        """Takes a pod off its node; returns it, or None where it was not counted."""
        pod = self.pods.pop(uid, None)
        if pod is None:
            return None
        self._tiers[pod.priority] -= 1
        if not self._tiers[pod.priority]:
            del self._tiers[pod.priority]
        row = self.row_of.get(pod.node_name)
        if row is None:
            waiting = self.orphans.get(pod.node_name, {})
            waiting.pop(uid, None)
            if not waiting:
                self.orphans.pop(pod.node_name, None)
        else:
            self._detach(pod, row)
        return pod

    def replace_pod(self, pod: PodInfo) -> None:
        """Takes over a newer PodInfo of a counted pod: same node, claims, requests and priority.

        Its class may be another one: the API server adds labels of the node to every pod that is bound. As what is
        left of the node stays the same, nothing that is kept about it has to be worked out anew.
        """
        old, self.pods[pod.uid] = self.pods[pod.uid], pod
        row = self.row_of.get(pod.node_name)
        holder = self.orphans[pod.node_name] if row is None else self.on_node[row]
        holder[pod.uid] = pod
        if row is not None and old.cls is not pod.cls:
            self._reclass(old, pod, row)

    # ------------------------------------------------------------ namespaces, policies

    def put_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """Adds a namespace or takes over its labels."""
        if self.namespaces.get(name) != labels:
            self.namespaces[name] = labels
            self.recount()

    def remove_namespace(self, name: str) -> None:
        """Forgets a namespace."""
        if self.namespaces.pop(name, None) is not None:
            self.recount()

    def recount(self) -> None:
        """What predicates read besides pods (namespaces, policies) has changed: count anew at the next use."""
        self._counters.clear()
        self._counters_of.clear()
        if self._priorities is not None:
            self._priorities.forget_counts()
        self.invalidate()

    def invalidate(self) -> None:
        """Drops what ``once`` keeps and the domain counters made from it."""
        self._memo.clear()
        for counter in self._counters.values():
            counter.domains.clear()

    def sweep(self) -> None:
        """Frees the counters that nobody has asked for since the last sweep. Called now and then."""
        self._counters = {predicate: each for predicate, each in self._counters.items() if each.used}
        for counter in self._counters.values():
            counter.used = False
        if self._priorities is not None and not self._priorities.used:
            self._priorities = None
        elif self._priorities is not None:
            self._priorities.used = False
            self._priorities.forget_counts()
        self._counters_of.clear()
        self.required_terms, self.required_anti_terms, self.preferred_terms, self.preferred_anti_terms = (
            _carried(self.required_terms), _carried(self.required_anti_terms),
            _carried(self.preferred_terms), _carried(self.preferred_anti_terms),
        )  # fmt: skip
        self.forget_images()
        self.invalidate()

    def classes(self) -> Iterable[PodClass]:
        """The classes that have pods on nodes."""
        return self._rows_of.keys()

    # ------------------------------------------------------------ copies and checks

    def fork(self) -> Snapshot:
        """A copy on which pods can be added and removed without touching this one."""
        twin = Snapshot()
        mine = dict(self.__dict__)
        twin.__dict__.update(mine)
        twin.resources = dict(self.resources)
        twin._take_amounts(self._amounts.copy())
        twin.pods = dict(self.pods)
        twin._tiers = dict(self._tiers)
        twin.on_node = [dict(each) for each in self.on_node]
        twin.orphans = {name: dict(each) for name, each in self.orphans.items()}
        twin.required_anti_terms = dict(self.required_anti_terms)
        twin.required_terms = dict(self.required_terms)
        twin.preferred_terms = dict(self.preferred_terms)
        twin.preferred_anti_terms = dict(self.preferred_anti_terms)
        twin._rows_of = {cls: dict(rows) for cls, rows in self._rows_of.items()}
        twin.volumes = self.volumes.fork()
        twin._counters = {}
        twin._counters_of = {}
        twin._memo = {}
        twin._journal = []
        twin._kept = {}
        twin._priorities = None
        return twin

    def check(self) -> list[str]:
        """Recounts everything from the pods and names what differs; empty when all is well. For tests and debugging."""
        fresh = Snapshot()
        fresh.policy_of, fresh.shadow_of = self.policy_of, self.shadow_of
        fresh.namespaces = dict(self.namespaces)
        fresh.volumes = self.volumes.rebuilt()
        for node in self.nodes:
            fresh.put_node(node)
        for pod in self.pods.values():
            fresh.add_pod(pod)
        wrong = []
        for name, index in self.resources.items():
            row = fresh.resource(name)
            theirs = fresh.requested[row]
            if not np.array_equal(self.requested[index], theirs):
                wrong.append(f"requested {name}")
        if not np.array_equal(self.nonzero, fresh.nonzero):
            wrong.append("nonzero requests")
        for predicate, counter in self._counters.items():
            if not np.array_equal(self.count(predicate), fresh.count(predicate)):
                wrong.append(f"counter {predicate}")
            wrong.extend(counter.contradictions())
        terms = ("required_anti_terms", "required_terms", "preferred_terms", "preferred_anti_terms")
        wrong.extend(each for each in terms if _carried(getattr(self, each)) != getattr(fresh, each))
        wrong.extend(self.volumes.differences(self, fresh.volumes, fresh))
        if self._tiers != fresh._tiers:
            wrong.append("priorities")
        if self._priorities is not None and self._priorities.differs(self, fresh.priorities(), fresh):
            wrong.append("requests by priority")
        if self.nominations.differs(self):
            wrong.append("nominated pods")
        return wrong

    # ------------------------------------------------------------ inside

    def _every_row(self) -> npt.NDArray[np.intp]:
        rows = np.arange(len(self.nodes))
        rows.flags.writeable = False
        return rows

    def _attach(self, pod: PodInfo, row: int) -> None:
        cls = pod.cls
        self.on_node[row][pod.uid] = pod
        self.charge(row, cls.requests, cls.nonzero, 1)
        if self._priorities is not None:
            self._priorities.charge(pod, row, 1, self)
        self._count_class(cls, row)
        for counter in self._counters_for(cls):
            counter.add(row, 1)
        if pod.claims or pod.volumes:
            self.volumes.add_pod(pod, row)

    def _detach(self, pod: PodInfo, row: int) -> None:
        cls = pod.cls
        del self.on_node[row][pod.uid]
        self.charge(row, cls.requests, cls.nonzero, -1)
        if self._priorities is not None:
            self._priorities.charge(pod, row, -1, self)
        for counter in self._counters_for(cls):
            counter.add(row, -1)
        self._uncount_class(cls, row)
        if pod.claims or pod.volumes:
            self.volumes.remove_pod(pod, row)

    def _reclass(self, old: PodInfo, new: PodInfo, row: int) -> None:
        """Counts a pod as one of another class, with the same requests, on its node."""
        if self._priorities is not None:
            self._priorities.charge(old, row, -1, self)
            self._priorities.charge(new, row, 1, self)
        self._count_class(new.cls, row)
        before, after = self._counters_for(old.cls), self._counters_for(new.cls)
        if before != after:
            for counter in before:
                counter.add(row, -1)
            for counter in after:
                counter.add(row, 1)
        self._uncount_class(old.cls, row)

    def _count_class(self, cls: PodClass, row: int) -> None:
        rows = self._rows_of.get(cls)
        if rows is None:
            rows = self._rows_of[cls] = {}
            self._count_terms(cls, 1)
        rows[row] = rows.get(row, 0) + 1

    def _uncount_class(self, cls: PodClass, row: int) -> None:
        rows = self._rows_of[cls]
        rows[row] -= 1
        if not rows[row]:
            del rows[row]
            if not rows:
                del self._rows_of[cls]
                self._count_terms(cls, -1)

    def _counters_for(self, cls: PodClass) -> tuple[PodCounter, ...]:
        counters = self._counters_of.get(cls)
        if counters is None:
            counters = tuple(each for each in self._counters.values() if each.predicate.matches(cls, self))
            self._counters_of[cls] = counters
        return counters

    def _count_terms(self, cls: PodClass, delta: int) -> None:
        appeared = _tally(self.required_terms, cls.affinity, delta)
        appeared |= _tally(self.required_anti_terms, cls.anti_affinity, delta)
        appeared |= _tally(self.preferred_terms, cls.preferred_affinity, delta)
        appeared |= _tally(self.preferred_anti_terms, cls.preferred_anti_affinity, delta)
        self.terms += appeared

    def _grow_counters(self) -> None:
        for counter in self._counters.values():
            counter.grow(self.capacity)


def _ungoverned(cls: PodClass) -> str:  # noqa: ARG001 - no policies: nothing is governed
    return ""


def _tally(terms: dict[K, int], of: Iterable[K], delta: int) -> bool:
    """Counts the terms of one more (or less) class; whether a term appeared that was not there."""
    appeared = False
    for term in of:
        count = terms.get(term, 0) + delta
        appeared |= term not in terms
        terms[term] = count
    return appeared


def _carried(terms: Mapping[K, int]) -> dict[K, int]:
    """Without those that nobody carries any more."""
    return {term: count for term, count in terms.items() if count}


def _placement_differs(old: objects.Node, new: objects.Node) -> bool:
    return (
        old.metadata.labels != new.metadata.labels
        or old.spec.taints != new.spec.taints
        or old.spec.unschedulable != new.spec.unschedulable
    )
