"""The volume catalog: what it holds for pods in flight, and that it does not matter in which order things happen."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import HOST, capacity, claim, csi_driver, node, node_term, pod, selector, snapshot, storage_class
from tests.builders import volume as make_volume
from tests.plugins.volume_worlds import storage_objects

from stowplan import errors
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.volumes import StorageObject, VolumeCatalog
from stowplan.model import objects

SELECTED = "volume.kubernetes.io/selected-node"
BOUND = "pv.kubernetes.io/bind-completed"
GIB = 2**30


def volume(name: str = "v", claimed_by: str = "", size: str = "1Gi") -> objects.PersistentVolume:
    return make_volume(name, size=size, claimed_by=claimed_by, node_affinity=[node_term((HOST, "In", ["n"]))])


def pool(free: str) -> objects.CSIStorageCapacity:
    return capacity("p", topology=selector({HOST: "n"}), free=free)


def cluster(*storage: StorageObject) -> Snapshot:
    return snapshot([node("n"), node("m")], storage=[storage_class(), csi_driver(), pool("10Gi"), *storage])


def free_bytes(nodes: Snapshot) -> int:
    table = nodes.volumes.capacity.table("fast", nodes)
    assert table is not None
    (free,) = table.free.tolist()
    return int(free) // GIB


def free_volumes(nodes: Snapshot) -> set[str]:
    free = nodes.volumes.free("fast")
    return set(free.volumes) if free is not None else set()


def with_uid(item: objects.PersistentVolumeClaim, uid: str) -> objects.PersistentVolumeClaim:
    made_anew = msgspec.convert(msgspec.to_builtins(item), objects.PersistentVolumeClaim)
    made_anew.metadata.uid = uid
    return made_anew


# ---------------------------------------------------------------- space that is promised


@pytest.mark.parametrize(
    ("event", "left"),
    [
        pytest.param(claim("c", size="3Gi", annotations={SELECTED: "n"}), 7, id="the write is seen: still promised"),
        pytest.param(claim("c", size="3Gi", annotations={"x": "y"}), 7, id="something else was written to the claim"),
        pytest.param(claim("c", size="3Gi", annotations={SELECTED: "m"}), 10, id="somebody chose another node"),
        pytest.param(claim("c", size="3Gi", volume="v"), 10, id="the claim has its volume"),
        pytest.param(with_uid(claim("c", size="3Gi"), "new"), 10, id="the claim was made anew"),
        pytest.param(pool("9Gi"), 6, id="capacity published anew: counted on top of what is promised"),
    ],
)
def test_a_promise_lasts_until_the_claim_has_its_volume(event: StorageObject, left: int) -> None:
    nodes = cluster(claim("c", size="3Gi"))
    assert free_bytes(nodes) == 10
    nodes.volumes.assume("uid", "n", {"default/c": ""})
    assert free_bytes(nodes) == 7
    nodes.volumes.put(event)
    assert free_bytes(nodes) == left
    assert nodes.check() == []


def test_a_promise_ends_with_the_claim() -> None:
    nodes = cluster(claim("c", size="3Gi"))
    nodes.volumes.assume("uid", "n", {"default/c": ""})
    nodes.volumes.remove(claim("c"))
    assert free_bytes(nodes) == 10
    nodes.volumes.put(claim("c", size="3Gi"))
    nodes.volumes.forget("uid")
    assert free_bytes(nodes) == 10
    assert nodes.check() == []


def test_a_provisioner_that_refuses_the_node_gives_the_space_back() -> None:
    nodes = cluster(claim("c", size="3Gi"))
    nodes.volumes.assume("uid", "n", {"default/c": ""})
    nodes.volumes.put(claim("c", size="3Gi", annotations={SELECTED: "n"}))
    nodes.volumes.put(claim("c", size="3Gi"))
    assert free_bytes(nodes) == 10
    refused = nodes.volumes.claim("default/c")
    assert refused is not None
    assert nodes.volumes.selected_node(refused) is None


def test_a_node_selected_before_the_scheduler_started_counts_as_promised() -> None:
    assert free_bytes(cluster(claim("c", size="3Gi", annotations={SELECTED: "n"}))) == 7


def test_a_promise_on_a_node_that_is_gone_takes_no_space_until_the_node_is_back() -> None:
    nodes = cluster(claim("c", size="3Gi", annotations={SELECTED: "n"}))
    assert free_bytes(nodes) == 7
    nodes.remove_node("n")
    assert free_bytes(nodes) == 10
    nodes.put_node(node("n"))
    assert free_bytes(nodes) == 7
    assert nodes.check() == []


def test_a_promise_counts_in_every_pool_that_the_node_can_use() -> None:
    nodes = cluster(claim("c", size="3Gi", annotations={SELECTED: "n"}), capacity("q", topology=selector(), free="5Gi"))
    table = nodes.volumes.capacity.table("fast", nodes)
    assert table is not None
    assert sorted(table.free.tolist()) == [2 * GIB, 7 * GIB]


def test_pools_follow_the_labels_of_nodes() -> None:
    nodes = cluster(claim("c", size="3Gi", annotations={SELECTED: "m"}))
    assert free_bytes(nodes) == 10
    nodes.put_node(node("m", labels={HOST: "n"}))
    assert free_bytes(nodes) == 7


# ---------------------------------------------------------------- volumes that are held


@pytest.mark.parametrize(
    ("events", "free_after"),
    [
        pytest.param([], {"v", "w"}, id="nothing"),
        pytest.param([volume(size="2Gi")], {"v", "w"}, id="something else was written to the volume"),
        pytest.param([volume(claimed_by="default/c")], {"w"}, id="the write is seen"),
        pytest.param([volume(claimed_by="default/other")], {"w"}, id="somebody else was faster"),
        pytest.param([volume(claimed_by="default/c"), claim("c", volume="v")], {"w"}, id="bound"),
        pytest.param([claim("c", volume="v")], {"w"}, id="the claim is bound to it, the volume does not show it yet"),
        pytest.param([claim("c", volume="v"), volume(claimed_by="default/c")], {"w"}, id="bound, the claim seen first"),
        pytest.param([claim("c", volume="w")], {"v", "w"}, id="bound to another volume"),
        pytest.param([with_uid(claim("c"), "new")], {"v", "w"}, id="the claim was made anew"),
    ],
)
def test_a_volume_is_held_until_the_api_shows_whose_it_is(events: list[StorageObject], free_after: set[str]) -> None:
    nodes = cluster(claim("c"), volume(), volume("w"))
    nodes.volumes.assume("uid", "n", {"default/c": "v"})
    assert free_volumes(nodes) == {"w"}
    for event in events:
        nodes.volumes.put(event)
        assert nodes.check() == []
    nodes.volumes.forget("uid")
    nodes.volumes.forget("uid")
    assert free_volumes(nodes) == free_after
    assert nodes.check() == []


def test_a_held_volume_that_is_deleted_is_free_for_nobody() -> None:
    nodes = cluster(claim("c"), volume())
    nodes.volumes.assume("uid", "n", {"default/c": "v"})
    nodes.volumes.remove(volume())
    nodes.volumes.forget("uid")
    assert free_volumes(nodes) == set()
    assert nodes.check() == []


def test_a_volume_is_free_again_when_its_phase_says_so() -> None:
    released = make_volume("v", phase="Released")
    nodes = cluster(released)
    assert free_volumes(nodes) == set()
    nodes.volumes.put(volume())
    assert free_volumes(nodes) == {"v"}
    going = volume()
    going.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    nodes.volumes.put(going)
    assert free_volumes(nodes) == set()


def test_columns_of_free_volumes_follow_those_that_come_and_go() -> None:
    nodes = cluster(*(volume(f"v{at}", size=f"{at + 1}Gi") for at in range(5)), claim("c"))

    def names() -> list[str]:
        free = nodes.volumes.free("fast")
        assert free is not None
        table, _ = free.table(nodes)
        return [each.name for each, usable in zip(table.volumes, table.usable, strict=True) if usable]

    assert names() == ["v0", "v1", "v2", "v3", "v4"]
    nodes.volumes.assume("uid", "n", {"default/c": "v1"})
    assert names() == ["v0", "v2", "v3", "v4"]
    nodes.volumes.forget("uid")
    assert names() == ["v0", "v1", "v2", "v3", "v4"]
    nodes.volumes.put(volume("v0", size="9Gi"))
    assert names() == ["v1", "v2", "v3", "v4", "v0"]
    for name in ("v1", "v2", "v3"):
        nodes.volumes.remove(volume(name))
    assert names() == ["v4", "v0"]


# ---------------------------------------------------------------- bad objects


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        pytest.param(claim("c"), claim("c", size="much"), id="claim"),
        pytest.param(claim("c"), claim("c", select=selector({}, ("disk", "Is", ["ssd"]))), id="claim's selector"),
        pytest.param(volume(), volume(size="much"), id="volume"),
        pytest.param(pool("1Gi"), pool("much"), id="capacity"),
    ],
)
def test_an_object_that_cannot_be_understood_changes_nothing(good: StorageObject, bad: StorageObject) -> None:
    nodes = cluster(good)
    with pytest.raises(errors.InvalidObject):
        nodes.volumes.put(bad)
    assert nodes.check() == []


# ---------------------------------------------------------------- order


def same(one: Snapshot, other: Snapshot) -> bool:
    return one.volumes.differences(one, other.volumes, other) == []


@given(storage_objects(), storage_objects(), st.data())
@settings(max_examples=100, deadline=None)
def test_any_order_of_events_gives_the_same_catalog(
    before: list[StorageObject], after: list[StorageObject], data: st.DataObject
) -> None:
    """Objects come, change and go, and pods come, one after the other, in any order but that of each object."""
    nodes = [node("n0", zone="a"), node("n1", zone="b")]
    pods = [
        pod("p0", on="n0", claims=["c0", "c1"]),
        pod("p1", on="n1", claims=["c1"]),
        pod("p2", on="n0", claims=["c1"]),
    ]
    kept = data.draw(st.lists(st.sampled_from(after), unique_by=id))
    moves: list[tuple[str, StorageObject | None]] = [("put", item) for item in before]
    moves += [("pod", None)] * len(pods)
    moves = data.draw(st.permutations(moves))
    late = [("put", item) for item in kept] + [("remove", item) for item in before if _replaced(item, kept)]
    moves += data.draw(st.permutations(late))
    happened = snapshot(nodes)
    arriving = iter(pods)
    for what, item in moves:
        if what == "pod":
            happened.add_pod(next(arriving))
        elif item is not None and what == "put":
            happened.volumes.put(item)
        elif item is not None:
            happened.volumes.remove(item)
        if data.draw(st.booleans()):  # columns that are there must be kept in step
            happened.volumes.capacity.table("fast", happened)
    expected = snapshot(nodes, pods, storage=kept)
    assert same(happened, expected)
    assert happened.check() == []


def _replaced(item: StorageObject, kept: list[StorageObject]) -> bool:
    """Whether an object goes: it has no later version."""
    return not any(type(each) is type(item) and each.key == item.key for each in kept)


@given(st.permutations([0, 0, 0, 1, 2, 2]), st.booleans(), st.booleans())
@settings(deadline=None)
def test_provisioning_ends_the_same_in_whatever_order_the_watches_show_it(
    order: list[int], forgotten: bool, static: bool
) -> None:
    """The watches of claims, volumes and capacities each keep their own order and know nothing of each other's."""
    annotated = {SELECTED: "n"}
    streams: list[list[StorageObject]] = [
        [
            claim("c", size="3Gi", annotations={} if static else annotated),
            claim("c", size="3Gi", volume="v", annotations={} if static else annotated),
            claim("c", size="3Gi", volume="v", annotations={BOUND: "yes"}),
        ],
        [volume("v", claimed_by="default/c", size="3Gi")],
        [pool("9Gi"), pool("7Gi")],
    ]
    nodes = cluster(claim("c", size="3Gi"), *([volume("v", size="3Gi")] if static else []))
    nodes.volumes.assume("uid", "n", {"default/c": "v" if static else ""})
    for stream in order:
        nodes.volumes.put(streams[stream].pop(0))
        assert nodes.check() == []
        assert forgotten or free_volumes(nodes) == set()
        if forgotten:
            nodes.volumes.forget("uid")
    assert nodes.volumes.in_flight.claims == {}
    assert free_bytes(nodes) == 7
    assert free_volumes(nodes) == set()


def test_removing_what_is_not_there_is_fine() -> None:
    catalog = VolumeCatalog()
    for item in (claim("c"), volume(), storage_class(), csi_driver(), pool("1Gi")):
        catalog.remove(item)
    assert catalog.claims == {}
