"""Several pods at once: what the plugins' rules say about placing them together, as numbers that a solver understands.

A filter judges one pod beside those that are placed already. Where pods are to be placed together, and one after the
other fails, ``scheduler.solver`` looks for a node for each of them at the same time. For that a filter plugin may have
a method ``joint`` that says, with the shapes below, what its rule says about the pods *beside each other*::

    def joint(self, pods, nodes, model):
        model.add(Room("Insufficient gpu", place=None, limits=free_gpus(nodes), amounts=[gpus(pod) for pod in pods]))

What it says about each pod *alone* the model takes from the plugin's own ``filter``, which must not be said again;
except where the plugin has ``relents = True``: what it rejects now may be fine once other members are placed (a spread
over domains, an affinity to a member), so ``joint`` says all of it.

A plugin without the method may still be obeyed: the answer is a proposal, and each pod is placed by all real filters. A
rule that is left out here can cost a try, never a wrong placement. A rule that says too much would lose placements, so
where a shape does not fit exactly, say less.

The model is built in the scheduling loop and is then a value (:class:`Problem`): it refers to nothing of the snapshot.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from stowplan.framework.conduct import JOINT, Call
from stowplan.framework.plugin import MAX_SCORE, CycleState, Plugin, Rows
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.model.pods import PodInfo

Numbers = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]
"""intp[node]: the place that each node is in; -1 where it is in none, and the rule says nothing about it."""
Worth = npt.NDArray[np.int16]
"""int16[node], 0 to ``BEST``: how good each node is for a pod."""

BEST = 1000
"""The worth of a node to which every score plugin gives 100."""
MOST_SCORED = 1_000_000
"""Kinds of pods times nodes (and ``CALLS`` more): to score more would hold up the loop for longer than some 20 ms, so
every node is as good as another then."""
CALLS = 5_000
"""How many nodes take as long to score as it takes to ask the plugins."""


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """What the pods in one place take together is limited.

    Attributes:
        rule: what users read; the same words for the same rule, so that it is dropped as a whole.
        place: None: each node is a place.
        limits: int64[place], what there is left beside the pods that are placed already.
        amounts: int64[pod], not negative: what each takes.
    """

    rule: str
    place: Places | None
    limits: Numbers
    amounts: Numbers


@dataclasses.dataclass(frozen=True, slots=True)
class Apart:
    """No pod of ``some`` is in a place with another one of ``others``.

    Attributes:
        rule: what users read.
        place: None: each node is a place.
        some: bool[pod].
        others: bool[pod]; may overlap.
    """

    rule: str
    place: Places | None
    some: Mask
    others: Mask


@dataclasses.dataclass(frozen=True, slots=True)
class Near:
    """A pod of ``who`` is in a place that is ready, or that has one of ``whom``.

    Attributes:
        rule: what users read.
        place: the places.
        who: bool[pod].
        whom: bool[pod]; may overlap.
        ready: bool[place]: where a pod to be near to is already.
        first: whether one of those that are both may be the first, in one place, where none is ready.
    """

    rule: str
    place: Places
    who: Mask
    whom: Mask
    ready: Mask
    first: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Even:
    """A place that gets a pod holds at most ``max_skew`` more than the emptiest one of its pool, in the end.

    Placing always into the emptiest place that is to get a pod keeps this true at every step, so a placement that
    satisfies it in the end can be reached by filters that look at each step.

    Attributes:
        rule: what users read.
        place: the places.
        counts: int64[place]: pods there already.
        compared: bool[place]: the places that may be the emptiest one.
        pool: intp[place]: places of one pool are compared with each other.
        enough: bool[pool]: False: too few places, so the emptiest one is taken to hold none.
        max_skew: at least 1.
        who: bool[pod]: the pods that obey the rule and count for it.
        counted: bool[pod]: the pods that count.
        eligible: bool[node]: where pods count; None: everywhere.
    """

    rule: str
    place: Places
    counts: Numbers
    compared: Mask
    pool: Places
    enough: Mask
    max_skew: int
    who: Mask
    counted: Mask
    eligible: Mask | None


@dataclasses.dataclass(frozen=True, slots=True)
class Same:
    """These pods are on one node, as many of them as are placed."""

    rule: str
    pods: Mask


Rule = Room | Apart | Near | Even | Same


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Pods that are to be placed together. A value: nothing in it changes, so another thread may read it.

    Attributes:
        pods: their uids.
        nodes: names.
        need: how many must be placed at least.
        forbidden: rule to bool[pod, node]: where it rejects a pod whatever becomes of the others.
        rules: what holds between the pods.
        worth: for each pod how good each node is for it, before any of the others is placed; empty: all are equal.
    """

    pods: tuple[str, ...]
    nodes: tuple[str, ...]
    need: int
    forbidden: dict[str, npt.NDArray[np.bool_]]
    rules: tuple[Rule, ...]
    worth: tuple[Worth, ...] = ()


@runtime_checkable
class Joint(Plugin, Protocol):
    """Says what its filter would say about pods beside each other.

    Optional class attribute ``relents``: True where a node that ``filter`` rejects now may be fine once other pods of
    the group are placed; then ``joint`` says by ``model.forbid`` what stays rejected.
    """

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """Adds its rules to the model; the arrays of a rule are about these pods, in this order."""


class Model:
    """Gathers what the plugins say.

    Args:
        pods: to be placed together, none of them on a node.
        nodes: the cluster.
    """

    def __init__(self, pods: Sequence[PodInfo], nodes: Snapshot) -> None:
        self._pods = tuple(pods)
        self._nodes = nodes
        self._forbidden: dict[str, npt.NDArray[np.bool_]] = {}
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """A rule between the pods. What it refers to is copied: counts go on changing."""
        self._rules.append(copy.deepcopy(rule))

    def forbid(self, rule: str, pod: int, mask: Mask) -> None:
        """The rule rejects a pod (by its index) on these nodes (bool[node]), whatever becomes of the others."""
        table = self._forbidden.get(rule)
        if table is None:
            table = self._forbidden[rule] = np.zeros((len(self._pods), len(self._nodes)), dtype=np.bool_)
        table[pod] |= mask

    def problem(self, need: int, worth: tuple[Worth, ...] = ()) -> Problem:
        """What was gathered, as a value."""
        return Problem(
            pods=tuple(pod.uid for pod in self._pods),
            nodes=tuple(node.metadata.name for node in self._nodes.nodes),
            need=need,
            forbidden=self._forbidden,
            rules=tuple(self._rules),
            worth=worth,
        )


def which(those: Iterable[bool]) -> Mask:
    """bool[pod] from one answer per pod."""
    return np.array(list(those), dtype=np.bool_)


def describe(pods: Sequence[PodInfo], nodes: Snapshot, framework: Framework, need: int) -> Problem:
    """All that the plugins of a profile say about placing these pods together.

    Args:
        pods: none of them on a node, all of this profile.
        nodes: the cluster.
        framework: the profile.
        need: how many must be placed at least.
    """
    model = Model(pods, nodes)
    kinds: dict[Hashable, list[int]] = {}
    for index, pod in enumerate(pods):
        kinds.setdefault(all_but_its_name(pod), []).append(index)
    scored = len(kinds) * (len(nodes) + CALLS) <= MOST_SCORED
    worth: dict[int, Worth] = {}
    for members in kinds.values():
        pod, state = pods[members[0]], CycleState()
        allowed = np.ones(len(nodes), dtype=np.bool_)
        for rule, mask in _alone(pod, nodes, framework, state):
            allowed &= ~mask
            for index in members:
                model.forbid(rule, index, mask)
        if scored:
            worth.update(dict.fromkeys(members, _worth(pod, nodes, framework, state, np.flatnonzero(allowed))))
    for plugin in framework.plugins:
        if isinstance(plugin, Joint):
            call = Call(framework.name, plugin.name, JOINT)
            try:
                plugin.joint(pods, nodes, model)
            except Exception as error:  # noqa: BLE001 - what the model leaves out can only cost a failed try
                framework.conduct.failed(call, pods[0], error)
            else:
                framework.conduct.passed(call)
    return model.problem(need, tuple(worth[index] for index in range(len(pods))) if scored else ())


def all_but_its_name(pod: PodInfo) -> Hashable:
    """What a plugin may look at in a pod; of pods that wait for one another and agree in it one is judged for all."""
    if pod.volumes:
        return pod.uid
    said = tuple(sorted(pod.annotations.items()))
    return pod.cls, pod.owner, pod.claims, said, pod.priority, pod.nominated


def _alone(pod: PodInfo, nodes: Snapshot, framework: Framework, state: CycleState) -> Iterator[tuple[str, Mask]]:
    """The rules that reject a pod whatever becomes of the others, each with where."""
    for verdict in framework.verdicts(pod, nodes, state):
        if verdict.refusal is not None:
            yield verdict.refusal.reason, np.ones(len(nodes), dtype=np.bool_)
            continue
        plugin = framework.plugin(verdict.plugin)
        if not (isinstance(plugin, Joint) and getattr(plugin, "relents", False)):
            yield from ((reject.reason, reject.mask) for reject in verdict.rejects)


def _worth(pod: PodInfo, nodes: Snapshot, framework: Framework, state: CycleState, rows: Rows) -> Worth:
    """The weighted mean of the scores on these nodes; 0 elsewhere."""
    found: Worth = np.zeros(len(nodes), dtype=np.int16)
    if len(rows):
        table = framework.score(pod, nodes, state, rows)
        most = MAX_SCORE * sum(weight for weight, _ in table.plugins.values())
        found[rows] = BEST * table.total.astype(np.int64) // max(most, 1)
    return found
