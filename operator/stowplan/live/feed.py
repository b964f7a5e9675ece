"""What the watches say, into the cache and the queue.

One reflector per kind calls :class:`Feed` in the event loop with a batch of changes; each becomes a call of the pure
cache, and the cluster events that it returns wake the pods that they can help.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, cast

import structlog

from stowplan import errors
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.volumes import StorageObject
from stowplan.kube import reflector, resources, session
from stowplan.kube.ledger import Change, Event
from stowplan.live.board import PolicyBoard
from stowplan.model import objects, workloads
from stowplan.model.pods import PodInfo
from stowplan.scheduler.cache import Events

K = TypeVar("K")
Take = Callable[[type[objects.KubeObject], Event[objects.KubeObject]], Events]

log = structlog.get_logger(__name__)

RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
"""Finished pods hold nothing; kube-scheduler's informer leaves them out too (``pkg/scheduler/scheduler.go``)."""


class Feed:
    """Applies watch events.

    Args:
        api: where to watch.
        board: whose cache and queue to keep.
        names: the ``schedulerName`` values of the pods that are ours to place.
        clock: seconds, monotonic.
        on_change: called after each batch that may give the loop something to do.
        more: what to watch beside ``resources.WATCHED``.

    Attributes:
        reflectors: one per kind; ``run`` each of them.
        waiting: by uid, the newest state of the pods that are ours, have no node yet and are not going away.
        on_pod: called with each pod that was added, changed or removed; for the controllers.
        on_storage: called with each storage object.
        on_node: called with each node as it was and as it is, before it goes into the cache; None where there is none.
        on_budget: called with each PodDisruptionBudget.
    """

    def __init__(
        self,
        api: session.Api,
        board: PolicyBoard,
        *,
        names: frozenset[str],
        clock: Callable[[], float],
        on_change: Callable[[], None],
        more: tuple[resources.Resource[objects.KubeObject], ...] = (),
    ) -> None:
        self._board = board
        self._scheduler = board.scheduler
        self._cache = board.scheduler.cache
        self._names = names
        self._clock = clock
        self._on_change = on_change
        self.waiting: dict[str, PodInfo] = {}
        self.on_pod: Callable[[PodInfo], None] = _nobody
        self.on_storage: Callable[[objects.KubeObject], None] = _nobody
        self.on_node: Callable[[objects.Node | None, objects.Node | None], None] = _nobody
        self.on_budget: Callable[[objects.KubeObject], None] = _nobody
        self.reflectors = tuple(self._reflectors(api, (*more, *resources.WATCHED)))

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed."""
        return all(each.synced.is_set() for each in self.reflectors)

    def _reflectors(
        self, api: session.Api, watched: Iterable[resources.Resource[objects.KubeObject]]
    ) -> Iterator[reflector.Reflector[objects.KubeObject]]:
        for resource in watched:
            pods = resource.type is objects.Pod
            apply = functools.partial(self._apply, self._pod if pods else self._other, resource.type)
            yield reflector.Reflector(api, resource, apply, field_selector=RUNNING if pods else "", clock=self._clock)

    def _apply(self, one: Take, kind: type[objects.KubeObject], batch: list[Event[objects.KubeObject]]) -> None:
        happened: list[Happening] = []
        for event in batch:
            try:
                happened += one(kind, event)
            except errors.InvalidObject as error:
                log.error("object ignored", kind=kind.__name__, key=event.key, error=str(error))
        self._scheduler.happened(happened, self._clock())
        self._on_change()

    def _other(self, kind: type[objects.KubeObject], event: Event[objects.KubeObject]) -> Events:
        gone, cache = event.change is Change.DELETED, self._cache
        match event.object or _stand_in(kind, event.key):
            case objects.Node() as node:
                row = cache.snapshot.row_of.get(event.key)
                self.on_node(None if row is None else cache.snapshot.nodes[row], None if gone else node)
                return cache.remove_node(event.key) if gone else cache.put_node(node)
            case objects.Namespace() as namespace:
                return cache.remove_namespace(event.key) if gone else cache.put_namespace(namespace)
            case objects.PodDisruptionBudget() as budget:
                _shelve(cache.budgets, event.key, None if gone else budget)
                self.on_budget(budget)
            case objects.PriorityClass() as priority:
                _shelve(cache.priorities, event.key, None if gone else priority)
            case workloads.Workload() as workload:
                known = cache.snapshot.workloads
                (known.remove if gone else known.put)(workload)
            case item:
                storage = cast("StorageObject", item)
                happened = cache.remove_storage(storage) if gone else cache.put_storage(storage)
                self.on_storage(storage)
                return happened
        return ()

    def _pod(self, kind: type[objects.KubeObject], event: Event[objects.KubeObject]) -> Events:
        del kind
        raw = event.object
        if event.change is not Change.DELETED and isinstance(raw, objects.Pod):
            return self._put_pod(raw)
        queued = self._scheduler.queue.get(event.uid)
        last = queued.pod if queued is not None else self._cache.snapshot.pods.get(event.uid)
        happened = (*self._settled(event.uid), *self._cache.remove_pod(event.uid))
        if last is not None:
            self.on_pod(last)
        return happened

    def _put_pod(self, raw: objects.Pod) -> Events:
        pod = self._cache.interner.pod(raw)
        last = self.waiting.get(pod.uid) or self._cache.snapshot.pods.get(pod.uid)
        happened = self._cache.put_pod(pod)
        ours = pod.scheduler_name in self._names
        if ours and not pod.node_name and not pod.finished and not pod.terminating:
            if pod.uid not in self.waiting:
                happened = (*happened, Happening(ClusterEvent.POD_PENDING, new=pod))
            self.waiting[pod.uid] = pod
            if not self._cache.is_assumed(pod.uid):
                happened = (*happened, *self._cache.put_waiting(pod))
                self._board.waits(pod)
                self._scheduler.queue.put(pod, self._clock())
        else:
            happened = (*happened, *self._settled(pod.uid))
        if last is not None and last.cls is not pod.cls:
            self.on_pod(last)  # with other labels it may have left its policy, or its cluster
        self.on_pod(pod)
        return happened

    def _settled(self, uid: str) -> Events:
        self.waiting.pop(uid, None)
        self._board.settled(uid)
        self._scheduler.queue.remove(uid, self._clock())
        return self._cache.remove_waiting(uid)


def _stand_in(kind: type[objects.KubeObject], key: str) -> objects.KubeObject:
    """An object with nothing but its name, for one that vanished while nobody looked."""
    namespace, _, name = key.rpartition("/")
    return kind(metadata=objects.ObjectMeta(namespace=namespace, name=name))


def _nobody(*_: object) -> None:
    pass


def _shelve(shelf: dict[str, K], key: str, item: K | None) -> None:
    if item is None:
        shelf.pop(key, None)
    else:
        shelf[key] = item
