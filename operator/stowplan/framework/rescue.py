"""Runs the PostFilter plugins of a profile for a pod that fits nowhere, and answers what they ask the filters.

``scheduler.cycle`` makes one for the framework of such a pod. A plugin that fails is passed over, and no longer asked
once ``framework.conduct`` has cut it off: without it pods wait, which harms nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from stowplan.framework import promised
from stowplan.framework.conduct import POST_FILTER, Call
from stowplan.framework.departures import Departures
from stowplan.framework.plugin import CycleState, Filter, Rows, only_here
from stowplan.framework.postfilter import GivesUp, Lasting, Nomination, Outlook, PostFilter, Prospect, Unhelped
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis, Mask, Reject, Verdict
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
            if not hasattr(each, "post_filter") or call in conduct.out:  # isinstance takes long before Python 3.12
                continue
            try:
                answer = cast("PostFilter", each).post_filter(pod, nodes, failure, self, chance)
            except Exception as error:  # noqa: BLE001 - what a plugin raises must harm no other
                conduct.failed(call, pod, error)
                continue
            conduct.passed(call)
            if isinstance(answer, Nomination):
                return answer
            said.append(answer)
        return _together(said)

    def gives_up(self, pod: PodInfo, nodes: Snapshot, failure: Diagnosis) -> Unhelped | None:
        """What ``post_filter`` would answer, where it is certain that it finds nothing; None where it is not."""
        conduct = self._framework.conduct
        said: list[Unhelped] = []
        for each in self._framework.plugins:
            call = Call(self._framework.name, each.name, POST_FILTER)
            if not hasattr(each, "post_filter") or call in conduct.out:
                continue
            if call in conduct.suspects or not hasattr(each, "gives_up"):
                return None
            try:
                answer = cast("GivesUp", each).gives_up(pod, nodes, failure, self)
            except Exception:  # noqa: BLE001 - it is asked by a try, which takes note of what it raises there
                return None
            if answer is None:
                return None
            said.append(answer)
        return _together(said)

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

    def outlook(self, pod: PodInfo, nodes: Snapshot, gone: Departures) -> Prospect:
        """See ``Filters``.

        A filter that cannot tell beforehand may be the first to say something: nothing that comes after it is said here
        of the nodes that it rejects as they are; or of any node, where it looks at pods on others, too.
        """
        found: list[Verdict] = []
        silent: list[Filter] = []
        unsure: Mask = np.zeros(len(nodes), dtype=np.bool_)
        complete = True
        for each in self._framework.active(pod, nodes, gone):
            verdict = cast("Outlook", each).outlook(pod, nodes, gone) if hasattr(each, "outlook") else None
            if verdict is None:
                complete = False
                silent.append(each)
            elif verdict.rejects:
                for one in silent:
                    unsure |= not only_here(one) or self._framework.objects(one, pod, nodes)
                silent.clear()
                rejects = tuple(Reject(one.mask & ~unsure, one.reason, one.resolution) for one in verdict.rejects)
                found.append(Verdict(verdict.plugin, rejects=rejects))
        return Prospect(tuple(found), complete)

    def lasting(self, pod: PodInfo, nodes: Snapshot) -> tuple[Verdict, ...]:
        """See ``Filters``."""
        return tuple(
            Verdict(each.name, rejects=tuple(cast("Lasting", each).lasting(pod, nodes)))
            for each in self._framework.active(pod, nodes)
            if hasattr(each, "lasting")
        )


def _together(said: Sequence[Unhelped]) -> Unhelped:
    return Unhelped(
        ", ".join(each.reason for each in said),
        waits=any(each.waits for each in said),
        because_of=frozenset[str]().union(*(each.because_of for each in said)),
    )
