"""Tells users why a pod waits: the PodScheduled condition and the FailedScheduling event, never in the way of a bind.

The loop hands over what it found; a few workers write it. Per pod only the newest finding is kept, so a flood of
pods that fit nowhere costs a bounded number of writes at a time. While binds wait for the API server (``busy``) all but
one worker rest, and that one pauses between two conditions: ten thousand pods that fit nowhere can be told later, and
are told slowly meanwhile. A node that is promised to a pod is written at once, since the next process must know of it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Final

import structlog

from stowplan import errors
from stowplan.kube import events, session, writes
from stowplan.model import objects
from stowplan.model.pods import PodInfo

log = structlog.get_logger(__name__)

UNSCHEDULABLE: Final = "Unschedulable"
SCHEDULER_ERROR: Final = "SchedulerError"
"""Reasons of the condition: no node is good enough, so that more of them would help (an autoscaler adds some), or
something went wrong. Source: kubernetes v1.36.3 ``pkg/scheduler/schedule_one.go`` (``handleSchedulingFailure``).
"""
PAUSE: Final = 0.02
"""Seconds between two conditions, and between two looks of the workers that rest, while binds wait."""


def reference(pod: PodInfo, *, nominated: str = "") -> objects.Pod:
    """As much of the API object as a write needs; ``nominated`` is what it shows as its nominated node."""
    meta = objects.ObjectMeta(namespace=pod.namespace, name=pod.name, uid=pod.uid, generation=pod.generation)
    conditions = []
    if pod.scheduled_message:
        conditions.append(_unscheduled(UNSCHEDULABLE, pod.scheduled_message))
    status = objects.PodStatus(conditions=conditions, nominated_node_name=nominated)
    return objects.Pod(metadata=meta, spec=objects.PodSpec(scheduler_name=pod.scheduler_name), status=status)


def _unscheduled(reason: str, message: str) -> objects.PodCondition:
    return objects.PodCondition(type="PodScheduled", status="False", reason=reason, message=message)


@dataclasses.dataclass(frozen=True, slots=True)
class _Finding:
    """Attributes: nominated: the node that is promised to the pod, "" for none any more; None leaves that alone."""

    pod: PodInfo
    reason: str
    message: str
    nominated: str | None


class Reporter:
    """Writes why pods wait.

    Args:
        api: where to.
        recorder: for the events.
        busy: whether binds wait for the API server.
        workers: conditions written at a time.
    """

    def __init__(
        self, api: session.Api, recorder: events.Recorder, *, busy: Callable[[], bool], workers: int = 4
    ) -> None:
        self._api = api
        self._recorder = recorder
        self._busy = busy
        self._workers = workers
        self._promised: dict[str, _Finding] = {}
        self._findings: dict[str, _Finding] = {}
        self._ready = asyncio.Semaphore(0)

    def scheduled(self, pod: PodInfo, node: str) -> None:
        """The pod was bound."""
        self._take(pod.uid)
        self._recorder.scheduled(reference(pod), node)

    def failed(self, pod: PodInfo, message: str, *, reason: str, nominated: str | None = None) -> None:
        """The pod fits nowhere, or could not be bound.

        Args:
            pod: the pod.
            message: why.
            reason: ``UNSCHEDULABLE`` or ``SCHEDULER_ERROR``.
            nominated: the node that is promised to it from now on, "" for none any more; None where nothing changes.
        """
        self._recorder.failed_scheduling(reference(pod), message)
        if pod.scheduled_message == message and nominated is None:
            return
        known = self._promised.get(pod.uid) or self._findings.get(pod.uid)
        if known is not None and nominated is None:
            nominated = known.nominated
        if nominated is None:
            self._findings[pod.uid] = _Finding(pod, reason, message, None)
        else:
            self._findings.pop(pod.uid, None)
            self._promised[pod.uid] = _Finding(pod, reason, message, nominated)
        if known is None:
            self._ready.release()

    async def run(self) -> None:
        """Writes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._workers):
                tasks.create_task(self._work(rests=number > 0))

    def _take(self, uid: str) -> _Finding | None:
        return self._promised.pop(uid, None) or self._findings.pop(uid, None)

    async def _work(self, *, rests: bool) -> None:
        while True:
            await self._ready.acquire()
            if self._busy() and not self._promised:
                if rests:
                    self._ready.release()
                await asyncio.sleep(PAUSE)
                if rests:
                    continue
            uid = next(iter(self._promised or self._findings), None)
            finding = None if uid is None else self._take(uid)
            if finding is None:
                continue
            try:
                await writes.patch_pod_status(
                    self._api,
                    reference(finding.pod, nominated="" if finding.nominated else "?"),  # whatever it shows now
                    condition=_unscheduled(finding.reason, finding.message),
                    nominated=finding.nominated,
                )
                finding.pod.scheduled_message = finding.message
            except (errors.NotFound, errors.Conflict):
                pass  # the pod is gone
            except (errors.ApiError, errors.ApiUnreachable) as error:
                log.warning("condition not written", pod=finding.pod.key, error=str(error))
