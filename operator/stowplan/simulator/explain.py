"""Why each node is or is not feasible for a pod, and the scores of those that are.

Each pod is judged alone against the state as it is; one that has a node is judged as if it had none yet. Nodes that are
promised to others (``status.nominatedNodeName``) are judged with them there. What preemption could do is not looked at.
"""

from __future__ import annotations

import copy
import dataclasses

import numpy as np

from stowplan.framework import choice, promised
from stowplan.framework.plugin import CycleState
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Verdict
from stowplan.framework.trial import beside
from stowplan.model.pods import PodInfo


@dataclasses.dataclass(frozen=True, slots=True)
class Rejection:
    """One plugin's reason against one node."""

    plugin: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Scored:
    """The weighted total of one node and the weighted score of each plugin that had something to say."""

    total: int
    plugins: dict[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """What the scheduler thinks of a pod.

    Attributes:
        pod: ``namespace/name``.
        feasible: names of the feasible nodes, sorted.
        rejected: node to every rejection by every plugin, in the order of the plugins.
        unschedulable: ``0/N nodes are available: …``, or None where there is a feasible node.
        scores: feasible node to its scores.
        chosen: the best node, of equals the one that ``plan`` would take first, or None.
        gang: the gang that the pod is in and whether enough of its members are there; None where it is in none.
    """

    pod: str
    feasible: list[str]
    rejected: dict[str, list[Rejection]]
    unschedulable: str | None
    scores: dict[str, Scored]
    chosen: str | None
    gang: str | None = None


def explain(pod: PodInfo, nodes: Snapshot, framework: Framework) -> Explanation:
    """Judges one pod."""
    if pod.uid in nodes.pods:
        nodes = nodes.fork()
        nodes.remove_pod(pod.uid)
        pod = copy.copy(pod)
        pod.node_name = ""
    state = CycleState()
    with beside(nodes.homes.beside(pod), nodes):
        verdicts = list(framework.verdicts(pod, nodes, state))
        beside_nominated = list(promised.objections(framework, pod, nodes, first=False)) if nodes.nominations else []
        diagnosis = framework.diagnose(pod, nodes, state)
    rejected = _rejections(nodes, verdicts)
    for mask, said in beside_nominated:
        against = _rejections(nodes, list(said))
        rejected |= {name: against[name] for row in np.flatnonzero(mask).tolist() if (name := nodes.name(row))}
    names = [nodes.name(row) for row in range(len(nodes))]
    rows = np.array([row for row, name in enumerate(names) if name not in rejected], dtype=np.intp)
    if not len(rows):
        return Explanation(pod.key, [], rejected, diagnosis.message, {}, None)
    table = framework.score(pod, nodes, state, rows)
    scores = {
        names[row]: Scored(
            total=int(table.total[at]),
            plugins={plugin: weight * int(values[at]) for plugin, (weight, values) in table.plugins.items()},
        )
        for at, row in enumerate(rows.tolist())
    }
    chosen = choice.choose(nodes, table, 0).node
    return Explanation(pod.key, sorted(scores), rejected, None, scores, chosen)


def _rejections(nodes: Snapshot, verdicts: list[Verdict]) -> dict[str, list[Rejection]]:
    rejected: dict[str, list[Rejection]] = {}
    for verdict in verdicts:
        if verdict.refusal is not None:
            for row in range(len(nodes)):
                rejected.setdefault(nodes.name(row), []).append(Rejection(verdict.plugin, verdict.refusal.reason))
        for reject in verdict.rejects:
            for row in np.flatnonzero(reject.mask).tolist():
                rejected.setdefault(nodes.name(row), []).append(Rejection(verdict.plugin, reject.reason))
    return rejected
