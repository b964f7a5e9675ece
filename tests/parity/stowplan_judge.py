"""Stowplan's own code on a state: what it says of every pending pod, in the form of the oracle's verdicts.

The same calls as in a live decision (``Framework.feasible``, ``score``) and in its explanation (``verdicts``), on the
cache that the watch would have filled.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
from tests.parity.verdict import Rejection, Score, Verdict

from stowplan.errors import InvalidObject
from stowplan.framework.plugin import CycleState
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Diagnosis
from stowplan.framework.status import Verdict as PluginVerdict
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.plugins.group_size import Backlog
from stowplan.plugins.volume_args import VolumeBindingArgs
from stowplan.profiles.assembly import PluginArgs
from stowplan.profiles.policies import Policies
from stowplan.scheduler.cache import ClusterCache


class _Header(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str


class State:
    """A state as Stowplan has it.

    Attributes:
        cache: filled as by the watch.
        pending: the pods that wait for a node, by ``namespace/name``.
        ignored: the objects that Stowplan cannot understand, and why; as in the live scheduler they count for nothing.
    """

    def __init__(self, encoded: Iterable[msgspec.Raw]) -> None:
        self.cache = ClusterCache()
        self.pending: dict[str, PodInfo] = {}
        self.ignored: dict[str, str] = {}
        for raw in encoded:
            header = msgspec.json.decode(raw, type=_Header)
            item = msgspec.json.decode(raw, type=objects.KINDS[header.api_version, header.kind])
            try:
                self._put(item)
            except InvalidObject as error:
                self.ignored[f"{header.kind} {item.key}"] = str(error)
        self._ours = self._policies(VolumeBindingArgs())
        self._each_alone = self._policies(VolumeBindingArgs(require_capacity=False))

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

    def _policies(self, volumes: VolumeBindingArgs) -> Policies:
        policies = Policies([], [], PluginArgs(volume_binding=volumes), Backlog())
        policies.govern(self.cache.snapshot)
        return policies

    def _put(self, item: objects.KubeObject) -> None:
        match item:
            case objects.Pod():
                pod = self.cache.interner.pod(item)
                self.cache.put_pod(pod)
                if not pod.node_name and not pod.finished:
                    self.pending[pod.key] = pod
            case objects.Node():
                self.cache.put_node(item)
            case objects.Namespace():
                self.cache.put_namespace(item)
            case (
                objects.PersistentVolume()
                | objects.PersistentVolumeClaim()
                | objects.StorageClass()
                | objects.CSINode()
                | objects.CSIDriver()
                | objects.CSIStorageCapacity()
                | objects.VolumeAttachment()
            ):
                self.cache.put_storage(item)
            case _:
                raise TypeError(f"a state has no {type(item).__name__}")


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
