"""A look at a pod that an event has woken, before it is tried: does it fit on any node now?

Part of ``scheduler.cycle``. The hints of the plugins that rejected a pod say that one of them may have changed its mind
about some node (``framework.remedies``); whether all of them accept that node is another question, and mostly they do
not. So the filters are asked before the pod is tried. If it still fits nowhere it sleeps on, for the reasons that the
look has found: no attempt is counted, nobody is looked for who could be evicted, and nothing is written.

An event that is about one node, and that can help on that node only, has the filters asked about that node, one after
the other, until one of them rejects it. What was known of the others still holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

from stowplan.framework.plugin import CycleState
from stowplan.framework.remedies import Remedy
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis, Reject, Verdict
from stowplan.model.pods import PodInfo


@dataclasses.dataclass(frozen=True, slots=True)
class Hope:
    """Why a pod was woken.

    Attributes:
        remedy: what it has waited for, together with others; None where it was woken for itself.
        diagnosis: why it fitted nowhere; None where that may not hold of any node any more.
        nodes: names of the nodes where something has happened since that may help.
    """

    remedy: Remedy | None = None
    diagnosis: Diagnosis | None = None
    nodes: frozenset[str] = frozenset()


def everywhere(pod: PodInfo, framework: Framework, nodes: Snapshot) -> Diagnosis | None:
    """Why a pod fits nowhere; None where it does, or where a plugin fails that has to say so."""
    state = CycleState()
    if framework.feasible(pod, nodes, state).any() or state.failed is not None:
        return None
    diagnosis = framework.diagnose(pod, nodes, state)
    return None if diagnosis.failed else diagnosis


def on(names: Iterable[str], pod: PodInfo, framework: Framework, nodes: Snapshot, known: Diagnosis) -> Diagnosis | None:
    """The same, where only these nodes may have become acceptable since something was known of all of them.

    To be used where no pod is nominated to any of them.
    """
    found = known
    for name in names:
        row = nodes.row_of.get(name)
        if row is None:
            continue
        others = found.plugins.keys() - {found.rejected_by(row)}
        verdict = _against(pod, framework, nodes, row, others)
        if verdict is None or verdict.failed:
            return None
        if verdict.refusal is not None:
            return Diagnosis(len(nodes), [verdict])
        found = found.amended(row, verdict)
    return found


def _against(pod: PodInfo, framework: Framework, nodes: Snapshot, row: int, likely: Collection[str]) -> Verdict | None:
    """Something that a filter has against a node, or against the pod; those that are likely to have are asked first."""
    for verdict in framework.verdicts(pod, nodes, CycleState(), first=likely):
        if verdict.refusal is not None:
            return verdict
        reject = _of(verdict, row)
        if reject is not None:
            return Verdict(verdict.plugin, rejects=(reject,))
    return None


def _of(verdict: Verdict, row: int) -> Reject | None:
    return next((reject for reject in verdict.rejects if reject.mask[row]), None)
