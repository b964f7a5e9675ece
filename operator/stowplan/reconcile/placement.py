"""Where the members are, by failure domain: counts, skew, what may fail, and who goes when a set shrinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from stowplan.api import cluster as api
from stowplan.api.policy import FailureDomain
from stowplan.reconcile.classify import Group, Member, majority
from stowplan.reconcile.observed import Observed

DEFAULT_DOMAINS = (
    FailureDomain(name="zone", topology_key="topology.kubernetes.io/zone"),
    FailureDomain(name="host", topology_key="kubernetes.io/hostname"),
)
"""What a set is kept balanced over where no policy names failure domains."""

MOST_DOMAINS = 100
"""With more domains than this, those without a member are left out of status (5,000 hosts would fill megabytes)."""


def failure_domains(observed: Observed) -> tuple[FailureDomain, ...]:
    """The policy's failure domains, from broad to narrow; zone and host where it names none."""
    if observed.policy is not None and observed.policy.failure_domains:
        return observed.policy.failure_domains
    return DEFAULT_DOMAINS


def domain_of(member: Member, topology_key: str) -> str | None:
    """The value of the label on the member's node; None where it has no node, or the node no such label."""
    return member.node.labels.get(topology_key) if member.node is not None and member.placed else None


def _counts(members: Iterable[Member], topology_key: str) -> Counter[str]:
    found = (domain_of(member, topology_key) for member in members)
    return Counter(value for value in found if value is not None)


def placement(
    groups: Iterable[Group], domains: Iterable[FailureDomain], values: Mapping[str, frozenset[str]]
) -> tuple[api.PlacementStatus, ...]:
    """How many members are in each domain; domains without a member count as 0.

    Args:
        groups: all members.
        domains: the failure domains to report.
        values: by topology key, all values that nodes have.
    """
    members = [member for group in groups for member in group.members]
    rows = []
    for domain in domains:
        counts = _counts(members, domain.topology_key)
        known = values.get(domain.topology_key, frozenset()) | counts.keys()
        numbers = [counts[value] for value in known]
        shown = known if len(known) <= MOST_DOMAINS else counts.keys()
        rows.append(
            api.PlacementStatus(
                domain=domain.name,
                counts={value: counts[value] for value in sorted(shown)},
                skew=max(numbers) - min(numbers) if numbers else 0,
            )
        )
    return tuple(rows)


def survives(groups: Iterable[Group], domains: Iterable[FailureDomain]) -> tuple[str, ...]:
    """Failure domains of which any single one may fail, and every quorum set keeps its majority, every other a member.

    Only members that are ready now can be what is left. One on a node without the domain's label may fail with any of
    them.
    """
    busy = [group for group in groups if group.size]
    return tuple(domain.name for domain in domains if busy and all(_outlives(group, domain) for group in busy))


def _outlives(group: Group, domain: FailureDomain) -> bool:
    counts = _counts((member for member in group.members if member.ready), domain.topology_key)
    left = counts.total() - max(counts.values(), default=0)
    return left >= (majority(group.size) if group.quorum else 1)


def victim(group: Group, spec: api.ScaleDown, domains: Iterable[FailureDomain]) -> Member:
    """Who goes next when the set shrinks; the group has members.

    First who is on the way out already, so that nothing is begun twice. HighestOrdinal then takes the highest.
    DomainBalanced takes who has no node yet, else who is in the fullest domain, the broadest kind of domain first;
    among equals who is not ready, then the highest ordinal.
    """
    if spec.victim == "HighestOrdinal":
        return min(group.members, key=lambda member: (not member.leaves, -member.ordinal))
    keys = [domain.topology_key for domain in domains]
    counts = {key: _counts(group.members, key) for key in keys}

    def rank(member: Member) -> tuple[bool, bool, list[int], bool, int]:
        fullness = [-counts[key][domain_of(member, key) or ""] for key in keys]
        return not member.leaves, member.placed, fullness, member.ready, -member.ordinal

    return min(group.members, key=rank)
