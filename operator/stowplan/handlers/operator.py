"""The controllers as one thing that ``app`` runs while this process leads.

``Operator.run`` starts a thread with an event loop of its own, in which kopf and the work queues live, and ends with
it. What the scheduling loop sees of pods, nodes, claims and budgets comes in through ``pod_changed``, ``node_changed``
and ``object_changed``, which only note a name; what was noted crosses over to the other thread a few times a second.
Services, which no scheduler watches, are watched here.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import kopf
import structlog

from stowplan.api import cluster, common
from stowplan.errors import StowplanError
from stowplan.handlers import watching
from stowplan.handlers.clusters import ClusterController
from stowplan.handlers.executor import SERVICES
from stowplan.handlers.observer import Observer
from stowplan.handlers.policies import EVERYTHING, PolicyController
from stowplan.handlers.queue import OnRun, Pace, WorkQueue
from stowplan.handlers.world import Bridge, World
from stowplan.kube import config, events, ledger, reflector, session
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.reconcile import observed

log = structlog.get_logger(__name__)

NOTED: Final = 0.1
"""Seconds that changed keys are gathered before they cross over to the operator's thread."""
MOVED: Final = 5.0
"""Seconds until the policies count their domains anew where nodes have come, gone or changed: there may be many."""
LAST_TURNS: Final = 0.05
LAST_EVENTS: Final = 2.0
"""Seconds that the last events may take to be written."""
CONTROLLER: Final = f"{common.GROUP}/operator"
"""Who reports events."""
STOP: Final = 15.0
"""Seconds that the operator's thread may take to end; kopf takes up to 5 s for what hangs."""


class OperatorFailed(StowplanError):  # noqa: N818
    """The operator's thread has ended by itself; the process should end, and be started again."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How often the controllers look, in seconds.

    Attributes:
        resync: look at every object this often although nothing has changed.
        policy_status: least time between two looks at the status of one policy.
        workers: StatefulClusters worked on at the same time.
    """

    resync: float = 60.0
    policy_status: float = 1.0
    workers: int = 8


class Operator:
    """The controllers of StatefulClusters and SchedulingPolicies.

    Args:
        target: the API server.
        world: the scheduling loop; called in the event loop that ``run`` is called in.
        policies_of: the keys of the policies whose rules count a pod; called for each change of one.
        timing: how often to look.
        instance: which process it is, for events.
        on_run: told of each reconcile, in the operator's thread.
        on_request: told of each request, in the operator's thread; not of kopf's own watches.
        controls: whether StatefulClusters are looked after and status is written; else policies are only put in force,
            and another Stowplan of the cluster does the rest.
        qps: client-side limit of requests a second; 0 is unlimited.
        now: the time, UTC.

    Attributes:
        ready: set while kopf watches and the policies are in force.
    """

    def __init__(
        self,
        target: config.Cluster,
        world: World,
        policies_of: Callable[[PodInfo], Collection[str]],
        *,
        timing: Timing,
        instance: str,
        on_run: OnRun,
        on_request: session.RequestObserver,
        controls: bool = True,
        qps: float = 0.0,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self.target = target
        self.world = world
        self.timing = timing
        self.instance = instance
        self.on_run = on_run
        self.on_request = on_request
        self.controls = controls
        self.qps = qps
        self.now = now
        self._policies_of = policies_of
        self._noted: tuple[set[str], set[str]] = (set(), set())
        self._nodes: set[str] = set()
        self._moved = False
        self._outages: set[str] = set()
        self._inside: _Inside | None = None
        self.ready = threading.Event()

    # ------------------------------------------------------------ in the scheduling loop

    async def run(self) -> None:
        """Run the controllers until cancelled; nothing is written any more when it returns.

        Raises:
            OperatorFailed: the operator's thread has ended by itself.
        """
        here = asyncio.get_running_loop()
        ended = asyncio.Event()
        inside = self._inside = _Inside(self, here)

        def main() -> None:
            try:
                inside.main()
            finally:
                here.call_soon_threadsafe(ended.set)

        thread = threading.Thread(target=main, name="operator", daemon=True)
        thread.start()
        crossing = here.create_task(self._cross())
        try:
            await ended.wait()
            raise OperatorFailed(f"the operator has stopped: {inside.failure or 'kopf ended'}")
        finally:
            crossing.cancel()
            self.ready.clear()
            inside.stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), STOP)
            if ended.is_set():
                await asyncio.to_thread(thread.join)
            else:
                log.error("the operator's thread does not end", seconds=STOP)
            self._inside = None

    def pod_changed(self, pod: PodInfo) -> None:
        """A pod has come, changed or gone: its cluster and the policies that count it look again."""
        clusters, policies = self._noted
        if pod.cls.cluster:
            clusters.add(f"{pod.namespace}/{pod.cls.cluster}")
        policies.update(self._policies_of(pod))

    def policy_changed(self, key: str) -> None:
        """What a policy says of itself has changed: its status is looked at again."""
        self._noted[1].add(key)

    def outage_changed(self, policies: set[str]) -> None:
        """To these policies (their keys) a domain is out, or there again: members may have to go back."""
        self._noted[1].update(policies)
        self._outages.update(policies)

    def object_changed(self, obj: objects.KubeObject) -> None:
        """Some other object has changed: if it is labelled as a cluster's, that looks again."""
        name = obj.metadata.labels.get(common.LABEL_CLUSTER)
        if name is not None:
            self._noted[0].add(f"{obj.metadata.namespace}/{name}")

    def node_changed(self, old: objects.Node | None, new: objects.Node | None) -> None:
        """A node has come, changed or gone: clusters with a member on it look again, if it is another one to them."""
        before = observed.glimpse(old) if old is not None else None
        after = observed.glimpse(new) if new is not None else None
        self._moved = self._moved or before != after
        if before is not None and before != after:  # nobody is on a node that is new
            self._nodes.add(before.name)

    async def _cross(self) -> None:
        while True:
            await asyncio.sleep(NOTED)
            if self._nodes:
                self._noted[0].update(self.world.clusters_on(self._nodes))
                self._nodes = set()
            if self._outages:
                self._noted[0].update(self.world.clusters_of(self._outages))
                self._outages = set()
            if self._moved and self._inside is not None:
                self._moved = False
                self._inside.recount()
            if any(self._noted) and self._inside is not None:
                clusters, policies = self._noted
                self._noted = (set(), set())
                self._inside.wake(clusters, policies)


def _never() -> bool:
    """Nothing here is more urgent than an event; they are few."""
    return False


class _Inside:
    """What lives in the operator's thread."""

    def __init__(self, owner: Operator, outside: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._bridge = Bridge(outside)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = threading.Event()
        self._synced = asyncio.Event()
        self.failure = ""

    def main(self) -> None:
        """The thread: an event loop until ``stop``."""
        try:
            asyncio.run(self._live())
        except asyncio.CancelledError:
            pass
        except Exception as error:
            # The boundary of the thread: the process learns of it and ends.
            self.failure = " ".join(str(error).split()) or type(error).__name__
            log.exception("operator failed")

    def stop(self) -> None:
        """End, from another thread."""
        self._stopped.set()
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(task.cancel)

    def wake(self, clusters: set[str], policies: set[str]) -> None:
        """Keys that have work, from another thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake, clusters, policies)

    def recount(self) -> None:
        """Every policy has work in a moment, from another thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._recount)

    def _recount(self) -> None:
        if self._owner.controls and self._synced.is_set():
            for key in self._policies.policies:
                self._statuses.wake(key, after=MOVED)

    def _wake(self, clusters: set[str], policies: set[str]) -> None:
        self._wake_clusters(clusters)
        self._wake_statuses(policies)

    def _wake_clusters(self, keys: Iterable[str]) -> None:
        if self._owner.controls and self._synced.is_set():
            self._clusters.wake_all(keys)

    def _wake_statuses(self, keys: Iterable[str]) -> None:
        if self._owner.controls and self._synced.is_set():
            self._statuses.wake_all(keys)

    async def _live(self) -> None:
        try:
            await self._serve()
        finally:
            # A connection that was cut off in the middle of its handshake closes in the next turns of the loop.
            await asyncio.sleep(LAST_TURNS)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        if self._stopped.is_set():
            return
        async with session.Api(self._owner.target, qps=self._owner.qps, observe=self._owner.on_request) as api:
            recorder = events.Recorder(api, controller=CONTROLLER, instance=self._owner.instance, busy=_never)
            self._build(api, recorder)
            services = reflector.Reflector(api, SERVICES, self._stirred, label_selector=common.LABEL_CLUSTER)
            watched = asyncio.Event()
            beside = (self._tell_ready(watched), recorder.run(), services.run())
            tasks = [asyncio.create_task(each) for each in beside]
            try:
                await kopf.operator(
                    registry=watching.registry(self._owner.target, self._hear),
                    settings=watching.settings(),
                    standalone=True,
                    clusterwide=True,
                    ready_flag=watched,
                )
            finally:
                for queue in (self._everything, self._clusters, self._statuses):
                    queue.close()
                try:
                    await recorder.drain(LAST_EVENTS)
                finally:
                    for task in tasks:
                        task.cancel()

    def _build(self, api: session.Api, recorder: events.Recorder) -> None:
        resync = self._owner.timing.resync
        self._policies = PolicyController(
            api, self._owner.world, self._bridge, recorder,
            now=self._owner.now, on_change=self._changed, on_count=self._counted, resync=resync,
        )  # fmt: skip
        self._observer = Observer(api, self._owner.world, self._bridge, self._policies.policies)
        controller = ClusterController(api, self._observer, recorder, now=self._owner.now, resync=resync)
        often = Pace(gap=self._owner.timing.policy_status)
        told, crowd = self._owner.on_run, self._owner.timing.workers
        self._everything = WorkQueue("policies", self._policies.refresh, pace=Pace(), workers=1, on_run=told)
        self._clusters = WorkQueue("clusters", controller.reconcile, pace=Pace(), workers=crowd, on_run=told)
        self._statuses = WorkQueue("policy status", self._policies.tell, pace=often, workers=1, on_run=told)
        self._everything.wake(EVERYTHING, after=0)

    async def _tell_ready(self, watched: asyncio.Event) -> None:
        await watched.wait()
        await self._synced.wait()
        self._owner.ready.set()

    def _hear(self, plural: str, key: str) -> None:
        """Kopf says that an object is new, has another generation, or is gone."""
        if plural == cluster.PLURAL:
            self._everything.wake(EVERYTHING)
            self._wake_clusters([key])
        else:
            self._everything.wake(EVERYTHING, after=0)  # every moment counts: its pods may be on their way

    def _stirred(self, changes: list[ledger.Event[objects.KubeObject]]) -> None:
        """Services have changed; that of a cluster has its name."""
        self._wake_clusters(each.key for each in changes)

    def _changed(self, policies: set[str], clusters: set[str]) -> None:
        """The policies in force are others, or the clusters are; members wait for the policies they need."""
        self._synced.set()
        concerned = {key.partition("/")[0] for key in policies | clusters}  # who governs a pod is a matter of them all
        self._wake_statuses(key for key in self._policies.policies if key.partition("/")[0] in concerned)
        namespaces = {key.partition("/")[0] for key in policies}
        governed = {key for key in self._policies.clusters if key.partition("/")[0] in namespaces}
        self._wake_clusters(clusters | governed)

    def _counted(self, policy: str, broken: Mapping[str, tuple[str, ...]]) -> None:
        """A policy has counted: clusters that have seen something else of it look again.

        What they saw may be older or newer than the count before, so it is compared with that and not with the count:
        rules are broken and kept again by pods of others, too, and nothing else would tell the cluster.
        """
        self._wake_clusters(self._observer.outdated(policy, broken))
