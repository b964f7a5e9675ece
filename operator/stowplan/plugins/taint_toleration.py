"""Taints. Source: kubernetes v1.36.3 ``plugins/tainttoleration/taint_toleration.go``."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from stowplan.framework import normalize
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import MAX_SCORE, CycleState, Rows, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Reject
from stowplan.model import objects, tolerations
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins.args import TolerationArgs

_HARD = frozenset({tolerations.NO_SCHEDULE, tolerations.NO_EXECUTE})
_Taints = tuple[objects.Taint, ...] | None


class TaintToleration:
    """Keep pods off nodes with taints that they do not tolerate, and prefer the nodes with fewer of the soft ones."""

    name = "TaintToleration"
    static = True
    requeue_on = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.NODE_TAINTS})

    def __init__(self, args: TolerationArgs) -> None:
        self._added = args.added_tolerations

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects nodes with an untolerated NoSchedule or NoExecute taint."""
        yield Reject(
            nodes.taints.where(lambda taints: not self._bears(pod.cls, taints or ())),
            "node(s) had untolerated taint(s)",
            UNRESOLVABLE,
        )

    def alike(self, pod: PodInfo) -> Hashable:
        """What the pod tolerates."""
        return pod.cls.tolerations

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether the pod tolerates the node now, and did not before."""
        old, new = event.of(objects.Node)
        bears = self._bears
        return (
            new is not None and bears(pod.cls, new.spec.taints) and (old is None or not bears(pod.cls, old.spec.taints))
        )

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | int:
        """100 less the share of untolerated PreferNoSchedule taints; 100 everywhere where there are none."""
        raw = nodes.once((self, pod.cls), lambda: self._soft_taints(pod.cls, nodes))
        if raw is None:
            return MAX_SCORE
        return normalize.default_normalize(raw[rows], reverse=True)

    def _bears(self, cls: PodClass, taints: Sequence[objects.Taint]) -> bool:
        return tolerations.first_untolerated(taints, (*cls.tolerations, *self._added), _HARD) is None

    def _soft_taints(self, cls: PodClass, nodes: Snapshot) -> Scores | None:
        """int64[node]: untolerated PreferNoSchedule taints; None where no node has one."""
        tolerated = (*cls.tolerations, *self._added)

        def count(taints: _Taints) -> int:
            soft = (each for each in taints or () if each.effect == tolerations.PREFER_NO_SCHEDULE)
            return sum(not tolerations.any_tolerates(tolerated, each) for each in soft)

        column = nodes.taints
        table = np.fromiter(map(count, column.values), dtype=np.int64, count=len(column.values))
        raw = table[column.codes]
        return raw if raw.any() else None
