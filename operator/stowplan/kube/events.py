"""Writes events.k8s.io/v1 events, without ever making anybody wait.

The scheduling loop and the handlers call ``Recorder.record``, which only notes what happened; ``run`` sends it in the
background, a few requests at a time and ``rate`` a second, so that a burst of binds comes first and its events follow.
The queue is bounded: what does not fit is counted in ``dropped``. Losing an event loses no state.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from stowplan.errors import ApiError, ApiUnreachable, Conflict, NotFound
from stowplan.kube import pacing, session
from stowplan.kube.eventlog import Entry, EventLog, Report, Subject, shortened
from stowplan.model import objects

NORMAL: Final = "Normal"
WARNING: Final = "Warning"
TICK: Final = 15.0
_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"

log = structlog.get_logger(__name__)


def pod_subject(pod: objects.Pod) -> Subject:
    """A pod as the subject of an event."""
    meta = pod.metadata
    return Subject(api_version="v1", kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid)


class Recorder:
    """Notes what happened and sends it later.

    Args:
        api: where to.
        controller: who reports, for example ``stowplan.dev/scheduler`` or a scheduler's name.
        instance: which process of it (at most 128 characters).
        rate: events per second at most while running.
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
        rate: float = 200.0,
        capacity: int = 10_000,
        workers: int = 2,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._controller = controller
        self._instance = instance[:128]
        self._limiter = pacing.Limiter(rate=rate, burst=max(1, int(rate / 10)))
        self._queue: asyncio.Queue[Entry] = asyncio.Queue(capacity)
        self._workers = workers
        self._clock = clock
        self._log = EventLog()
        self._closing = False
        self._waiting = 0  # queued or being sent
        self.sent = 0
        self.dropped = 0

    @property
    def suppressed(self) -> int:
        """Events that were not made since their object had too many."""
        return self._log.suppressed

    def record(self, subject: Subject, *, type_: str, reason: str, action: str, note: str) -> None:
        """Note an event; returns at once.

        Args:
            subject: the object it is about.
            type_: ``NORMAL`` or ``WARNING``.
            reason: why, one CamelCase word.
            action: what was being done, one CamelCase word.
            note: for people; cut to 1 KiB.
        """
        report = Report(subject=subject, type=type_, reason=reason, action=action, note=shortened(note))
        entry = self._log.record(report, self._clock())
        if entry is not None:
            self._enqueue(entry)

    def scheduled(self, pod: objects.Pod, node: str) -> None:
        """A pod was bound; in kube-scheduler's words."""
        note = f"Successfully assigned {pod.metadata.namespace}/{pod.metadata.name} to {node}"
        self.record(pod_subject(pod), type_=NORMAL, reason="Scheduled", action="Binding", note=note)

    def failed_scheduling(self, pod: objects.Pod, message: str) -> None:
        """A pod fits nowhere (``0/3 nodes are available: ...``), or its bind failed; in kube-scheduler's words."""
        self.record(pod_subject(pod), type_=WARNING, reason="FailedScheduling", action="Scheduling", note=message)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._workers):
                tasks.create_task(self._work())
            tasks.create_task(self._heartbeat())

    async def drain(self, seconds: float) -> None:
        """Send what is waiting, last counts included, while ``run`` still runs; give up after ``seconds``."""
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
                if not self._closing:
                    await self._limiter.wait()
                await self._send(entry)
                self.sent += 1
            except (ApiError, ApiUnreachable) as error:
                # A namespace that is being deleted refuses its last events; that is nobody's fault.
                self.dropped += 1
                entry.give_up()
                log.debug("event lost", name=entry.name, error=str(error))
            finally:
                entry.queued = False
                self._waiting -= 1
                self._queue.task_done()

    async def _send(self, entry: Entry) -> None:
        count = entry.count
        namespace = entry.report.subject.namespace or "default"
        collection = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        if entry.written:
            body = {"series": _series(entry, count)}
            try:
                await self._api.patch(f"{collection}/{entry.name}", body, msgspec.Raw, repeat=True)
            except NotFound:  # events live an hour; this one is over, so it is told anew
                entry.mark(count=0, now=self._clock())
        if not entry.written:
            # The name makes a repeated POST harmless: AlreadyExists says that the first one arrived.
            try:
                await self._api.post(collection, self._event(entry, count, namespace), msgspec.Raw, repeat=True)
            except Conflict:
                log.debug("event exists", name=entry.name)
        entry.mark(count=count, now=self._clock())

    def _event(self, entry: Entry, count: int, namespace: str) -> dict[str, object]:
        report = entry.report
        subject = report.subject
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": entry.name, "namespace": namespace},
            "eventTime": _time(entry.first),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "type": report.type,
            "reason": report.reason,
            "action": report.action,
            "note": report.note,
            "regarding": {
                "apiVersion": subject.api_version,
                "kind": subject.kind,
                "namespace": subject.namespace,
                "name": subject.name,
                "uid": subject.uid,
            },
            **({"series": _series(entry, count)} if count > 1 else {}),
        }


def _series(entry: Entry, count: int) -> dict[str, object]:
    return {"count": count, "lastObservedTime": _time(entry.last)}


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime(_TIME)
