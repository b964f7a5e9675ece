"""Stowplan's own code on a state: what it says of every pending pod, in the form of the oracle's verdicts.

The same calls as in a live decision (``Framework.feasible``, ``score``) and in its explanation (``verdicts``), on the
cache that the watch would have filled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable
from typing import cast, get_args

import msgspec
import numpy as np
from tests.parity import preemption
from tests.parity.verdict import Difference, Preempted, Rejection, Score, Verdict

from stowplan.errors import InvalidObject
from stowplan.framework.plugin import CycleState
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Diagnosis
from stowplan.framework.status import Verdict as PluginVerdict
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects, workloads
from stowplan.model.pods import PodInfo
from stowplan.plugins.group_size import Backlog
from stowplan.plugins.policy_keeper import PolicyKeeper
from stowplan.plugins.volume_args import VolumeBindingArgs
from stowplan.profiles.assembly import PluginArgs
from stowplan.profiles.policies import Policies
from stowplan.scheduler.cache import ClusterCache

DEFAULT = PluginArgs()
"""Of a profile about which nothing is said."""
_ASKED_BEFORE = 8
"""Pods that are judged in the earlier state."""


class _Header(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str


class State:
    """A state as Stowplan has it.

    Args:
        encoded: the objects.
        before: those of an earlier state: it becomes this one as by a watch, object by object, after it has been asked
            about some pods, so that what Stowplan keeps in memory must follow.
        args: the profile.

    Attributes:
        cache: filled as by the watch.
        pending: the pods that wait for a node, by ``namespace/name``.
        ignored: the objects that Stowplan cannot understand, and why; as in the live scheduler they count for nothing.
    """

    def __init__(
        self, encoded: Iterable[msgspec.Raw], before: Iterable[msgspec.Raw] = (), args: PluginArgs = DEFAULT
    ) -> None:
        self.cache = ClusterCache()
        self.pending: dict[str, PodInfo] = {}
        self.ignored: dict[str, str] = {}
        self._ours = self._policies(args, VolumeBindingArgs())
        self._each_alone = self._policies(args, VolumeBindingArgs(require_capacity=False))
        earlier = list(map(_decode, before))
        for item in earlier:
            self._put(item)
        now = list(map(_decode, encoded))
        if earlier:
            self._ask_before(now)
        stay = set(map(_identity, now))
        gone = [item for item in earlier if _identity(item) not in stay]
        for number, item in enumerate(now):
            self._put(item)
            if number < len(gone):
                self._remove(gone[number])
        for item in gone[len(now) :]:
            self._remove(item)

    def judge(self, key: str, *, require_capacity: bool = True) -> Verdict:
        """The verdict on one pod.

        Args:
            key: of the pod.
            require_capacity: as in ``VolumeBindingArgs``: True is Stowplan's default, False is kube-scheduler's rule.
        """
        ignored = self.ignored.get(f"Pod {key}")
        if ignored is not None:
            return Verdict((), {}, {}, error=ignored)
        pod = self.pending[key]
        framework = (self._ours if require_capacity else self._each_alone).framework_for(pod.cls)
        return _judge(pod, self.cache.snapshot, framework)

    def preemption(self, key: str, theirs: Preempted) -> list[Difference]:
        """Where preemption for one pod differs from the oracle's, both with kube-scheduler's rule for capacity."""
        if key not in self.pending:
            return []
        pod = self.pending[key]
        framework, nobody = self._each_alone.framework_for(pod.cls), PolicyKeeper((), ())
        return list(preemption.differences(pod, self.cache.snapshot, framework, nobody, theirs))

    def _ask_before(self, now: Iterable[objects.KubeObject]) -> None:
        """Judges some pods of the state to come, so that there is something in memory that may be wrong then."""
        waiting = (each for each in now if isinstance(each, objects.Pod) and not each.spec.node_name)
        for raw in itertools.islice(waiting, _ASKED_BEFORE):
            with contextlib.suppress(InvalidObject):
                pod = self.cache.interner.pod(raw)
                for policies in (self._ours, self._each_alone):
                    _judge(pod, self.cache.snapshot, policies.framework_for(pod.cls))

    def _policies(self, args: PluginArgs, volumes: VolumeBindingArgs) -> Policies:
        policies = Policies([], [], dataclasses.replace(args, volume_binding=volumes), Backlog())
        policies.govern(self.cache.snapshot)
        return policies

    def _put(self, item: objects.KubeObject) -> None:
        self.ignored.pop(_identity(item), None)
        try:
            self._take(item)
        except InvalidObject as error:
            self.ignored[_identity(item)] = str(error)

    def _take(self, item: objects.KubeObject) -> None:
        match item:
            case objects.Pod():
                self.pending.pop(item.key, None)
                pod = self.cache.interner.pod(item)
                self.cache.put_pod(pod)
                if not pod.node_name and not pod.finished:
                    self.pending[pod.key] = pod
            case objects.Node():
                self.cache.put_node(item)
            case objects.Namespace():
                self.cache.put_namespace(item)
            case objects.PodDisruptionBudget():
                self.cache.budgets[item.key] = item
            case workloads.Workload():
                self.cache.snapshot.workloads.put(item)
            case _:
                self.cache.put_storage(_storage(item))

    def _remove(self, item: objects.KubeObject) -> None:
        match item:
            case objects.Pod():
                self.pending.pop(item.key, None)
                self.cache.remove_pod(item.metadata.uid)
            case objects.Node():
                self.cache.remove_node(item.key)
            case objects.Namespace():
                self.cache.remove_namespace(item.key)
            case objects.PodDisruptionBudget():
                self.cache.budgets.pop(item.key, None)
            case workloads.Workload():
                self.cache.snapshot.workloads.remove(item)
            case _:
                self.cache.remove_storage(_storage(item))


def _decode(raw: msgspec.Raw) -> objects.KubeObject:
    header = msgspec.json.decode(raw, type=_Header)
    name = header.api_version, header.kind
    return msgspec.json.decode(raw, type=objects.KINDS.get(name) or workloads.KINDS[name])


def _identity(item: objects.KubeObject) -> str:
    return f"{type(item).__name__} {item.key}"


def _storage(item: objects.KubeObject) -> StorageObject:
    assert isinstance(item, get_args(StorageObject)), f"a state has no {_identity(item)}"
    return cast("StorageObject", item)


def _judge(pod: PodInfo, nodes: Snapshot, framework: Framework) -> Verdict:
    said = list(framework.verdicts(pod, nodes, CycleState()))
    rejected = _first_rejections(nodes, said)
    refusal = next((each for each in said if each.refusal is not None), None)
    state = CycleState()
    rows = np.flatnonzero(framework.feasible(pod, nodes, state))
    feasible = tuple(sorted(nodes.name(row) for row in rows.tolist()))
    if refusal is None and set(feasible) != set(nodes.row_of) - rejected.keys():
        return Verdict((), {}, {}, error=f"its two ways of filtering differ: {feasible} against {sorted(rejected)}")
    if not len(rows):
        refused = None
        if refusal is not None and refusal.refusal is not None:
            unresolvable = refusal.refusal.resolution is UNRESOLVABLE
            refused = Rejection(refusal.plugin, (refusal.refusal.reason,), unresolvable)
        return Verdict((), rejected, {}, refused, Diagnosis(len(nodes), said).message)
    table = framework.score(pod, nodes, state, rows)
    scores = {
        nodes.name(row): Score(
            total=int(table.total[at]),
            plugins={name: weight * int(values[at]) for name, (weight, values) in table.plugins.items()},
        )
        for at, row in enumerate(rows.tolist())
    }
    return Verdict(feasible, rejected, scores)


def _first_rejections(nodes: Snapshot, said: Iterable[PluginVerdict]) -> dict[str, Rejection]:
    """By node, all reasons of the first plugin that rejects it."""
    found: dict[str, Rejection] = {}
    for verdict in said:
        reasons: dict[str, list[str]] = {}
        final: set[str] = set()
        for reject in verdict.rejects:
            for row in np.flatnonzero(reject.mask).tolist():
                reasons.setdefault(nodes.name(row), []).append(reject.reason)
                if reject.resolution is UNRESOLVABLE:
                    final.add(nodes.name(row))
        for name, each in reasons.items():
            found.setdefault(name, Rejection(verdict.plugin, tuple(each), name in final))
    return found
