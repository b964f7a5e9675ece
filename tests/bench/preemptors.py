"""Many pods in a row that all have to evict somebody, in one process and without I/O: whether the last costs the same.

`python -m tests.bench preemption --pods 1000`. Every node is full of less important pods, and each pod that comes needs
a node for itself. So each gets the promise of a node of its own, beside all the promises before it. Then the victims
leave, one pod's after the other's, and the pods get their nodes. All times are of the CPU.

A promise is about one node: as under kube-scheduler, pods that are promised other nodes of a zone do not count for its
spread yet. So where zones must stay even, some pods are too late for their nodes, as others have come to the zone
before them. They lose them and are tried again after their backoff; in the end each has to have a node.
"""

from __future__ import annotations

import collections
import dataclasses
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.builders import HOST, ZONE, node, pod, selector, spread, term
from tests.profiles.world import policy

from stowplan import profiles
from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.plugin import SILENT
from stowplan.model.pods import PodClass, PodInfo
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.cycle import Placed, Scheduler, Unplaced
from stowplan.scheduler.groups import Roster
from stowplan.scheduler.promises import Promise
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.queued import Place

CPUS = 8
"""Of each node; as many pods of one CPU run there."""
ZONES = "abc"
AROUND = 5
"""Pods before and after the one that is shown: the median of all counts."""
DB = selector({"app": "db"})
PAUSE = 0.01
"""Seconds between the victims of two pods."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the pods that come are like, besides needing a node each."""

    name: str
    more: Mapping[str, object]
    policies: Sequence[SchedulingPolicy] = ()


@dataclasses.dataclass(frozen=True)
class Row:
    """What a run has cost.

    Attributes:
        each: CPU milliseconds of each decision that promises a node, and of the news that the victims are leaving.
        after: CPU milliseconds for each promise, from when its victims leave until somebody has the node.
        promises: how many there were.
        late: how many of them came to nothing, as the pod did not fit on its node any more.
        placed: pods that got a node.
    """

    each: list[float]
    after: float
    promises: int
    late: int
    placed: int

    def at(self, number: int) -> float:
        """What the pod of that number has cost, counting from 1."""
        return statistics.median(self.each[max(number - 1 - AROUND, 1) : number + AROUND])


def kinds() -> Iterator[Kind]:
    """Pods with and without rules."""
    yield Kind("room", {})
    yield Kind("alone on its host", {"anti_affinity": [term(HOST, DB)]})
    yield Kind("spread over zones", {"spreads": [spread(ZONE, DB)]})
    yield Kind("near another one", {"affinity": [term(ZONE, selector({"app": "front"}))]})
    yield Kind("even over zones by a policy", {}, [policy(selector=DB_OF_POLICY, spread=[EVEN])])


DB_OF_POLICY = {"matchLabels": {"app": "db"}}
EVEN = {"name": "zones", "domain": "zone"}


def show(nodes: int, pods: int) -> None:
    """Prints the table."""
    shown = [number for number in (100, 1000, 5000) if number <= pods]
    print(f"{nodes:,} nodes, {pods:,} pods in a row that each need a node for themselves; CPU ms for a pod")
    head = "  ".join(f"{f'{number:,}th':>8}" for number in shown)
    print(f"{'':32}{'first':>8}  {head}  {'mean':>8}  {'then, to place it':>18}")
    for kind in kinds():
        row = measure(kind, nodes, pods)
        some = "  ".join(f"{row.at(number):8.1f}" for number in shown)
        print(
            f"{kind.name:32}{row.each[0]:8.1f}  {some}  {statistics.mean(row.each):8.1f}  {row.after:18.1f}"
            f"  {row.promises:,} promises, {row.late:,} too late, {row.placed:,} placed", flush=True,
        )  # fmt: skip


def measure(kind: Kind, nodes: int, pods: int) -> Row:
    """One run."""
    scheduler = _scheduler(kind, nodes)
    for number in range(pods):
        one = pod(f"db{number}", cpu=CPUS, priority=100, labels={"app": "db"}, **kind.more)  # type: ignore[arg-type]
        scheduler.cache.put_waiting(one)
        scheduler.queue.put(one, 0.0)
    promises: list[Promise] = []
    each: list[float] = []
    while True:
        start = time.process_time()
        outcome = scheduler.attempt(0.0, len(each), lambda _: SILENT)
        if not isinstance(outcome, Unplaced):
            break
        promises += _carried_out(scheduler, outcome, 0.0)
        each.append((time.process_time() - start) * 1000)
    start, first = time.process_time(), len(promises)
    late, placed = _leave(scheduler, promises)
    return Row(each, (time.process_time() - start) * 1000 / pods, first, late, placed)


def _carried_out(scheduler: Scheduler, outcome: Unplaced, now: float) -> Iterator[Promise]:
    """What has been promised, if anything: the victims are leaving from now on."""
    if outcome.promise is not None:
        scheduler.carried_out(outcome.pod.uid, now, done=True)
        for victim in outcome.promise.victims:
            scheduler.happened(scheduler.cache.put_pod(_job(victim.name, victim.node_name, preempted=True)), now)
        yield outcome.promise


def _leave(scheduler: Scheduler, promises: Iterable[Promise]) -> tuple[int, int]:
    """The victims leave, and whoever may be tried is tried, until nobody is left who may.

    Returns:
        How many promises came to nothing, and how many pods got a node.
    """
    late, placed, now = 0, 0, 60.0  # all backoffs are over
    leaving = collections.deque(promises)
    while leaving or scheduler.queue.size(Place.BACKOFF):
        if leaving:
            now += PAUSE
            for victim in leaving.popleft().victims:
                scheduler.happened(scheduler.cache.remove_pod(victim.uid), now)
        else:
            now = scheduler.queue.next_flush() or now
        scheduler.queue.flush(now)
        while (outcome := scheduler.attempt(now, placed, lambda _: SILENT)) is not None:
            if isinstance(outcome, Placed):
                placed += 1
                scheduler.happened(scheduler.cache.remove_waiting(outcome.pod.uid), now)
                scheduler.happened(scheduler.cache.put_pod(outcome.pod), now)
            elif isinstance(outcome, Unplaced):
                late += outcome.promise is not None
                leaving += _carried_out(scheduler, outcome, now)
    return late, placed


def _scheduler(kind: Kind, nodes: int) -> Scheduler:
    """A cluster full of jobs, with a front in each zone that asks for nothing."""
    cache = ClusterCache()
    for number in range(nodes):
        cache.put_node(node(f"n{number}", zone=ZONES[number % len(ZONES)], cpu=CPUS))
        for running in _running(number):
            cache.put_pod(running)
    made = profiles.Policies(kind.policies, (), profiles.PluginArgs(), profiles.Backlog())
    made.govern(cache.snapshot)
    roster = Roster(made.group_for, _uncounted)
    return Scheduler(cache, SchedulingQueue(cache.snapshot), made.framework_for, roster, made.shadow_for)


def _running(number: int) -> Iterator[PodInfo]:
    for other in range(CPUS):
        yield _job(f"job{number}-{other}", f"n{number}")
    if number < len(ZONES):
        yield pod(f"front{number}", on=f"n{number}", priority=1000, labels={"app": "front"})


def _job(name: str, on: str, *, preempted: bool = False) -> PodInfo:
    return pod(name, on=on, cpu=1, priority=int(name[-1]) % 3, labels={"app": "job"}, preempted=preempted)


def _uncounted(cls: PodClass, delta: int) -> None:
    """Nothing here depends on how many pods wait."""
