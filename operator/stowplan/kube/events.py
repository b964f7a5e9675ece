"""Writes events.k8s.io/v1 events, without ever making anybody wait.

The scheduling loop and the handlers call ``Recorder.record``, which only notes what happened; ``run`` sends it in the
background. A bind and its event cost the API server about the same, so while the API server has all hands full
(``busy``) events wait: the binds of a burst come first and their events follow. Those that have waited ``PATIENCE``
seconds are sent nevertheless, ``rate`` a second. The queue is bounded: what does not fit is counted in ``dropped``.
Losing an event loses no state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from stowplan.errors import ApiError, ApiUnreachable, Conflict, NotFound
from stowplan.kube import pacing, session
from stowplan.kube.eventlog import Entry, EventLog, Report, Subject, shortened
from stowplan.model import objects, times

NORMAL: Final = "Normal"
WARNING: Final = "Warning"
TICK: Final = 15.0
PATIENCE: Final = 5.0
LOOK: Final = 0.02
"""Seconds between two looks at whether the API server is still busy."""
SECONDS: Final = 5.0
"""For one request."""

log = structlog.get_logger(__name__)


class _Metadata(objects.Struct):
    name: str
    namespace: str


class _Regarding(objects.Struct, omit_defaults=False):
    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


class _Series(objects.Struct, omit_defaults=False):
    count: int
    last_observed_time: str


class _Event(objects.Struct):
    api_version: str
    kind: str
    metadata: _Metadata
    event_time: str
    reporting_controller: str
    reporting_instance: str
    type: str
    reason: str
    action: str
    note: str
    regarding: _Regarding
    related: _Regarding | None = None
    series: _Series | None = None


_ENCODER: Final = msgspec.json.Encoder()


def pod_subject(pod: objects.Pod) -> Subject:
    """A pod as the subject of an event."""
    meta = pod.metadata
    return Subject(api_version="v1", kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid)


class Recorder:
    """Notes what happened and sends it later.

    Args:
        api: where to.
        controller: who reports what is about no pod's scheduling, for example ``stowplan.dev/operator``; what is, is
            reported by the pod's own scheduler name, one of several that a process may have.
        instance: which process of it (at most 128 characters).
        busy: whether something more urgent keeps the API server busy.
        rate: events per second at most while it is.
        capacity: events that may wait.
        workers: requests in flight.
        clock: Unix seconds.

    Attributes:
        sent: requests that succeeded.
        dropped: events that were lost: no room, or the API server refused or did not answer.
    """

    def __init__(
        self,
        api: session.Api,
        *,
        controller: str,
        instance: str,
        busy: Callable[[], bool],
        rate: float = 200.0,
        capacity: int = 50_000,
        workers: int = 8,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._controller = controller
        self._instance = instance[:128]
        self._limiter = pacing.Limiter(rate=rate, burst=max(1, int(rate / 10)))
        self._busy = busy
        self._queue: asyncio.Queue[Entry] = asyncio.Queue(capacity)
        self._workers = workers
        self._clock = clock
        self._log = EventLog()
        self._closing = False
        self._hopeless = False
        self._waiting = 0  # queued or being sent
        self.sent = 0
        self.dropped = 0

    @property
    def suppressed(self) -> int:
        """Events that were not made since their object had too many."""
        return self._log.suppressed

    def record(
        self, subject: Subject, *, type_: str, reason: str, action: str, note: str, controller: str = ""
    ) -> None:
        """Note an event; returns at once.

        Args:
            subject: the object it is about.
            type_: ``NORMAL`` or ``WARNING``.
            reason: why, one CamelCase word.
            action: what was being done, one CamelCase word.
            note: for people; cut to 1 KiB.
            controller: who reports it; "" for the recorder's own.
        """
        report = Report(
            subject=subject, type=type_, reason=reason, action=action, note=shortened(note), controller=controller
        )
        entry = self._log.record(report, self._clock())
        if entry is not None:
            self._enqueue(entry)

    def scheduled(self, pod: objects.Pod, node: str) -> None:
        """A pod was bound, which happens to it once; in kube-scheduler's words."""
        note = f"Successfully assigned {pod.metadata.namespace}/{pod.metadata.name} to {node}"
        report = Report(
            subject=pod_subject(pod), type=NORMAL, reason="Scheduled", action="Binding", note=note,
            controller=pod.spec.scheduler_name,
        )  # fmt: skip
        self._enqueue(self._log.single(report, self._clock()))

    def failed_scheduling(self, pod: objects.Pod, message: str) -> None:
        """A pod fits nowhere (``0/3 nodes are available: ...``), or its bind failed; in kube-scheduler's words."""
        self.record(
            pod_subject(pod), type_=WARNING, reason="FailedScheduling", action="Scheduling", note=message,
            controller=pod.spec.scheduler_name,
        )  # fmt: skip

    def preempted(self, victim: objects.Pod, pod: objects.Pod, node: str) -> None:
        """A pod was evicted so that another one fits on its node; in kube-scheduler's words."""
        note = f"Preempted by pod {pod.metadata.uid} on node {node}"
        report = Report(
            subject=pod_subject(victim),
            type=NORMAL,
            reason="Preempted",
            action="Preempting",
            note=note,
            related=pod_subject(pod),
            controller=pod.spec.scheduler_name,
        )
        self._enqueue(self._log.single(report, self._clock()))

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._workers):
                tasks.create_task(self._work())
            tasks.create_task(self._heartbeat())

    async def drain(self, seconds: float) -> None:
        """Send what is waiting, last counts included, while ``run`` still runs.

        Gives up after ``seconds``, and as soon as the API server cannot be reached.
        """
        self._closing = True
        for entry in self._log.unwritten():
            self._enqueue(entry)
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            self.dropped += self._waiting
            log.warning("events not sent", events=self._waiting)

    # ------------------------------------------------------------ background

    def _enqueue(self, entry: Entry) -> None:
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            entry.give_up()
            self.dropped += 1
        else:
            self._waiting += 1

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for entry in self._log.due(self._clock()):
                self._enqueue(entry)

    async def _work(self) -> None:
        while True:
            entry = await self._queue.get()
            try:
                await self._turn(entry)
                await self._send(entry)
                self.sent += 1
            except (ApiError, ApiUnreachable) as error:
                # A namespace that is being deleted refuses its last events; that is nobody's fault.
                self.dropped += 1
                entry.give_up()
                self._hopeless = self._closing and isinstance(error, ApiUnreachable)
                log.debug("event lost", name=entry.name, error=str(error))
            finally:
                entry.queued = False
                self._waiting -= 1
                self._queue.task_done()

    async def _turn(self, entry: Entry) -> None:
        """Wait until the API server has time for it, or it has waited long enough.

        Raises:
            ApiUnreachable: there is no point in trying.
        """
        while self._busy() and not self._closing:
            if self._clock() - entry.last >= PATIENCE:
                await self._limiter.wait()
                return
            await asyncio.sleep(LOOK)
        if self._hopeless:
            raise ApiUnreachable("the API server could not be reached a moment ago")

    async def _send(self, entry: Entry) -> None:
        count = entry.count
        namespace = entry.report.subject.namespace or "default"
        collection = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        if entry.written:
            body = {"series": _series(entry, count)}
            try:
                await self._api.patch(f"{collection}/{entry.name}", body, msgspec.Raw, seconds=SECONDS, repeat=True)
            except NotFound:  # events live an hour; this one is over, so it is told anew
                entry.mark(count=0, now=self._clock())
        if not entry.written:
            # The name makes a repeated POST harmless: AlreadyExists says that the first one arrived.
            event = self._event(entry, count, namespace)
            try:
                await self._api.request(
                    "POST", collection, body=event, seconds=SECONDS, repeat=True, attempts=1 if self._closing else None
                )
            except Conflict:
                log.debug("event exists", name=entry.name)
        entry.mark(count=count, now=self._clock())

    def _event(self, entry: Entry, count: int, namespace: str) -> bytes:
        report = entry.report
        event = _Event(
            api_version="events.k8s.io/v1",
            kind="Event",
            metadata=_Metadata(entry.name, namespace),
            event_time=times.rfc3339(entry.first, times.MICROSECONDS),
            reporting_controller=report.controller or self._controller,
            reporting_instance=self._instance,
            type=report.type,
            reason=report.reason,
            action=report.action,
            note=report.note,
            regarding=_object(report.subject),
            related=None if report.related is None else _object(report.related),
            series=_series(entry, count) if count > 1 else None,
        )
        return _ENCODER.encode(event)


def _object(subject: Subject) -> _Regarding:
    return _Regarding(subject.api_version, subject.kind, subject.namespace, subject.name, subject.uid)


def _series(entry: Entry, count: int) -> _Series:
    return _Series(count, times.rfc3339(entry.last, times.MICROSECONDS))
