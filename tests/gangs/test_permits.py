"""Members of a gang on their way to the API server: who waits for whom, and who gives up with whom."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable

from tests.builders import node, pod
from tests.gangs.world import World
from tests.profiles.world import EVERYTHING, policy

from stowplan.framework.plugin import ProvisionClaim
from stowplan.live.gangs import Alone, GangPermit
from stowplan.scheduler.outcomes import Batch, Placed

GONE = "gang default/ha"


def decided(timeout: str = "5m") -> Batch:
    """Three members that have nodes."""
    world = World([node("n1")], [policy(selector=EVERYTHING, gang={"minMember": 3, "timeout": timeout})])
    world.create(*(pod(f"p{at}") for at in range(3)))
    world.run()
    (batch,) = world.batches
    return batch


class Flight:
    """A permit, and what it has said."""

    def __init__(self, batch: Batch) -> None:
        self.stopped = 0
        self.done: list[str] = []
        self.uids = [each.pod.uid for each in batch.placed]
        self.permit = GangPermit(batch.group, batch.placed, stop=self._stop, done=self.done.append)

    def _stop(self, members: Iterable[Placed]) -> None:
        self.stopped += len(tuple(members))

    def start(self, *, refused: str | None = None) -> list[asyncio.Task[str | None]]:
        """All members ask for their permit; the last one was refused its volume, if so."""
        reasons = [None, None, refused]
        return [
            asyncio.ensure_future(self.permit.ready(uid, reason))
            for uid, reason in zip(self.uids, reasons, strict=True)
        ]


async def settle(tasks: Iterable[asyncio.Task[str | None]]) -> list[str | None]:
    """What has become of them once nothing moves any more; "waits" for one that does not know yet."""
    for _ in range(5):
        await asyncio.sleep(0)
    return [task.result() if task.done() else "waits" for task in tasks]


async def test_one_member_goes_first_and_the_others_follow_when_it_is_bound() -> None:
    flight = Flight(decided())
    tasks = flight.start()
    assert sorted(map(str, await settle(tasks))) == ["None", "waits", "waits"]
    first = flight.uids[[task.done() for task in tasks].index(True)]
    flight.permit.settled(first, "")
    assert await settle(tasks) == [None, None, None]
    for uid in flight.uids:
        if uid != first:
            flight.permit.settled(uid, "")
    assert flight.done == [""]
    assert flight.stopped == 0


async def test_nobody_goes_before_all_are_prepared() -> None:
    flight = Flight(decided())
    waiting = [asyncio.ensure_future(flight.permit.ready(uid, None)) for uid in flight.uids[:2]]
    assert await settle(waiting) == ["waits", "waits"]
    last = asyncio.ensure_future(flight.permit.ready(flight.uids[2], None))
    assert None in await settle([*waiting, last])
    for uid in flight.uids:
        flight.permit.settled(uid, "")


async def test_one_refused_volume_makes_all_of_them_give_up() -> None:
    flight = Flight(decided())
    answers = await settle(flight.start(refused="no space"))
    assert answers == [f"{GONE}: p2 could not be prepared: no space"] * 2 + ["no space"]
    assert flight.stopped == 3
    for uid in flight.uids:
        flight.permit.settled(uid, "x")
    assert flight.done == [f"{GONE}: p2 could not be prepared: no space"]


async def test_what_keeps_the_first_from_being_bound_keeps_them_all() -> None:
    flight = Flight(decided())
    tasks = flight.start()
    at = [answer is None for answer in await settle(tasks)].index(True)
    flight.permit.settled(flight.uids[at], "denied by a webhook")
    answers = await settle(tasks)
    reason = f"{GONE}: p{at} could not be bound: denied by a webhook"
    assert [answer for number, answer in enumerate(answers) if number != at] == [reason, reason]


async def test_a_refused_bind_is_insisted_upon_only_after_others_are_bound() -> None:
    flight = Flight(decided())
    tasks = flight.start()
    at = [answer is None for answer in await settle(tasks)].index(True)
    first, second = flight.uids[at], flight.uids[at - 1]
    assert not flight.permit.insists(first)
    flight.permit.settled(first, "")
    await settle(tasks)
    assert flight.permit.insists(second)
    flight.permit.settled(second, "refused for good")
    flight.permit.settled(flight.uids[at - 2], "")
    assert flight.done == [""]


async def test_the_members_give_up_when_the_time_is_over() -> None:
    flight = Flight(decided(timeout="1ms"))
    waiting = asyncio.ensure_future(flight.permit.ready(flight.uids[0], None))
    assert await waiting == f"{GONE}: its members were not ready to be bound within 0.001 s"
    assert flight.permit.failure == await waiting
    assert flight.stopped == 3


async def test_a_gang_without_volumes_holds_up_nobody() -> None:
    batch = decided()
    assert not Flight(batch).permit.holds
    (first, *others) = batch.placed
    waiting = dataclasses.replace(first, writes=(ProvisionClaim("default/c", "n1"),))
    assert GangPermit(batch.group, [waiting, *others], stop=lambda _: None, done=lambda _: None).holds


async def test_a_pod_alone_waits_for_nobody() -> None:
    permit = Alone()
    assert await permit.ready("uid", None) is None
    assert await permit.ready("uid", "no space") == "no space"
    assert not permit.insists("uid")


async def test_a_pod_alone_is_called_back() -> None:
    permit = Alone()
    assert permit.call_back("preempted")
    assert await permit.ready("uid", None) == permit.failure == "preempted"


async def test_a_gang_is_called_back_as_a_whole() -> None:
    flight = Flight(decided())
    first, second, third = flight.uids
    tasks = [asyncio.ensure_future(flight.permit.ready(uid, None)) for uid in (first, second)]
    assert await settle(tasks) == ["waits", "waits"]
    for _ in range(2):  # for each member that is a victim
        assert flight.permit.call_back("preempted by pod default/urgent")
    said = f"{GONE}: preempted by pod default/urgent"
    assert await settle(tasks) == [said, said]
    assert await flight.permit.ready(third, None) == said
    assert flight.stopped == 3


async def test_a_gang_of_which_one_is_being_bound_is_not_called_back() -> None:
    flight = Flight(decided())
    tasks = flight.start()
    assert await settle(tasks) == [None, "waits", "waits"]
    assert not flight.permit.call_back("preempted")
    flight.permit.settled(flight.uids[0], "")
    assert await settle(tasks) == [None, None, None]
