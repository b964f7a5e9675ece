"""Affinity and anti-affinity between pods: the filter, and one plugin for both halves.

Source of the rules: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/interpodaffinity`` (``filtering.go``,
``plugin.go``); the scores are in ``inter_pod_affinity_score``. ``matchLabelKeys`` and ``mismatchLabelKeys`` are part
of the terms' selectors already. Pods that are being deleted count until they are gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Sequence

from stowplan.framework.departures import Departures
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.joint import Apart, Model, Near, which
from stowplan.framework.plugin import SKIP, CycleState, Rows, Scores, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Mask, Reject, Verdict, first_only
from stowplan.model.pods import AffinityTerm, PodClass, PodInfo
from stowplan.plugins import domains, hints
from stowplan.plugins.inter_pod_affinity_score import Votes
from stowplan.plugins.predicates import Carries, Kind, MeetsAll, meant_by

AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING_ANTI_AFFINITY = "node(s) didn't satisfy existing pods anti-affinity rules"


@dataclasses.dataclass(frozen=True, slots=True)
class InterPodAffinityArgs:
    """Arguments of the plugin, with kube-scheduler's names and defaults.

    Attributes:
        hard_pod_affinity_weight: what a required affinity term of a running pod counts when it means the incoming
            pod; 0 to 100.
        ignore_preferred_terms_of_existing_pods: give no scores to pods without preferred terms of their own.
    """

    hard_pod_affinity_weight: int = 1
    ignore_preferred_terms_of_existing_pods: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Neighbours:
    """The running pods that matter to the pods of a class.

    Attributes:
        near: by affinity term of the class, the pods that match all of its terms.
        unlabelled: bool[node]: nodes without a label that an affinity term names; None where there are none.
        first: whether the class matches its own affinity terms, so that one of it may be the first.
        apart: by anti-affinity term of the class, the pods that match it.
        averse: by anti-affinity term of running pods that means the class, the pods that have it.
    """

    near: tuple[domains.Tally, ...]
    unlabelled: Mask | None
    first: bool
    apart: tuple[domains.Tally, ...]
    averse: tuple[domains.Tally, ...]

    @property
    def nobody_near(self) -> bool:
        """Whether no pod matches the affinity terms, on any node that has a label they name."""
        return all(tally.empty for tally in self.near)


class InterPodAffinity:
    """Keep pods near or away from others as their affinity and anti-affinity, and those of running pods, say."""

    name = "InterPodAffinity"
    requeue_on = frozenset(
        {
            ClusterEvent.POD_ADDED,
            ClusterEvent.POD_REMOVED,
            ClusterEvent.POD_LABELS,
            ClusterEvent.NODE_ADDED,
            ClusterEvent.NODE_REMOVED,  # the pods on it count no more
            ClusterEvent.NODE_LABELS,
            ClusterEvent.NAMESPACE,
        }
    )

    relents = True
    first_only = True

    def __init__(self, args: InterPodAffinityArgs) -> None:
        self._args = args

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Skip | None:
        """Steps aside where the pod has no required term and no running pod has an anti-affinity term against it."""
        cls = pod.cls
        if not (cls.affinity or cls.anti_affinity or nodes.required_anti_terms):
            return SKIP
        found = self._neighbours(cls, nodes)
        return None if found.near or found.apart or found.averse else SKIP

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects nodes that are not near the pods asked for, and nodes too near to the others."""
        return self._rejects(pod.cls, nodes)

    def outlook(self, pod: PodInfo, nodes: Snapshot, gone: Departures) -> Verdict | None:
        """The same, without the pods that leave; cannot tell where one of them may be whom the pod wants to be near."""
        if pod.cls.affinity:
            return None
        return Verdict(self.name, rejects=tuple(first_only(self._rejects(pod.cls, nodes, gone))))

    def lasting(self, pod: PodInfo, nodes: Snapshot) -> Iterable[Reject]:
        """Nobody comes nearer by evictions; only who may be the first of its kind may become that."""
        if not self._neighbours(pod.cls, nodes).first:
            yield from (each for each in self._rejects(pod.cls, nodes) if each.reason == AFFINITY)

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """Between the pods: anti-affinity as it is, and affinity to pods that are there or come with them."""
        for index, pod in enumerate(pods):
            found = self._neighbours(pod.cls, nodes)
            if found.unlabelled is not None:
                model.forbid(AFFINITY, index, found.unlabelled)
            for reject in self._rejects(pod.cls, nodes):
                if reject.reason != AFFINITY:
                    model.forbid(reject.reason, index, reject.mask)
        for term in dict.fromkeys(term for pod in pods for term in pod.cls.anti_affinity):
            some = which(term in pod.cls.anti_affinity for pod in pods)
            others = which(meant_by(pod.cls, term, nodes) for pod in pods)
            model.add(Apart(ANTI_AFFINITY, domains.grouping(nodes, term.topology_key).places, some, others))
        for terms in dict.fromkeys(pod.cls.affinity for pod in pods if pod.cls.affinity):
            who = which(pod.cls.affinity == terms for pod in pods)
            whom = which(MeetsAll(terms).matches(pod.cls, nodes) for pod in pods)
            near = self._neighbours(pods[int(who.argmax())].cls, nodes)
            for tally in near.near:
                ready = tally.counts > 0
                model.add(Near(AFFINITY, tally.places, who, whom, ready, first=near.nobody_near))

    def alike(self, pod: PodInfo) -> Hashable:
        """The class: terms of running pods may be about any of its labels."""
        return pod.cls

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether the event is about nodes, or pods that matter, and a node that the pod chooses is acceptable now."""
        return _concerns(event, pod.cls, nodes) and hints.may_accept(
            self, pod, nodes, among=hints.chosen(pod.cls, nodes)
        )

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """100 where the weights of the preferred terms, the pod's own and those that mean it, sum up highest."""
        cls = pod.cls
        prefers = bool(cls.preferred_affinity or cls.preferred_anti_affinity)
        if not prefers:
            if self._args.ignore_preferred_terms_of_existing_pods:
                return None
            if not (nodes.required_terms or nodes.preferred_terms or nodes.preferred_anti_terms):
                return None
        weight = self._args.hard_pod_affinity_weight
        return nodes.once((Votes, cls, weight, nodes.terms), lambda: Votes(cls, nodes, weight)).scores(rows)

    def _rejects(self, cls: PodClass, nodes: Snapshot, gone: Departures | None = None) -> Iterator[Reject]:
        found = self._neighbours(cls, nodes)
        if found.near:
            if found.unlabelled is not None:
                yield Reject(found.unlabelled, AFFINITY, UNRESOLVABLE)
            if not (found.first and found.nobody_near):
                for tally in found.near:
                    vacant = tally.vacant()
                    if vacant is not None:
                        yield Reject(vacant, AFFINITY, UNRESOLVABLE)
        for tally in found.apart:
            mask = tally.occupied(gone)
            if mask is not None:
                yield Reject(mask, ANTI_AFFINITY)
        for tally in (*found.averse, *_brought(cls, nodes, gone)):
            mask = tally.occupied(gone)
            if mask is not None:
                yield Reject(mask, EXISTING_ANTI_AFFINITY)

    def _neighbours(self, cls: PodClass, nodes: Snapshot) -> Neighbours:
        return nodes.once((Neighbours, cls, nodes.terms), lambda: _neighbours(cls, nodes))


def _concerns(event: Happening, cls: PodClass, nodes: Snapshot) -> bool:
    """Whether an event may change which nodes are near enough, or far enough, for pods of a class."""
    old, new = event.of(PodInfo)
    if old is None and new is None:
        return True
    # one to be near to, or the last one of them has gone and this one may be the first; or one to be away from
    if hints.recounts(event, [MeetsAll(cls.affinity), *(MeetsAll((term,)) for term in cls.anti_affinity)], nodes):
        return True
    averse = () if old is None else old.cls.anti_affinity
    return any(meant_by(cls, term, nodes) for term in averse)


def _brought(cls: PodClass, nodes: Snapshot, gone: Departures | None) -> Iterator[domains.Tally]:
    """By anti-affinity term that only pods that come have, and that means the class, those who have it."""
    for term in gone.terms if gone is not None else ():
        if term not in nodes.required_anti_terms and meant_by(cls, term, nodes):
            yield domains.tally(nodes, Carries(Kind.ANTI_AFFINITY, term), term.topology_key)


def _neighbours(cls: PodClass, nodes: Snapshot) -> Neighbours:
    def pods(predicate: MeetsAll | Carries, key: str) -> domains.Tally:
        return domains.tally(nodes, predicate, key)

    all_terms = MeetsAll(cls.affinity)
    unlabelled: Mask | None = None
    for term in cls.affinity:
        missing = domains.grouping(nodes, term.topology_key).missing
        if missing is not None:
            unlabelled = missing if unlabelled is None else unlabelled | missing
    averse: list[AffinityTerm] = [term for term in nodes.required_anti_terms if meant_by(cls, term, nodes)]
    return Neighbours(
        near=tuple(pods(all_terms, term.topology_key) for term in cls.affinity),
        unlabelled=unlabelled,
        first=all_terms.matches(cls, nodes),
        apart=tuple(pods(MeetsAll((term,)), term.topology_key) for term in cls.anti_affinity),
        averse=tuple(pods(Carries(Kind.ANTI_AFFINITY, term), term.topology_key) for term in averse),
    )
