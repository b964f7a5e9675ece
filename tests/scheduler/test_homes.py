"""A member whose volume is on a node finds its place there when it comes back, whoever waits for one meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from tests.builders import HOST, claim, node, node_term, pod, storage_class, volume

from stowplan import profiles
from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.homes import RETURN
from stowplan.framework.plugin import SILENT
from stowplan.live.board import PolicyBoard
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.scheduler import solver
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.cycle import Batch, Placed, Unplaced
from stowplan.scheduler.queue import SchedulingQueue

APART = {"separate": [{"name": "one-per-host", "domain": "host"}]}
FULL = "node(s) would break separate rule one-per-host"


def labels(ordinal: int, cluster: str = "db", roles: tuple[str, ...] = ()) -> Mapping[str, str]:
    named = {f"role.stowplan.dev/{each}": "true" for each in roles}
    return {
        "stowplan.dev/cluster": cluster,
        "stowplan.dev/node-set": "data",
        "stowplan.dev/member": str(ordinal),
        **named,
    }


def member(ordinal: int, *, on: str = "", uid: str = "", terminating: bool = False) -> PodInfo:
    name = f"db-data-{ordinal}"
    return pod(name, labels=labels(ordinal), claims=[f"disk-{name}"], on=on, uid=uid or name, terminating=terminating)


def claim_of(ordinal: int, *, volume_name: str = "", selected: str = "") -> objects.PersistentVolumeClaim:
    made = claim(
        f"disk-db-data-{ordinal}",
        storage_class="local",
        volume=volume_name,
        annotations={"volume.kubernetes.io/selected-node": selected} if selected else None,
    )
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, labels=dict(labels(ordinal))))


def local(ordinal: int, host: str) -> objects.PersistentVolume:
    return volume(
        f"pv-{ordinal}",
        storage_class="local",
        claimed_by=f"default/disk-db-data-{ordinal}",
        node_affinity=[node_term((HOST, "In", [host]))],
    )


class World:
    """Two hosts, a rule that keeps members apart, and a watch that says what the test says."""

    def __init__(self, *hosts: str) -> None:
        self.now = 0.0
        self.cache = ClusterCache()
        self.board = PolicyBoard(
            self.cache, SchedulingQueue(self.cache.snapshot), profiles.PluginArgs(), clock=lambda: self.now
        )
        self.scheduler = self.board.scheduler
        spec = {"selector": {}, "failureDomains": [{"name": "host", "topologyKey": HOST}], **APART}
        metadata = {"name": "apart", "namespace": "default"}
        self.board.apply([SchedulingPolicy.model_validate({"metadata": metadata, "spec": spec})], [])
        for each in hosts:
            self.cache.put_node(node(each, labels={HOST: each}))
        self.cache.put_storage(storage_class("local", provisioner="local.example.com"))

    def stored(self, *items: objects.PersistentVolume | objects.PersistentVolumeClaim) -> None:
        for each in items:
            self.scheduler.happened(self.cache.put_storage(each), self.now)

    def runs(self, each: PodInfo) -> None:
        self.scheduler.happened(self.cache.put_pod(each), self.now)

    def waits(self, each: PodInfo) -> None:
        self.scheduler.happened(self.cache.put_waiting(each), self.now)
        self.board.waits(each)
        self.scheduler.queue.put(each, self.now)

    def gone(self, uid: str) -> None:
        self.scheduler.happened(self.cache.remove_pod(uid), self.now)

    def deleted(self, uid: str) -> None:
        self.scheduler.queue.remove(uid, self.now)
        self.board.settled(uid)
        self.scheduler.happened(self.cache.remove_waiting(uid), self.now)

    def tried(self, seconds: float = 11.0) -> dict[str, str]:
        """Time passes, and whoever may be tried is tried: the pod, and its node, or why it has none."""
        self.now += seconds
        self.scheduler.queue.flush(self.now)
        found: dict[str, str] = {}
        while (outcome := self.scheduler.attempt(self.now, 0, lambda _: SILENT)) is not None:
            if isinstance(outcome, Batch) and outcome.question is not None:
                outcome = self.scheduler.answered(
                    outcome.question,
                    solver.solve(outcome.question.problem),
                    seconds=0.1,
                    now=self.now,
                    chance=0,
                    probe_for=lambda _: SILENT,
                )
            for each in (*outcome.placed, *outcome.unplaced) if isinstance(outcome, Batch) else (outcome,):
                match each:
                    case Placed():
                        found[each.pod.name] = each.decision.node
                    case Unplaced():
                        found[each.pod.name] = each.diagnosis.message
        assert self.cache.snapshot.check() == []
        return found


@pytest.fixture
def world() -> World:
    """Members 0 and 1 run on h0 and h1, where their volumes are; member 2 waits, as there is no third host."""
    world = World("h0", "h1")
    for ordinal in (0, 1):
        world.stored(claim_of(ordinal, volume_name=f"pv-{ordinal}"), local(ordinal, f"h{ordinal}"))
        world.runs(member(ordinal, on=f"h{ordinal}"))
    world.stored(claim_of(2))
    world.waits(member(2))
    assert FULL in world.tried()["db-data-2"]
    return world


def test_the_gap_of_a_member_that_lost_its_pod_is_kept_for_it(world: World) -> None:
    world.gone("db-data-0")
    assert world.tried(2.0).get("db-data-2", FULL).count(FULL)
    world.waits(member(0, uid="new"))
    assert world.tried(2.0)["db-data-0"] == "h0"


def test_it_is_kept_for_as_long_as_the_pod_waits(world: World) -> None:
    world.cache.put_node(node("h0", labels={HOST: "h0"}, taints=["down:NoSchedule"]))
    world.gone("db-data-0")
    world.waits(member(0, uid="new"))
    assert "h0" not in world.tried().values()
    assert "h0" not in world.tried(20 * RETURN).values()
    world.scheduler.happened(world.cache.put_node(node("h0", labels={HOST: "h0"})), world.now)
    assert world.tried().get("db-data-0") == "h0"


def test_a_member_that_does_not_come_back_frees_its_node(world: World) -> None:
    world.gone("db-data-0")
    world.tried(1.0)
    assert world.tried(RETURN + 1)["db-data-2"] == "h0"


def test_a_home_is_given_up_with_the_claim(world: World) -> None:
    world.gone("db-data-0")
    world.tried(1.0)
    world.scheduler.happened(world.cache.remove_storage(claim_of(0, volume_name="pv-0")), world.now)
    assert world.tried()["db-data-2"] == "h0"


def test_a_node_selected_for_a_volume_that_is_being_made_is_kept(world: World) -> None:
    world.gone("db-data-0")
    world.scheduler.happened(world.cache.remove_storage(claim_of(0, volume_name="pv-0")), world.now)
    world.stored(claim_of(0, selected="h0"))
    world.waits(member(0, uid="new"))
    assert world.tried().get("db-data-0") == "h0"
    assert FULL in world.tried().get("db-data-2", FULL)


def test_after_a_restart_the_claims_say_who_is_missing() -> None:
    world = World("h0", "h1")
    world.stored(claim_of(0, volume_name="pv-0"), local(0, "h0"), claim_of(1, volume_name="pv-1"), local(1, "h1"))
    world.stored(claim_of(2))
    world.waits(member(2))
    assert FULL in world.tried(1.0)["db-data-2"]
    world.waits(member(0))
    assert world.tried(1.0)["db-data-0"] == "h0"
    assert world.tried(RETURN + 1)["db-data-2"] == "h1"  # member 1 did not come


def test_a_volume_that_both_hosts_can_use_keeps_nothing() -> None:
    world = World("h0", "h1")
    anywhere = volume("pv-0", storage_class="local", claimed_by="default/disk-db-data-0")
    world.stored(claim_of(0, volume_name="pv-0"), anywhere, claim_of(1), claim_of(2))
    world.waits(member(1))
    world.waits(member(2))
    assert sorted(world.tried().values()) == ["h0", "h1"]


def test_a_member_that_terminates_stands_where_it_is(world: World) -> None:
    world.runs(member(0, on="h0", terminating=True))
    assert "h0" not in world.tried().values()
    world.gone("db-data-0")
    world.waits(member(0, uid="new"))
    assert world.tried()["db-data-0"] == "h0"


def test_another_cluster_is_not_concerned(world: World) -> None:
    world.gone("db-data-0")
    other = pod("web-data-0", labels=labels(0, cluster="web"))
    world.waits(other)
    assert world.tried(1.0)["web-data-0"] in {"h0", "h1"}


def test_a_waiting_pod_that_is_deleted_counts_from_then_on(world: World) -> None:
    world.gone("db-data-0")
    world.waits(member(0, uid="new"))
    world.cache.put_node(node("h0", labels={HOST: "h0"}, taints=["down:NoSchedule"]))
    world.tried()
    world.deleted("new")
    world.scheduler.happened(world.cache.put_node(node("h0", labels={HOST: "h0"})), world.now)
    assert "h0" not in world.tried(1.0).values()
    assert world.tried(RETURN + 1)["db-data-2"] == "h0"
