"""Carries out promises: the victims of preemption are told why and asked to leave, beside everything else.

The loop hands over what the scheduler has decided; some workers do it. A victim gets the condition DisruptionTarget
and is then deleted gracefully: it has its grace period, and whoever made it learns that it was not its own fault. The
nomination of the pod itself is written by the reporter, together with its condition. Everything can be stopped after
any write: whoever comes next finds the nomination, victims that are leaving, or a pod that still fits nowhere.

A victim that is only on its way to the node, because its volume is being made or its gang is not complete, is called
back instead and waits for another node; as there is nobody to be told, it is not deleted. One whose bind has been sent
is deleted: either it is gone before it is bound, or it leaves like any other.

Source: kubernetes v1.36.3 ``pkg/scheduler/framework/preemption/executor.go`` (``NewExecutor``: waiting pods, pods in
PreBind, all others).
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import structlog

from stowplan import errors
from stowplan.kube import events, resources, session, writes
from stowplan.live.reporter import reference
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.scheduler.promises import Promise

log = structlog.get_logger(__name__)

REASON = "PreemptionByScheduler"


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    pod: PodInfo
    promise: Promise


class Evictor:
    """Evicts.

    Args:
        api: where to write.
        recorder: for the events.
        done: told, for each pod that room is made for, its uid and whether all its victims have been asked to leave.
        call_back: given the uid of a victim and a reason, has it give up its node if it is not about to be bound, and
            says whether it does.
        workers: pods that room is made for at a time; kube-scheduler evicts 16 victims of each at once.
    """

    def __init__(
        self,
        api: session.Api,
        recorder: events.Recorder,
        done: Callable[[str, bool], None],
        call_back: Callable[[str, str], bool],
        *,
        workers: int = 16,
    ) -> None:
        self._api = api
        self._recorder = recorder
        self._done = done
        self._call_back = call_back
        self._workers = workers
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()

    def evict(self, pod: PodInfo, promise: Promise) -> None:
        """Has the victims of a promise to a pod leave; returns at once."""
        self._jobs.put_nowait(_Job(pod, promise))

    async def run(self) -> None:
        """Evicts until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._workers):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            done = False
            try:
                done = await self._carry_out(job)
            finally:
                self._done(job.pod.uid, done)

    async def _carry_out(self, job: _Job) -> bool:
        """Whether nothing went wrong. The last victim goes last, and only if the others did."""
        for each in job.promise.displaced:
            await self._displace(each)
        staying = [each for each in job.promise.victims if not each.terminating]
        if not staying:
            return True
        *others, last = staying
        if not all(await asyncio.gather(*(self._evict(each, job) for each in others))):
            return False
        return await self._evict(last, job)

    async def _displace(self, pod: PodInfo) -> None:
        """Takes a nomination back; where that fails, the pod's next decision does it."""
        try:
            await writes.patch_pod_status(self._api, reference(pod, nominated="?"), nominated="")
        except (errors.ApiError, errors.ApiUnreachable) as error:
            log.info("nomination not taken back", pod=pod.key, error=str(error))

    async def _evict(self, victim: PodInfo, job: _Job) -> bool:
        pod, node = job.pod, job.promise.node
        target = reference(victim)
        if self._call_back(victim.uid, f"preempted by pod {pod.key}"):
            log.info("preempted before it was bound", victim=victim.key, pod=pod.key, node=node)
            self._recorder.preempted(target, reference(pod), f"{node} (before it was bound)")
            return True
        message = f"{pod.scheduler_name}: preempting to accommodate a higher priority pod"
        try:
            condition = objects.PodCondition("DisruptionTarget", "True", REASON, message)
            await writes.patch_pod_status(self._api, target, condition=condition)
            await self._api.delete(resources.PODS.of(target), uid=victim.uid)
        except (errors.NotFound, errors.Conflict):
            return True  # it is gone, or another one has its name
        except (errors.ApiError, errors.ApiUnreachable) as error:
            log.warning("victim not evicted", victim=victim.key, pod=pod.key, node=node, error=str(error))
            return False
        log.info("preempted", victim=victim.key, pod=pod.key, node=node)
        self._recorder.preempted(target, reference(pod), node)
        return True
