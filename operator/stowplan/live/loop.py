"""The scheduling loop: decide in slices of a few milliseconds, bind beside it.

A decision (``scheduler.cycle``) is synchronous; what it decided is carried out by a task of its own, so hundreds of
pods may be on their way to the API server while the next is being decided. The loop stops deciding while enough binds
are in flight: the API server is the limit then, and deciding later is deciding on newer news.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable
from typing import Final

import structlog

from stowplan.framework.plugin import Probe
from stowplan.framework.runtime import Framework
from stowplan.kube import binder, pacing
from stowplan.live import gangs, why
from stowplan.live.board import PolicyBoard
from stowplan.live.evictor import Evictor
from stowplan.live.feed import Feed
from stowplan.live.observe import Observer
from stowplan.live.prebind import PreBinder
from stowplan.live.reporter import SCHEDULER_ERROR, UNSCHEDULABLE, Reporter, reference
from stowplan.scheduler.cycle import Batch, Looked, Placed, Question, Unplaced
from stowplan.scheduler.groups import Group
from stowplan.scheduler.promises import UNDER_WAY
from stowplan.scheduler.queued import Place

log = structlog.get_logger(__name__)

BINDS: Final = 32
"""Binds in flight: enough to keep the API server busy, few enough that an answer still comes within a moment."""
BUSY: Final = 12
"""Binds in flight from which on the API server is taken to be the limit; what can wait lets them pass."""
SLICE: Final = 0.004
"""Seconds of decisions in a row before I/O gets its turn."""
ASK_AGAIN: Final = 1.0
"""Seconds between two questions what has become of a bind that was not answered."""
SWEEP: Final = 60.0
"""Seconds between two sweeps of what no pod uses any more."""


class SchedulingLoop:
    """Runs while this process is the leader.

    Args:
        board: the scheduler and its policies.
        feed: keeps the scheduler's cache and queue; already running.
        binder: writes.
        prebinder: does what volumes need before the bind.
        reporter: tells users.
        evictor: makes room for pods that fit nowhere.
        observer: is told of everything that is counted.
        clock: seconds, monotonic.
        chance: picks among equally good nodes.
    """

    def __init__(
        self,
        board: PolicyBoard,
        feed: Feed,
        *,
        binder: binder.Binder,
        prebinder: PreBinder,
        reporter: Reporter,
        evictor: Evictor,
        observer: Observer,
        clock: Callable[[], float],
        chance: random.Random,
    ) -> None:
        self._board = board
        self._scheduler = board.scheduler
        self._feed = feed
        self._binder = binder
        self._prebinder = prebinder
        self._reporter = reporter
        self._evictor = evictor
        self._observer = observer
        self._clock = clock
        self._chance = chance
        self._solver = gangs.Solver(clock)
        self._wake = asyncio.Event()
        self._preparing: dict[str, tuple[Placed, gangs.Permit]] = {}
        self._strain = pacing.Strain(clock=clock)
        self.in_flight = 0

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def call_back(self, uid: str, reason: str) -> bool:
        """Has a pod that is on its way to a node wait again; False where it is not, or is about to be bound."""
        placed, permit = self._preparing.get(uid, (None, None))
        if placed is None or permit is None or not permit.call_back(reason):
            return False
        self._prebinder.look((placed,))
        return True

    @property
    def busy(self) -> bool:
        """Whether binds wait for the API server: many of them, or any of them for long."""
        return self.in_flight >= BUSY or self._strain.high

    async def run(self) -> None:
        """Schedules until cancelled; what is in flight is cancelled with it."""
        queue = self._scheduler.queue
        sweep_at = self._clock() + SWEEP
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = self._clock()
                queue.flush(now)
                while self.in_flight < BINDS and self._clock() - now < SLICE:
                    if not self._attempt(tasks):
                        break
                if self.in_flight < BINDS and queue.size(Place.ACTIVE):
                    await asyncio.sleep(0)
                    continue
                if now >= sweep_at:
                    sweep_at = now + SWEEP
                    self._board.sweep()
                await self._rest(min(queue.next_flush() or sweep_at, sweep_at))

    async def _rest(self, until: float) -> None:
        """Waits for something to happen, but not past ``until``."""
        timer = asyncio.get_running_loop().call_later(max(0.0, until - self._clock()), self._wake.set)
        await self._wake.wait()
        timer.cancel()
        self._wake.clear()

    # ------------------------------------------------------------ decide

    def _attempt(self, tasks: asyncio.TaskGroup) -> bool:
        """Decides about one pod; whether there was one."""
        started = self._clock()
        try:
            outcome = self._scheduler.attempt(started, self._chance.getrandbits(32), self._probe)
        except Exception:  # a defect in a plugin must not stop the scheduling of all other pods
            log.exception("decision failed")
            self._observer.attempt("error", "", self._clock() - started)
            return True
        match outcome:
            case None:
                return False
            case Unplaced():
                self._unplaced(outcome, started)
            case Looked():
                if outcome.news and outcome.diagnosis.after != UNDER_WAY:
                    self._reporter.failed(outcome.pod, outcome.diagnosis.message, reason=UNSCHEDULABLE)
            case Batch():
                self._together(outcome, tasks, started)
            case Placed():
                self._observer.algorithm(self._clock() - started)
                self._placed(outcome, tasks, started, gangs.Alone())
        return True

    def _placed(self, placed: Placed, tasks: asyncio.TaskGroup, started: float, permit: gangs.Permit) -> None:
        self.in_flight += 1
        tasks.create_task(self._carry_out(placed, started, permit))

    def _together(self, batch: Batch, tasks: asyncio.TaskGroup, started: float) -> None:
        """A group was decided about: binds, waits, or asks the solver."""
        for unplaced in batch.unplaced:
            self._unplaced(unplaced, started)
        if batch.placed:
            self._observer.algorithm(self._clock() - started)
        permit: gangs.Permit | None = None
        if batch.group.strict and batch.placed:
            self._scheduler.roster.binding.add(batch.group)
            done = functools.partial(self._gang_done, batch.group)
            permit = gangs.GangPermit(batch.group, batch.placed, stop=self._prebinder.look, done=done)
        elif batch.group.strict and batch.unplaced:
            self._observer.gang("waiting")
        for placed in batch.placed:
            self._placed(placed, tasks, started, permit or gangs.Alone())
        if batch.question is not None:
            tasks.create_task(self._ask(batch.question, tasks))

    def _gang_done(self, group: Group, failure: str) -> None:
        self._scheduler.roster.binding.discard(group)
        self._observer.gang("undone" if failure else "bound")

    async def _ask(self, question: Question, tasks: asyncio.TaskGroup) -> None:
        answer, seconds = await self._solver.ask(question)
        self._observer.joint_placement(type(answer).__name__, seconds)
        started = self._clock()
        chance = self._chance.getrandbits(32)
        try:
            batch = self._scheduler.answered(
                question, answer, seconds=seconds, now=started, chance=chance, probe_for=self._probe
            )
        except Exception:  # as in _attempt
            log.exception("decision failed")
            self._observer.attempt("error", "", self._clock() - started)
        else:
            self._together(batch, tasks, started)
        self._wake.set()

    def _probe(self, framework: Framework) -> Probe:
        return self._observer.probe(framework.name)

    def _unplaced(self, outcome: Unplaced, started: float) -> None:
        message, promise = outcome.diagnosis.message, outcome.promise
        if promise is not None or outcome.diagnosis.after not in ("", UNDER_WAY):
            self._observer.preemption(0 if promise is None else len(promise.victims))
        if promise is not None and promise.victims:
            log.info(
                "preempting", pod=outcome.pod.key, node=promise.node, victims=[each.key for each in promise.victims]
            )
            self._evictor.evict(outcome.pod, promise)
        failed = outcome.diagnosis.failed  # a plugin did: no node is to blame
        if outcome.diagnosis.after != UNDER_WAY:  # else it was told when its victims were asked to leave
            if not outcome.repeated:
                log.info("unschedulable", pod=outcome.pod.key, reason=message, attempts=outcome.queued.attempts)
            reason = SCHEDULER_ERROR if failed else UNSCHEDULABLE
            nominated = None if promise is None else promise.node
            self._reporter.failed(outcome.pod, message, reason=reason, nominated=nominated)
        self._board.sleeps(outcome.pod)
        self._observer.attempt("error" if failed else "unschedulable", outcome.framework.name, self._clock() - started)

    # ------------------------------------------------------------ carry out

    async def _carry_out(self, placed: Placed, started: float, permit: gangs.Permit) -> None:
        """Writes first what volumes need, then the bind; in the end the pod is bound or back in the queue."""
        pod, flying, failure = placed.pod, True, "it was dropped"
        try:
            if placed.writes or permit.holds:
                self.in_flight -= 1  # provisioning takes its time and must not hold up other pods
                flying = False
                self._preparing[pod.uid] = placed, permit
                self._wake.set()
            unprepared = await self._prebinder.run(placed, permit) if placed.writes else None
            refused = await permit.ready(pod.uid, unprepared)
            self._preparing.pop(pod.uid, None)
            if refused is not None:
                failure = refused
                self._undo(placed, refused, started, reason=UNSCHEDULABLE if unprepared is None else SCHEDULER_ERROR)
                return
            if not flying:
                self.in_flight += 1
                flying = True
            settled = await self._bind(placed, permit)
            failure = settled.message if isinstance(settled, binder.Refused) else ""
            if isinstance(settled, binder.PodGone):
                failure = "it is gone"
            self._conclude(placed, settled, started)
        finally:
            self._preparing.pop(pod.uid, None)
            permit.settled(pod.uid, failure)
            if flying:
                self.in_flight -= 1
            self._wake.set()

    async def _bind(self, placed: Placed, permit: gangs.Permit) -> binder.Settled:
        """Binds; again, where a gang would be torn apart otherwise."""
        pod, node, tries = placed.pod, placed.decision.node, gangs.BIND_AGAIN
        while True:
            asked = self._clock()
            said = why.annotation(placed.decision, self._board.relaxed(pod.cls))
            outcome = await self._binder.bind(reference(pod), node, {binder.WHY: said})
            self._strain.took(self._clock() - asked)
            settled = await self._find_out(placed, outcome) if isinstance(outcome, binder.Unknown) else outcome
            self._observer.bind(type(settled).__name__, self._clock() - asked)
            if not (isinstance(settled, binder.Refused) and permit.insists(pod.uid) and tries):
                return settled
            tries -= 1
            log.warning("bind of a gang tried again", pod=pod.key, node=node, reason=settled.message)
            await asyncio.sleep(gangs.PAUSE)

    async def _find_out(self, placed: Placed, unknown: binder.Unknown) -> binder.Settled:
        """Asks until it is known what became of a bind.

        Meanwhile the pod keeps its room on the node: it may be there, and the watch that would tell is cut off, too.
        """
        pod, node = placed.pod, placed.decision.node
        log.warning("bind not answered", pod=pod.key, node=node)
        while True:
            await asyncio.sleep(ASK_AGAIN)
            outcome = await self._binder.ask(reference(pod), node, unknown)
            if not isinstance(outcome, binder.Unknown):
                return outcome

    def _conclude(self, placed: Placed, outcome: binder.Settled, started: float) -> None:
        pod, node, now = placed.pod, placed.decision.node, self._clock()
        match outcome:
            case binder.Bound():
                decision = placed.decision
                log.info("bound", pod=pod.key, node=node, score=decision.score, feasible=decision.feasible)
                self._reporter.scheduled(pod, node)
                self._board.bound(placed)
                self._observer.attempt("scheduled", placed.framework.name, now - started)
                self._observer.bound(placed.queued.attempts, now - placed.queued.added)
            case binder.PodGone() | binder.AlreadyBound():
                log.info("placement dropped", pod=pod.key, node=node, because=type(outcome).__name__)
                self._scheduler.undo(placed, now, retry=False)
            case binder.Refused(message):
                self._undo(placed, message, started, reason=SCHEDULER_ERROR)

    def _undo(self, placed: Placed, message: str, started: float, *, reason: str) -> None:
        now = self._clock()
        log.warning("not bound", pod=placed.pod.key, node=placed.decision.node, reason=message)
        newest = self._feed.waiting.get(placed.pod.uid)
        self._scheduler.undo(placed, now, retry=newest is not None)
        if newest is not None:
            self._scheduler.queue.put(newest, now)  # it may have been changed while it was in flight
            self._board.waits(newest)
            self._reporter.failed(newest, message, reason=reason)
        self._observer.attempt("error", placed.framework.name, now - started)
