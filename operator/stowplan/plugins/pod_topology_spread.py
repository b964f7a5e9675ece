"""Topology spread constraints of pods: the filter, and one plugin for both halves.

Source of the rules: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/podtopologyspread`` (``filtering.go``,
``common.go``); the scores are in ``pod_topology_spread_score``. ``matchLabelKeys`` are part of the selectors already.
A pod without constraints has those of ``spread_defaults``, unless the configuration has none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np

from stowplan.framework.counters import Counts
from stowplan.framework.departures import Departures
from stowplan.framework.events import NODE_CHANGES, ClusterEvent, Happening
from stowplan.framework.joint import Even, Model, which
from stowplan.framework.plugin import SKIP, CycleState, Rows, Scores, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Mask, Reject, Verdict, first_only
from stowplan.model import objects
from stowplan.model.pods import PodClass, PodInfo, SpreadConstraint
from stowplan.plugins import domains, hints, inclusion
from stowplan.plugins.pod_topology_spread_score import Scoring
from stowplan.plugins.predicates import SpreadsWith
from stowplan.plugins.spread_defaults import NONE, SpreadDefaults

UNEVEN = "node(s) didn't match pod topology spread constraints"
NO_LABEL = f"{UNEVEN} (missing required label)"
_MANY = 2**40
"""More pods than any domain has."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """One constraint on the nodes as they are.

    Attributes:
        missing: bool[node]: nodes without the label; None where there is none.
        tally: the pods that count, by domain.
    """

    constraint: SpreadConstraint
    missing: Mask | None
    tally: domains.Tally

    def ceiling(self) -> int:
        """The most pods that a domain may hold once the incoming pod is there."""
        lowest = self.tally.lowest() if self.tally.number >= self.constraint.min_domains else 0
        return lowest + self.constraint.max_skew

    def over(self, itself: int, gone: Departures) -> Mask:
        """bool[node]: where the domain would hold too many pods although some have left the node; ``filter``'s words.

        Who leaves may have been one of the emptiest domain, so for each node the others are compared with what is left.
        """
        tally = self.tally
        left = tally.remaining(gone)
        if tally.number < self.constraint.min_domains:
            lowest: Counts = np.zeros_like(left)
        else:
            counts = tally.counts.take(tally.existing)
            first = int(counts.argmin())
            second = int(np.delete(counts, first).min()) if len(counts) > 1 else _MANY
            others = np.where(tally.domain_of == tally.existing[first], second, counts[first])
            compared = np.zeros(len(tally.counts), dtype=np.bool_)
            compared[tally.existing] = True
            lowest = np.where(tally.gather(compared), np.minimum(others, left), counts[first])
        found: Mask = left + itself - lowest > self.constraint.max_skew
        return found

    def joint(self, who: Mask, pods: Sequence[PodInfo], nodes: Snapshot) -> Even:
        """The constraint for pods that are placed together; ``who`` (bool[pod]) have it."""
        tally, counted = self.tally, SpreadsWith(pods[0].namespace, self.constraint.selector)
        compared = np.zeros(len(tally.counts), dtype=np.bool_)
        compared[tally.existing] = True
        return Even(
            UNEVEN,
            tally.places,
            tally.counts,
            compared,
            pool=np.zeros(len(tally.counts), dtype=np.intp),
            enough=np.array([tally.number >= self.constraint.min_domains]),
            max_skew=self.constraint.max_skew,
            who=who,
            counted=which(counted.matches(pod.cls, nodes) for pod in pods),
            eligible=tally.eligible,
        )


class PodTopologySpread:
    """Spread pods over domains as their topologySpreadConstraints say."""

    name = "PodTopologySpread"
    requeue_on = NODE_CHANGES | {
        ClusterEvent.POD_ADDED,
        ClusterEvent.POD_REMOVED,
        ClusterEvent.POD_TERMINATING,
        ClusterEvent.POD_LABELS,
    }

    relents = True
    first_only = True

    def __init__(self, added: inclusion.Added, defaults: SpreadDefaults = NONE) -> None:
        self._added = added
        self._defaults = defaults

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Skip | None:
        """Steps aside where the pod has no constraint with DoNotSchedule."""
        return None if any(each.required for each in self._spread(pod, nodes)) else SKIP

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects nodes without a label, and nodes whose domain would get more pods than maxSkew allows."""
        return self._rejects(pod, nodes)

    def outlook(self, pod: PodInfo, nodes: Snapshot, gone: Departures) -> Verdict:
        """The same, without the pods that leave."""
        return Verdict(self.name, rejects=tuple(first_only(self._rejects(pod, nodes, gone))))

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """Each constraint, for the pods that have it and count for it; of those that do not count it says nothing."""
        limits: dict[int, tuple[Limit, list[int]]] = {}
        for index, pod in enumerate(pods):
            spread = self._spread(pod, nodes)
            for limit, itself in self._limits_of(pod.cls, spread, nodes) if spread else ():
                if limit.missing is not None:
                    model.forbid(NO_LABEL, index, limit.missing)
                if itself:
                    limits.setdefault(id(limit), (limit, []))[1].append(index)
        for limit, members in limits.values():
            who = np.zeros(len(pods), dtype=np.bool_)
            who[members] = True
            model.add(limit.joint(who, pods, nodes))

    def alike(self, pod: PodInfo) -> Hashable:
        """The constraints, the nodes that the pod wishes for, and in which of the constraints it counts itself.

        A pod with default constraints is like no other: Services may come between them.
        """
        cls = pod.cls
        if self._defaults.hard and not cls.spread:
            return pod.uid
        hard = tuple(each for each in cls.spread if each.required)
        itself = tuple(each.selector.matches(cls.labels) for each in hard)
        return (cls.namespace, hard, itself, inclusion.wishes(cls, self._added))

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether the event is about nodes or pods that count, and a node that the pod wishes for is acceptable now."""
        hard = [each for each in self._spread(pod, nodes) if each.required]
        if event.kind in NODE_CHANGES:
            concerned = _concerns(event, hard)
        else:
            counted = [SpreadsWith(pod.namespace, each.selector) for each in hard]
            concerned = hints.recounts(event, counted, nodes)
        return concerned and hints.may_accept(self, pod, nodes, among=hints.wished(pod.cls, nodes, self._added))

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """100 where the fewest pods are, by the constraints with ScheduleAnyway."""
        cls, spread = pod.cls, self._spread(pod, nodes)
        key = (self, "score", cls) if cls.spread else (self, "score", cls, spread)
        scoring = nodes.once(key, lambda: self._scoring_of(cls, spread, nodes))
        return None if scoring is None else scoring.scores(rows)

    def _spread(self, pod: PodInfo, nodes: Snapshot) -> tuple[SpreadConstraint, ...]:
        """The constraints of the pod, or those by default."""
        return pod.cls.spread or self._defaults.of(pod, nodes)

    def _rejects(self, pod: PodInfo, nodes: Snapshot, gone: Departures | None = None) -> Iterator[Reject]:
        cls, spread = pod.cls, self._spread(pod, nodes)
        key = (self, cls) if cls.spread else (self, cls, spread)
        for limit, itself in nodes.once(key, lambda: self._limits_of(cls, spread, nodes)):
            if limit.missing is not None:
                yield Reject(limit.missing, NO_LABEL, UNRESOLVABLE)
            if gone is not None:
                yield Reject(limit.over(itself, gone), UNEVEN)
                continue
            over = limit.tally.nodes_of(limit.tally.counts > limit.ceiling() - itself)
            if over is not None:
                yield Reject(over, UNEVEN)

    # What depends on more than the labels of the pods is shared by all classes that agree in it: the members of a
    # service differ in a label or two.

    def _limits_of(
        self, cls: PodClass, spread: tuple[SpreadConstraint, ...], nodes: Snapshot
    ) -> tuple[tuple[Limit, int], ...]:
        """The limits, each with 1 where the pod itself counts and 0 where it does not."""
        hard = tuple(each for each in spread if each.required)
        wish = inclusion.wishes(cls, self._added)
        limits = nodes.once((Limit, cls.namespace, hard, wish), lambda: _limits(nodes, cls.namespace, hard, wish))
        return tuple((limit, int(limit.constraint.selector.matches(cls.labels))) for limit in limits)

    def _scoring_of(self, cls: PodClass, spread: tuple[SpreadConstraint, ...], nodes: Snapshot) -> Scoring | None:
        soft = tuple(each for each in spread if not each.required)
        if not soft:
            return None
        wish = inclusion.wishes(cls, self._added)
        lenient = self._defaults.lenient and not cls.spread
        return nodes.once(
            (Scoring, cls.namespace, soft, wish, lenient),
            lambda: Scoring(nodes, cls.namespace, soft, wish, lenient=lenient),
        )


def _concerns(event: Happening, constraints: Iterable[SpreadConstraint]) -> bool:
    """Whether the change of a node can mean anything to any of the constraints."""
    old, new = event.of(objects.Node)
    if event.kind is ClusterEvent.NODE_TAINTS:
        return True  # the node may have become one to go to only now, though its domain has had room for long
    return any(
        each.topology_key in node.metadata.labels for each in constraints for node in (old, new) if node is not None
    )


def _limits(
    nodes: Snapshot, namespace: str, constraints: tuple[SpreadConstraint, ...], wish: inclusion.Wishes
) -> tuple[Limit, ...]:
    groups = [domains.grouping(nodes, each.topology_key) for each in constraints]
    complete = np.logical_and.reduce([group.present for group in groups])
    limits = []
    for each, group in zip(constraints, groups, strict=True):
        mask = inclusion.included(nodes, wish, honor_affinity=each.honor_affinity, honor_taints=each.honor_taints)
        eligible = complete if mask is None else complete & mask
        tally = domains.Tally(nodes, SpreadsWith(namespace, each.selector), group, eligible)
        limits.append(Limit(each, group.missing, tally))
    return tuple(limits)
