"""A scheduler with policies and time, but without an API server: pods come, are decided about, and go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stowplan import profiles
from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.plugin import SILENT
from stowplan.framework.volumes import StorageObject
from stowplan.live.board import PolicyBoard
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.scheduler import solver
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.cycle import Batch, Placed, Question
from stowplan.scheduler.queue import SchedulingQueue


class World:
    """What ``live`` does, in a test's time; binds are answered at once.

    Attributes:
        now: seconds.
        asked: the questions that the solver was asked.
        batches: what was decided about groups.
    """

    def __init__(
        self,
        nodes: Iterable[objects.Node],
        policies: Iterable[SchedulingPolicy] = (),
        *,
        clusters: Iterable[profiles.Cluster] = (),
        storage: Iterable[StorageObject] = (),
        running: Iterable[PodInfo] = (),
    ) -> None:
        self.now = 0.0
        self.asked: list[Question] = []
        self.batches: list[Batch] = []
        self.cache = ClusterCache()
        self.queue = SchedulingQueue(self.cache.snapshot)
        self.board = PolicyBoard(self.cache, self.queue, profiles.PluginArgs(), clock=lambda: self.now)
        for each in nodes:
            self.cache.put_node(each)
        for item in storage:
            self.cache.put_storage(item)
        for pod in running:
            self.cache.put_pod(pod)
        self.apply(policies, clusters)

    def apply(self, policies: Iterable[SchedulingPolicy], clusters: Iterable[profiles.Cluster] = ()) -> None:
        """Puts these policies in force."""
        self.board.apply(policies, clusters)

    def create(self, *pods: PodInfo) -> None:
        """These pods wait now."""
        for pod in pods:
            self.board.waits(pod)
            self.queue.put(pod, self.now)

    def delete(self, *pods: PodInfo) -> None:
        """These pods are gone."""
        for pod in pods:
            self.board.settled(pod.uid)
            self.queue.remove(pod.uid, self.now)
            self.board.scheduler.happened(self.cache.remove_pod(pod.uid), self.now)

    def put_node(self, node: objects.Node) -> None:
        """A node comes or changes."""
        self.board.scheduler.happened(self.cache.put_node(node), self.now)

    def later(self, seconds: float) -> None:
        """Time passes: backoffs end."""
        self.now += seconds
        self.queue.flush(self.now)

    def run(self) -> Mapping[str, str]:
        """Decides until nothing is left to be tried; the nodes of all pods that have one, by name."""
        scheduler = self.board.scheduler
        while (outcome := scheduler.attempt(self.now, 0, lambda _: SILENT)) is not None:
            self._carry_out(outcome)
        return self.placed()

    def placed(self) -> Mapping[str, str]:
        """Pod to node."""
        return {pod.name: pod.node_name for pod in self.cache.snapshot.pods.values()}

    def message(self, pod: PodInfo) -> str:
        """Why a pod waits."""
        queued = self.queue.get(pod.uid)
        assert queued is not None
        return queued.message

    def _carry_out(self, outcome: object) -> None:
        match outcome:
            case Batch(question=Question() as question):
                self.asked.append(question)
                answer = solver.solve(question.problem)
                again = self.board.scheduler.answered(
                    question, answer, seconds=0.01, now=self.now, chance=0, probe_for=lambda _: SILENT
                )
                self._carry_out(again)
            case Batch() as batch:
                self.batches.append(batch)
                for placed in batch.placed:
                    self._bind(placed)
            case Placed() as placed:
                self._bind(placed)
            case _:
                pass

    def _bind(self, placed: Placed) -> None:
        self.board.scheduler.happened(self.cache.put_pod(placed.pod), self.now)
        self.board.bound(placed)
