from __future__ import annotations

import dataclasses

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests import builders

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Diagnosis, Refusal, Verdict
from stowplan.model import objects
from stowplan.model.pods import Interner, PodInfo
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.queued import Place, QueuedPodInfo
from stowplan.scheduler.waiting import FLUSH_AFTER, MANY

INTERNER = Interner()
NODE_ADDED, POD_REMOVED = ClusterEvent.NODE_ADDED, ClusterEvent.POD_REMOVED


@dataclasses.dataclass(frozen=True)
class Alone:
    """Each pod waits for itself, for events of these kinds."""

    kinds: frozenset[ClusterEvent]

    def key(self, pod: PodInfo, nodes: Snapshot) -> str:
        return pod.uid

    def helps(self, pod: PodInfo, event: Happening, nodes: Snapshot, barred_by: str = "") -> bool:
        return True

    def only_there(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        return False


@dataclasses.dataclass(frozen=True)
class Alike:
    """All pods wait together for room on a node: an event helps as long as its node is in the set."""

    room: set[str] = dataclasses.field(default_factory=set, hash=False)
    kinds: frozenset[ClusterEvent] = frozenset({NODE_ADDED, POD_REMOVED, ClusterEvent.POLICY})

    def key(self, pod: PodInfo, nodes: Snapshot) -> int:
        return pod.priority

    def helps(self, pod: PodInfo, event: Happening, nodes: Snapshot, barred_by: str = "") -> bool:
        return event.node in self.room

    def only_there(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        return True


def diagnosis(reason: str = "x") -> Diagnosis:
    return Diagnosis(1, [Verdict("Fit", refusal=Refusal(reason))])


def unschedulable(queue: SchedulingQueue, now: float, *kinds: ClusterEvent) -> QueuedPodInfo:
    """Pops a pod, which then fits nowhere and waits for these events."""
    queued = popped(queue, now)
    queue.unschedulable(queued, diagnosis(), Alone(frozenset(kinds)), now)
    return queued


def happened(queue: SchedulingQueue, kind: ClusterEvent, now: float, node: str = "") -> int:
    return queue.happened([Happening(kind, node=node)], now)


def pending(name: str, *, priority: int = 0, gated: bool = False, cpu: str = "1") -> PodInfo:
    gates = [objects.PodSchedulingGate("example.com/wait")] if gated else []
    resources = objects.ResourceRequirements(requests={"cpu": cpu})
    spec = objects.PodSpec(
        priority=priority, scheduling_gates=gates, containers=[objects.Container(name="c", resources=resources)]
    )
    return INTERNER.pod(objects.Pod(metadata=objects.ObjectMeta(name=name, namespace="ns", uid=name), spec=spec))


def popped(queue: SchedulingQueue, now: float = 0) -> QueuedPodInfo:
    queued = queue.pop(now)
    assert queued is not None
    return queued


def order(queue: SchedulingQueue, now: float = 0) -> list[str]:
    names = []
    while (queued := queue.pop(now)) is not None:
        names.append(queued.pod.name)
    return names


def test_higher_priority_comes_first_then_who_waits_longer() -> None:
    queue = SchedulingQueue(Snapshot())
    queue.put(pending("late"), 3)
    queue.put(pending("early"), 1)
    queue.put(pending("urgent", priority=10), 5)
    assert order(queue) == ["urgent", "early", "late"]


def test_a_pod_that_fits_nowhere_waits_for_an_event_that_can_help() -> None:
    queue = SchedulingQueue(Snapshot())
    queue.put(pending("a"), 0)
    unschedulable(queue, 0, NODE_ADDED)
    assert happened(queue, POD_REMOVED, 100) == 0
    assert queue.pop(0) is None
    assert happened(queue, NODE_ADDED, 100) == 1
    assert order(queue) == ["a"]


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [pytest.param(1, 1, id="first"), pytest.param(2, 2, id="second"), pytest.param(4, 8, id="fourth"),
     pytest.param(5, 10, id="capped"), pytest.param(5000, 10, id="no overflow")],
)  # fmt: skip
def test_backoff_doubles_up_to_the_cap(attempts: int, seconds: float) -> None:
    assert SchedulingQueue(Snapshot()).backoff(attempts) == seconds


def test_an_event_during_backoff_does_not_shorten_it() -> None:
    queue = SchedulingQueue(Snapshot())
    queue.put(pending("a"), 0)
    unschedulable(queue, 0, NODE_ADDED)
    happened(queue, NODE_ADDED, 0.5)
    assert queue.size(Place.BACKOFF) == 1
    assert queue.next_flush() == 1
    assert queue.flush(0.9) == 0
    assert queue.flush(1.0) == 1
    assert order(queue) == ["a"]


def preemptor(nodes: Snapshot, queue: SchedulingQueue, remedy: Alone | Alike) -> None:
    """A pod that fits nowhere and is promised the node n1, at the time 0."""
    pod = pending("a")
    nodes.nominations.seen(pod)
    queue.put(pod, 0)
    queued = popped(queue)
    nodes.nominations.nominate(pod, "n1")
    queue.unschedulable(queued, diagnosis(), remedy, 0)


def test_a_pod_whose_victim_is_gone_does_not_wait_out_its_backoff() -> None:
    nodes = Snapshot()
    queue = SchedulingQueue(nodes)
    preemptor(nodes, queue, Alone(frozenset({POD_REMOVED})))
    assert happened(queue, POD_REMOVED, 0.1, "n1") == 1
    assert order(queue, 0.1) == ["a"]


@pytest.mark.parametrize(
    ("kind", "node"),
    [
        pytest.param(POD_REMOVED, "n2", id="a pod left another node"),
        pytest.param(POD_REMOVED, "", id="a pod left nobody knows where"),
        pytest.param(NODE_ADDED, "n1", id="something else happened"),
    ],
)
def test_nothing_else_shortens_the_backoff_of_a_pod_that_is_promised_a_node(kind: ClusterEvent, node: str) -> None:
    nodes = Snapshot()
    queue = SchedulingQueue(nodes)
    preemptor(nodes, queue, Alone(frozenset({POD_REMOVED, NODE_ADDED})))
    happened(queue, kind, 0.1, node)
    assert order(queue, 0.1) == []
    queue.flush(1)
    assert order(queue, 1) == ["a"]


def test_a_victim_that_leaves_while_the_pod_backs_off_ends_that() -> None:
    nodes = Snapshot()
    queue = SchedulingQueue(nodes)
    preemptor(nodes, queue, Alone(frozenset({POD_REMOVED, NODE_ADDED})))
    happened(queue, NODE_ADDED, 0.1)
    assert queue.size(Place.BACKOFF) == 1
    happened(queue, POD_REMOVED, 0.2, "n1")
    assert order(queue, 0.2) == ["a"]


def test_a_victim_that_does_not_make_room_enough_ends_no_backoff() -> None:
    nodes = Snapshot()
    queue, room = SchedulingQueue(nodes), {"n2"}
    preemptor(nodes, queue, Alike(room))
    happened(queue, POD_REMOVED, 0.1, "n2")
    happened(queue, POD_REMOVED, 0.2, "n1")
    assert order(queue, 0.2) == []
    room.add("n1")
    happened(queue, POD_REMOVED, 0.3, "n1")
    assert order(queue, 0.3) == ["a"]


@dataclasses.dataclass(frozen=True)
class Asked(Alone):
    """Notes who is asked."""

    asked: list[str] = dataclasses.field(default_factory=list, hash=False)

    def helps(self, pod: PodInfo, event: Happening, nodes: Snapshot, barred_by: str = "") -> bool:
        self.asked.append(pod.name)
        return True


def test_a_victim_that_leaves_is_told_to_nobody_who_is_promised_another_node_and_backs_off() -> None:
    nodes = Snapshot()
    queue, remedy = SchedulingQueue(nodes), Asked(frozenset({POD_REMOVED, NODE_ADDED}))
    for number in range(100):
        pod = pending(f"p{number}")
        nodes.nominations.seen(pod)
        queue.put(pod, 0)
        queued = popped(queue)
        nodes.nominations.nominate(pod, f"n{number}")
        queue.unschedulable(queued, diagnosis(), remedy, 0)
    happened(queue, NODE_ADDED, 0.1)
    remedy.asked.clear()
    happened(queue, POD_REMOVED, 0.2, "n7")
    assert remedy.asked == ["p7"]
    assert order(queue, 0.2) == ["p7"]


def test_the_next_is_tried_in_any_case_when_more_has_happened_than_is_remembered() -> None:
    queue, remedy = SchedulingQueue(Snapshot()), Alike({"n1"})
    crowd(queue, remedy, 2)
    happened(queue, POD_REMOVED, 100, "n1")
    remedy.room.clear()
    for _ in range(MANY):
        happened(queue, POD_REMOVED, 100, "n2")
    assert popped(queue, 100).pod.name == "p0"
    assert popped(queue, 100).pod.name == "p1"


def test_what_happens_to_others_is_not_remembered_for_those_whom_it_cannot_help() -> None:
    queue, remedy = SchedulingQueue(Snapshot()), Alike({"n1"})
    crowd(queue, remedy, 2)
    happened(queue, POD_REMOVED, 100, "n1")
    remedy.room.clear()
    for _ in range(MANY):
        happened(queue, ClusterEvent.POD_LABELS, 100, "n1")
    assert order(queue, 100) == ["p0"]


def test_a_failed_bind_is_tried_again_after_its_backoff() -> None:
    queue = SchedulingQueue(Snapshot())
    queue.put(pending("a"), 0)
    queue.failed(popped(queue), 0)
    assert queue.pop(0) is None
    queue.flush(1)
    assert popped(queue).attempts == 2


def test_what_events_missed_is_flushed() -> None:
    queue = SchedulingQueue(Snapshot())
    queue.put(pending("a"), 0)
    unschedulable(queue, 0)
    assert queue.next_flush() == FLUSH_AFTER
    assert queue.flush(FLUSH_AFTER - 1) == 0
    assert queue.flush(FLUSH_AFTER) == 1
    assert order(queue) == ["a"]


def test_gated_pods_are_not_tried_until_the_gates_are_gone() -> None:
    queue = SchedulingQueue(Snapshot())
    queue.put(pending("a", gated=True), 0)
    assert queue.size(Place.GATED) == 1
    assert queue.pop(0) is None
    queue.put(pending("a"), 1)
    assert order(queue) == ["a"]


def test_a_changed_spec_is_worth_a_new_try_and_a_changed_status_is_not() -> None:
    queue = SchedulingQueue(Snapshot())
    queue.put(pending("a"), 0)
    unschedulable(queue, 0, NODE_ADDED)
    queue.put(pending("a"), 100)
    assert queue.pop(0) is None
    queue.put(pending("a", cpu="500m"), 100)
    assert order(queue) == ["a"]


def test_it_counts_why_pods_enter_each_place() -> None:
    queue = SchedulingQueue(Snapshot())
    queue.put(pending("a"), 0)
    queue.put(pending("gated", gated=True), 0)
    unschedulable(queue, 0, NODE_ADDED)
    happened(queue, NODE_ADDED, 0.5)
    queue.flush(1)
    queue.put(pending("gated"), 2)
    queue.failed(popped(queue), 3)
    assert queue.incoming == {
        (Place.ACTIVE, "UnschedulablePodAdd"): 1,
        (Place.GATED, "UnschedulablePodAdd"): 1,
        (Place.UNSCHEDULABLE, "ScheduleAttemptFailure"): 1,
        (Place.BACKOFF, "NodeAdd"): 1,
        (Place.ACTIVE, "BackoffComplete"): 1,
        (Place.ACTIVE, "UnschedulablePodUpdate"): 1,
        (Place.BACKOFF, "ScheduleAttemptFailure"): 1,
    }


def test_a_removed_pod_does_not_come_back_out_of_a_heap() -> None:
    queue = SchedulingQueue(Snapshot())
    queue.put(pending("a"), 0)
    queue.remove("a", 0)
    queue.remove("a", 0)
    assert queue.pop(0) is None
    assert len(queue) == 0
    assert queue.next_flush() is None


def crowd(queue: SchedulingQueue, remedy: Alike, size: int) -> list[QueuedPodInfo]:
    """So many pods that fit nowhere, and wait together."""
    for number in range(size):
        queue.put(pending(f"p{number}"), number)
    pods = [popped(queue, 10) for _ in range(size)]
    for queued in pods:
        queue.unschedulable(queued, diagnosis(), remedy, 10)
    return pods


def test_one_pod_is_tried_for_all_that_are_alike() -> None:
    queue, remedy = SchedulingQueue(Snapshot()), Alike({"n1"})
    crowd(queue, remedy, 3)
    assert happened(queue, POD_REMOVED, 100, "n1") == 1
    assert queue.size(Place.UNSCHEDULABLE) == 2
    knocks = popped(queue, 100)
    queue.unschedulable(knocks, diagnosis(), remedy, 100)
    assert queue.pop(100) is None
    assert queue.vain == {"AssignedPodDelete": 1}


def test_when_one_gets_a_node_the_next_is_tried_as_long_as_there_is_room() -> None:
    queue, remedy = SchedulingQueue(Snapshot()), Alike({"n1", "n2"})
    crowd(queue, remedy, 4)
    happened(queue, POD_REMOVED, 100, "n1")
    happened(queue, POD_REMOVED, 100, "n2")  # while the first one is being tried
    popped(queue, 100)
    remedy.room.discard("n1")
    popped(queue, 100)
    remedy.room.discard("n2")
    assert queue.pop(100) is None
    assert queue.size(Place.UNSCHEDULABLE) == 2
    assert not queue.vain


def test_the_next_is_tried_when_the_one_that_was_woken_goes_away_or_fails_for_another_reason() -> None:
    queue, remedy = SchedulingQueue(Snapshot()), Alike({"n1"})
    crowd(queue, remedy, 3)
    happened(queue, POD_REMOVED, 100, "n1")
    queue.remove("p0", 100)
    knocks = popped(queue, 100)
    assert knocks.pod.name == "p1"
    queue.unschedulable(knocks, diagnosis("another"), Alone(frozenset({NODE_ADDED})), 100)
    assert order(queue, 100) == ["p2"]


def test_the_one_whose_backoff_is_over_first_is_tried() -> None:
    queue, remedy = SchedulingQueue(Snapshot()), Alike({"n1"})
    pods = crowd(queue, remedy, 2)
    happened(queue, POD_REMOVED, 100, "n1")
    queue.unschedulable(popped(queue, 100), diagnosis(), remedy, 100)
    happened(queue, POD_REMOVED, 100.5, "n1")
    assert popped(queue, 100.5) is pods[1]


def test_why_a_pod_fits_nowhere_is_known_while_others_like_it_sleep() -> None:
    nodes = Snapshot()
    queue, remedy = SchedulingQueue(nodes), Alike({"n1"})
    pods = crowd(queue, remedy, 1)
    found = queue.known(pending("new"), [remedy])
    assert found is not None
    assert found.reasons == {"x": 1}
    assert queue.known(pending("urgent", priority=1), [remedy]) is None
    happened(queue, POD_REMOVED, 100, "n1")
    assert queue.known(pending("new"), [remedy]) is None
    queue.unschedulable(popped(queue, 100), diagnosis(), remedy, 100)
    assert queue.known(pending("new"), [remedy]) is not None
    nodes.put_node(builders.node("n1"))
    assert queue.known(pending("new"), [remedy]) is None
    queue.remove(pods[0].pod.uid, 100)


def test_a_change_of_policies_wakes_everybody() -> None:
    queue = SchedulingQueue(Snapshot())
    crowd(queue, Alike(), 3)
    assert happened(queue, ClusterEvent.POLICY, 100) == 3
    assert queue.size(Place.ACTIVE) == 3


def test_a_group_is_flushed_by_one_of_its_pods() -> None:
    queue, remedy = SchedulingQueue(Snapshot()), Alike()
    crowd(queue, remedy, 3)
    assert queue.flush(10 + FLUSH_AFTER) == 1
    knocks = popped(queue, 10 + FLUSH_AFTER)
    queue.unschedulable(knocks, diagnosis(), remedy, 10 + FLUSH_AFTER)
    assert queue.next_flush() == 10 + 2 * FLUSH_AFTER
    assert queue.vain == {"UnschedulableTimeout": 1}


def test_an_important_pod_that_is_woken_again_and_again_does_not_keep_others_waiting() -> None:
    """Its backoff grows to ten seconds; all others are tried meanwhile."""
    queue, room = SchedulingQueue(Snapshot()), frozenset({NODE_ADDED})
    queue.put(pending("important", priority=1000), 0)
    tried = []
    now = 0.0
    for number in range(200):
        queue.put(pending(f"p{number}"), now)
        happened(queue, NODE_ADDED, now)
        queue.flush(now)
        while (queued := queue.pop(now)) is not None:
            tried.append(queued.pod.name)
            if queued.pod.name == "important":
                queue.unschedulable(queued, diagnosis(), Alone(room), now)
        now += 0.5
    assert len(tried) - tried.count("important") == 200
    assert tried.count("important") <= 15


@dataclasses.dataclass
class Expected:
    """What a plain list says about one pod."""

    place: Place
    priority: int
    joined: float
    ready_at: float = 0.0
    waits_for: frozenset[ClusterEvent] = frozenset()
    since: float = 0.0


class QueueMachine(RuleBasedStateMachine):
    """The queue against a dictionary that is searched from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = SchedulingQueue(Snapshot())
        self.model: dict[str, Expected] = {}
        self.out: dict[str, tuple[QueuedPodInfo, Expected]] = {}
        self.now = 0.0

    @rule(name=st.sampled_from("abcdef"), priority=st.integers(0, 2), gated=st.booleans())
    def put(self, name: str, priority: int, gated: bool) -> None:
        self.now += 0.25
        if name in self.out or name in self.model:
            return
        self.queue.put(pending(name, priority=priority, gated=gated), self.now)
        self.model[name] = Expected(Place.GATED if gated else Place.ACTIVE, priority, self.now)

    @rule(name=st.sampled_from("abcdef"))
    def remove(self, name: str) -> None:
        self.queue.remove(name, self.now)
        self.model.pop(name, None)

    @rule()
    def pop(self) -> None:
        active = [(-e.priority, e.joined, n) for n, e in self.model.items() if e.place is Place.ACTIVE]
        queued = self.queue.pop(self.now)
        if not active:
            assert queued is None
            return
        assert queued is not None
        first = self.model.pop(queued.pod.name)
        assert (-first.priority, first.joined) == min(active)[:2]
        self.out[queued.pod.name] = (queued, first)

    @precondition(lambda self: bool(self.out))
    @rule(data=st.data(), events=st.frozensets(st.sampled_from([NODE_ADDED, POD_REMOVED])), failed=st.booleans())
    def give_back(self, data: st.DataObject, events: frozenset[ClusterEvent], failed: bool) -> None:
        self.now += 0.25
        name = data.draw(st.sampled_from(sorted(self.out)))
        queued, expected = self.out.pop(name)
        expected.ready_at = self.now + self.queue.backoff(queued.attempts)
        if failed:
            self.queue.failed(queued, self.now)
            expected.place = Place.BACKOFF
        else:
            self.queue.unschedulable(queued, diagnosis(), Alone(events), self.now)
            expected.place, expected.waits_for, expected.since = Place.UNSCHEDULABLE, events, self.now
        self.model[name] = expected

    @rule(event=st.sampled_from([NODE_ADDED, POD_REMOVED]), later=st.sampled_from([0.5, 3.0]))
    def happens(self, event: ClusterEvent, later: float) -> None:
        self.now += later
        happened(self.queue, event, self.now)
        for expected in self.model.values():
            if expected.place is Place.UNSCHEDULABLE and event in expected.waits_for:
                self._wake(expected)

    @rule(later=st.sampled_from([0.5, 20.0, FLUSH_AFTER]))
    def flush(self, later: float) -> None:
        self.now += later
        self.queue.flush(self.now)
        for expected in self.model.values():
            if (expected.place is Place.BACKOFF and expected.ready_at <= self.now) or (
                expected.place is Place.UNSCHEDULABLE and self.now - expected.since >= FLUSH_AFTER
            ):
                self._wake(expected)

    def _wake(self, expected: Expected) -> None:
        expected.place = Place.ACTIVE if expected.ready_at <= self.now else Place.BACKOFF
        if expected.place is Place.ACTIVE:
            expected.joined = self.now

    @invariant()
    def every_pod_is_where_it_should_be(self) -> None:
        assert {queued.pod.name: queued.place for queued in self.queue.pods()} == {
            name: expected.place for name, expected in self.model.items()
        }
        for place in Place:
            assert self.queue.size(place) == sum(e.place is place for e in self.model.values())


TestQueueMachine = QueueMachine.TestCase
