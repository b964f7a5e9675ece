"""Runs the PostFilter plugins of a profile for a pod that fits nowhere, and answers what they ask the filters.

``scheduler.cycle`` makes one for the framework of such a pod. A plugin that fails is passed over, and no longer asked
once ``framework.conduct`` has cut it off: without it pods wait, which harms nobody.
"""

from __future__ import annotations

import numpy as np

from stowplan.framework import promised
from stowplan.framework.conduct import POST_FILTER, Call
from stowplan.framework.nodes import Amounts
from stowplan.framework.plugin import CycleState, Plugin, Rows
from stowplan.framework.postfilter import Nomination, Outlook, PostFilter, Unhelped
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis, Mask, Verdict
from stowplan.model.pods import PodInfo


class Rescue:
    """The ``Filters`` of a framework, for its own PostFilter plugins."""

    def __init__(self, framework: Framework) -> None:
        self._framework = framework

    def post_filter(self, pod: PodInfo, nodes: Snapshot, failure: Diagnosis, chance: int) -> Nomination | Unhelped:
        """What can be done; the first plugin that finds a way decides."""
        conduct = self._framework.conduct
        said: list[Unhelped] = []
        for each in self._framework.plugins:
            call = Call(self._framework.name, each.name, POST_FILTER)
            if not isinstance(each, PostFilter) or call in conduct.out:
                continue
            try:
                answer = each.post_filter(pod, nodes, failure, self, chance)
            except Exception as error:  # noqa: BLE001 - what a plugin raises must harm no other
                conduct.failed(call, pod, error)
                continue
            conduct.passed(call)
            if isinstance(answer, Nomination):
                return answer
            said.append(answer)
        return Unhelped(", ".join(each.reason for each in said), waits=any(each.waits for each in said))

    def passes(self, pod: PodInfo, nodes: Snapshot, rows: Rows) -> Mask:
        """See ``Filters``."""
        left = self._framework.passing(pod, nodes, CycleState())
        if nodes.nominations:
            among = np.zeros_like(left)
            among[rows] = True
            left = promised.leave_room(self._framework, pod, nodes, left & among)
        return left[rows]

    def diagnose(self, pod: PodInfo, nodes: Snapshot, *, among: Mask) -> Diagnosis:
        """See ``Filters``."""
        return self._framework.diagnose(pod, nodes, CycleState(), among=among)

    def independent(self, pod: PodInfo, nodes: Snapshot) -> bool:
        """See ``Filters``."""
        return self._framework.independent(pod, nodes)

    def only_room(self, pod: PodInfo, nodes: Snapshot) -> bool:
        """See ``Filters``."""
        active = self._framework.active(pod, nodes)
        return len(active) == 1 and isinstance(active[0], Outlook)

    def outlook(self, pod: PodInfo, nodes: Snapshot, freed: Amounts) -> Verdict | None:
        """See ``Filters``; only a filter that no other one goes before can tell."""
        first: Plugin | None = next(iter(self._framework.active(pod, nodes)), None)
        return first.outlook(pod, nodes, freed) if isinstance(first, Outlook) else None
