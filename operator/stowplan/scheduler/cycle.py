"""One scheduling decision: pop, filter, score, assume, reserve. Pure; without an await from start to end.

``live`` calls :meth:`Scheduler.attempt` and carries out what it decided: the writes that volumes need, then the bind.
If that fails it calls :meth:`Scheduler.undo`, and the pod is as if it had never been placed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import CycleState, PreBindWrite, Probe
from stowplan.framework.runtime import Decision, Framework
from stowplan.framework.status import Diagnosis, Verdict
from stowplan.model.pods import PodClass, PodInfo
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.queued import QueuedPodInfo


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """A pod that has a node in the cache; the API server is still to be told.

    Attributes:
        writes: to be done, and to take effect, before the bind.
    """

    queued: QueuedPodInfo
    decision: Decision
    framework: Framework
    state: CycleState
    writes: tuple[PreBindWrite, ...]

    @property
    def pod(self) -> PodInfo:
        """The pod."""
        return self.queued.pod


@dataclasses.dataclass(frozen=True, slots=True)
class Unplaced:
    """A pod that fits nowhere; it is back in the queue.

    Attributes:
        diagnosis: why.
        repeated: whether it was said before in the same words.
    """

    queued: QueuedPodInfo
    framework: Framework
    diagnosis: Diagnosis
    repeated: bool

    @property
    def pod(self) -> PodInfo:
        """The pod."""
        return self.queued.pod


class Scheduler:
    """Cache, queue and profiles together.

    Args:
        cache: the state of the cluster.
        queue: the pods that wait.
        framework_for: the plugins that place the pods of a class.
    """

    def __init__(
        self, cache: ClusterCache, queue: SchedulingQueue, framework_for: Callable[[PodClass], Framework]
    ) -> None:
        self.cache = cache
        self.queue = queue
        self.framework_for = framework_for

    def attempt(self, now: float, chance: int, probe_for: Callable[[Framework], Probe]) -> Placed | Unplaced | None:
        """Decides about the next pod of the queue; None where there is none.

        Args:
            now: seconds of a monotonic clock.
            chance: a non-negative number that picks among equally good nodes.
            probe_for: the clock that times the plugins of a profile.

        Raises:
            Exception: a defect; the pod is back in the queue. Plugins that fail raise nothing here.
        """
        queued = self.queue.pop(now)
        if queued is None:
            return None
        try:
            framework = self.framework_for(queued.pod.cls)
            return self._decide(queued, framework, CycleState(probe_for(framework)), now, chance)
        except Exception:
            self.cache.forget(queued.pod)
            self.queue.failed(queued, now)
            raise

    def _decide(
        self, queued: QueuedPodInfo, framework: Framework, state: CycleState, now: float, chance: int
    ) -> Placed | Unplaced:
        pod, nodes = queued.pod, self.cache.snapshot
        result = self.queue.known(pod, framework.remedies) or framework.schedule(pod, nodes, state, chance)
        if isinstance(result, Diagnosis):
            return self._unplaced(queued, framework, result, now)
        self.cache.assume(pod, result.node)
        writes = framework.reserve(pod, nodes, state, result.row)
        if isinstance(writes, Verdict):
            self.cache.forget(pod)
            return self._unplaced(queued, framework, Diagnosis(len(nodes), [writes]), now)
        return Placed(queued, result, framework, state, writes)

    def undo(self, placed: Placed, now: float, *, retry: bool) -> None:
        """Takes a placement back.

        Args:
            placed: the placement; fine where the watch has moved or removed the pod meanwhile.
            now: seconds of a monotonic clock.
            retry: whether the pod still waits for a node.
        """
        placed.framework.unreserve(placed.pod, self.cache.snapshot, placed.state)
        happened = self.cache.forget(placed.pod)
        if retry:
            self.queue.failed(placed.queued, now)
        if placed.writes:
            happened += (Happening(ClusterEvent.VOLUMES_RELEASED, old=placed.pod),)
        self.happened(happened, now)

    def happened(self, events: Iterable[Happening], now: float) -> int:
        """Something changed in the cluster: wakes the pods that it may help. Returns how many."""
        return self.queue.happened(events, now)

    def _unplaced(self, queued: QueuedPodInfo, framework: Framework, diagnosis: Diagnosis, now: float) -> Unplaced:
        message = diagnosis.message
        repeated = message == queued.message
        queued.message = message
        self.queue.unschedulable(queued, diagnosis, framework.remedy(diagnosis), now)
        return Unplaced(queued, framework, diagnosis, repeated)
