"""Scalar twins of PodTopologySpread and InterPodAffinity: node by node and pod by pod, from the API objects alone.

Written after the Go code of kubernetes v1.36.3 (``podtopologyspread``, ``interpodaffinity``), slowly and plainly, so
that the vectorised plugins have something to be compared with that shares nothing with them but the selectors.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from stowplan.model import objects, selectors, tolerations

HOSTNAME = "kubernetes.io/hostname"

NO_LABEL = ("node(s) didn't match pod topology spread constraints (missing required label)", False)
UNEVEN = ("node(s) didn't match pod topology spread constraints", True)
NOT_NEAR = ("node(s) didn't match pod affinity rules", False)
TOO_NEAR = ("node(s) didn't match pod anti-affinity rules", True)
UNWELCOME = ("node(s) didn't satisfy existing pods anti-affinity rules", True)

Verdict = tuple[str, bool]
"""Reason, and whether evicting pods could help."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Nodes, the pods on them, and the labels of the namespaces."""

    nodes: Sequence[objects.Node]
    pods: Sequence[objects.Pod]
    namespaces: Mapping[str, Mapping[str, str]]

    def on(self, node: objects.Node) -> list[objects.Pod]:
        return [pod for pod in self.pods if pod.spec.node_name == node.metadata.name]


# ---------------------------------------------------------------- PodTopologySpread


def _selector(constraint: objects.TopologySpreadConstraint, pod: objects.Pod) -> selectors.Selector:
    labels = pod.metadata.labels
    own = [selectors.equals(key, labels[key]) for key in constraint.match_label_keys if key in labels]
    return selectors.compile_selector(constraint.label_selector).also(*own)


def _constraints(pod: objects.Pod, action: str) -> list[objects.TopologySpreadConstraint]:
    return [each for each in pod.spec.topology_spread_constraints if each.when_unsatisfiable == action]


def _count(cluster: Cluster, node: objects.Node, selector: selectors.Selector, namespace: str) -> int:
    if selector.requirements is not None and not selector.requirements:
        return 0
    return sum(
        pod.metadata.deletion_timestamp is None
        and pod.metadata.namespace == namespace
        and selector.matches(pod.metadata.labels)
        for pod in cluster.on(node)
    )


def _has_keys(node: objects.Node, constraints: Sequence[objects.TopologySpreadConstraint]) -> bool:
    return all(each.topology_key in node.metadata.labels for each in constraints)


def _counts(constraint: objects.TopologySpreadConstraint, pod: objects.Pod, node: objects.Node) -> bool:
    if constraint.node_affinity_policy != "Ignore":
        labels = node.metadata.labels
        if any(labels.get(key) != value for key, value in pod.spec.node_selector.items()):
            return False
        affinity = pod.spec.affinity and pod.spec.affinity.node_affinity
        required = affinity and affinity.required_during_scheduling_ignored_during_execution
        if required and not selectors.compile_node_selector(required).matches(labels, node.metadata.name):
            return False
    if constraint.node_taints_policy == "Honor":
        hard = frozenset({"NoSchedule", "NoExecute"})
        return tolerations.first_untolerated(node.spec.taints, pod.spec.tolerations, hard) is None
    return True


def spread_filter(pod: objects.Pod, cluster: Cluster) -> dict[str, Verdict]:
    """Node to verdict, of the nodes that are rejected."""
    constraints = _constraints(pod, "DoNotSchedule")
    tallies: list[dict[str, int]] = [{} for _ in constraints]
    for node in cluster.nodes:
        if not _has_keys(node, constraints):
            continue
        for constraint, tally in zip(constraints, tallies, strict=True):
            if _counts(constraint, pod, node):
                value = node.metadata.labels[constraint.topology_key]
                count = _count(cluster, node, _selector(constraint, pod), pod.metadata.namespace)
                tally[value] = tally.get(value, 0) + count
    rejected: dict[str, Verdict] = {}
    for node in cluster.nodes:
        for constraint, tally in zip(constraints, tallies, strict=True):
            value_here = node.metadata.labels.get(constraint.topology_key)
            if value_here is None:
                rejected[node.metadata.name] = NO_LABEL
                break
            lowest = min(tally.values(), default=0) if len(tally) >= (constraint.min_domains or 1) else 0
            itself = _selector(constraint, pod).matches(pod.metadata.labels)
            if tally.get(value_here, 0) + itself - lowest > constraint.max_skew:
                rejected[node.metadata.name] = UNEVEN
                break
    return rejected


def spread_score(pod: objects.Pod, cluster: Cluster, feasible: Sequence[objects.Node]) -> list[int] | None:
    """The scores of the feasible nodes, in their order; None where there is nothing to score."""
    constraints = _constraints(pod, "ScheduleAnyway")
    if not constraints:
        return None
    scored = [node for node in feasible if _has_keys(node, constraints)]
    raw = {}
    for node in scored:
        score = 0.0
        for constraint in constraints:
            selector = _selector(constraint, pod)
            key = constraint.topology_key
            if key == HOSTNAME:
                size = len(scored)
                count = _count(cluster, node, selector, pod.metadata.namespace)
            else:
                size = len({each.metadata.labels[key] for each in scored})
                count = sum(
                    _count(cluster, each, selector, pod.metadata.namespace)
                    for each in cluster.nodes
                    if _has_keys(each, constraints)
                    and _counts(constraint, pod, each)
                    and each.metadata.labels[key] == node.metadata.labels[key]
                )
            score += count * math.log(size + 2) + (constraint.max_skew - 1)
        whole = math.floor(score)
        raw[node.metadata.name] = whole + (score - whole >= 0.5)
    highest, lowest = max(raw.values(), default=0), min(raw.values(), default=0)

    def normalized(name: str) -> int:
        if name not in raw:
            return 0
        return 100 if highest == 0 else 100 * (highest + lowest - raw[name]) // highest

    return [normalized(node.metadata.name) for node in feasible]


# ---------------------------------------------------------------- InterPodAffinity


def _terms(pod: objects.Pod, *, anti: bool) -> list[objects.PodAffinityTerm]:
    affinity = pod.spec.affinity or objects.Affinity()
    part = affinity.pod_anti_affinity if anti else affinity.pod_affinity
    return part.required_during_scheduling_ignored_during_execution if part else []


def _preferred(pod: objects.Pod, *, anti: bool) -> list[objects.WeightedPodAffinityTerm]:
    affinity = pod.spec.affinity or objects.Affinity()
    part = affinity.pod_anti_affinity if anti else affinity.pod_affinity
    return part.preferred_during_scheduling_ignored_during_execution if part else []


def _parts(
    term: objects.PodAffinityTerm, owner: objects.Pod
) -> tuple[set[str], selectors.Selector, selectors.Selector]:
    """Namespaces by name, namespaces by label, pods by label."""
    labels = owner.metadata.labels
    matched = [selectors.equals(key, labels[key]) for key in term.match_label_keys if key in labels]
    mismatched = [
        selectors.Requirement(key, "NotIn", frozenset((labels[key],)))
        for key in term.mismatch_label_keys
        if key in labels
    ]
    names = set(term.namespaces)
    if not names and term.namespace_selector is None:
        names = {owner.metadata.namespace}
    pods = selectors.compile_selector(term.label_selector).also(*matched, *mismatched)
    return names, selectors.compile_selector(term.namespace_selector), pods


def _means(term: objects.PodAffinityTerm, incoming: objects.Pod, other: objects.Pod, cluster: Cluster) -> bool:
    """Whether a term of the incoming pod means a running one."""
    names, chosen, pods = _parts(term, incoming)
    names |= {name for name, labels in cluster.namespaces.items() if chosen.matches(labels)}
    return (other.metadata.namespace in names or chosen.matches({})) and pods.matches(other.metadata.labels)


def _means_incoming(term: objects.PodAffinityTerm, owner: objects.Pod, pod: objects.Pod, cluster: Cluster) -> bool:
    """Whether a term of a running pod means the incoming one."""
    names, chosen, pods = _parts(term, owner)
    namespace = pod.metadata.namespace
    there = namespace in names or chosen.matches(cluster.namespaces.get(namespace, {}))
    return there and pods.matches(pod.metadata.labels)


Pair = tuple[str, str]
"""Label and value."""
Vote = tuple[objects.PodAffinityTerm, int]


def _votes(cluster: Cluster, said: Callable[[objects.Pod], Iterable[Vote]]) -> dict[Pair, int]:
    """Sums up, by label and value of the pods' nodes, what is said about each running pod."""
    votes: dict[Pair, int] = {}
    for node in cluster.nodes:
        labels = node.metadata.labels
        for other in cluster.on(node):
            for term, weight in said(other):
                if term.topology_key in labels:
                    pair = (term.topology_key, labels[term.topology_key])
                    votes[pair] = votes.get(pair, 0) + weight
    return votes


def affinity_filter(pod: objects.Pod, cluster: Cluster) -> dict[str, Verdict]:
    """Node to verdict, of the nodes that are rejected."""
    wanted, unwanted = _terms(pod, anti=False), _terms(pod, anti=True)

    def meets_all(other: objects.Pod) -> bool:
        return bool(wanted) and all(_means(term, pod, other, cluster) for term in wanted)

    near = _votes(cluster, lambda other: [(term, 1) for term in wanted if meets_all(other)])
    apart = _votes(cluster, lambda other: [(term, 1) for term in unwanted if _means(term, pod, other, cluster)])
    averse = _votes(
        cluster,
        lambda other: [(term, 1) for term in _terms(other, anti=True) if _means_incoming(term, other, pod, cluster)],
    )

    def judge(labels: Mapping[str, str]) -> Verdict | None:
        if any(term.topology_key not in labels for term in wanted):
            return NOT_NEAR
        alone = any((term.topology_key, labels[term.topology_key]) not in near for term in wanted)
        if alone and (near or not meets_all(pod)):
            return NOT_NEAR
        if any((term.topology_key, labels[term.topology_key]) in apart for term in _on(unwanted, labels)):
            return TOO_NEAR
        return UNWELCOME if any(pair in averse for pair in labels.items()) else None

    verdicts = {node.metadata.name: judge(node.metadata.labels) for node in cluster.nodes}
    return {name: verdict for name, verdict in verdicts.items() if verdict is not None}


def _on(terms: Iterable[objects.PodAffinityTerm], labels: Mapping[str, str]) -> list[objects.PodAffinityTerm]:
    return [term for term in terms if term.topology_key in labels]


def affinity_score(
    pod: objects.Pod,
    cluster: Cluster,
    feasible: Sequence[objects.Node],
    *,
    hard_weight: int,
    ignore_existing: bool,
) -> list[int] | None:
    """The scores of the feasible nodes, in their order; None where there is nothing to score."""
    if ignore_existing and not (_preferred(pod, anti=False) or _preferred(pod, anti=True)):
        return None

    def said(other: objects.Pod) -> Iterator[Vote]:
        for sign, anti in ((1, False), (-1, True)):
            for each in _preferred(pod, anti=anti):
                if _means(each.pod_affinity_term, pod, other, cluster):
                    yield each.pod_affinity_term, sign * each.weight
            for each in _preferred(other, anti=anti):
                if _means_incoming(each.pod_affinity_term, other, pod, cluster):
                    yield each.pod_affinity_term, sign * each.weight
        for term in _terms(other, anti=False):
            if hard_weight and _means_incoming(term, other, pod, cluster):
                yield term, hard_weight

    votes = _votes(cluster, said)
    if not votes:
        return None
    raw = [sum(votes.get(pair, 0) for pair in node.metadata.labels.items()) for node in feasible]
    lowest, span = min(raw), max(raw) - min(raw)
    return [int(100.0 * ((each - lowest) / span)) if span else 0 for each in raw]
