"""Whether the members are where the policy wants them, worked out anew from nodes, pods and volumes. No I/O.

On purpose nothing of the product's own code: a check must not share a defect with what it checks. The demo ends with
these, and fails where one of them fails.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.controlplane.nodes import Manifest
from tests.demo.state import READY, Host, Member, State

Domain = tuple[str, ...]
"""Values of labels, the broader domain's first: `("a", "r1")` is rack r1 of zone a."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was looked at: `good` is None where it is only wished for (Preferred), and merely reported."""

    name: str
    found: str
    good: bool | None


def check(state: State, hosts: Sequence[Host], volumes: Iterable[Manifest]) -> list[Check]:
    """All checks, in the order of the policy.

    Args:
        state: the last state.
        hosts: all nodes.
        volumes: the PersistentVolumes.
    """
    spec = state.policy["spec"]
    where = Where(spec, state.members, hosts)
    return [
        Check("members", f"{state.ready} of {len(state.members)} ready", state.ready == len(state.members)),
        _explained(state.members),
        *(_spread(rule, where) for rule in spec.get("spread", [])),
        *(_separate(rule, where) for rule in spec.get("separate", [])),
        *_media(spec, where),
        _volumes(state.members, where.hosts, volumes),
        _survives(state, where),
    ]


class Where:
    """The members on their hosts, and the policy's failure domains."""

    def __init__(self, policy: Manifest, members: Sequence[Member], hosts: Sequence[Host]) -> None:
        self.keys: dict[str, str] = {each["name"]: each["topologyKey"] for each in policy.get("failureDomains", [])}
        self.members = members
        self.hosts = {host.name: host for host in hosts}

    def domain(self, member: Member, name: str) -> str | None:
        """The domain that the member is in; None where it has no node, or the node no such label."""
        host = self.hosts.get(member.node)
        return None if host is None else host.labels.get(self.keys[name])

    def counts(self, members: Iterable[Member], *names: str) -> Counter[Domain]:
        """Members in each domain, the empty ones with a usable node included.

        Args:
            members: whom to count.
            names: of the kind of domain; after that of the broader one inside which it is one, if any.
        """
        keys = [self.keys[name] for name in names]
        usable = (_labels(host, keys) for host in self.hosts.values() if host.usable)
        counts: Counter[Domain] = Counter(dict.fromkeys(sorted(filter(None, usable)), 0))
        for member in members:
            host = self.hosts.get(member.node)
            domain = None if host is None else _labels(host, keys)
            if domain is not None:
                counts[domain] += 1
        return counts


def _labels(host: Host, keys: Iterable[str]) -> Domain | None:
    """Values of these labels; None where one is missing."""
    values = tuple(host.labels.get(key, "") for key in keys)
    return values if all(values) else None


def selects(selector: Manifest | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes pods with these labels; None takes all."""
    if selector is None:
        return True
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(each, labels.get(each["key"])) for each in selector.get("matchExpressions", [])
    )


def _holds(expression: Manifest, value: str | None) -> bool:
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


def _required(rule: Manifest) -> bool:
    return bool(rule.get("enforcement", "Required") == "Required")


def _explained(members: Sequence[Member]) -> Check:
    """The bind itself has told why, so it was ours."""
    count = sum(member.explained for member in members)
    return Check("scheduler", f"{count} of {len(members)} bound by Stowplan", count == len(members))


def _spread(rule: Manifest, where: Where) -> Check:
    within = rule.get("within")
    names = (within, rule["domain"]) if within else (rule["domain"],)
    said, good = [], True
    for group, members in _groups(where.members, rule.get("groupBy", [])).items():
        counts = where.counts(members, *names)
        lost = len(members) - counts.total()
        good = good and not lost and _skew(counts, rule) <= rule.get("maxSkew", 1) and _fits(counts, rule, len(members))
        said.append(" ".join(filter(None, [group, _shape(counts), f"({lost} nowhere)" if lost else ""])))
    found = f"{', '.join(said)} per {rule['domain']}"
    if within:
        found += f" of each {within}"
    if limit := rule.get("maxPerDomain"):
        found += f", none above {limit}"
    return Check(rule["name"], found, good if _required(rule) else None)


def _skew(counts: Counter[Domain], rule: Manifest) -> int:
    """The largest difference between two domains that are compared: with `within`, those of one broader domain."""
    compared: dict[Domain, list[int]] = {}
    for domain, count in counts.items():
        compared.setdefault(domain[:-1], []).append(count)
    wanted = rule.get("minDomains") or 1
    return max((max(each) - (min(each) if len(each) >= wanted else 0) for each in compared.values()), default=0)


def _fits(counts: Counter[Domain], rule: Manifest, size: int) -> bool:
    """Whether no domain holds more than `maxPerDomain` of a group of this size allows; one it may always hold."""
    limit = rule.get("maxPerDomain")
    fullest = max(counts.values(), default=0)
    if limit is None or fullest <= 1:
        return True
    if limit == "Minority":
        return 2 * fullest < size
    if isinstance(limit, str):
        return 100 * fullest <= int(limit.removesuffix("%")) * size
    return bool(fullest <= limit)


def _groups(members: Iterable[Member], keys: Sequence[str]) -> dict[str, list[Member]]:
    groups: dict[str, list[Member]] = {}
    for member in members:
        groups.setdefault("/".join(member.labels.get(key, "") for key in keys), []).append(member)
    return groups


def _shape(counts: Counter[Domain]) -> str:
    """`2+2+1`, or `≤1` where there are many domains."""
    numbers = sorted(counts.values(), reverse=True)
    if len(numbers) <= 6:
        return "+".join(map(str, numbers)) or "0"
    return f"≤{numbers[0]}"


def _separate(rule: Manifest, where: Where) -> Check:
    domain = rule["domain"]
    pods = [member for member in where.members if selects(rule.get("pods"), member.labels)]
    others = [member for member in where.members if selects(rule.get("from", rule.get("pods")), member.labels)]
    together = {
        tuple(sorted((one.short, other.short)))
        for one in pods
        for other in others
        if one is not other and where.domain(one, domain) == where.domain(other, domain) is not None
    }
    pairs = ", ".join(" and ".join(pair) for pair in sorted(together))
    found = f"{pairs} share a {domain}" if together else f"no two share a {domain}"
    return Check(rule["name"], found, not together if _required(rule) else None)


def _media(policy: Manifest, where: Where) -> Iterator[Check]:
    for wish in policy.get("storage", {}).get("media", {}).get("preferred", []):
        placed = [where.hosts[member.node] for member in where.members if member.node in where.hosts]
        count = sum(host.labels.get(wish["key"]) in wish["values"] for host in placed)
        yield Check("media", f"{count} of {len(where.members)} on {wish['key']}={'|'.join(wish['values'])}", None)


def _volumes(members: Sequence[Member], hosts: Mapping[str, Host], volumes: Iterable[Manifest]) -> Check:
    """Every claim is bound, to a volume that the node of its member can reach."""
    known = {volume["metadata"]["name"]: volume for volume in volumes}
    claims = [(member, volume) for member in members for volume in member.volumes]
    bad = [
        volume.claim
        for member, volume in claims
        if volume.name not in known or member.node not in hosts or not _reaches(known[volume.name], hosts[member.node])
    ]
    said = f"{len(claims) - len(bad)} of {len(claims)} bound where their members are"
    return Check("volumes", f"{said}; not {', '.join(bad)}" if bad else said, not bad)


def _reaches(volume: Manifest, host: Host) -> bool:
    terms = volume["spec"].get("nodeAffinity", {}).get("required", {}).get("nodeSelectorTerms")
    return terms is None or any(
        all(
            each["operator"] == "In" and host.labels.get(each["key"]) in each["values"]
            for each in term.get("matchExpressions", [])
        )
        for term in terms
    )


def _survives(state: State, where: Where) -> Check:
    """Of what any single one may fail, as we find it; the status must say the same."""
    found = [name for name in where.keys if all(_outlives(group, name, where) for group in _sets(state))]
    told = list(state.cluster.get("status", {}).get("survives", []))
    said = f"the loss of any one {', '.join(found)}" if found else "no loss"
    if told != found:
        said += f"; but its status says {', '.join(told) or 'none'}"
    return Check("survives", said, told == found)


def _sets(state: State) -> list[tuple[Manifest, list[Member]]]:
    return [
        (node_set, [member for member in state.members if member.node_set == node_set["name"]])
        for node_set in state.cluster["spec"]["nodeSets"]
    ]


def _outlives(group: tuple[Manifest, list[Member]], domain: str, where: Where) -> bool:
    node_set, members = group
    counts = where.counts([member for member in members if member.phase == READY], domain)
    left = counts.total() - max(counts.values(), default=0)
    return left >= (len(members) // 2 + 1 if node_set.get("quorum") else 1)
