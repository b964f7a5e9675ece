"""Runs the plugins of a profile over a snapshot: filter, diagnose, score, choose, reserve.

Called by ``scheduler.cycle`` for live decisions and by ``simulator`` for ``plan`` and ``explain``. The fast path
only asks whether each node passes; who rejected what is worked out (``diagnose``) when a pod fits nowhere.

Whatever a plugin raises, and whatever it answers that it must not, ends here and goes to ``framework.conduct``: an
exception that leaves this module is a defect of the module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import cast

import numpy as np

from stowplan.framework import choice, promised
from stowplan.framework import plugin as plugin_api
from stowplan.framework.choice import Decision
from stowplan.framework.conduct import FILTER, LIMIT, PRE_FILTER, RESERVE, RULES, Call, Conduct
from stowplan.framework.departures import Departures
from stowplan.framework.plugin import (
    CycleState,
    Filter,
    Plugin,
    PreBindWrite,
    PreFilter,
    Reserve,
    Rows,
    Score,
    Skip,
)
from stowplan.framework.postfilter import Outlook, Prospect
from stowplan.framework.remedies import Anything, PluginRemedy, Remedy, UntilItWorks
from stowplan.framework.scoring import Scorer, ScoreTable
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Diagnosis, Mask, Refusal, Reject, Verdict, first_only
from stowplan.model.pods import PodInfo


@dataclasses.dataclass(slots=True)
class _PreFiltered:
    """What the pre-filters say: who has nothing to say, which nodes are out already, or that the pod is refused."""

    skipped: set[str] = dataclasses.field(default_factory=set)
    rejected: list[Verdict] = dataclasses.field(default_factory=list)
    refusal: Verdict | None = None


class _PluginError(Exception):
    """A plugin has failed; ends the filters of one pod."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict


class Framework:
    """The plugins of one profile, in order.

    Args:
        name: of the profile.
        plugins: in the order in which they run.
        weights: as below.
        conduct: where failures of plugins are kept beyond the life of this framework; None for one of its own.

    Attributes:
        name: of the profile, as metrics show it.
        plugins: all of them, in the order in which they run.
        weights: score plugin name to its weight; 0 leaves it out, 1 where it is not named.
        conduct: which plugins fail, and which are cut off.
    """

    def __init__(
        self, name: str, plugins: Sequence[Plugin], weights: Mapping[str, int], conduct: Conduct | None = None
    ) -> None:
        self.name = name
        self.plugins = tuple(plugins)
        self.weights = dict(weights)
        self.conduct = Conduct() if conduct is None else conduct
        filters = [each for each in plugins if isinstance(each, Filter)]
        self._static = tuple(each for each in filters if getattr(each, "static", False))
        self._dynamic = tuple(each for each in filters if not getattr(each, "static", False))
        self._filters = tuple(filters)
        self._pre_filters = tuple(each for each in plugins if isinstance(each, PreFilter))
        scores = [(each, self.weights.get(each.name, 1)) for each in plugins if isinstance(each, Score)]
        self._scorer = Scorer(name, [each for each in scores if each[1]], self.conduct)
        self._reserves = tuple(each for each in plugins if isinstance(each, Reserve))
        self._by_name = {each.name: each for each in plugins}
        self._remedies: dict[frozenset[str], PluginRemedy] = {}
        self._anything = Anything()
        self._until_it_works = UntilItWorks(lambda: self._held() is not None)

    # ------------------------------------------------------------ filter

    def feasible(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Mask:
        """bool[node]: the nodes that no plugin rejects, nominated pods that the pod must yield to counted."""
        left = self.passing(pod, nodes, state)
        return promised.leave_room(self, pod, nodes, left) if nodes.nominations else left

    def passing(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Mask:
        """bool[node]: the nodes that no plugin rejects; none where a plugin fails, and ``state.failed`` says which."""
        try:
            state.failed = self._held()
            before = _PreFiltered() if state.failed else self._run_pre_filters(pod, nodes, state)
            if state.failed or before.refusal is not None:
                return np.zeros(len(nodes), dtype=np.bool_)
            left = nodes.once((self, pod.cls), lambda: self._static_mask(pod, nodes, state))
            for verdict in before.rejected:
                for reject in verdict.rejects:
                    left = left & ~reject.mask
            probe, timed = state.probe, state.probe.each
            for each in self._dynamic:
                if each.name not in before.skipped:
                    start = probe.start() if timed else 0.0
                    left = self._left_by(each, pod, nodes, state, left)
                    if timed:
                        probe.plugin(each.name, FILTER, start)
        except _PluginError as error:
            state.failed = error.verdict
            return np.zeros(len(nodes), dtype=np.bool_)
        return left

    def diagnose(self, pod: PodInfo, nodes: Snapshot, state: CycleState, *, among: Mask | None = None) -> Diagnosis:
        """Why the pod fits nowhere, or not ``among`` some nodes (or would not fit on the nodes that reject it)."""
        if state.failed is not None:
            return Diagnosis(len(nodes), [state.failed])
        left: Mask = np.ones(len(nodes), dtype=np.bool_) if among is None else among
        beside = list(promised.objections(self, pod, nodes, first=True)) if nodes.nominations else []
        for rows, _ in beside:
            left = left & ~rows
        found = Diagnosis(len(nodes), self.verdicts(pod, nodes, state), among=left)
        for rows, verdicts in beside:
            if found.refusal is None:
                found.add(verdicts, among=rows if among is None else rows & among)
        return found

    def verdicts(
        self, pod: PodInfo, nodes: Snapshot, state: CycleState, *, first: Collection[str] = ()
    ) -> Iterator[Verdict]:
        """All that the filters have against the nodes, plugin by plugin, over all nodes; some of them ``first``."""
        held = self._held()
        if held is not None:
            yield held
            return
        try:
            before = self._run_pre_filters(pod, nodes, state)
        except _PluginError as error:
            yield error.verdict
            return
        if before.refusal is not None:
            yield before.refusal
            return
        yield from before.rejected
        for each in sorted(self._filters, key=lambda each: each.name not in first) if first else self._filters:
            if each.name not in before.skipped:
                yield self._verdict_of(each, pod, nodes, state)

    def beside(self, pod: PodInfo, nodes: Snapshot, come: Departures) -> Prospect:
        """What is against each node once the pods that come to it are there, and nobody elsewhere.

        All there is, if it is complete; else what comes before the first filter that only a trial can ask.
        """
        if self._held() is not None:
            return Prospect((), complete=True)  # as the filters say nothing of any node then
        try:
            before = self._run_pre_filters(pod, nodes, CycleState())
        except _PluginError:
            return Prospect((), complete=False)
        if before.refusal is not None:
            return Prospect((), complete=True)
        found, terms = list(before.rejected), bool(come.terms)
        for each in self._filters:
            if each in self._static:
                found.append(self._verdict_of(each, pod, nodes, CycleState()))
            elif _speaks(each, before, terms=terms):
                verdict = self._outlook(each, pod, nodes, come)
                if verdict is None:
                    return Prospect(tuple(found), complete=False)
                found.append(verdict)
        return Prospect(tuple(found), complete=True)

    def _outlook(self, each: Filter, pod: PodInfo, nodes: Snapshot, gone: Departures) -> Verdict | None:
        try:
            return cast("Outlook", each).outlook(pod, nodes, gone) if hasattr(each, "outlook") else None
        except Exception as error:  # noqa: BLE001 - what a plugin raises must harm no other
            self._failed(each, FILTER, pod, error)
            return None

    def active(self, pod: PodInfo, nodes: Snapshot, gone: Departures | None = None) -> list[Filter]:
        """The filters that look at pods, too, and have something to say about this one, in their order.

        Those that do not, too, where they come after one: it may be the first to reject a node that they reject, too.

        Args:
            pod: the pod.
            nodes: the cluster.
            gone: pods that leave or come, about which there may be something to say as well.
        """
        try:
            before = self._run_pre_filters(pod, nodes, CycleState())
        except _PluginError:
            return list(self._dynamic)
        terms = gone is not None and bool(gone.terms)
        found: list[Filter] = []
        for each in self._filters:
            if found if each in self._static else _speaks(each, before, terms=terms):
                found.append(each)
        return found

    def objects(self, each: Filter, pod: PodInfo, nodes: Snapshot) -> Mask:
        """bool[node]: the nodes that one of the filters has something against, as they are; all where it fails."""
        state = CycleState()
        try:
            answer = self._pre_filter(each, pod, nodes, state) if isinstance(each, PreFilter) else None
        except _PluginError:
            answer = Refusal("")
        against: Mask = np.full(len(nodes), isinstance(answer, Refusal))
        if answer is plugin_api.SKIP or isinstance(answer, Refusal):
            return against
        if isinstance(answer, Reject):
            against |= answer.mask
        verdict = self._verdict_of(each, pod, nodes, state)
        against |= verdict.refusal is not None
        for reject in verdict.rejects:
            against |= reject.mask
        return against

    def independent(self, pod: PodInfo, nodes: Snapshot) -> bool:
        """Whether all filters judge each node by the pods on it alone (``alone``): many can be tried at once then."""
        return all(plugin_api.only_here(each) for each in self.active(pod, nodes))

    def _left_by(self, each: Filter, pod: PodInfo, nodes: Snapshot, state: CycleState, left: Mask) -> Mask:
        """What one filter leaves of a mask. Raises _PluginError."""
        try:
            for reject in each.filter(pod, nodes, state):
                left = left > _sound(reject, nodes).mask  # and not: one step instead of two
        except Exception as error:  # what a plugin raises must harm no other
            raise _PluginError(self._failed(each, FILTER, pod, error)) from error
        self._passed(each, FILTER)
        return left

    def _verdict_of(self, each: Filter, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Verdict:
        try:
            rejects = tuple(_sound(reject, nodes) for reject in each.filter(pod, nodes, state))
        except Exception as error:  # noqa: BLE001 - what a plugin raises must harm no other
            return self._failed(each, FILTER, pod, error)
        self._passed(each, FILTER)
        if getattr(each, "first_only", False):
            rejects = tuple(first_only(rejects))
        if each in self._static:  # what does not depend on pods is not for preemption to change
            rejects = tuple(dataclasses.replace(reject, resolution=UNRESOLVABLE) for reject in rejects)
        return Verdict(each.name, rejects=rejects)

    def _run_pre_filters(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> _PreFiltered:
        """Raises _PluginError."""
        found = _PreFiltered()
        probe, timed = state.probe, state.probe.each
        for each in self._pre_filters:
            start = probe.start() if timed else 0.0
            answer = self._pre_filter(each, pod, nodes, state)
            if timed:
                probe.plugin(each.name, PRE_FILTER, start)
            if answer is plugin_api.SKIP:
                found.skipped.add(each.name)
            elif isinstance(answer, Reject):
                found.rejected.append(Verdict(each.name, rejects=(answer,)))
            elif isinstance(answer, Refusal):
                found.refusal = Verdict(each.name, refusal=answer)
                if answer.resolution is UNRESOLVABLE:  # where evictions may help, a later plugin may know better
                    break
        return found

    def _pre_filter(
        self, each: PreFilter, pod: PodInfo, nodes: Snapshot, state: CycleState
    ) -> Refusal | Reject | Skip | None:
        """Raises _PluginError."""
        try:
            answer = each.pre_filter(pod, nodes, state)
            if isinstance(answer, Reject):
                _sound(answer, nodes)
            elif not (answer is None or answer is plugin_api.SKIP or isinstance(answer, Refusal)):
                raise TypeError(f"pre_filter must return a Refusal, a Reject, SKIP or None, not {answer!r}")
        except Exception as error:  # what a plugin raises must harm no other
            raise _PluginError(self._failed(each, PRE_FILTER, pod, error)) from error
        self._passed(each, PRE_FILTER)
        return answer

    def _static_mask(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Mask:
        """Raises _PluginError."""
        left: Mask = np.ones(len(nodes), dtype=np.bool_)
        for each in self._static:
            left = self._left_by(each, pod, nodes, state, left)
        return left

    # ------------------------------------------------------------ score

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> ScoreTable:
        """Scores the feasible nodes; a plugin that fails is left out."""
        return self._scorer.table(pod, nodes, state, rows)

    def schedule(self, pod: PodInfo, nodes: Snapshot, state: CycleState, chance: int) -> Decision | Diagnosis:
        """Filters, scores and chooses; a Diagnosis where the pod fits nowhere."""
        probe = state.probe
        start = probe.start()
        left = self.passing(pod, nodes, state)
        if nodes.nominations:
            left = promised.first_of_all(self, pod, nodes, left)
        rows = nodes.rows_where(left)
        probe.point("Filter", start, ok=len(rows) > 0)
        if len(rows) == 0:
            return self.diagnose(pod, nodes, state)
        start = probe.start()
        table = self.score(pod, nodes, state, rows)
        probe.point("Score", start, ok=True)
        return choice.choose(nodes, table, chance)

    # ------------------------------------------------------------ reserve

    def reserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState, row: int) -> tuple[PreBindWrite, ...] | Verdict:
        """Reserves on the chosen node; on a refusal gives back what was taken and says who refused."""
        writes: list[PreBindWrite] = []
        for each in self._reserves:
            try:
                answer = each.reserve(pod, nodes, state, row)
                asked = () if isinstance(answer, Refusal) else tuple(answer)
            except Exception as error:  # noqa: BLE001 - what a plugin raises must harm no other
                self.unreserve(pod, nodes, state)
                return self._failed(each, RESERVE, pod, error)
            self._passed(each, RESERVE)
            if isinstance(answer, Refusal):
                self.unreserve(pod, nodes, state)
                return Verdict(each.name, refusal=answer)
            writes.extend(asked)
        return tuple(writes)

    def unreserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> None:
        """Gives back what the plugins reserved, last first."""
        for each in reversed(self._reserves):
            try:
                each.unreserve(pod, nodes, state)
            except Exception as error:  # noqa: BLE001 - the others must give back all the same
                self._failed(each, RESERVE, pod, error)

    # ------------------------------------------------------------ plugins that fail

    def _failed(self, each: Plugin, point: str, pod: PodInfo, error: Exception) -> Verdict:
        """Takes note of a failure; what the pod is told where it has to wait for that."""
        said = self.conduct.failed(Call(self.name, each.name, point), pod, error)
        return Verdict(each.name, refusal=Refusal(f"plugin {each.name} failed: {said}"), failed=True)

    def _passed(self, each: Plugin, point: str) -> None:
        """It works: it is no suspect any more."""
        if self.conduct.suspects:
            self.conduct.passed(Call(self.name, each.name, point))

    def _held(self) -> Verdict | None:
        """Why all pods wait: a plugin that has to say where they may run is cut off; None where none is."""
        for call, error in self.conduct.out.items():
            if call.profile == self.name and call.point in RULES and call.plugin in self._by_name:
                reason = f"plugin {call.plugin} is cut off after failing for {LIMIT} pods in a row: {error}"
                return Verdict(call.plugin, refusal=Refusal(reason), failed=True)
        return None

    # ------------------------------------------------------------ what can help

    @property
    def remedies(self) -> Collection[Remedy]:
        """Those that pods of this profile have needed so far."""
        return self._remedies.values()

    def remedy(self, diagnosis: Diagnosis, known: Remedy | None = None) -> Remedy:
        """What can help a pod with this diagnosis; one object for each set of plugins.

        Args:
            diagnosis: why the pod fits nowhere.
            known: a remedy that it has waited for until now: its plugins stay among those that are asked, so that pods
                which are rejected by one plugin now and by another then need not move from one to the other.
        """
        if diagnosis.failed:
            return self._anything if self._held() is None else self._until_it_works
        names = diagnosis.beyond.union(diagnosis.plugins)
        if isinstance(known, PluginRemedy) and self._remedies.get(known.names) is known:
            names |= known.names
        found = self._remedies.get(names)
        if found is None:
            found = self._remedies[names] = PluginRemedy(self._by_name[each] for each in names)
        return found

    def plugin(self, name: str) -> Plugin:
        """The plugin of that name. Raises KeyError."""
        return self._by_name[name]


def _speaks(each: Filter, before: _PreFiltered, *, terms: bool) -> bool:
    """Whether a filter has something to say; one that steps aside as things are may have where pods bring terms."""
    return each.name not in before.skipped or (terms and hasattr(each, "outlook"))


def _sound(reject: Reject, nodes: Snapshot) -> Reject:
    """The reject. Raises TypeError where its mask is not bool[node]."""
    mask = reject.mask
    if mask.dtype != np.bool_ or mask.shape != (len(nodes),):
        raise TypeError(f"the mask of a Reject must be bool[{len(nodes)}], not {mask.dtype}{list(mask.shape)}")
    return reject
