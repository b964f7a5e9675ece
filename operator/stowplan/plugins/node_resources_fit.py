"""Resources: does the pod fit, and how full would the node be.

Source: kubernetes v1.36.3 ``plugins/noderesources/fit.go``, ``least_allocated.go``, ``most_allocated.go``,
``requested_to_capacity_ratio.go`` and ``plugins/helper/shape_score.go``. All arithmetic is in integers, as there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import numpy as np

from stowplan.framework.departures import Departures
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.joint import Model, Room
from stowplan.framework.nodes import NodeTable, RowIndex, Small
from stowplan.framework.plugin import MAX_SCORE, CycleState, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, UNSCHEDULABLE, Reject, Verdict
from stowplan.model import objects, requests
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins import usage
from stowplan.plugins.args import FitArgs, ShapePoint, Strategy
from stowplan.plugins.usage import Amounts

_FIRST = ("cpu", "memory", "ephemeral-storage")
_PER_BYTE = 4
_SHORT, _NEVER = 1, 2


@dataclasses.dataclass(frozen=True, slots=True)
class _Checks:
    """What a class asks for: ``pods`` first, then the others in kube-scheduler's order.

    Attributes:
        resources: names.
        amounts: int64[check, 1], all positive.
        shifts: uint8[check, 1]: where the bits of a check are in its byte.
    """

    resources: tuple[str, ...]
    amounts: Amounts
    shifts: Small


class NodeResourcesFit:
    """Keep pods off nodes that have too little left, and prefer nodes by how much would be left."""

    name = "NodeResourcesFit"
    alone = True
    requeue_on = frozenset(
        {
            ClusterEvent.NODE_ADDED,
            ClusterEvent.NODE_ALLOCATABLE,
            ClusterEvent.POD_REMOVED,
            ClusterEvent.POD_SCALED_DOWN,
        }
    )

    def __init__(self, args: FitArgs) -> None:
        self._ignored = args.ignored_resources
        self._ignored_groups = args.ignored_resource_groups
        self._resources = args.resources
        self._ratio = args.strategy is Strategy.REQUESTED_TO_CAPACITY_RATIO
        self._per_resource: Callable[[Amounts, Amounts], Amounts] = {
            Strategy.LEAST_ALLOCATED: _least,
            Strategy.MOST_ALLOCATED: _most,
            Strategy.REQUESTED_TO_CAPACITY_RATIO: _by_shape(args.shape),
        }[args.strategy]

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """One reason per resource, in kube-scheduler's order; unresolvable where an empty node would be too small."""
        checks = nodes.once((self, pod.cls.ask), lambda: self._checks(pod.cls.requests))
        return _rejects(checks, nodes.kept((self, pod.cls.ask), lambda rows: _verdicts(checks, nodes, rows)))

    def outlook(self, pod: PodInfo, nodes: Snapshot, gone: Departures) -> Verdict:
        """The same, were so much less requested."""
        checks = self._checks(pod.cls.requests)
        return Verdict(self.name, rejects=tuple(_rejects(checks, _verdicts(checks, nodes, slice(None), gone.freed))))

    def alike(self, pod: PodInfo) -> Hashable:
        """What the pod asks for."""
        return pod.cls.ask

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether there is more now of what the pod asks for, and enough of it on that node.

        What pods use that the pod could evict counts as free. (kube-scheduler tries again after any removal of a pod,
        and after a change of a node that would be large enough if it were empty.)
        """
        row = nodes.row_of.get(event.node)
        if row is None or not self._grew(pod.cls, event):
            return False
        evicts = pod.preemption_policy != "Never"
        key = (self, pod.cls.ask, pod.priority, evicts)
        return event.once(key, lambda: self._has_room(pod, nodes, row, evicts=evicts))

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores:
        """The weighted mean over the resources."""
        return self.score_own(pod.cls, nodes, rows).astype(np.int64)

    def speaks(self, cls: PodClass) -> bool:
        """There is something to say about every pod."""
        return True

    def score_own(self, cls: PodClass, nodes: NodeTable, rows: RowIndex) -> Small:
        """The same as uint8[row], from nothing but the resources of these nodes."""
        found = usage.of(cls, nodes, rows, self._resources, defaults=True)
        scores = self._per_resource(found.used + found.asked, found.allocatable)
        weights = found.weights * (found.allocatable > 0)
        if self._ratio:
            weights *= scores > 0
        total = (scores * weights).sum(axis=0)
        divisor = np.maximum(weights.sum(axis=0), 1)
        # half a point of a ratio rounds up, as Go's math.Round does
        mean: Small = (np.floor(total / divisor + 0.5) if self._ratio else total // divisor).astype(np.uint8)
        return mean

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """What the pods of a node ask for together."""
        asked = [self._checks(pod.cls.requests) for pod in pods]
        wanted = [dict(zip(each.resources, each.amounts[:, 0].tolist(), strict=True)) for each in asked]
        for resource in sorted({name for each in wanted for name in each}):
            index = nodes.resources.get(resource)
            if index is not None:
                left = nodes.allocatable[index] - nodes.requested[index]
                amounts = np.array([each.get(resource, 0) for each in wanted], dtype=np.int64)
                model.add(Room(_shortage(resource), None, left, amounts))

    def _checks(self, asked: Mapping[str, int]) -> _Checks:
        own = sorted(name for name in asked if requests.is_scalar(name) and not self._is_ignored(name))
        wanted = {"pods": 1} | {name: asked[name] for name in (*_FIRST, *own) if asked.get(name, 0) > 0}
        return _Checks(
            resources=tuple(wanted),
            amounts=np.array(list(wanted.values()), dtype=np.int64)[:, None],
            shifts=(2 * (np.arange(len(wanted)) % _PER_BYTE)).astype(np.uint8)[:, None],
        )

    def _grew(self, cls: PodClass, event: Happening) -> bool:
        """Whether what an event changed includes anything that pods of the class ask for; a pod more is one thing."""
        before, after = event.of(objects.Node)
        if before is not None and after is not None:
            old, new = requests.amounts(before.status.allocatable), requests.amounts(after.status.allocatable)
            return any(new.get(name, 0) > old.get(name, 0) for name in ("pods", *cls.requests))
        pod, scaled = event.of(PodInfo)
        if pod is not None and scaled is not None:
            return any(scaled.cls.requests.get(name, 0) < pod.cls.requests.get(name, 0) for name in cls.requests)
        return True

    def _has_room(self, pod: PodInfo, nodes: Snapshot, row: int, *, evicts: bool) -> bool:
        """Whether the pod fits on a node, without the pods that it could evict."""
        checks = nodes.once((self, pod.cls.ask), lambda: self._checks(pod.cls.requests))
        indices = [nodes.resources.get(name, -1) for name in checks.resources]
        lower = [each for each in nodes.on_node[row].values() if evicts and each.priority < pod.priority]
        for name, index, amount in zip(checks.resources, indices, checks.amounts[:, 0].tolist(), strict=True):
            if index < 0:
                return False
            evictable = len(lower) if name == "pods" else sum(each.cls.requests.get(name, 0) for each in lower)
            if amount > nodes.allocatable[index, row] - nodes.requested[index, row] + evictable:
                return False
        return True

    def _is_ignored(self, resource: str) -> bool:
        group, _, _ = resource.partition("/")
        return requests.is_extended(resource) and (resource in self._ignored or group in self._ignored_groups)


def _shortage(resource: str) -> str:
    return "Too many pods" if resource == "pods" else f"Insufficient {resource}"


def _rejects(checks: _Checks, verdicts: Small) -> Iterator[Reject]:
    for group, codes in enumerate(verdicts):
        found = int(np.bitwise_or.reduce(codes))
        if not found:
            continue
        for place, resource in enumerate(checks.resources[group * _PER_BYTE : (group + 1) * _PER_BYTE]):
            reason = _shortage(resource)
            for code, resolution in ((_SHORT, UNSCHEDULABLE), (_NEVER, UNRESOLVABLE)):
                bit = code << 2 * place
                if found & bit:
                    yield Reject((codes & np.uint8(bit)) != 0, reason, resolution)


def _verdicts(checks: _Checks, nodes: NodeTable, rows: RowIndex, freed: Amounts | None = None) -> Small:
    """uint8[check // 4, row]: two bits a check, _SHORT of what is left, _NEVER enough even when empty."""
    which = np.array([nodes.resources.get(resource, -1) for resource in checks.resources])
    allocatable = nodes.allocatable[:, rows][which]
    requested = nodes.requested[:, rows][which]
    if freed is not None:
        requested -= freed[:, rows][which]
    unknown = which < 0
    if unknown.any():
        allocatable[unknown] = requested[unknown] = 0
    short = checks.amounts > allocatable - requested
    never = short & (checks.amounts > allocatable)
    never[0] = False  # upstream never calls too many pods unresolvable
    codes = short.view(np.uint8) << never.view(np.uint8)
    return np.bitwise_or.reduceat(codes << checks.shifts, range(0, len(which), _PER_BYTE), axis=0)


def _least(requested: Amounts, capacity: Amounts) -> Amounts:
    scores: Amounts = np.maximum(capacity - requested, 0) * MAX_SCORE // np.maximum(capacity, 1)
    return scores


def _most(requested: Amounts, capacity: Amounts) -> Amounts:
    scores: Amounts = np.minimum(requested, capacity) * MAX_SCORE // np.maximum(capacity, 1)
    return scores


def _by_shape(shape: Sequence[ShapePoint]) -> Callable[[Amounts, Amounts], Amounts]:
    table = np.array([_broken_line(shape, each) for each in range(101)], dtype=np.int64)

    def score(requested: Amounts, capacity: Amounts) -> Amounts:
        percent: Amounts = table[_most(requested, capacity)]
        return percent

    return score


def _broken_line(shape: Sequence[ShapePoint], utilization: int) -> int:
    """The score (0 to 100) at a utilization, on the lines between the points."""
    points = [(each.utilization, each.score * 10) for each in shape]
    left: tuple[int, int] | None = None
    for at, score in points:
        if utilization <= at:
            if left is None:
                return score
            rise = (score - left[1]) * (utilization - left[0])
            run = at - left[0]
            return left[1] + (rise // run if rise >= 0 else -(-rise // run))  # Go rounds towards zero
        left = (at, score)
    return points[-1][1] if points else 0
