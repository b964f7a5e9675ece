from __future__ import annotations

import dataclasses

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests import builders

from stowplan.framework.events import ClusterEvent
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass
from stowplan.plugins import domains
from stowplan.scheduler.cache import ClusterCache, Events


def kinds(events: Events) -> list[ClusterEvent]:
    return [each.kind for each in events]


@dataclasses.dataclass(frozen=True)
class HasLabel:
    """Counts the pods with a label."""

    key: str

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        del nodes
        return self.key in cls.labels and not cls.terminating


def test_an_assumed_pod_holds_its_node_until_it_is_forgotten() -> None:
    cache = ClusterCache()
    cache.put_node(builders.node("n1", cpu="4"))
    pod = builders.pod("p", cpu="3")
    cache.assume(pod, "n1")
    assert cache.snapshot.requested[0, 0] == 3000
    assert kinds(cache.forget(pod)) == [ClusterEvent.POD_REMOVED]
    assert cache.snapshot.requested[0, 0] == 0
    assert cache.forget(pod) == ()


def test_the_watch_confirms_an_assumed_pod_and_forgetting_it_then_changes_nothing() -> None:
    cache = ClusterCache()
    cache.put_node(builders.node("n1"))
    pod = builders.pod("p", cpu="3")
    cache.assume(pod, "n1")
    assert kinds(cache.put_pod(builders.pod("p", cpu="3", on="n1"))) == [ClusterEvent.POD_ADDED]
    assert cache.forget(pod) == ()
    assert cache.snapshot.requested[0, 0] == 3000


def test_a_pod_whose_labels_were_changed_by_the_bind_is_new_to_those_who_wait_for_it() -> None:
    """The admission plugin PodTopologyLabels gives it the zone of its node (on by default since 1.35)."""
    cache = ClusterCache()
    cache.put_node(builders.node("n1", zone="a"))
    cache.assume(builders.pod("p", labels={"app": "db"}), "n1")
    labelled = builders.pod("p", labels={"app": "db", builders.ZONE: "a"}, on="n1")
    events = cache.put_pod(labelled)
    assert [(each.kind, each.old is None, each.new is labelled) for each in events] == [
        (ClusterEvent.POD_ADDED, True, True),
        (ClusterEvent.POD_LABELS, False, True),
    ]


def test_a_pod_bound_by_somebody_else_while_in_flight_is_counted_there() -> None:
    cache = ClusterCache()
    cache.put_node(builders.node("n1"))
    cache.put_node(builders.node("n2"))
    pod = builders.pod("p", cpu="3")
    cache.assume(pod, "n1")
    cache.put_pod(builders.pod("p", cpu="3", on="n2"))
    cache.forget(pod)
    assert cache.snapshot.requested[0].tolist() == [0, 3000]


def test_an_old_pending_state_of_an_assumed_pod_changes_nothing() -> None:
    cache = ClusterCache()
    cache.put_node(builders.node("n1"))
    cache.assume(builders.pod("p", cpu="3"), "n1")
    assert cache.put_pod(builders.pod("p", cpu="3")) == ()
    assert cache.snapshot.requested[0, 0] == 3000


def test_a_pod_deleted_while_in_flight_leaves_nothing_behind() -> None:
    cache = ClusterCache()
    cache.put_node(builders.node("n1"))
    pod = builders.pod("p", cpu="3")
    cache.assume(pod, "n1")
    cache.remove_pod(pod.uid)
    assert cache.forget(pod) == ()
    assert cache.snapshot.requested[0, 0] == 0
    assert cache.assumed == 0


def test_a_finished_pod_frees_its_node() -> None:
    cache = ClusterCache()
    cache.put_node(builders.node("n1"))
    cache.put_pod(builders.pod("p", cpu="3", on="n1"))
    assert kinds(cache.put_pod(builders.pod("p", cpu="3", on="n1", phase="Succeeded"))) == [ClusterEvent.POD_REMOVED]
    assert cache.snapshot.requested[0, 0] == 0


def test_pods_of_a_deleted_node_count_again_when_it_comes_back() -> None:
    cache = ClusterCache()
    for name in ("n1", "n2", "n3"):
        cache.put_node(builders.node(name))
    cache.put_pod(builders.pod("p", cpu="3", on="n1"))
    cache.remove_node("n1")
    assert cache.snapshot.requested[0].sum() == 0
    cache.put_node(builders.node("n1"))
    assert cache.snapshot.requested[0, cache.snapshot.row_of["n1"]] == 3000


def test_a_heartbeat_is_no_event() -> None:
    cache = ClusterCache()
    assert kinds(cache.put_node(builders.node("n1"))) == [ClusterEvent.NODE_ADDED]
    assert cache.put_node(builders.node("n1")) == ()
    assert kinds(cache.put_node(builders.node("n1", cpu="64"))) == [ClusterEvent.NODE_ALLOCATABLE]
    assert kinds(cache.put_node(builders.node("n1", cpu="64", zone="b"))) == [ClusterEvent.NODE_LABELS]
    assert kinds(cache.put_node(builders.node("n1", cpu="64", zone="b", taints=["a:NoSchedule"]))) == [
        ClusterEvent.NODE_TAINTS
    ]
    more = builders.node("n1", cpu="64", zone="b", taints=["a:NoSchedule"], features=["Restarts"])
    assert kinds(cache.put_node(more)) == [ClusterEvent.NODE_FEATURES]


NODES = st.sampled_from(["n1", "n2", "n3"])
PODS = st.sampled_from(["a", "b", "c", "d"])
LABELS = st.sampled_from([{}, {"app": "x"}, {"app": "y", "tier": "z"}])


class CacheMachine(RuleBasedStateMachine):
    """Any order of events, and the cache is what the final state alone would give."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = ClusterCache()
        self.where: dict[str, tuple[str, str]] = {}
        self.nodes: dict[str, str] = {}

    @rule(name=NODES, zone=st.sampled_from(["a", "b"]), cpu=st.sampled_from(["4", "8"]))
    def put_node(self, name: str, zone: str, cpu: str) -> None:
        self.cache.put_node(builders.node(name, zone=zone, cpu=cpu))
        self.nodes[name] = zone

    @rule(name=NODES)
    def remove_node(self, name: str) -> None:
        self.cache.remove_node(name)
        self.nodes.pop(name, None)

    @rule(
        name=PODS, node=NODES, labels=LABELS, cpu=st.sampled_from(["1", "2"]), terminating=st.booleans(),
        priority=st.sampled_from([0, 7]),
    )  # fmt: skip
    def bound(
        self, *, name: str, node: str, labels: dict[str, str], cpu: str, terminating: bool, priority: int
    ) -> None:  # fmt: skip
        anti = [builders.term(builders.ZONE, builders.selector(labels))] if labels else []
        pod = builders.pod(
            name, on=node, labels=labels, cpu=cpu, terminating=terminating, anti_affinity=anti, claims=["c"],
            priority=priority,
        )  # fmt: skip
        self.cache.put_pod(pod)
        self.where[name] = (node, cpu)

    @rule(name=PODS, node=NODES, labels=LABELS)
    def assume(self, name: str, node: str, labels: dict[str, str]) -> None:
        if name not in self.where and node in self.nodes:
            self.cache.assume(builders.pod(name, labels=labels, cpu="1"), node)
            self.where[name] = (node, "1")

    @rule(name=PODS)
    def forget(self, name: str) -> None:
        pod = self.cache.snapshot.pods.get(f"uid-default/{name}")
        if pod is not None and self.cache.is_assumed(pod.uid):
            self.cache.forget(pod)
            del self.where[name]

    @rule(name=PODS)
    def remove_pod(self, name: str) -> None:
        self.cache.remove_pod(f"uid-default/{name}")
        self.where.pop(name, None)

    @rule()
    def sweep(self) -> None:
        self.cache.sweep(set())

    @invariant()
    def requests_are_those_of_the_pods_that_are_there(self) -> None:
        snapshot = self.cache.snapshot
        expected = dict.fromkeys(self.nodes, 0)
        for node, cpu in self.where.values():
            if node in expected:
                expected[node] += int(cpu) * 1000
        assert {snapshot.name(row): int(snapshot.requested[0, row]) for row in range(len(snapshot))} == expected

    @invariant()
    def counted_along_is_counted_anew(self) -> None:
        snapshot = self.cache.snapshot
        assert snapshot.check() == []
        zone = snapshot.label(builders.ZONE)
        for key in ("app", "tier"):
            counted = domains.tally(snapshot, HasLabel(key), builders.ZONE)
            for row in range(len(snapshot)):
                rows = [other for other in range(len(snapshot)) if zone.at(other) == zone.at(row)]
                there = [pod for other in rows for pod in snapshot.on_node[other].values()]
                expected = sum(HasLabel(key).matches(pod.cls, snapshot) for pod in there)
                assert counted.counts[counted.domain_of[row]] == expected

    @invariant()
    def a_fork_is_the_same_and_can_be_changed_alone(self) -> None:
        snapshot = self.cache.snapshot
        before = snapshot.requested.copy()
        twin = snapshot.fork()
        for uid in list(twin.pods):
            twin.remove_pod(uid)
        assert int(twin.requested.sum()) == 0
        assert (snapshot.requested == before).all()


TestCacheMachine = CacheMachine.TestCase
