"""What is likely a mistake in a policy, which only a look at the nodes can tell, or at several rules together.

The policy is in force all the same, as written: a node that has the label may come tomorrow. Called by ``live.board``
for the status; each doubt is one clause that says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stowplan.framework.snapshot import Snapshot
from stowplan.model.words import counted
from stowplan.plugins.policy_rules import Domain, Rule
from stowplan.profiles.compile import CompiledPolicy
from stowplan.profiles.governance import covers

MOST = 8
"""Doubts that are told at once."""


def doubts(policy: CompiledPolicy, nodes: Snapshot) -> tuple[str, ...]:
    """One line each; none where there are no nodes yet."""
    if not len(nodes):
        return ()
    found = (*_labels(policy, nodes), *_contradictions(policy), *_too_few(policy, nodes), *_amounts(policy, nodes))
    return found[:MOST]


def _rules(policy: CompiledPolicy) -> Iterable[Rule]:
    return (*policy.spread, *policy.separate, *policy.colocate)


def _values(nodes: Snapshot, key: str) -> int:
    """How many values of a label there are."""
    column = nodes.label(key)
    return sum(column.values[code] is not None for code in set(column.codes.tolist()))


def _labels(policy: CompiledPolicy, nodes: Snapshot) -> Iterator[str]:
    """Rules go by labels that no node has."""
    users: dict[Domain, list[Rule]] = {}
    for rule in _rules(policy):
        users.setdefault(rule.domain, []).append(rule)
    for spread in policy.spread:
        if spread.within is not None:
            users.setdefault(spread.within, []).append(spread)
    for domain, rules in users.items():
        if not _values(nodes, domain.key):
            # who is kept apart may be on a node without the label; who is spread or brought together may not
            stuck = [rule.name for rule in rules if rule.required and rule not in policy.separate]
            effect = f"pods fit nowhere (rule {', '.join(stuck)})" if stuck else "its rules have no effect"
            yield (
                f"no node has the label {domain.key} of failure domain {domain.name}, so {effect}: "
                "correct topologyKey or label the nodes"
            )
    for media in policy.media.preferred:
        if not _values(nodes, media.key):
            yield f"no node has the label {media.key} of storage.media: correct the key or label the nodes"


def _contradictions(policy: CompiledPolicy) -> Iterator[str]:
    """Pods are to be near those that they must not be with."""
    order = {key: at for at, key in enumerate(policy.failure_domains.levels)} if policy.failure_domains else {}
    for near in policy.colocate:
        for apart in policy.separate:
            if (
                near.required
                and apart.required
                and order[apart.domain.key] <= order[near.domain.key]
                and covers(policy.selector, near.near)
                and covers(apart.pods, policy.selector)
                and covers(apart.away_from, near.near)
            ):
                yield (
                    f"separate rule {apart.name} keeps pods out of every {apart.domain.name} where colocate rule "
                    f"{near.name} wants them: change a selector, or make one of them Preferred"
                )


def _too_few(policy: CompiledPolicy, nodes: Snapshot) -> Iterator[str]:
    """There are not as many domains as a rule wants."""
    for rule in policy.spread:
        there = _values(nodes, rule.domain.key)
        if rule.required and rule.within is None and there and rule.min_domains > there:
            yield (
                f"spread rule {rule.name} has minDomains {rule.min_domains}, and nodes are in "
                f"{counted(there, f'{rule.domain.name} domain')}: until there are more, each gets {rule.max_skew} "
                "of a group at most, its maxSkew"
            )


def _amounts(policy: CompiledPolicy, nodes: Snapshot) -> Iterator[str]:
    """Limits and capacities are about what no node has."""
    for cap in policy.limits.caps:
        index = nodes.resources.get(cap.resource)
        if index is None or not nodes.allocatable[index].any():
            yield f"nodes.limits.utilization: no node has {cap.resource}, correct the name of the resource"
    local = policy.volumes.local_capacity if policy.volumes is not None else ()
    for each in local:
        if each.storage_class not in nodes.volumes.classes:
            yield f"storage.localCapacity: there is no StorageClass {each.storage_class}, so it has no effect"
        elif not any(each.annotation in node.metadata.annotations for node in nodes.nodes):
            yield (
                f"storage.localCapacity: no node has the annotation {each.annotation}, so volumes of StorageClass "
                f"{each.storage_class} fit nowhere"
            )
