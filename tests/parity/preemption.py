"""What preemption would do for a pod that fits nowhere: the oracle's answer and Stowplan's, compared node by node."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tests.parity.verdict import Difference, Preempted, Room

from stowplan.framework.plugin import CycleState
from stowplan.framework.postfilter import Nomination
from stowplan.framework.rescue import Rescue
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.storage import READ_WRITE_ONCE_POD
from stowplan.model.pods import PodInfo
from stowplan.plugins.preemption_search import Candidate, Keeper, Search


def differences(
    pod: PodInfo, nodes: Snapshot, framework: Framework, keeper: Keeper, theirs: Preempted
) -> Iterator[Difference]:
    """Everything in which the two differ: the victims of every node, the choice among them, and what is said."""
    filters = Rescue(framework)
    state = CycleState()
    if framework.feasible(pod, nodes, state).any():
        return  # the verdicts differ then, which is told elsewhere
    if _claim_in_use_twice(pod, nodes):
        return
    failure = framework.diagnose(pod, nodes, state)
    search = Search(pod, nodes, filters, failure=failure, keeper=keeper, chance=len(nodes))
    never = pod.preemption_policy == "Never"
    rows = [] if never else np.flatnonzero(~failure.unresolvable).tolist()
    ours = {nodes.name(row): found for row in rows if (found := search.of(row)) is not None}
    for name in sorted(ours.keys() | theirs.candidates.keys()):
        mine = _room(ours[name]) if name in ours else None
        if mine != theirs.candidates.get(name):
            yield Difference("victims", f"{name}: Stowplan {mine}, kube-scheduler {theirs.candidates.get(name)}")
    answer = filters.post_filter(pod, nodes, failure, len(nodes))
    if not isinstance(answer, Nomination):
        if answer.reason != theirs.message:
            yield Difference("preemption message", f"Stowplan {answer.reason!r}, kube-scheduler {theirs.message!r}")
    elif theirs.chosen not in ours or ours[answer.node].cost != ours[theirs.chosen].cost:
        yield Difference("chosen", f"Stowplan {answer.node}, kube-scheduler {theirs.chosen or theirs.message}")
    elif tuple(each.key for each in answer.victims) != _room(ours[answer.node]).victims:
        yield Difference("chosen", f"other victims on {answer.node} than when it is looked at by itself")


def _claim_in_use_twice(pod: PodInfo, nodes: Snapshot) -> bool:
    """Whether two pods use a claim that only one may use; kube-scheduler takes it for free when one of them goes."""
    keys = [f"{pod.namespace}/{name}" for name in pod.claims]
    claims = [claim for key in keys if (claim := nodes.volumes.claim(key)) is not None]
    return any(READ_WRITE_ONCE_POD in each.traits.modes and len(nodes.volumes.users.get(each.key, ())) > 1
               for each in claims)  # fmt: skip


def _room(candidate: Candidate) -> Room:
    return Room(tuple(each.key for each in candidate.victims), candidate.violations)
