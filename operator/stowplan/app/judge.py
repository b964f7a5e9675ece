"""``stowplan explain`` and ``stowplan plan``: the state from files or from a cluster, the answer from the simulator."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from stowplan import errors, profiles
from stowplan.api import base, cluster, common, policy
from stowplan.api.policy_status import DomainStatus
from stowplan.app import arguments, members
from stowplan.app.settings import Settings
from stowplan.kube import config, listing, resources, session
from stowplan.live.board import PolicyBoard
from stowplan.model import objects, selectors, workloads
from stowplan.model.pods import PodInfo
from stowplan.model.words import counted
from stowplan.plugins import scheduling_gates
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.simulator import explain as explaining
from stowplan.simulator import manifest, tables
from stowplan.simulator import plan as planning

STDIN = "-"
TELL_EVERY = 200
"""Pods between two words of progress."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about: which state, and which pods of it.

    Attributes:
        files: names of files, ``-`` for standard input; none for the live cluster.
        kubeconfig: of the live cluster; None for the usual places.
        context: of the kubeconfig; None for the current one.
        namespace: only pods of this one; None for all.
        labels: only pods that match this selector, as kubectl writes it; None for all.
        scheduler_name: pending pods of this scheduler; None for Stowplan's in a cluster and any in files.
        settings: weights and plugin arguments.
        told: called with what is being done, for somebody who waits.
    """

    files: Sequence[str]
    kubeconfig: str | None
    context: str | None
    namespace: str | None
    labels: str | None
    scheduler_name: str | None
    settings: Settings
    told: Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Explanations:
    """The answer of ``explain``.

    Attributes:
        pods: in the order asked for.
        nodes: how many there are.
        idle: why the scheduler does not even try a pod, by its name; those that it tries are left out.
    """

    pods: list[explaining.Explanation]
    nodes: int
    idle: Mapping[str, str]

    def text(self, *, wide: bool) -> str:
        """For people."""
        if not self.pods:
            return "No pending pods."
        return "\n\n".join(
            tables.explanation(one, total=self.nodes, idle=self.idle.get(one.pod), wide=wide) for one in self.pods
        )


@dataclasses.dataclass(frozen=True, slots=True)
class DomainRow:
    """Where the pods of one rule and group would be."""

    rule: str
    group: str
    domain: str
    counts: dict[str, int]
    skew: int


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The answer of ``plan``; its fields are the contract's, but for those that only people are told.

    Attributes:
        placements: in the order of the decisions.
        unschedulable: the pods that would get no node, or would not be made.
        domains: where the pods of each rule and group would be.
        broken: the rows of ``domains``, by their place, whose Required rule would be broken.
    """

    placements: list[planning.Placement]
    unschedulable: list[planning.Unschedulable]
    domains: list[DomainRow]
    broken: frozenset[int]

    def document(self) -> dict[str, object]:
        """For machines."""
        return {"placements": self.placements, "unschedulable": self.unschedulable, "domains": self.domains}

    def text(self, *, wide: bool) -> str:
        """For people."""
        rows = [
            [row.rule, row.group, row.domain, tables.counts(row.counts, wide=wide),
             f"{row.skew} (violated)" if at in self.broken else str(row.skew)]
            for at, row in enumerate(self.domains)
        ]  # fmt: skip
        return tables.plan(self.placements, self.unschedulable, rows)


async def explain(question: Question, *, names: Sequence[str]) -> Explanations:
    """Explains the named pods, or all pending ones where none is named.

    Raises:
        UsageError: no such pod, or the files cannot be read.
        ApiError, ApiUnreachable: the cluster fails to answer, or refuses to.
    """
    state = State(question, await _manifests(question))
    pods = [state.named(name) for name in names] if names else state.pending()
    nodes = state.board.scheduler.cache.snapshot
    idle = {pod.key: why for pod in pods if (why := state.idle(pod)) is not None}
    return Explanations([_explained(pod, state.board) for pod in pods], len(nodes), idle)


def _explained(pod: PodInfo, board: PolicyBoard) -> explaining.Explanation:
    nodes = board.scheduler.cache.snapshot
    found = explaining.explain(pod, nodes, board.policies.framework_for(pod.cls))
    gang = "" if pod.node_name else board.scheduler.roster.standing(pod, nodes)
    return dataclasses.replace(found, gang=gang or None)


async def plan(question: Question) -> Plan:
    """Plans all pending pods; of StatefulClusters in files also the members that are yet to be made.

    Raises like :func:`explain`.
    """
    found = await _manifests(question)
    held = members.make(found, datetime.now(UTC)) if question.files else []
    state = State(question, found)
    queue = state.board.scheduler.queue
    for at, pod in enumerate(state.pending()):
        queue.put(pod, float(at))
    placements, unschedulable = [], []
    total = len(queue)
    for done, outcome in enumerate(planning.plan(state.board.scheduler)):
        if done % TELL_EVERY == 0:
            question.told(f"planned {done} of {counted(total, 'pod')}")
        if isinstance(outcome, planning.Placement):
            state.settle(outcome.pod)
            placements.append(outcome)
        else:
            unschedulable.append(outcome)
    unschedulable += [
        planning.Unschedulable(each.pod, each.reason)
        for each in held
        if question.namespace in (None, each.pod.partition("/")[0]) and question.labels is None
    ]
    domains = state.domains()
    broken = frozenset(at for at, row in enumerate(domains) if row.violated)
    rows = [DomainRow(row.rule, row.group, row.domain, dict(row.counts), row.skew) for row in domains]
    return Plan(placements, unschedulable, rows, broken)


class State:
    """A cluster as it was read.

    Args:
        question: which of its pods are asked about.
        found: its objects.

    Raises:
        UsageError: an object cannot be understood.
    """

    def __init__(self, question: Question, found: manifest.Manifests) -> None:
        self._question = question
        self._pods: dict[str, PodInfo] = {}
        self._keys = [f"{each.metadata.namespace}/{each.metadata.name}" for each in found.policies]
        cache = ClusterCache()
        args, *more = arguments.profiles(question.settings)
        self.board = PolicyBoard(cache, SchedulingQueue(cache.snapshot), args, clock=_no_time, more=tuple(more))
        self.board.apply(found.policies, map(profiles.cluster_of, found.clusters))
        for item in sorted(found.objects, key=_order):
            try:
                self._take(cache, item)
            except errors.InvalidObject as error:
                raise errors.UsageError(f"{type(item).__name__} {item.key}: {error}") from error

    def _take(self, cache: ClusterCache, item: objects.KubeObject) -> None:
        match item:
            case objects.Node():
                cache.put_node(item)
            case objects.Namespace():
                cache.put_namespace(item)
            case objects.Pod():
                pod = self._pods[item.key] = cache.interner.pod(item)
                cache.put_pod(pod)
                if self._waits(pod):
                    cache.snapshot.nominations.seen(pod)
                    self.board.waits(pod)
            case workloads.Workload():
                cache.snapshot.workloads.put(item)
            case objects.PodDisruptionBudget() | objects.PriorityClass():
                pass
            case objects.PersistentVolume() | objects.PersistentVolumeClaim() | objects.StorageClass():
                cache.put_storage(item)
            case objects.CSINode() | objects.CSIDriver() | objects.CSIStorageCapacity() | objects.VolumeAttachment():
                cache.put_storage(item)

    def _waits(self, pod: PodInfo) -> bool:
        if pod.node_name or pod.finished or pod.terminating:
            return False
        wanted = self._question.scheduler_name
        if wanted is not None:
            return pod.scheduler_name == wanted
        return bool(self._question.files) or pod.scheduler_name in self._question.settings.scheduler_names

    def idle(self, pod: PodInfo) -> str | None:
        """Why nobody is looking for a node for the pod; None where somebody is, or it has one."""
        if pod.node_name:
            return None
        if pod.finished or pod.terminating:
            return "it has ended" if pod.finished else "it is being deleted"
        wanted = self._question.scheduler_name
        names = self._question.settings.scheduler_names if wanted is None else (wanted,)
        if pod.scheduler_name not in names:
            return f"its schedulerName is {pod.scheduler_name}, not {' or '.join(names)}"
        return scheduling_gates.held_by(pod)

    def pending(self) -> list[PodInfo]:
        """The pods that wait for a node and are asked about, in queue order: by priority, age, name.

        Raises:
            UsageError: the label selector cannot be read.
        """
        question = self._question
        chosen = selectors.EVERYTHING if question.labels is None else selectors.parse(question.labels)
        wanted = [
            pod
            for pod in self._pods.values()
            if self._waits(pod) and question.namespace in (None, pod.namespace) and chosen.matches(pod.cls.labels)
        ]
        return sorted(wanted, key=lambda pod: (-pod.priority, pod.created, pod.key))

    def named(self, name: str) -> PodInfo:
        """The pod called ``name`` or ``namespace/name``.

        Raises:
            UsageError: there is none, or there are several.
        """
        namespace, where = self._question.namespace, ""
        if "/" in name:
            keys = [name]
        elif namespace is not None:
            keys, where = [f"{namespace}/{name}"], f" in {namespace}"
        else:
            keys = [key for key in self._pods if key.partition("/")[2] == name]
        found = [self._pods[key] for key in keys if key in self._pods]
        if not found:
            raise errors.UsageError(f"no pod {name}{where}")
        if len(found) > 1:
            raise errors.UsageError(f"pod {name} is in several namespaces: give -n, or namespace/name")
        return found[0]

    def settle(self, key: str) -> None:
        """The pod has a node now."""
        self.board.settled(self._pods[key].uid)

    def domains(self) -> list[DomainStatus]:
        """Where the pods of each policy are, of those in the namespace that is asked about."""
        nodes, namespace = self.board.scheduler.cache.snapshot, self._question.namespace
        keys = [key for key in self._keys if namespace in (None, key.partition("/")[0])]
        return [row for key in keys for row in self.board.policies.report(key, nodes)]


def _order(item: objects.KubeObject) -> tuple[bool, str]:
    """By name, so that the answer does not depend on the order of the input; pods after what they refer to."""
    return (isinstance(item, objects.Pod), item.key)


def _no_time() -> float:
    return 0.0


# ---------------------------------------------------------------- reading


async def _manifests(question: Question) -> manifest.Manifests:
    if question.files:
        return manifest.read([(name, _content(name)) for name in question.files])
    where = await config.load(
        kubeconfig=question.kubeconfig or question.settings.client_connection.kubeconfig, context=question.context
    )
    async with session.Api(where) as api:
        also = resources.WORKLOADS if arguments.reads_workloads(arguments.profiles(question.settings)) else ()
        return await _live(api, question.told, also)


def _content(name: str) -> bytes:
    if name == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise errors.UsageError(f"{name}: {error.strerror}") from error


async def _live(
    api: session.Api, told: Callable[[str], None], also: Sequence[resources.Resource[objects.KubeObject]]
) -> manifest.Manifests:
    found = manifest.Manifests()
    for resource in (*also, *resources.WATCHED):
        told(f"reading {resource.plural}")
        found.objects += await listing.everything(api, resource)
    for raw in await _ours(api, policy.PLURAL):
        found.policies.append(base.parse(policy.SchedulingPolicy, raw, what=policy.KIND))
    for raw in await _ours(api, cluster.PLURAL):
        found.clusters.append(base.parse(cluster.StatefulCluster, raw, what=cluster.KIND))
    return found


async def _ours(api: session.Api, plural: str) -> list[dict[str, object]]:
    """Objects of ours; none where the CRD is not installed."""
    try:
        return await listing.documents(api, common.GROUP, common.VERSION, plural)
    except errors.NotFound:
        return []
