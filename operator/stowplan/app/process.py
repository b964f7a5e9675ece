"""``stowplan run``: puts the parts together and keeps them running until a signal, a defect or the loss of the lease.

Every replica watches and serves health and metrics; only the leader schedules and reconciles::

    health + metrics server
      connection (API server, CRDs there?)
        feed: watches -> cache, queue           all replicas
          lease                                 blocks until this replica leads
            scheduling loop, reporter, events   the leader
            operator (kopf, in its own thread)  the leader
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import secrets
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import structlog

from stowplan import errors
from stowplan.api import cluster, common, policy
from stowplan.app import arguments, health, metrics, observer
from stowplan.app.settings import Settings
from stowplan.handlers import operator
from stowplan.kube import binder, config, election, events, lease, resources, session
from stowplan.live import board, evictor, feed, loop, prebind, reporter, world
from stowplan.model import objects
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.queued import Place

log = structlog.get_logger(__name__)

CLOCK: Final = time.monotonic
GC_THRESHOLD: Final = (50_000, 20, 50)
"""Few cycles are made and none of them large; the default of 700 objects costs a third of the time of a list."""
EVENTS_AT_EXIT: Final = 15.0
"""Seconds that the last events may take to be written."""
READY_LOOK: Final = 0.02
"""Seconds between two looks at whether the operator's thread is ready."""
NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


async def serve(settings: Settings, *, context: str | None) -> None:
    """Runs until SIGINT or SIGTERM.

    Args:
        settings: the configuration.
        context: of the kubeconfig; None for its current one.

    Raises:
        UsageError: the configuration cannot be used, or the CRDs are not installed.
        ApiUnreachable: the API server gave no answer at the start.
        LeadershipLost: another replica may lead now; the process must end.
    """
    main = asyncio.current_task()
    assert main is not None
    turn = asyncio.get_running_loop()
    turn.set_exception_handler(_loop_error)
    for number in (signal.SIGINT, signal.SIGTERM):
        turn.add_signal_handler(number, main.cancel)
    try:
        await _Process(settings, context).run()
    except asyncio.CancelledError:
        log.info("stopped")
    except ExceptionGroup as group:  # a task group wraps whatever ends it
        expected = _expected(group)
        if expected is None:
            raise
        raise expected from None


def _loop_error(turn: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """As usual, but that uvloop takes bytes for a TLS connection just closed for fatal."""
    if "SSL protocol" in context["message"] and "the handler is closed" in str(context.get("exception")):
        log.debug("connection closed", error=context["message"])
        return
    turn.default_exception_handler(context)


def _expected(group: ExceptionGroup[Exception]) -> errors.StowplanError | None:
    """The first error that a user may see; None where there is a defect among the errors."""
    told, defects = group.split(errors.StowplanError)
    first: Exception | None = told if defects is None else None
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, errors.StowplanError) else None


class _Process:
    """One replica."""

    def __init__(self, settings: Settings, context: str | None) -> None:
        self._settings = settings
        self._context = context
        self._measured = metrics.Metrics()
        self._health = health.Health()
        self._identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
        cache = ClusterCache()
        args, *more = made = arguments.profiles(settings)
        self._reads_workloads = arguments.reads_workloads(made)
        self._board = board.PolicyBoard(
            cache,
            SchedulingQueue(
                cache.snapshot,
                initial_backoff=settings.pod_initial_backoff_seconds,
                max_backoff=settings.pod_max_backoff_seconds,
            ),
            args,
            clock=CLOCK,
            more=tuple(more),
        )
        self._loop: loop.SchedulingLoop | None = None
        self._started = False
        self._leads = False

    async def run(self) -> None:
        """From start to end."""
        settings = self._settings
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, self._check)
        lag = health.LoopLag(observe=self._measured.loop_lag)
        self._health.require_to_live("loop", lag.check)
        self._health.require_to_be_ready("start", lambda: "starting")
        served = health.serve(settings.metrics_bind_address, health=self._health, measured=self._measured)
        async with served as address, self._connected() as api, asyncio.TaskGroup() as tasks:
            log.info("serving", address=str(address), identity=self._identity, server=api.server)
            await _check_crds(api)
            tasks.create_task(lag.run())
            await self._schedule(api, tasks)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[session.Api]:
        connection = self._settings.client_connection
        self._cluster = await config.load(kubeconfig=connection.kubeconfig, context=self._context)
        async with session.Api(self._cluster, qps=connection.qps, observe=self._measured.api_request) as api:
            yield api

    async def _schedule(self, api: session.Api, tasks: asyncio.TaskGroup) -> None:
        """Watches, waits for the lease, and then leads."""
        watched = feed.Feed(
            api,
            self._board,
            names=frozenset(self._settings.scheduler_names),
            clock=CLOCK,
            on_change=self._wake,
            more=resources.WORKLOADS if self._reads_workloads else (),
        )
        self._attach(watched)
        self._board.on_change = self._wake
        gc.collect()
        _spare_the_collector()  # code and settings
        for each in watched.reflectors:
            tasks.create_task(each.run())
        for each in watched.reflectors:
            await each.synced.wait()
        _spare_the_collector()  # what was listed
        scheduler = self._board.scheduler
        snapshot = scheduler.cache.snapshot
        log.info("caches synced", nodes=len(snapshot), pods=len(snapshot.pods), pending=len(scheduler.queue))
        self._started = True
        recorder = events.Recorder(
            api,
            controller=self._settings.scheduler_names[0],
            instance=self._identity,
            busy=lambda: self._loop is not None and self._loop.busy,
        )
        writing = asyncio.ensure_future(recorder.run())
        try:
            if self._settings.leader_election.leader_elect:
                await self._elect(api, watched, recorder)
            else:
                await self._lead(api, watched, recorder, fence=lambda: "")
        finally:  # the lease has been given back by now: the next leader does not wait for our events
            await recorder.drain(EVENTS_AT_EXIT)
            writing.cancel()

    async def _elect(self, api: session.Api, watched: feed.Feed, recorder: events.Recorder) -> None:
        chosen = self._settings.leader_election
        # A connection of its own: no crowd of other requests before the renewal.
        async with session.Api(self._cluster, observe=self._measured.api_request) as own:
            elector = lease.Elector(
                own,
                namespace=chosen.resource_namespace or _namespace(),
                name=chosen.resource_name,
                identity=self._identity,
                terms=election.Terms(
                    lease_duration=int(chosen.lease_duration.total_seconds()),
                    renew_deadline=chosen.renew_deadline.total_seconds(),
                    retry_period=chosen.retry_period.total_seconds(),
                ),
            )
            await elector.run(lambda: self._lead(api, watched, recorder, fence=lambda: elector.fence))

    async def _lead(
        self, api: session.Api, watched: feed.Feed, recorder: events.Recorder, *, fence: Callable[[], str]
    ) -> None:
        """Schedules and reconciles until cancelled."""
        told = reporter.Reporter(api, recorder, busy=lambda: self._loop is not None and self._loop.busy)
        evicting = evictor.Evictor(api, recorder, self._carried_out, self._call_back)
        volumes = prebind.PreBinder(
            api,
            self._board.scheduler.cache.snapshot,
            timeout=self._settings.volume_timeout.total_seconds(),
            clock=CLOCK,
        )
        scheduling = self._loop = loop.SchedulingLoop(
            self._board,
            watched,
            binder=binder.Binder(api, fence=fence),
            prebinder=volumes,
            reporter=told,
            evictor=evicting,
            observer=observer.MetricsObserver(self._measured, CLOCK),
            clock=CLOCK,
            chance=random.Random(),  # noqa: S311 - picks among equally good nodes
        )
        operating = self._operator(watched)

        def stored(item: objects.KubeObject) -> None:
            volumes.changed(item)
            operating.object_changed(item)

        watched.on_storage = stored
        self._leads = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._board.run())
                tasks.create_task(told.run())
                tasks.create_task(evicting.run())
                tasks.create_task(operating.run())
                # A pod that was placed before its policy was known would be placed without it.
                while not operating.ready.is_set():  # noqa: ASYNC110 - it is set in another thread
                    await asyncio.sleep(READY_LOOK)
                tasks.create_task(scheduling.run())
        finally:
            self._leads = False

    def _operator(self, watched: feed.Feed) -> operator.Operator:
        """The controllers, told of pods, nodes, budgets and claims."""
        seen = world.BoardWorld(self._board)
        operating = operator.Operator(
            self._cluster,
            seen,
            seen.policies_of,
            timing=operator.Timing(),
            instance=self._identity,
            on_run=self._measured.reconcile,
            on_request=self._measured.api_request,
            controls=self._settings.controllers,
            qps=self._settings.client_connection.qps,
        )
        watched.on_pod = operating.pod_changed
        self._board.on_trial = operating.policy_changed
        self._board.on_outage = operating.outage_changed
        watched.on_node = operating.node_changed
        watched.on_budget = operating.object_changed
        return operating

    # ------------------------------------------------------------ health and metrics

    def _attach(self, watched: feed.Feed) -> None:
        def ages() -> dict[str, float]:
            now = CLOCK()
            return {each.kind: now - each.last_activity for each in watched.reflectors}

        def missing() -> str | None:
            names = [each.kind for each in watched.reflectors if not each.synced.is_set()]
            return f"waiting for the first list of {', '.join(names)}" if names else None

        scheduler = self._board.scheduler
        self._health.require_to_live("watches", health.watches_are_fresh(ages))
        self._health.require_to_be_ready("start", lambda: None if self._started else "starting")
        self._health.require_to_be_ready("caches", missing)
        self._health.tell("leader", lambda: self._leads)
        self._measured.attach(
            metrics.Sources(
                pending_pods=lambda: {place.value: scheduler.queue.size(place) for place in Place},
                incoming_pods=self._incoming,
                vain_retries=lambda: scheduler.queue.vain,
                unschedulable_pods=self._unschedulable,
                cache_size=lambda: {
                    "nodes": len(scheduler.cache.snapshot),
                    "pods": len(scheduler.cache.snapshot.pods),
                    "assumed_pods": scheduler.cache.assumed,
                },
                binds_in_flight=lambda: 0 if self._loop is None else self._loop.in_flight,
                watch_age=ages,
                leader=lambda: self._leads,
                plugin_errors=lambda: self._board.conduct.errors,
                plugins_cut_off=lambda: [
                    (each.plugin, each.point, each.profile) for each in self._board.conduct.cut_off
                ],
            )
        )

    def _incoming(self) -> dict[tuple[str, str], int]:
        """As kube-scheduler counts them: a gated pod enters ``unschedulable``."""
        counts: Counter[tuple[str, str]] = Counter()
        for (place, why), pods in self._board.scheduler.queue.incoming.items():
            counts[Place.UNSCHEDULABLE.value if place is Place.GATED else place.value, why] += pods
        return counts

    def _unschedulable(self) -> dict[tuple[str, str], int]:
        counts: Counter[tuple[str, str]] = Counter()
        for queued in self._board.scheduler.queue.pods():
            if queued.place is Place.UNSCHEDULABLE:
                counts.update((plugin, queued.pod.scheduler_name) for plugin in queued.rejected_by)
        return counts

    def _carried_out(self, uid: str, done: bool) -> None:
        self._board.scheduler.carried_out(uid, CLOCK(), done=done)
        self._wake()

    def _call_back(self, uid: str, reason: str) -> bool:
        return self._loop is not None and self._loop.call_back(uid, reason)

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.wake()

    def _check(self) -> None:
        """SIGUSR2: recounts everything from the pods and logs what differs."""
        wrong = self._board.scheduler.cache.snapshot.check()
        if wrong:
            log.error("cache differs from its pods", wrong=wrong)
        else:
            log.info("cache checked: all counts are right")


def _namespace() -> str:
    """The namespace that this process runs in; ``default`` outside of a cluster."""
    try:
        return NAMESPACE_FILE.read_text().strip()
    except OSError:
        return "default"


def _spare_the_collector() -> None:
    """What is there stays: the garbage collector need not look at it again and again."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)


async def _check_crds(api: session.Api) -> None:
    """Says at once what is missing, rather than in the log of a watch.

    Raises:
        UsageError: a CRD is not installed.
    """
    try:
        found = await api.get(f"/apis/{common.API_VERSION}", dict[str, object])
    except errors.NotFound:
        found = {}
    resources = found.get("resources") or []
    assert isinstance(resources, list)
    names = {each["name"] for each in resources}
    missing = [plural for plural in (policy.PLURAL, cluster.PLURAL) if plural not in names]
    if missing:
        wanted = ", ".join(f"{plural}.{common.GROUP}" for plural in missing)
        raise errors.UsageError(f"the cluster has no CRD {wanted}: install the Helm chart, or kubectl apply -f crds/")
