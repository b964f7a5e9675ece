"""The extension points. A plugin is a class with a ``name`` and the methods of those points that it takes part in.

A decision calls, in this order and without an await:

1. ``pre_filter``   once per pod: refuse the pod as a whole, or find that the plugin has nothing to say (``SKIP``)
2. ``filter``       on all nodes at once: yield a :class:`~stowplan.framework.status.Reject` per reason
3. ``score``        on the feasible nodes at once: 0 to 100 each, or ``None`` for nothing to say
4. ``reserve``      on the chosen node: take what the pod needs there; ``unreserve`` gives it back

or, where no node is left after the filters, ``post_filter``: find a node that would do if some pods left it
(``framework.postfilter``);

and then, outside of the decision, does the API writes that ``reserve`` asked for (``PreBind``) before the bind.

All arguments are values: plugins have no I/O, no clock and no random source. The smallest useful plugin::

    class DiskType:
        \"\"\"Keep pods on nodes with the disk type they ask for.\"\"\"

        name = "DiskType"
        requeue_on = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS})

        def filter(self, pod, nodes, state):
            want = pod.annotations.get("example.com/disk-type")
            if want is not None:
                yield Reject(
                    nodes.label("disk").where(lambda have: have != want), "node(s) had another disk type", UNRESOLVABLE
                )

A plugin that is not Stowplan's is registered by its package in the entry point group ``stowplan.plugins`` and enabled
in the configuration; its attribute ``Args``, where it has one, is the type of what it is made with (docs/plugins.md).

Source of the names and their meaning: kube-scheduler v0.36.3 ``framework/interface.go``.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Hashable, Iterable
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from stowplan.framework import events
from stowplan.framework.nodes import NodeTable, RowIndex, Small
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Refusal, Reject, Verdict
from stowplan.model.pods import PodClass, PodInfo

Rows = npt.NDArray[np.intp]
"""intp[feasible]: rows of the feasible nodes, ascending."""
Scores = npt.NDArray[np.int64]
"""int64[feasible]: 0 to MAX_SCORE per feasible node."""

MAX_SCORE = 100


class Skip(enum.Enum):
    """The answer of a pre-filter that has nothing to say about the pod."""

    SKIP = "Skip"


SKIP = Skip.SKIP


class Probe:
    """Takes the time of extension points and plugins; this one does not. ``live`` brings one that has a clock.

    Attributes:
        each: whether it wants to be told of each plugin.
    """

    __slots__ = ()
    each: ClassVar[bool] = False

    def start(self) -> float:
        """A reading of the clock, to be given back to ``point`` or ``plugin``."""
        return 0.0

    def point(self, name: str, start: float, *, ok: bool) -> None:
        """All plugins of an extension point have run since ``start``; ``ok`` unless they left no node."""

    def plugin(self, name: str, point: str, start: float) -> None:
        """One plugin has run at an extension point since ``start``; several where their scores are kept together."""


SILENT = Probe()


class CycleState(dict[str, object]):
    """What a plugin keeps for one pod between its own methods, under its own name: ``state[self.name]``.

    Attributes:
        probe: takes the time.
        failed: set by the runtime where no node is feasible because a plugin failed.
    """

    __slots__ = ("failed", "probe")

    def __init__(self, probe: Probe = SILENT) -> None:
        super().__init__()
        self.probe = probe
        self.failed: Verdict | None = None


@runtime_checkable
class Plugin(Protocol):
    """What every plugin has.

    Optional class attributes:

    - ``requeue_on``: the events after which a pod that this plugin rejected is worth another try (default: all)
    - ``may_help`` and ``alike`` or ``alike_now``: which of those events are, and for which pods the answer is the same;
      see :class:`Hinting`, :class:`Alike` and :class:`AlikeNow`
    - ``alone``: True where ``filter`` judges a node by the pods on that node and on no other: preemption tries many
      nodes at once then, and what happens on a node that another plugin bars is no reason to try the pod again
    - ``first_only``: True where a node that several rejects of ``filter`` name counts for the first of them alone: the
      reasons are told so, while a decision does without telling them apart
    - ``static``: True where ``filter`` depends on the pod's class and the nodes' names, labels, taints and cordons
      alone; its verdict is then computed once per class and kept until one of those changes
    """

    @property
    def name(self) -> str:
        """Unique among the plugins; shown in diagnoses, score tables, metrics and the configuration."""


@runtime_checkable
class PreFilter(Plugin, Protocol):
    """Refuses a pod as a whole, or steps aside."""

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Refusal | Reject | Skip | None:
        """SKIP leaves this plugin's filter out for the pod; None goes on.

        A Reject leaves nodes out before any filter looks at them: its reason stands for theirs.
        """


@runtime_checkable
class Filter(Plugin, Protocol):
    """Says on which nodes a pod cannot run."""

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterable[Reject]:
        """One Reject per reason; masks are bool[node] over all nodes, whatever other plugins rejected."""


@runtime_checkable
class Score(Plugin, Protocol):
    """Says how good the feasible nodes are."""

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | int | None:
        """int64[feasible], each 0 to MAX_SCORE, already normalised; a number for all of them; None for nothing to say.

        Nothing is added then to anybody's sum, and the plugin is in no table.
        """


@runtime_checkable
class OwnScore(Score, Protocol):
    """A Score that follows from what the pod asks for and the node's own resources: see ``framework.scoring``.

    ``score`` says the same, of the feasible nodes.
    """

    def speaks(self, cls: PodClass) -> bool:
        """Whether there is anything to say about pods that ask for what this class does (``PodClass.ask``)."""

    def score_own(self, cls: PodClass, nodes: NodeTable, rows: RowIndex) -> Small:
        """uint8[row], each 0 to MAX_SCORE.

        Args:
            cls: of the pod; nothing but what it asks for may be looked at.
            nodes: the nodes; nothing but the resources of ``rows`` may be looked at.
            rows: which nodes.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class ProvisionClaim:
    """PreBind: let the provisioner make a volume for a claim on the chosen node (``selected-node`` annotation)."""

    claim: str
    node: str


@dataclasses.dataclass(frozen=True, slots=True)
class BindVolume:
    """PreBind: reserve an existing PersistentVolume for a claim (``claimRef``)."""

    claim: str
    volume: str


PreBindWrite = ProvisionClaim | BindVolume
"""A write that must be done, and be followed by the claim becoming Bound, before the pod is bound."""


@runtime_checkable
class Reserve(Plugin, Protocol):
    """Takes something on the chosen node that is not a resource of the node itself."""

    def reserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState, row: int) -> Refusal | tuple[PreBindWrite, ...]:
        """Takes it, and returns the writes to be done before the bind; a Refusal where it is gone."""

    def unreserve(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> None:
        """Gives back what ``reserve`` took; idempotent, and fine where nothing was taken."""


@runtime_checkable
class Hinting(Plugin, Protocol):
    """Looks at each event of ``requeue_on`` whether it can help a pod that the plugin rejected.

    The plugin of the module's docstring would add::

        def may_help(self, pod, event, nodes):
            _, node = event.of(objects.Node)
            return node is not None and node.metadata.labels.get("disk") == pod.annotations["example.com/disk-type"]

    False must be certain: if the plugin accepts any node now that it did not accept before the event, the answer is
    True. ``nodes`` is the cluster as it is now, maybe some events later. Called for one of many pods that are alike;
    anything that takes long and depends on little belongs into ``event.once``. A hint that raises counts as True.
    """

    def may_help(self, pod: PodInfo, event: events.Happening, nodes: Snapshot) -> bool:
        """Whether the plugin may accept a node for the pod now that it did not accept before the event."""


@runtime_checkable
class Alike(Plugin, Protocol):
    """Says what of a pod the plugin looks at, so that pods that are alike in it wait, and are judged, together."""

    def alike(self, pod: PodInfo) -> Hashable:
        """A value that is equal for pods of which the plugin, and its hint, always say the same.

        Without this method, or ``alike_now``, each pod is only like itself.
        """


@runtime_checkable
class AlikeNow(Plugin, Protocol):
    """The same, where it takes the pod's claims to say so: thousands may each have one of their own that look the same.

    Asked again after each event that is about a claim of the pod, a volume of one, or a pod that shares one.
    """

    def alike_now(self, pod: PodInfo, nodes: Snapshot) -> Hashable:
        """A value that is equal for pods of which the plugin, and its hint, say the same as the cluster is now.

        It may change by nothing but the events above, or by what makes no node acceptable that was not.
        """


def requeue_on(plugin: Plugin) -> frozenset[events.ClusterEvent]:
    """The events that can help a pod that the plugin rejected."""
    found: frozenset[events.ClusterEvent] = getattr(plugin, "requeue_on", events.ALL)
    return found


def only_here(plugin: Plugin) -> str:
    """The name of a plugin that judges each node by itself, so that what happens on one changes no other; else ""."""
    return plugin.name if getattr(plugin, "alone", False) or getattr(plugin, "static", False) else ""
