"""A spread rule of a policy on the nodes as they are, for one group of pods: what each domain holds and may hold.

Made by ``policy_spread`` for each rule and group, once until the nodes change.
"""

from __future__ import annotations

import numpy as np

from stowplan.framework import joint
from stowplan.framework.counters import Counts
from stowplan.framework.plugin import MAX_SCORE, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.plugins import domains, inclusion, outages
from stowplan.plugins.policy_rules import Governed, SpreadRule

KEPT = 50
"""Points of a node for keeping a Preferred rule; as many again are for how few pods its domain has."""
_NONE = np.iinfo(np.int64).max


class Layout:
    """One rule, one group.

    The domains that are compared with each other are a pool: all of them, or with ``within`` those inside one broader
    domain. A domain that has been out for long enough is not compared, but counts as one of ``minDomains``: it is known
    to be there.

    Attributes:
        rule: the rule.
        missing: bool[node]: nodes without the labels; None where there are none.
        tally: the pods of the group by domain, on the nodes that are compared.
    """

    def __init__(
        self,
        nodes: Snapshot,
        rule: SpreadRule,
        counted: Governed,
        wish: inclusion.Wishes,
        lasting: frozenset[outages.Outage],
    ) -> None:
        group = domains.grouping(nodes, *rule.keys)
        mask = inclusion.included(nodes, wish, honor_affinity=rule.honor_affinity, honor_taints=rule.honor_taints)
        eligible = group.present if mask is None else group.present & mask
        self.rule = rule
        self.missing: Mask | None = group.missing
        self.tally = domains.Tally(nodes, counted, group, eligible)
        # What is compared depends on the nodes that a pod wishes for; how many are in a domain does not.
        held_elsewhere = rule.per_domain is not None and self.tally.eligible is not None
        self._held = nodes.counter(counted).by(group.column).counts if held_elsewhere else self.tally.counts
        self._pools, self._pool_of = self._find_pools(nodes)
        known = np.bincount(self._pool_of[self.tally.existing], minlength=self._pools)
        self._compared: domains.Codes = self.tally.existing
        out = outages.lasting(nodes, rule, wish, lasting)
        if out:
            codes = group.codes[self.tally.existing] if self.tally.alone else self.tally.existing
            names = [str(group.column.values[code]) for code in codes]
            self._compared = self.tally.existing[[name not in out for name in names]]
            for name in out.difference(names):
                known[self._pool_named(nodes, name)] += 1
        self._enough: Mask = known >= rule.min_domains

    @property
    def uneven(self) -> str:
        """Why a node is rejected for the skew."""
        return self.rule.broken("spread", f"{self.rule.place}, maxSkew {self.rule.max_skew}")

    @property
    def crowded(self) -> str:
        """Why a node is rejected for ``maxPerDomain``."""
        most = "" if self.rule.per_domain is None else self.rule.per_domain.text
        return self.rule.broken("spread", f"{self.rule.place}, maxPerDomain {most}")

    def even(self, who: Mask, counted: Mask) -> joint.Rule:
        """The skew, for pods of the group that are placed together.

        Args:
            who: bool[pod]: those that the rule binds.
            counted: bool[pod]: those that are in the group.
        """
        compared = np.zeros(len(self.tally.counts), dtype=np.bool_)
        compared[self._compared] = True
        return joint.Even(
            self.uneven, self.tally.places, self.tally.counts, compared, self._pool_of, self._enough,
            self.rule.max_skew, who, counted, self.tally.eligible,
        )  # fmt: skip

    def room(self, most: int, who: Mask) -> joint.Rule:
        """``maxPerDomain``, for pods of the group that are placed together: whatever nodes each of them wishes for.

        Args:
            most: pods that a domain may have.
            who: bool[pod]: those that the rule binds.
        """
        return joint.Room(self.crowded, self.tally.places, most - self._held, who.astype(np.int64))

    def ceilings(self) -> Counts:
        """int64[domain]: the pods that the rule lets a domain have, by its skew; one number where all have the same."""
        return self._of_domains(self._lowest(self._compared, self._enough) + self.rule.max_skew)

    def over(self) -> Mask:
        """bool[domain]: where one pod more would be too many, by its skew."""
        return self.tally.counts >= self.ceilings()

    def full(self, size: int) -> Mask:
        """bool[domain]: where one pod more would be too many by ``maxPerDomain``, in a group of so many pods."""
        if self.rule.per_domain is None:
            return np.zeros(len(self.tally.counts), dtype=np.bool_)
        return self._held >= self.rule.per_domain.of(size)

    def points(self, rows: Rows, size: int) -> Scores:
        """int64[feasible], 0 to 100: all of it in the emptiest of the feasible domains.

        A domain with one pod more than that gets half, with two more a third, and so on. For a Preferred rule this
        makes up one half of the points, and keeping the rule the other; feasible nodes keep the Required ones anyway.
        A node without a domain gets nothing.
        """
        domain = self.tally.domain_of.take(rows)
        counts = self.tally.counts
        here = np.zeros(len(counts), dtype=np.bool_)
        here[domain] = True
        if not self.tally.alone:
            here[0] = False
        excess = np.maximum(counts - self._of_domains(self._lowest(here.nonzero()[0], None)), 0)
        points: Scores
        if self.rule.required:
            points = MAX_SCORE // (1 + excess)
        else:
            points = KEPT // (1 + excess) + np.where(self.over() | self.full(size), 0, KEPT)
        if not self.tally.alone:
            points[0] = 0
        return points.take(domain)

    def _lowest(self, compared: domains.Codes, enough: Mask | None) -> Counts:
        """int64[pool]: the pods in the emptiest of these domains; 0 in a pool without any, or without enough.

        Args:
            compared: intp[*]: which domains.
            enough: bool[pool]: the pools that have as many domains as ``minDomains``; None where that is no matter.
        """
        counts = self.tally.counts
        lowest: Counts
        if self._pools == 1:
            lowest = counts.take(compared).min(keepdims=True) if len(compared) else np.zeros(1, dtype=np.int64)
        else:
            lowest = np.full(self._pools, _NONE)
            np.minimum.at(lowest, self._pool_of[compared], counts[compared])
            lowest[lowest == _NONE] = 0
        return lowest if enough is None else lowest * enough

    def _of_domains(self, table: Counts) -> Counts:
        return table if self._pools == 1 else table.take(self._pool_of)

    def _find_pools(self, nodes: Snapshot) -> tuple[int, domains.Codes]:
        """How many pools there are, and intp[domain]: the pool of each domain."""
        pool_of = np.zeros(len(self.tally.counts), dtype=np.intp)
        if self.rule.within is None:
            return 1, pool_of
        broad = domains.grouping(nodes, self.rule.within.key)
        pool_of[self.tally.domain_of] = broad.codes  # all nodes of a domain are in the same broader one
        return broad.size, pool_of

    def _pool_named(self, nodes: Snapshot, domain: str) -> int:
        """The pool of a domain by its name, whether it has a node or not."""
        if self.rule.within is None:
            return 0
        broad = domain.partition(domains.SEPARATOR)[0]
        return max(domains.grouping(nodes, self.rule.within.key).column.code(broad), 0)
