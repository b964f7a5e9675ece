"""Nodes with nominated pods: a pod must fit there beside them, and also without them.

``Framework`` asks this of every pod while any pod is nominated. Only nominated pods of the same or a higher priority
count, as it is for them that the room was made. A pod must fit without them, too, since they are not there yet and may
end elsewhere: what they would bring with them (an affinity) must not be relied on.

All promised nodes are judged at once by what is kept about the pods that come there (``framework.guests``), as far as
the filters can tell from that (``postfilter.Outlook``). Where they cannot, these pods are put on the nodes for a moment
(``framework.trial``): all at once, or node by node where that matters.

Source: kubernetes v1.36.3 ``pkg/scheduler/framework/runtime/framework.go`` (``RunFilterPluginsWithNominatedPods``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from stowplan.framework.departures import Departures
from stowplan.framework.nodes import PODS
from stowplan.framework.plugin import CycleState
from stowplan.framework.postfilter import Prospect
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask, Verdict
from stowplan.framework.trial import Trial
from stowplan.model.pods import PodInfo


class Judge(Protocol):
    """The filters, as they see the pods that are on the nodes."""

    def passing(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Mask:
        """bool[node]: the nodes that no plugin rejects."""

    def verdicts(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Verdict]:
        """All that the filters have against the nodes."""

    def beside(self, pod: PodInfo, nodes: Snapshot, come: Departures) -> Prospect:
        """What they have against each node once the pods that come to it are there, as far as they can tell."""

    def independent(self, pod: PodInfo, nodes: Snapshot) -> bool:
        """Whether each node is judged by the pods on it alone."""


def leave_room(judge: Judge, pod: PodInfo, nodes: Snapshot, passing: Mask) -> Mask:
    """bool[node]: the nodes of a mask on which a pod also fits beside the pods nominated there."""
    come = nodes.nominations.coming(pod, nodes) if passing.any() else None
    if come is None:
        return passing
    promised = come.freed[PODS] < 0
    shared = passing & promised
    if not shared.any():
        return passing
    prospect = judge.beside(pod, nodes, come)
    shared &= ~prospect.against(len(nodes))
    left: Mask = passing & ~promised | shared
    for rows, rivals in () if prospect.complete else _groups(judge, pod, nodes, shared):
        with Trial(nodes) as trial:
            for each in rivals:
                trial.add(each)
            left[rows] &= judge.passing(pod, nodes, CycleState())[rows]
    return left


def objections(
    judge: Judge, pod: PodInfo, nodes: Snapshot, *, first: bool
) -> Iterator[tuple[Mask, tuple[Verdict, ...]]]:
    """What is against nodes once the pods nominated there are counted: bool[node] where something is, and what.

    Args:
        judge: the filters.
        pod: the pod.
        nodes: the cluster.
        first: whether for each node the first filter that has something against it is enough.
    """
    come = nodes.nominations.coming(pod, nodes)
    if come is None:
        return
    promised = come.freed[PODS] < 0
    prospect = judge.beside(pod, nodes, come)
    if first or prospect.complete:
        found = promised & prospect.against(len(nodes))
        if found.any():
            yield found, prospect.verdicts
            promised &= ~found
    for rows, rivals in () if prospect.complete else _groups(judge, pod, nodes, promised):
        with Trial(nodes) as trial:
            for each in rivals:
                trial.add(each)
            verdicts = tuple(judge.verdicts(pod, nodes, CycleState()))
        among = np.zeros(len(nodes), dtype=np.bool_)
        among[rows] = True
        found = among & Prospect(verdicts, complete=True).against(len(nodes))
        if found.any():
            yield found, verdicts


def _groups(judge: Judge, pod: PodInfo, nodes: Snapshot, among: Mask) -> Iterator[tuple[list[int], list[PodInfo]]]:
    """Rows with nominated pods to leave room for, and those pods: all at once, or node by node where that matters."""
    found = list(nodes.nominations.rivals(pod, nodes, np.flatnonzero(among).tolist()))
    everybody = [each for _, rivals in found for each in rivals]
    # terms against the pod are seen by the judge only once those who have them are there
    if len(found) > 1 and not any(each.cls.anti_affinity for each in everybody) and judge.independent(pod, nodes):
        yield [row for row, _ in found], everybody
        return
    for row, rivals in found:
        yield [row], rivals


def first_of_all(judge: Judge, pod: PodInfo, nodes: Snapshot, passing: Mask) -> Mask:
    """As ``leave_room``, but only the node that is promised to the pod, where it fits: no other is looked at then.

    Source: kubernetes v1.36.3 ``pkg/scheduler/schedule_one.go`` (``evaluateNominatedNode``).
    """
    row = nodes.row_of.get(nodes.nominations.node_of(pod.uid))
    if row is not None and passing[row]:
        promised = np.zeros(len(nodes), dtype=np.bool_)
        promised[row] = True
        promised = leave_room(judge, pod, nodes, promised)
        if promised[row]:
            return promised
    return leave_room(judge, pod, nodes, passing)
