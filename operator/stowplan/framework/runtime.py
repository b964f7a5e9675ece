"""Runs the plugins of a profile over a snapshot: filter, diagnose, score, choose, reserve.

Called by ``scheduler.cycle`` for live decisions and by ``simulator`` for ``plan`` and ``explain``. The fast path
only asks whether each node passes; who rejected what is worked out (``diagnose``) when a pod fits nowhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from stowplan.framework import plugin as plugin_api
from stowplan.framework.plugin import CycleState, Filter, Plugin, PreBindWrite, PreFilter, Reserve, Rows, Score, Scores
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Diagnosis, Mask, Refusal, Reject, Verdict
from stowplan.model.pods import PodInfo


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """Where a pod goes and why.

    Attributes:
        row: row of the chosen node.
        node: its name.
        score: its weighted total.
        runner_up: name and total of the best other node; ("", 0) where there is none.
        feasible: number of feasible nodes.
        total: number of nodes.
        decisive: names of the plugins whose weighted score differs between the two, largest difference first.
    """

    row: int
    node: str
    score: int
    runner_up: tuple[str, int]
    feasible: int
    total: int
    decisive: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ScoreTable:
    """The scores of the feasible nodes.

    Attributes:
        rows: intp[feasible].
        total: int64[feasible], weighted.
        plugins: plugin name to weight and its int64[feasible] of 0..100; plugins with nothing to say are left out.
    """

    rows: Rows
    total: Scores
    plugins: dict[str, tuple[int, Scores]]


@dataclasses.dataclass(slots=True)
class _PreFiltered:
    """What the pre-filters say: who has nothing to say, which nodes are out already, or that the pod is refused."""

    skipped: set[str] = dataclasses.field(default_factory=set)
    rejected: list[Verdict] = dataclasses.field(default_factory=list)
    refusal: Verdict | None = None


class Framework:
    """The plugins of one profile, in order.

    Attributes:
        name: of the profile, as metrics show it.
        plugins: all of them, in the order in which they run.
        weights: score plugin name to its weight; 0 leaves it out, 1 where it is not named.
    """

    def __init__(self, name: str, plugins: Sequence[Plugin], weights: Mapping[str, int]) -> None:
        self.name = name
        self.plugins = tuple(plugins)
        self.weights = dict(weights)
        filters = [each for each in plugins if isinstance(each, Filter)]
        self._static = tuple(each for each in filters if getattr(each, "static", False))
        self._dynamic = tuple(each for each in filters if not getattr(each, "static", False))
        self._filters = tuple(filters)
        self._pre_filters = tuple(each for each in plugins if isinstance(each, PreFilter))
        self._scores = tuple(
            (each, self.weights.get(each.name, 1))
            for each in plugins
            if isinstance(each, Score) and self.weights.get(each.name, 1)
        )
        self._reserves = tuple(each for each in plugins if isinstance(each, Reserve))
        self._by_name = {each.name: each for each in plugins}

    # ------------------------------------------------------------ filter

    def feasible(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Mask:
        """bool[node]: the nodes that no plugin rejects."""
        before = self._run_pre_filters(pod, nodes, state)
        if before.refusal is not None:
            return np.zeros(len(nodes), dtype=np.bool_)
        fixed = nodes.once((self, pod.cls), lambda: self._static_mask(pod, nodes, state))
        left = fixed
        for verdict in before.rejected:
            for reject in verdict.rejects:
                left = left & ~reject.mask
        probe = state.probe
        for each in self._dynamic:
            if each.name not in before.skipped:
                start = probe.start()
                for reject in each.filter(pod, nodes, state):
                    left = left & ~reject.mask
                probe.plugin(each.name, "Filter", start)
        return left

    def diagnose(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Diagnosis:
        """Why the pod fits nowhere (or would not fit on the nodes that reject it)."""
        return Diagnosis(len(nodes), self.verdicts(pod, nodes, state))

    def verdicts(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Verdict]:
        """All that the filters have against the nodes, plugin by plugin, over all nodes."""
        before = self._run_pre_filters(pod, nodes, state)
        if before.refusal is not None:
            yield before.refusal
            return
        yield from before.rejected
        for each in self._filters:
            if each.name not in before.skipped:
                yield Verdict(each.name, rejects=tuple(each.filter(pod, nodes, state)))

    def _run_pre_filters(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> _PreFiltered:
        found = _PreFiltered()
        probe = state.probe
        for each in self._pre_filters:
            start = probe.start()
            answer = each.pre_filter(pod, nodes, state)
            probe.plugin(each.name, "PreFilter", start)
            if answer is plugin_api.SKIP:
                found.skipped.add(each.name)
            elif isinstance(answer, Reject):
                found.rejected.append(Verdict(each.name, rejects=(answer,)))
            elif isinstance(answer, Refusal):
                found.refusal = Verdict(each.name, refusal=answer)
                if answer.resolution is UNRESOLVABLE:  # where evictions may help, a later plugin may know better
                    break
        return found

    def _static_mask(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Mask:
        left = np.ones(len(nodes), dtype=np.bool_)
        for each in self._static:
            for reject in each.filter(pod, nodes, state):
                left &= ~reject.mask
        return left

    # ------------------------------------------------------------ score

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> ScoreTable:
        """Scores the feasible nodes.

        Raises:
            ValueError: a plugin gave a score outside 0..100, or not one per node.
        """
        total: Scores = np.zeros(len(rows), dtype=np.int64)
        plugins: dict[str, tuple[int, Scores]] = {}
        probe = state.probe
        for each, weight in self._scores:
            start = probe.start()
            scores = each.score(pod, nodes, state, rows)
            probe.plugin(each.name, "Score", start)
            if scores is None:
                continue
            if scores.shape != rows.shape or int(scores.min()) < 0 or int(scores.max()) > plugin_api.MAX_SCORE:
                raise ValueError(f"plugin {each.name}: scores must be 0 to {plugin_api.MAX_SCORE}, one per node")
            plugins[each.name] = (weight, scores)
            total += weight * scores
        return ScoreTable(rows, total, plugins)

    def choose(self, nodes: Snapshot, table: ScoreTable, chance: int) -> Decision:
        """The best node; ``chance`` (any non-negative integer) picks among equals."""
        total = table.total
        best = int(total.max())
        ties = np.flatnonzero(total == best)
        at = int(ties[chance % len(ties)])
        runner_up = ("", 0)
        decisive: tuple[str, ...] = ()
        if len(total) > 1:
            if len(ties) > 1:
                second = int(ties[0]) if int(ties[0]) != at else int(ties[1])
            else:
                total[at] = -1
                second = int(total.argmax())
                total[at] = best
            runner_up = (nodes.name(int(table.rows[second])), int(total[second]))
            differences = {
                name: abs(weight * (int(scores[at]) - int(scores[second])))
                for name, (weight, scores) in table.plugins.items()
            }
            decisive = tuple(sorted((n for n, d in differences.items() if d), key=lambda n: (-differences[n], n)))
        row = int(table.rows[at])
        return Decision(
            row=row,
            node=nodes.name(row),
            score=best,
            runner_up=runner_up,
            feasible=len(total),
            total=len(nodes),
            decisive=decisive,
        )

    def schedule(self, pod: PodInfo, nodes: Snapshot, state: CycleState, chance: int) -> Decision | Diagnosis:
        """Filters, scores and chooses; a Diagnosis where the pod fits nowhere."""
        probe = state.probe
        start = probe.start()
        rows = np.flatnonzero(self.feasible(pod, nodes, state))
        probe.point("Filter", start, ok=len(rows) > 0)
        if len(rows) == 0:
            return self.diagnose(pod, nodes, state)
        start = probe.start()
        table = self.score(pod, nodes, state, rows)
        probe.point("Score", start, ok=True)
        return self.choose(nodes, table, chance)

    # ------------------------------------------------------------ reserve

    def reserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState, row: int) -> tuple[PreBindWrite, ...] | Verdict:
        """Reserves on the chosen node; on a refusal gives back what was taken and says who refused."""
        writes: list[PreBindWrite] = []
        for each in self._reserves:
            answer = each.reserve(pod, nodes, state, row)
            if isinstance(answer, Refusal):
                self.unreserve(pod, nodes, state)
                return Verdict(each.name, refusal=answer)
            writes.extend(answer)
        return tuple(writes)

    def unreserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> None:
        """Gives back what the plugins reserved, last first."""
        for each in reversed(self._reserves):
            each.unreserve(pod, nodes, state)

    def plugin(self, name: str) -> Plugin:
        """The plugin of that name. Raises KeyError."""
        return self._by_name[name]
