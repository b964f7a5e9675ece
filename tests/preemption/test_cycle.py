"""Promises in the scheduling cycle: who is tried where and when, until the victims are gone."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.builders import HOST, ZONE, claim, node, node_term, pod, raw_pod, selector, spread, storage_class, volume

from stowplan import profiles
from stowplan.api import common
from stowplan.framework.plugin import SILENT
from stowplan.live.board import PolicyBoard
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.cycle import Placed, Unplaced
from stowplan.scheduler.promises import Promise
from stowplan.scheduler.queue import SchedulingQueue


class Cluster:
    """A scheduler with its cache and queue, and a watch that says what the test says. Time passes with each try."""

    def __init__(self, nodes: Iterable[objects.Node], running: Iterable[PodInfo]) -> None:
        self.cache = ClusterCache()
        self.now = 0.0
        queue = SchedulingQueue(self.cache.snapshot)
        self.board = PolicyBoard(self.cache, queue, profiles.PluginArgs(), clock=lambda: self.now)
        self.scheduler = self.board.scheduler
        for each in nodes:
            self.cache.put_node(each)
        for pod_info in running:
            self.cache.put_pod(pod_info)

    def create(self, *pods: PodInfo) -> None:
        for each in pods:
            self.scheduler.happened(self.cache.put_waiting(each), self.now)
            self.board.waits(each)
            self.scheduler.queue.put(each, self.now)

    def gone(self, *names: str) -> None:
        for name in names:
            self.scheduler.happened(self.cache.remove_pod(f"uid-default/{name}"), self.now)

    def deleted(self, name: str) -> None:
        """A pod that waited."""
        uid = f"uid-default/{name}"
        self.scheduler.queue.remove(uid, self.now)
        self.scheduler.happened(self.cache.remove_waiting(uid), self.now)

    def tried(self) -> list[tuple[str, str]]:
        """Everybody who may be tried now: the pod, and its node, or why it has none."""
        found = []
        self.now += 60
        self.scheduler.queue.flush(self.now)
        while (outcome := self.scheduler.attempt(self.now, 0, lambda _: SILENT)) is not None:
            match outcome:
                case Placed():
                    found.append((outcome.pod.name, outcome.decision.node))
                case Unplaced():
                    found.append((outcome.pod.name, outcome.diagnosis.message))
        return found

    def promise(self, name: str) -> Promise:
        """The next pod is this one, fits nowhere, and gets a promise."""
        self.now += 60
        self.scheduler.queue.flush(self.now)
        outcome = self.scheduler.attempt(self.now, 0, lambda _: SILENT)
        assert isinstance(outcome, Unplaced)
        assert outcome.pod.name == name
        assert outcome.promise is not None, outcome.diagnosis.message
        return outcome.promise

    def nominated(self, name: str) -> str:
        return self.cache.snapshot.nominations.node_of(f"uid-default/{name}")


def job(name: str, on: str, priority: int = 0) -> PodInfo:
    return pod(name, on=on, cpu="1", priority=priority)


def urgent(name: str = "urgent", priority: int = 100, *, nominated: str = "", gates: Iterable[str] = ()) -> PodInfo:
    return pod(name, cpu="1", priority=priority, nominated=nominated, gates=gates)


NOBODY = "No preemption victims found for incoming pod"


def test_a_pod_gets_the_node_that_was_made_free_for_it() -> None:
    cluster = Cluster([node("n1", cpu="1"), node("n2", cpu="1")], [job("a", "n1"), job("b", "n2", 50)])
    cluster.create(urgent())
    promise = cluster.promise("urgent")
    assert (promise.node, [each.name for each in promise.victims]) == ("n1", ["a"])
    assert cluster.nominated("urgent") == "n1"
    cluster.scheduler.carried_out("uid-default/urgent", cluster.now, done=True)
    assert cluster.tried() == [], "nothing has happened yet"
    cluster.gone("a")
    assert cluster.tried() == [("urgent", "n1")]


def test_nobody_else_gets_the_room_that_was_made() -> None:
    cluster = Cluster([node("n1", cpu="1")], [job("a", "n1")])
    cluster.create(urgent())
    cluster.promise("urgent")
    cluster.gone("a")
    late = [urgent("same", 100), urgent("lower", 7)]
    cluster.create(*late)
    cluster.scheduler.queue.remove("uid-default/urgent", cluster.now)  # as if it were still backing off
    said = f"0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 {NOBODY}."
    assert cluster.tried() == [("same", said), ("lower", said)]
    assert cluster.nominated("urgent") == "n1"


def test_a_more_important_pod_may_take_the_room_and_the_promise_is_taken_back() -> None:
    cluster = Cluster([node("n1", cpu="1")], [job("a", "n1")])
    cluster.create(urgent("first", 50))
    cluster.promise("first")
    cluster.create(urgent("second", 100))
    promise = cluster.promise("second")
    assert [each.name for each in promise.displaced] == ["first"]
    assert (cluster.nominated("first"), cluster.nominated("second")) == ("", "n1")
    cluster.gone("a")
    assert cluster.tried()[0] == ("second", "n1")


def test_two_pods_do_not_count_on_the_same_victims() -> None:
    cluster = Cluster([node("n1", cpu="1"), node("n2", cpu="1")], [job("a", "n1"), job("b", "n2")])
    cluster.create(urgent("first"), urgent("second"))
    nodes = {cluster.promise("first").node, cluster.promise("second").node}
    assert nodes == {"n1", "n2"}


def test_two_pods_share_a_node_where_there_is_room_for_both() -> None:
    cluster = Cluster([node("n1", cpu="2")], [job("a", "n1"), job("b", "n1")])
    cluster.create(urgent("first"), urgent("second"))
    first, second = cluster.promise("first"), cluster.promise("second")
    assert {each.name for each in (*first.victims, *second.victims)} == {"a", "b"}


def test_a_pod_in_flight_is_a_victim_like_any_other() -> None:
    """Its bind has not been answered yet."""
    cluster = Cluster([node("n1", cpu="1")], [])
    cluster.create(pod("low", cpu="1"))
    assert cluster.tried() == [("low", "n1")]
    assert cluster.cache.is_assumed("uid-default/low")
    cluster.create(urgent())
    assert [each.name for each in cluster.promise("urgent").victims] == ["low"]
    cluster.scheduler.carried_out("uid-default/urgent", cluster.now, done=True)
    cluster.gone("low")
    assert cluster.tried() == [("urgent", "n1")]
    assert cluster.cache.snapshot.check() == []


def test_while_victims_are_being_asked_nobody_else_has_to_go() -> None:
    cluster = Cluster([node("n1", cpu="1"), node("n2", cpu="1")], [job("a", "n1"), job("b", "n2")])
    cluster.create(urgent())
    cluster.promise("urgent")
    cluster.scheduler.queue.activate("uid-default/urgent", cluster.now)
    ((_, said),) = cluster.tried()
    assert said.endswith("preemption: waiting for the preemption for this pod to be finished")


def test_a_pod_whose_victims_could_not_be_asked_is_tried_again() -> None:
    cluster = Cluster([node("n1", cpu="1")], [job("a", "n1")])
    cluster.create(urgent())
    cluster.promise("urgent")
    cluster.scheduler.carried_out("uid-default/urgent", cluster.now, done=False)
    assert [each.name for each in cluster.promise("urgent").victims] == ["a"]


def test_a_promise_that_helps_no_more_is_taken_back() -> None:
    cluster = Cluster([node("n1", cpu="1")], [job("a", "n1", 100)])
    cluster.create(urgent(nominated="n1"))
    promise = cluster.promise("urgent")
    assert promise == Promise("", (), ())
    assert cluster.nominated("urgent") == ""


def test_a_nomination_of_before_the_start_counts() -> None:
    """By somebody else, or by the process before this one: the pod is tried there first, better nodes or not."""
    cluster = Cluster([node("n1", cpu="2"), node("n2", cpu="32")], [])
    cluster.create(urgent(nominated="n1"))
    assert cluster.tried() == [("urgent", "n1")]


def test_a_pod_that_waits_for_its_victims_goes_elsewhere_if_it_can() -> None:
    cluster = Cluster([node("n1", cpu="1")], [job("a", "n1")])
    cluster.create(urgent())
    cluster.promise("urgent")
    cluster.scheduler.happened(cluster.cache.put_node(node("n2", cpu="1")), cluster.now)
    assert cluster.tried() == [("urgent", "n2")]


@pytest.mark.parametrize("how", ["deleted", "nominated elsewhere"])
def test_room_that_is_promised_no_more_helps_others(how: str) -> None:
    cluster = Cluster([node("n1", cpu="1"), node("n2", cpu="1", unschedulable=True)], [])
    first = urgent("first", nominated="n1", gates=["example.com/wait"])
    cluster.create(first, urgent("second", 100))
    assert [name for name, said in cluster.tried() if "Insufficient cpu" in said] == ["second"]
    if how == "deleted":
        cluster.deleted("first")
    else:
        cluster.create(urgent("first", nominated="n2", gates=["example.com/wait"]))
    assert cluster.tried() == [("second", "n1")]


def test_what_is_gone_is_counted_on_no_node() -> None:
    cluster = Cluster([node("n1", cpu="1")], [job("a", "n1")])
    raw = raw_pod("urgent", cpu="1", priority=100)
    cluster.create(cluster.cache.interner.pod(raw))
    cluster.promise("urgent")
    cluster.gone("a")
    assert cluster.tried() == [("urgent", "n1")]
    raw.spec.node_name = "n1"
    cluster.cache.remove_waiting("uid-default/urgent")
    cluster.cache.put_pod(cluster.cache.interner.pod(raw))
    assert not cluster.cache.snapshot.nominations
    assert cluster.cache.snapshot.check() == []


def test_nobody_is_evicted_where_there_is_no_node() -> None:
    cluster = Cluster([], [])
    cluster.create(urgent())
    assert cluster.tried() == [("urgent", "no nodes available to schedule pods")]


def test_a_place_that_is_kept_for_an_absent_member_is_nobodys_victim() -> None:
    """A member of the same cluster will come back to n1, where its volume is: no room is made for another one there."""
    labels = {common.LABEL_CLUSTER: "orders", common.LABEL_NODE_SET: "a"}
    data = claim("data", volume="v")
    data.metadata.labels = {**labels, common.LABEL_MEMBER: "0"}
    cluster = Cluster([node("n1", pods=1), node("n2", pods=1)], [job("low", "n2", 10)])
    cluster.cache.put_storage(storage_class())
    cluster.cache.put_storage(volume("v", claimed_by="default/data", node_affinity=[node_term((HOST, "In", ["n1"]))]))
    cluster.cache.put_storage(data)
    cluster.create(pod("orders-a-1", cpu="1", priority=50, labels=labels))
    promise = cluster.promise("orders-a-1")
    assert (promise.node, [each.name for each in promise.victims]) == ("n2", ["low"])
    assert cluster.cache.snapshot.check() == []


def test_no_plugin_is_blamed_that_is_asked_about_a_preemptor_with_a_claim() -> None:
    """What a filter has against the nodes as they are is asked of it after its own pre-filter, as in any decision."""
    labels = {"app": "db"}
    cluster = Cluster(
        [node("n1", zone="a", pods=2), node("n2", zone="b", pods=1)],
        [pod("peer", on="n1", labels=labels, priority=50), job("low", "n1"), job("other", "n2")],
    )
    cluster.cache.put_storage(storage_class())
    cluster.cache.put_storage(volume("v", claimed_by="default/data", labels={ZONE: "b"}))
    cluster.cache.put_storage(claim("data", volume="v"))
    cluster.create(pod("urgent", labels=labels, priority=50, claims=["data"], spreads=[spread(ZONE, selector(labels))]))
    promise = cluster.promise("urgent")
    assert (promise.node, [each.name for each in promise.victims]) == ("n2", ["other"])
    assert not cluster.board.conduct.errors
