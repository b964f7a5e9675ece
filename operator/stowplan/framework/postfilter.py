"""The extension point PostFilter: what can be done for a pod that fits on no node.

Called by ``scheduler.cycle`` through ``framework.rescue`` after the filters have found no node. A plugin may find a
node that would do if some pods left it; the scheduler promises the node to the pod, and ``live`` evicts the others.
Within its method a plugin may try things out (``framework.trial``) and ask the filters of the profile what they make of
it (:class:`Filters`). Whatever it tries must be undone when it returns.

Source: kube-scheduler v0.36.3 ``framework/interface.go`` (``PostFilterPlugin``, ``PostFilterResult``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np

from stowplan.framework.departures import Departures
from stowplan.framework.plugin import Plugin, Rows
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis, Mask, Reject, Verdict
from stowplan.model.pods import PodInfo


@dataclasses.dataclass(frozen=True, slots=True)
class Nomination:
    """A node for the pod, once others have left it.

    Attributes:
        node: its name.
        victims: the pods to be evicted from it, the most important first; at least one.
    """

    node: str
    victims: tuple[PodInfo, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Unhelped:
    """Nothing can be done.

    Attributes:
        reason: for users; follows what the filters said.
        waits: whether the pod keeps the node that was promised to it before, because its victims are still leaving.
        because_of: names of the plugins that reject nodes even without the pods that could leave: what may change their
            minds may help, too.
    """

    reason: str
    waits: bool = False
    because_of: frozenset[str] = frozenset()


@runtime_checkable
class GivesUp(Plugin, Protocol):
    """A PostFilter plugin that can tell cheaply, for some pods, that it would find no way out.

    A pod that an event has woken is tried again only if it fits somewhere or no such plugin can tell
    (``scheduler.cycle``); one without this method is asked in any case.
    """

    def gives_up(self, pod: PodInfo, nodes: Snapshot, failure: Diagnosis, filters: Filters) -> Unhelped | None:
        """What ``post_filter`` would say, where it is certain that nothing can be done; None where it is not."""


@dataclasses.dataclass(frozen=True, slots=True)
class Prospect:
    """What is certain to be against nodes once pods have left them.

    Attributes:
        verdicts: in the order of the filters. For the nodes in their masks they are also what the filters would say
            first.
        complete: whether nothing else can be against any node.
    """

    verdicts: tuple[Verdict, ...]
    complete: bool

    def against(self, size: int) -> Mask:
        """bool[size]: the nodes that something is against."""
        mask = np.zeros(size, dtype=np.bool_)
        for verdict in self.verdicts:
            for reject in verdict.rejects:
                mask |= reject.mask
        return mask


class Filters(Protocol):
    """The filters of the pod's profile, as a PostFilter plugin may ask them about a snapshot that it has changed."""

    def passes(self, pod: PodInfo, nodes: Snapshot, rows: Rows) -> Mask:
        """bool[len(rows)]: which of these rows no plugin rejects, with and without the pods nominated there."""

    def diagnose(self, pod: PodInfo, nodes: Snapshot, *, among: Mask) -> Diagnosis:
        """What is against some of the nodes, bool[node]."""

    def independent(self, pod: PodInfo, nodes: Snapshot) -> bool:
        """Whether each node is judged by the pods on it alone, so that changes to many can be tried at once."""

    def outlook(self, pod: PodInfo, nodes: Snapshot, gone: Departures) -> Prospect:
        """What is known to be against nodes even if these pods left them."""

    def lasting(self, pod: PodInfo, nodes: Snapshot) -> tuple[Verdict, ...]:
        """What is known to be against nodes whoever leaves them, by filters that know no more than that."""


@runtime_checkable
class PostFilter(Plugin, Protocol):
    """Looks for a way out for a pod that fits on no node."""

    def post_filter(
        self, pod: PodInfo, nodes: Snapshot, failure: Diagnosis, filters: Filters, chance: int
    ) -> Nomination | Unhelped:
        """A node to be made free, or why there is none.

        Args:
            pod: fits nowhere.
            nodes: the cluster; the same after the call as before.
            failure: what the filters said.
            filters: to be asked.
            chance: a non-negative number that picks among equals.
        """


@runtime_checkable
class Outlook(Plugin, Protocol):
    """A filter that can tell beforehand, and for all nodes at once, where evictions cannot be enough."""

    def outlook(self, pod: PodInfo, nodes: Snapshot, gone: Departures) -> Verdict | None:
        """What ``filter`` would say of each node if these pods had left it, and those elsewhere had stayed.

        None where it cannot tell for this pod, whatever leaves. More pods on a node must never make it acceptable, so
        that a pod that fits beside others fits without them. Asked about pods that come, too (they count as fewer that
        leave), and where these have anti-affinity terms (``gone.terms``) also about a pod that the plugin's
        ``pre_filter`` steps aside for.
        """


@runtime_checkable
class Lasting(Plugin, Protocol):
    """A filter that has no outlook, and knows of some nodes that evictions cannot help there."""

    def lasting(self, pod: PodInfo, nodes: Snapshot) -> Iterable[Reject]:
        """What ``filter`` says of nodes, and would say whoever left each of them, while those elsewhere stay."""
