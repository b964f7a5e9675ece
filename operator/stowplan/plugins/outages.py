"""Domains of which no node can be used, and since when: what ``whenDomainDown: Relax`` goes by.

The core has no clock. :class:`OutageWatch` is told the time by ``live``, which puts the outages that have lasted long
enough into the policies (``profiles``); there they reach :class:`~stowplan.plugins.policy_spread.PolicySpread`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from stowplan.framework.snapshot import Snapshot
from stowplan.plugins import domains, inclusion
from stowplan.plugins.policy_rules import SpreadRule


@dataclasses.dataclass(frozen=True, slots=True)
class Outage:
    """A domain that pods with these wishes cannot use at all, for a rule.

    Whether a node can be used depends on what a pod tolerates, so pods that tolerate a taint wait where others do not.

    Attributes:
        policy: key of the policy.
        rule: name of the rule.
        domain: value of the label; with ``within``, the broader one's before it.
    """

    policy: str
    rule: str
    domain: str
    wish: inclusion.Wishes


def domain_states(nodes: Snapshot, keys: tuple[str, ...], wish: inclusion.Wishes) -> dict[str, bool]:
    """The domains that have nodes for pods with these wishes, and whether one of the nodes can be used now.

    A node can be used that is neither cordoned nor has a taint of effect NoSchedule or NoExecute (such as those of
    nodes that are not ready) which the pods do not tolerate.
    """
    group = domains.grouping(nodes, *keys)
    eligible = inclusion.included(nodes, wish, honor_affinity=True, honor_taints=False)
    here = group.present if eligible is None else group.present & eligible
    open_ = here & inclusion.usable(nodes, wish.tolerations)
    with_nodes = np.bincount(group.codes[here], minlength=group.size)
    with_open = np.bincount(group.codes[open_], minlength=group.size)
    return {str(group.column.values[code]): bool(with_open[code]) for code in np.flatnonzero(with_nodes)}


def lasting(nodes: Snapshot, rule: SpreadRule, wish: inclusion.Wishes, out: frozenset[Outage]) -> set[str]:
    """The domains that do not count for a rule: those that have been out for long enough, and are out still."""
    if not rule.relaxes or not out:
        return set()
    named = {each.domain for each in out if (each.policy, each.rule, each.wish) == (rule.policy, rule.name, wish)}
    states = domain_states(nodes, rule.keys, wish) if named else {}
    return {domain for domain in named if not states.get(domain, False)}


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """What is out at some time.

    Attributes:
        lasting: the outages that have lasted as long as their rules say.
        due: when the next one will have, were nothing to change; None where there is none.
    """

    lasting: frozenset[Outage]
    due: float | None


class OutageWatch:
    """Remembers since when each domain has been out. Pure: time is an argument, in seconds of a monotonic clock.

    A domain that was there and has no node at all any more is out, too, for as long as this object lives.
    """

    def __init__(self) -> None:
        self._since: dict[Outage, float] = {}
        self._known: dict[tuple[SpreadRule, inclusion.Wishes], set[str]] = {}

    def observe(self, nodes: Snapshot, asked: Iterable[tuple[SpreadRule, inclusion.Wishes]], now: float) -> Observation:
        """To be called when nodes or rules change, and when something is due.

        Args:
            nodes: the cluster.
            asked: the rules that relax, each with the wishes of the pods that it governs.
            now: the time.
        """
        since: dict[Outage, float] = {}
        known: dict[tuple[SpreadRule, inclusion.Wishes], set[str]] = {}
        lasting, pending = set(), []
        for rule, wish in asked:
            states = domain_states(nodes, rule.keys, wish)
            known[rule, wish] = self._known.get((rule, wish), set()) | states.keys()
            for domain in known[rule, wish]:
                if states.get(domain, False):
                    continue
                outage = Outage(rule.policy, rule.name, domain, wish)
                since[outage] = self._since.get(outage, now)
                end = since[outage] + rule.relax_after
                if now >= end:
                    lasting.add(outage)
                else:
                    pending.append(end)
        self._since, self._known = since, known
        return Observation(frozenset(lasting), min(pending, default=None))
