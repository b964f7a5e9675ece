"""What plugins answer and what becomes of it: a failure to schedule is a value that explains itself.

Source of the texts: kubernetes v1.36.3 ``pkg/scheduler/framework/types.go`` (``FitError.Error``).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


class Resolution(enum.Enum):
    """Whether removing other pods from a node could make it acceptable."""

    UNSCHEDULABLE = "Unschedulable"
    UNRESOLVABLE = "UnschedulableAndUnresolvable"


UNSCHEDULABLE = Resolution.UNSCHEDULABLE
UNRESOLVABLE = Resolution.UNRESOLVABLE


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """A filter's verdict on some nodes.

    Attributes:
        mask: bool[node], True where the node is rejected.
        reason: shown to users, in kube-scheduler's words where it has them.
        resolution: UNRESOLVABLE where evicting pods cannot help.
    """

    mask: Mask
    reason: str
    resolution: Resolution = UNSCHEDULABLE


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """A pre-filter's verdict: the pod fits nowhere, whatever the nodes are."""

    reason: str
    resolution: Resolution = UNRESOLVABLE


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """All that one plugin says against the nodes: its rejects in order, or a refusal of the pod as a whole.

    Attributes:
        failed: the refusal stands for a plugin that failed, see ``framework.conduct``.
    """

    plugin: str
    rejects: tuple[Reject, ...] = ()
    refusal: Refusal | None = None
    failed: bool = False


def first_only(rejects: Iterable[Reject]) -> Iterator[Reject]:
    """The same rejects, each without the nodes of those before it: one reason for each node.

    For filters that, as kube-scheduler's do, stop at the first thing that is wrong with a node.
    """
    seen: Mask | None = None
    for reject in rejects:
        if seen is None:
            seen = reject.mask
            yield reject
        else:
            fresh = reject.mask & ~seen
            seen = seen | reject.mask
            yield Reject(fresh, reject.reason, reject.resolution)


class Diagnosis:
    """Why a pod fits nowhere. Each node counts for the first plugin that rejects it, as in kube-scheduler.

    Attributes:
        total: number of nodes.
        reasons: reason to number of nodes.
        plugins: names of the plugins that rejected at least one node, in their order.
        unresolvable: bool[node], True where evicting pods cannot help.
        refusal: set where a plugin refused the pod before looking at nodes.
        failed: whether that is because a plugin failed: no plugin can say then what would help.
        after: why nothing could be done about it either, see ``framework.postfilter``; "" where nobody tried.
        beyond: names of the plugins that are the reason for that, be they among ``plugins`` or not.
    """

    __slots__ = ("_found", "after", "beyond", "failed", "plugins", "reasons", "refusal", "total", "unresolvable")

    def __init__(self, total: int, verdicts: Iterable[Verdict], *, among: Mask | None = None) -> None:
        self.total = total
        self.reasons: dict[str, int] = {}
        self.plugins: dict[str, None] = {}
        self.refusal: Refusal | None = None
        self.failed = False
        self.unresolvable: Mask = np.zeros(total, dtype=np.bool_)
        self.after = ""
        self.beyond: frozenset[str] = frozenset()
        self._found: list[tuple[str, str, Mask]] = []
        self.add(verdicts, among=np.ones(total, dtype=np.bool_) if among is None else among)

    def add(self, verdicts: Iterable[Verdict], *, among: Mask) -> None:
        """Counts what is against some nodes, bool[node], that have not been counted yet."""
        left = among
        for verdict in verdicts:
            if verdict.refusal is not None:
                self._refuse(verdict.plugin, verdict.refusal)
                self.failed = verdict.failed
                return
            left = self._count(verdict, left)

    def merge(self, other: Diagnosis) -> None:
        """Counts what another diagnosis has found, of other nodes."""
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        self.plugins |= other.plugins
        self.unresolvable |= other.unresolvable
        self._found += other._found

    def barred_by(self, row: int) -> str:
        """The plugin that rejects a node in a way that evicting pods cannot help; "" where none does."""
        return self.rejected_by(row) if self.unresolvable[row] else ""

    def rejected_by(self, row: int) -> str:
        """The plugin that a node counts for; "" for none."""
        return next((plugin for plugin, _, hit in self._found if hit[row]), "")

    def amended(self, row: int, verdict: Verdict) -> Diagnosis:
        """The same for all nodes but one, which counts for one reject of a verdict now.

        The plugins stay, be there a node that they reject or not. Not for a refusal.
        """
        found = Diagnosis(0, ())
        found.total, found.after, found.beyond = self.total, self.after, self.beyond
        found.plugins = {**self.plugins, verdict.plugin: None}
        (reject,) = verdict.rejects
        at = (verdict.plugin, reject.reason)
        masks: dict[tuple[str, str], Mask] = {}
        for plugin, reason, hit in self._found:
            here = masks[plugin, reason] = masks.get((plugin, reason), False) | hit
            here[row] = False
        masks.setdefault(at, np.zeros(self.total, dtype=np.bool_))[row] = True
        found._found = [(plugin, reason, hit) for (plugin, reason), hit in masks.items()]
        for (_, reason), hit in masks.items():
            count = int(np.count_nonzero(hit))
            if count:
                found.reasons[reason] = found.reasons.get(reason, 0) + count
        found.unresolvable = self.unresolvable.copy()
        found.unresolvable[row] = reject.resolution is UNRESOLVABLE
        return found

    def _refuse(self, plugin: str, refusal: Refusal) -> None:
        self.refusal = refusal
        self.reasons = {refusal.reason: self.total}
        self.plugins = {plugin: None}
        self.unresolvable[:] = refusal.resolution is UNRESOLVABLE

    def _count(self, verdict: Verdict, left: Mask) -> Mask:
        after = left
        for reject in verdict.rejects:
            hit = left & reject.mask
            count = int(np.count_nonzero(hit))
            if count:
                self.reasons[reject.reason] = self.reasons.get(reject.reason, 0) + count
                self.plugins[verdict.plugin] = None
                if reject.resolution is UNRESOLVABLE:
                    self.unresolvable |= hit
                self._found.append((verdict.plugin, reject.reason, hit))
                after = after & ~hit
        return after

    @property
    def message(self) -> str:
        """For users, e.g. ``0/5 nodes are available: 2 Insufficient cpu, 3 node(s) had untolerated taint(s).``."""
        if self.total == 0:
            return "no nodes available to schedule pods"
        return f"{self._said()} {self.after}" if self.after else self._said()

    def _said(self) -> str:
        head = f"0/{self.total} nodes are available"
        if self.refusal is not None:
            return f"{head}: {self.refusal.reason}."
        if not self.reasons:
            return head
        parts = sorted(f"{count} {reason}" for reason, count in self.reasons.items())
        return f"{head}: {', '.join(parts)}."
