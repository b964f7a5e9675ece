"""Where ``preemption_search`` tries who has to leave: on the nodes themselves, or on paper.

Room, ports, anti-affinity and spread are matters of counting (``postfilter.Outlook``): where a pod has no other rules,
a node is made free by arithmetic, and many nodes at once, each as if only its own pods left. Everything else (affinity,
volumes, most rules of policies) is tried on the snapshot with all filters (``framework.trial``), which costs many times
as much.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import numpy as np

from stowplan.framework.departures import Both, Departures, Named
from stowplan.framework.postfilter import Filters
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis, Mask
from stowplan.framework.trial import Trial
from stowplan.model.pods import PodInfo


class Stage(Protocol):
    """A cluster that pods leave and come back to; a context manager, after which all is as before."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def take(self, pod: PodInfo, row: int) -> None:
        """A pod leaves its node."""

    def give_back(self, pod: PodInfo, row: int) -> None:
        """It comes back."""

    def fits(self, rows: list[int]) -> list[int]:
        """Those of the rows on which the preemptor fits now."""

    def said(self, among: Mask) -> Diagnosis:
        """Why it does not fit on some nodes, bool[node], now."""


class OnNodes:
    """On the snapshot, with all filters of the preemptor."""

    def __init__(self, pod: PodInfo, nodes: Snapshot, filters: Filters) -> None:
        self._pod = pod
        self._nodes = nodes
        self._filters = filters
        self._trial = Trial(nodes)

    def __enter__(self) -> Self:
        self._trial.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._trial.__exit__(kind, error, trace)

    def take(self, pod: PodInfo, row: int) -> None:
        """See ``Stage``."""
        self._trial.take(pod)

    def give_back(self, pod: PodInfo, row: int) -> None:
        """See ``Stage``."""
        self._trial.give_back(pod)

    def fits(self, rows: list[int]) -> list[int]:
        """See ``Stage``."""
        passes = self._filters.passes(self._pod, self._nodes, np.array(rows, dtype=np.intp))
        return [row for row, fine in zip(rows, passes.tolist(), strict=True) if fine]

    def said(self, among: Mask) -> Diagnosis:
        """See ``Stage``."""
        return self._filters.diagnose(self._pod, self._nodes, among=among)


class OnPaper:
    """On a list of who has left, where the outlook of the filters is complete (``Prospect.complete``).

    Args:
        pod: the preemptor.
        nodes: the cluster.
        filters: those of the preemptor.
        come: rivals that count as if they were there already; None where there are none.
    """

    def __init__(self, pod: PodInfo, nodes: Snapshot, filters: Filters, come: Departures | None) -> None:
        self._pod = pod
        self._nodes = nodes
        self._filters = filters
        self._named = Named(nodes)
        self._gone: Departures = self._named if come is None else Both(come, self._named)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def take(self, pod: PodInfo, row: int) -> None:
        """See ``Stage``."""
        self._named.leaves(pod, row)

    def give_back(self, pod: PodInfo, row: int) -> None:
        """See ``Stage``."""
        self._named.comes(pod, row)

    def fits(self, rows: list[int]) -> list[int]:
        """See ``Stage``."""
        against = self._filters.outlook(self._pod, self._nodes, self._gone).against(len(self._nodes))
        return [row for row in rows if not against[row]]

    def said(self, among: Mask) -> Diagnosis:
        """See ``Stage``."""
        prospect = self._filters.outlook(self._pod, self._nodes, self._gone)
        return Diagnosis(len(self._nodes), prospect.verdicts, among=among)
