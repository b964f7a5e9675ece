"""Groups on their way to the API server: the solver beside the loop, and no bind before all members are ready.

What the loop promises of a gang (``spec.gang``): its members are decided about at once; none is bound before the
volumes of all are there; if one's are refused, or take longer than ``timeout``, all of them give up their nodes
together and are tried anew. Then one member is bound first; what keeps it from being bound (a webhook, a node that has
gone) would keep the others, so they give up with it. From then on the others are bound, too; a bind that fails now is
tried again a few times with the room still held, and only then given up: what is bound cannot be taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from stowplan.scheduler import solver
from stowplan.scheduler.groups import Group
from stowplan.scheduler.outcomes import Placed, Question

log = structlog.get_logger(__name__)

BIND_AGAIN: Final = 3
"""How often a refused bind is tried again for a gang of which other members are bound already."""
PAUSE: Final = 1.0
"""Seconds between two of those."""


class Permit(Protocol):
    """What a pod that has a node waits for before it is bound."""

    @property
    def holds(self) -> bool:
        """Whether it may have to wait for others."""

    @property
    def failure(self) -> str:
        """Why it will not be bound; "" where nothing is known against it."""

    async def ready(self, pod: str, refused: str | None) -> str | None:
        """Waits until the pod (by its uid) may be bound; why not, where it may not.

        Args:
            pod: is prepared itself, unless ``refused`` says why not.
            refused: or None.
        """

    def insists(self, pod: str) -> bool:
        """Whether a refused bind of the pod is worth another try with its room still held."""

    def call_back(self, reason: str) -> bool:
        """Has those who wait give up their nodes; False where it is too late for that."""

    def settled(self, pod: str, failure: str) -> None:
        """The pod is bound, or ("" unless so) why not; to be said once for every pod in the end."""


class Alone:
    """The permit of a pod that waits for nobody."""

    holds = False

    def __init__(self) -> None:
        self.failure = ""

    async def ready(self, pod: str, refused: str | None) -> str | None:
        """At once."""
        return refused or self.failure or None

    def call_back(self, reason: str) -> bool:
        """As long as the pod's volumes are being made."""
        self.failure = reason
        return True

    def insists(self, pod: str) -> bool:
        """Another node may do."""
        return False

    def settled(self, pod: str, failure: str) -> None:
        """Of interest to nobody."""


class GangPermit:
    """The permit of the members of one gang that were decided about together.

    Args:
        group: the gang.
        members: those members, at least one; the first of them is bound first.
        stop: called with the members when they give up, to wake those that are waiting for volumes.
        done: called when all are settled, with why they gave up, or "".
    """

    def __init__(
        self,
        group: Group,
        members: Iterable[Placed],
        *,
        stop: Callable[[Iterable[Placed]], None],
        done: Callable[[str], None],
    ) -> None:
        self._group = group
        self._members = tuple(members)
        self._stop = stop
        self._done = done
        self._names = {each.pod.uid: each.pod.name for each in self._members}
        self._unprepared = set(self._names)
        self._unsettled = set(self._names)
        self._prepared = asyncio.Event()
        self._open = asyncio.Event()
        self._first = self._members[0].pod.uid
        self.failure = ""
        self.holds = any(each.writes for each in self._members)
        late = f"{group.name}: its members were not ready to be bound within {group.timeout:g} s"
        self._timer = asyncio.get_running_loop().call_later(group.timeout, self._fail, late)

    async def ready(self, pod: str, refused: str | None) -> str | None:
        """When all members are prepared: the first of them, and the others when that one is bound."""
        if refused is not None:
            self._fail(f"{self._group.name}: {self._names[pod]} could not be prepared: {refused}")
            return refused
        self._unprepared.discard(pod)
        if not self._unprepared:
            self._prepared.set()
        await self._prepared.wait()
        if not self.failure and pod == self._first:
            return None
        await self._open.wait()
        return self.failure or None

    def insists(self, pod: str) -> bool:
        """Once others are bound."""
        return self._open.is_set() and pod != self._first and not self.failure

    def call_back(self, reason: str) -> bool:
        """All members, until the first of them is bound."""
        if not self._prepared.is_set():
            self._fail(f"{self._group.name}: {reason}")
        return bool(self.failure)

    def settled(self, pod: str, failure: str) -> None:
        """Lets the others follow the first, or give up with it."""
        if pod == self._first and not self._open.is_set():
            if failure:
                self._fail(f"{self._group.name}: {self._names[pod]} could not be bound: {failure}")
            self._timer.cancel()
            self._open.set()
        self._unsettled.discard(pod)
        if not self._unsettled:
            self._timer.cancel()
            self._done(self.failure)

    def _fail(self, reason: str) -> None:
        if self._open.is_set() or self.failure:
            return
        self.failure = reason
        self._prepared.set()
        self._open.set()
        self._stop(self._members)


class Solver:
    """Asks the solver one question at a time, in a thread, while the loop goes on: HiGHS lets go of the GIL.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._one = asyncio.Semaphore(1)

    async def ask(self, question: Question) -> tuple[solver.Answer, float]:
        """The answer, and the seconds that it took; a question is never left without one."""
        async with self._one:
            started = self._clock()
            try:
                answer = await asyncio.to_thread(solver.solve, question.problem)
            except Exception:  # a defect of the solver or of the model must not stop the scheduling of all other pods
                log.exception("joint placement failed", group=question.group.name)
                answer = solver.Unknown()
            seconds = self._clock() - started
        log.info("joint placement", group=question.group.name, answer=type(answer).__name__, seconds=round(seconds, 3))
        return answer, seconds
