"""Scores of preferred affinity and anti-affinity; used by ``inter_pod_affinity`` alone.

Source of the rules: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/interpodaffinity/scoring.go``. Every pair of
a term and a running pod is a vote for (or against) the domain of that pod: terms of the incoming pod that mean the
running one, and terms of the running one that mean the incoming one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from stowplan.framework.counters import PodCounter
from stowplan.framework.plugin import MAX_SCORE, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import AffinityTerm, PodClass, WeightedTerm
from stowplan.plugins import domains
from stowplan.plugins.predicates import Carries, Kind, MeetsAll, meant_by


@dataclasses.dataclass(slots=True)
class Carriers:
    """The running pods that have a term against or for the incoming pod.

    A pod that says the same term twice votes twice: there is one tally of those who say it at least once, one of
    those who say it at least twice, and so on.

    Attributes:
        next_times: counts those who say it once more than the last tally asks for; nobody, as a rule.
    """

    weight: int
    key: str
    saying: Carries
    next_times: PodCounter


class Votes:
    """The votes about the pods of a class."""

    def __init__(self, cls: PodClass, nodes: Snapshot, hard_weight: int) -> None:
        self._nodes = nodes
        self._by_key: dict[str, list[tuple[int, domains.Tally]]] = {}
        for sign, terms in ((1, cls.preferred_affinity), (-1, cls.preferred_anti_affinity)):
            for each in terms:
                self._add(sign * each.weight, MeetsAll((each.term,)), each.term.topology_key)
        self._carriers = []
        for weight, term, saying in _carried(nodes, hard_weight):
            if meant_by(cls, term, nodes):
                self._add(weight, saying, term.topology_key)
                twice = dataclasses.replace(saying, times=2)
                self._carriers.append(Carriers(weight, term.topology_key, twice, nodes.counter(twice)))

    def scores(self, rows: Rows) -> Scores | None:
        """int64[feasible]: between the least and the most wanted of the nodes; None where nobody votes."""
        for each in self._carriers:
            while each.next_times.total:
                self._add(each.weight, each.saying, each.key)
                each.saying = dataclasses.replace(each.saying, times=each.saying.times + 1)
                each.next_times = self._nodes.counter(each.saying)
        raw: Scores | None = None
        for votes in self._by_key.values():
            heard = [(weight, tally) for weight, tally in votes if not tally.empty]
            if heard:
                table = np.zeros_like(heard[0][1].counts)
                for weight, tally in heard:
                    table += weight * tally.counts
                of_key = heard[0][1].gather_labelled(table)
                raw = of_key if raw is None else raw + of_key
        return None if raw is None else _normalize(raw if len(rows) == len(raw) else raw.take(rows))

    def _add(self, weight: int, predicate: MeetsAll | Carries, key: str) -> None:
        self._by_key.setdefault(key, []).append((weight, domains.tally(self._nodes, predicate, key)))


def _carried(nodes: Snapshot, hard_weight: int) -> Iterator[tuple[int, AffinityTerm, Carries]]:
    """The terms of running pods that vote: weight, term, who has it."""
    if hard_weight:
        for term in nodes.required_terms:
            yield hard_weight, term, Carries(Kind.AFFINITY, term)
    preferred: tuple[tuple[int, Kind, dict[WeightedTerm, int]], ...] = (
        (1, Kind.PREFERRED_AFFINITY, nodes.preferred_terms),
        (-1, Kind.PREFERRED_ANTI_AFFINITY, nodes.preferred_anti_terms),
    )
    for sign, kind, terms in preferred:
        for each in terms:
            yield sign * each.weight, each.term, Carries(kind, each)


def _normalize(raw: Scores) -> Scores:
    lowest = int(raw.min())
    spread = int(raw.max()) - lowest
    if not spread:
        return np.zeros_like(raw)
    return (MAX_SCORE * ((raw - lowest) / spread)).astype(np.int64)
