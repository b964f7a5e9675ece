"""The plugins of the node alone, written plainly for one node at a time: what the vectorised ones must agree with.

They follow kube-scheduler's Go code step by step, on the API objects, and share nothing with the plugins but the
parsing of quantities and of selectors.
"""

from __future__ import annotations

import math

from stowplan.model import objects, requests, selectors, tolerations
from stowplan.model.pods import PodInfo
from stowplan.plugins.args import FitArgs, ResourceWeight, Strategy

MIB = 2**20


def allocatable(node: objects.Node, resource: str) -> int:
    return requests.amounts(node.status.allocatable).get(resource, 0)


def requested(pods: list[PodInfo], resource: str) -> int:
    return sum(each.cls.requests.get(resource, 0) for each in pods)


def tolerates_all(taints: list[objects.Taint], pod: PodInfo) -> bool:
    return all(any(tolerations.tolerates(each, taint) for each in pod.cls.tolerations) for taint in taints)


def taint_rejects(node: objects.Node, pod: PodInfo) -> bool:
    return not tolerates_all([each for each in node.spec.taints if each.effect in ("NoSchedule", "NoExecute")], pod)


def soft_taints(node: objects.Node, pod: PodInfo) -> int:
    return sum(each.effect == "PreferNoSchedule" and not tolerates_all([each], pod) for each in node.spec.taints)


def affinity_rejects(node: objects.Node, pod: PodInfo) -> bool:
    labels = node.metadata.labels
    if any(not each.allows(labels.get(each.key)) for each in pod.cls.node_selector):
        return True
    affinity = pod.cls.node_affinity
    return affinity is not None and not affinity.matches(labels, node.metadata.name)


def preferred(node: objects.Node, pod: PodInfo) -> int:
    def matches(term: selectors.NodeTerm) -> bool:
        return term.matches(node.metadata.labels.get, node.metadata.name)

    return sum(weight for weight, term in pod.cls.preferred_nodes if matches(term))


def ports_conflict(pods: list[PodInfo], pod: PodInfo) -> bool:
    used: dict[str, set[tuple[str, int]]] = {}
    for each in pods:
        for port in each.cls.ports:
            used.setdefault(port.ip, set()).add((port.protocol, port.port))
    for want in pod.cls.ports:
        addresses = list(used) if want.ip == "0.0.0.0" else ["0.0.0.0", want.ip]
        if any((want.protocol, want.port) in used.get(address, set()) for address in addresses):
            return True
    return False


def insufficient(node: objects.Node, pods: list[PodInfo], pod: PodInfo) -> list[tuple[str, bool]]:
    """(reason, whether an empty node would be too small as well)."""
    found = []
    if len(pods) + 1 > allocatable(node, "pods"):
        found.append(("Too many pods", False))
    first = ["cpu", "memory", "ephemeral-storage"]
    for resource in first + sorted(set(pod.cls.requests) - set(first)):
        want = pod.cls.requests.get(resource, 0)
        have = allocatable(node, resource)
        if want and want > have - requested(pods, resource):
            found.append((f"Insufficient {resource}", want > have))
    return found


def fit_score(node: objects.Node, pods: list[PodInfo], pod: PodInfo, args: FitArgs) -> int:
    total = weights = 0
    for spec in args.resources:
        if spec.name == "cpu":
            want, used = pod.cls.scored["cpu"], sum(each.cls.nonzero[0] for each in pods)
        elif spec.name == "memory":
            want, used = pod.cls.scored["memory"], sum(each.cls.nonzero[1] for each in pods)
        else:
            want, used = pod.cls.scored.get(spec.name, 0), requested(pods, spec.name)
            if want == 0 and spec.name != "ephemeral-storage":
                continue
        have = allocatable(node, spec.name)
        if have == 0:
            continue
        score = _fit_one(used + want, have, args)
        if args.strategy is Strategy.REQUESTED_TO_CAPACITY_RATIO and score <= 0:
            continue
        total += score * spec.weight
        weights += spec.weight
    if weights == 0:
        return 0
    if args.strategy is Strategy.REQUESTED_TO_CAPACITY_RATIO:
        return math.floor(total / weights + 0.5)
    return total // weights


def _fit_one(want: int, have: int, args: FitArgs) -> int:
    match args.strategy:
        case Strategy.LEAST_ALLOCATED:
            return 0 if want > have else (have - want) * 100 // have
        case Strategy.MOST_ALLOCATED:
            return min(want, have) * 100 // have
        case Strategy.REQUESTED_TO_CAPACITY_RATIO:
            return _shape(100 if want > have else want * 100 // have, args)


def _shape(percent: int, args: FitArgs) -> int:
    points = [(each.utilization, each.score * 10) for each in args.shape]
    for i, (at, score) in enumerate(points):
        if percent <= at:
            if i == 0:
                return score
            before, base = points[i - 1]
            return base + math.trunc((score - base) * (percent - before) / (at - before))
    return points[-1][1]


def balanced(node: objects.Node, pods: list[PodInfo], pod: PodInfo, resources: tuple[ResourceWeight, ...]) -> int:
    with_pod, without, capacity = [], [], []
    for spec in resources:
        want = pod.cls.requests.get(spec.name, 0)
        if want == 0 and spec.name not in ("cpu", "memory", "ephemeral-storage"):
            continue
        used = requested(pods, spec.name)
        with_pod.append(used + want)
        without.append(used)
        capacity.append(allocatable(node, spec.name))
    return 50 + (50 + _balance(with_pod, capacity) - _balance(without, capacity)) // 2


def _balance(used: list[int], capacity: list[int]) -> int:
    fractions = [min(have / of, 1.0) for have, of in zip(used, capacity, strict=True) if of]
    deviation = 0.0
    if len(fractions) == 2:
        deviation = abs((fractions[0] - fractions[1]) / 2)
    elif len(fractions) > 2:
        mean = 0.0
        for each in fractions:
            mean += each
        mean /= len(fractions)
        total = 0.0
        for each in fractions:
            total += (each - mean) * (each - mean)
        deviation = math.sqrt(total / len(fractions))
    return int((1 - deviation) * 100.0)


def images(node: objects.Node, nodes: list[objects.Node], pod: PodInfo) -> int:
    total = 0
    for image in pod.cls.images:
        name = image if image.rfind(":") > image.rfind("/") else image + ":latest"
        sizes = {each: size.size_bytes for size in node.status.images for each in size.names or ()}
        if name in sizes:
            spread = sum(any(name in (each.names or ()) for each in other.status.images) for other in nodes) / len(
                nodes
            )
            total += int(float(sizes[name]) * spread)
    most = 1000 * MIB * len(pod.cls.images)
    return 100 * (min(max(total, 23 * MIB), most) - 23 * MIB) // (most - 23 * MIB)


def normalized(raw: list[int], *, reverse: bool) -> list[int]:
    largest = max(raw, default=0)
    if largest == 0:
        return [100 if reverse else 0 for _ in raw]
    return [100 - 100 * each // largest if reverse else 100 * each // largest for each in raw]
