"""What a policy's status says about its running pods: where they are, how uneven, and which Required rules they break.

Pure; called by ``live`` and the command line now and then, not for each decision. It counts the pods that have a node
and are not on their way out; where they could be, and whether that is a violation, is judged as ``policy_spread``,
``policy_separate`` and ``policy_colocate`` judge it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from stowplan.api.policy_status import DomainStatus
from stowplan.framework.counters import Counts
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.model.pods import PodClass
from stowplan.plugins import domains, inclusion, outages
from stowplan.plugins.group_size import Sizes
from stowplan.plugins.policy_rules import ColocateRule, Governed, InNamespace, Rule, SeparateRule, SpreadRule

UNLABELLED = "<none>"
"""Stands for the nodes without the label; no label value is written like that."""
MOST_DOMAINS = 100
"""With more domains than this, those without a pod are left out: 5,000 hosts would fill megabytes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one policy, and what they go by.

    Attributes:
        policy: its key.
        added: what it adds to the specs of its pods.
        out: the domains that have been out for as long as their rules wait.
        sizes: how many pods a group has.
    """

    policy: str
    spread: tuple[SpreadRule, ...]
    separate: tuple[SeparateRule, ...]
    colocate: tuple[ColocateRule, ...]
    added: inclusion.Added
    out: frozenset[outages.Outage]
    sizes: Sizes


def report(rules: Rules, nodes: Snapshot, waiting: Iterable[PodClass]) -> list[DomainStatus]:
    """A row per spread rule and group (and broader domain), and one per broken separate or colocate rule.

    Args:
        rules: of the policy.
        nodes: the cluster.
        waiting: classes of pods that have no node yet: their groups are shown, too.
    """
    governed = [cls for cls in {*nodes.classes(), *waiting} if nodes.policy_of(cls) == rules.policy]
    governed.sort(key=lambda cls: (cls.cluster, sorted(cls.labels.items())))
    clusters = list(dict.fromkeys(cls.cluster for cls in governed))
    several = len(clusters) > 1
    rows: list[DomainStatus] = []
    for spread in rules.spread:
        groups: dict[Governed, set[inclusion.Wishes]] = {}
        for cls in governed:
            if not cls.terminating:
                groups.setdefault(spread.counted(cls), set()).add(inclusion.wishes(cls, rules.added))
        for counted, wishes in groups.items():
            values = ",".join(value or "" for _, value in counted.group)
            shown = "/".join(filter(None, (counted.cluster if several else "", values)))
            rows.extend(_Spread(rules, spread, counted, wishes, nodes).rows(shown))
    for cluster in clusters:
        group = cluster if several else ""
        rows.extend(filter(None, (_separate_row(rule, cluster, group, nodes) for rule in rules.separate)))
        rows.extend(filter(None, (_colocate_row(rule, cluster, group, nodes) for rule in rules.colocate)))
    return rows


class _Spread:
    """One spread rule and one group, on the nodes as they are."""

    def __init__(
        self, rules: Rules, rule: SpreadRule, counted: Governed, wishes: set[inclusion.Wishes], nodes: Snapshot
    ) -> None:
        self._rule = rule
        grouping = domains.grouping(nodes, *rule.keys)
        self._names = [value or "" for value in grouping.column.values]
        self._counts = np.bincount(
            grouping.codes, weights=nodes.count(counted), minlength=grouping.size
        ).astype(np.int64)  # fmt: skip
        self._exists = np.zeros(grouping.size, dtype=np.bool_)
        out: set[str] | None = None
        for wish in wishes:
            mask = inclusion.included(nodes, wish, honor_affinity=rule.honor_affinity, honor_taints=rule.honor_taints)
            self._exists[grouping.codes if mask is None else grouping.codes[mask]] = True
            lasting = outages.lasting(nodes, rule, wish, rules.out)
            out = lasting if out is None else out & lasting
        self._exists[0] = False
        self._out = out or set()
        self._limit = None if rule.per_domain is None else rule.per_domain.of(rules.sizes(counted, nodes))

    def rows(self, group: str) -> Iterator[DomainStatus]:
        """One row; with ``within`` one for each broader domain; and one for pods on nodes without the labels."""
        pools: dict[str | None, list[int]] = {}
        for code in np.flatnonzero(self._exists | (self._counts > 0)).tolist():
            broad = None if self._rule.within is None else self._names[code].partition(domains.SEPARATOR)[0]
            if code:
                pools.setdefault(broad, []).append(code)
        for broad, codes in pools.items():
            yield self._row(group, broad, codes)
        if self._counts[0]:
            counts = {UNLABELLED: int(self._counts[0])}
            yield _status(self._rule, group, counts, violated=self._rule.required)

    def _row(self, group: str, broad: str | None, codes: list[int]) -> DomainStatus:
        rule = self._rule
        counts = {self._names[code].rpartition(domains.SEPARATOR)[2]: int(self._counts[code]) for code in codes}
        existing = [code for code in codes if self._exists[code]]
        compared = [code for code in existing if self._names[code] not in self._out]
        lowest = min((int(self._counts[code]) for code in compared), default=0)
        highest = max(counts.values())
        head = "" if broad is None else f"{broad}{domains.SEPARATOR}"
        gone = self._out - {self._names[code] for code in existing}
        known = len(existing) + sum(name.startswith(head) for name in gone)
        floor = lowest if known >= rule.min_domains else 0
        uneven = highest - floor > rule.max_skew
        crowded = self._limit is not None and highest > self._limit
        if len(counts) > MOST_DOMAINS:
            counts = {name: count for name, count in counts.items() if count}
        return _status(
            rule,
            group,
            dict(sorted(counts.items())),
            within=broad,
            skew=highest - lowest,
            violated=rule.required and (uneven or crowded),
        )


def _separate_row(rule: SeparateRule, cluster: str, group: str, nodes: Snapshot) -> DomainStatus | None:
    """The domains in which pods are together that the rule keeps apart; None where there are none."""
    if not rule.required:
        return None
    placed = Governed(rule.policy, cluster, rule.pods)
    others = Governed(rule.policy, cluster, rule.away_from)
    both = Governed(rule.policy, cluster, rule.pods.also(*(rule.away_from.requirements or ())))
    here, there, shared = (domains.tally(nodes, pods, rule.domain.key).counts for pods in (placed, others, both))
    # pairs of two different pods, one of each side
    broken = here * there - shared > 0
    return _broken(rule, group, here + there - shared, broken, nodes)


def _colocate_row(rule: ColocateRule, cluster: str, group: str, nodes: Snapshot) -> DomainStatus | None:
    """The domains in which the policy's pods miss those to be near; None where there are none."""
    if not rule.required:
        return None
    placed = domains.tally(nodes, Governed(rule.policy, cluster), rule.domain.key).counts
    namespace = rule.policy.partition("/")[0]
    near = domains.tally(nodes, InNamespace(namespace, rule.near), rule.domain.key).counts
    return _broken(rule, group, placed, (placed > 0) & (near == 0), nodes)


def _broken(rule: Rule, group: str, counts: Counts, broken: Mask, nodes: Snapshot) -> DomainStatus | None:
    grouping = domains.grouping(nodes, rule.domain.key)
    if not grouping.alone:
        broken[0] = False
    found = np.flatnonzero(broken)
    if not len(found):
        return None
    code_of = grouping.codes if grouping.alone else np.arange(grouping.size)
    named = {str(grouping.column.values[code_of[each]]): int(counts[each]) for each in found}
    return _status(rule, group, dict(sorted(named.items())), violated=True)


def _status(
    rule: Rule,
    group: str,
    counts: dict[str, int],
    *,
    violated: bool,
    within: str | None = None,
    skew: int = 0,
) -> DomainStatus:
    return DomainStatus(
        rule=rule.name,
        group=group,
        domain=rule.domain.name,
        within=within,
        counts=counts,
        skew=skew,
        violated=violated,
    )
