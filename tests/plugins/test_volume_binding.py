"""VolumeBinding: cases after kubernetes' volume_binding_test.go and binder_test.go, and our own rules for capacity."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.builders import (
    HOST,
    ZONE,
    capacity,
    claim,
    csi_driver,
    node,
    node_term,
    pod,
    selector,
    snapshot,
    storage_class,
    volume,
)
from tests.plugins.volume_verdicts import SKIPPED, Answer, ask

from stowplan.framework.plugin import BindVolume, CycleState, ProvisionClaim
from stowplan.framework.status import Refusal
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.plugins.volume_args import LocalCapacity, VolumeBindingArgs
from stowplan.plugins.volume_binding import NO_SPACE, NO_SUCH_VOLUME, NO_VOLUME, NODE_CONFLICT, REFUSED, VolumeBinding

SELECTED = "volume.kubernetes.io/selected-node"
NODES = [node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b")]
STATIC = storage_class(provisioner="kubernetes.io/no-provisioner")
DYNAMIC = storage_class()


def plugin(**args: bool | tuple[LocalCapacity, ...]) -> VolumeBinding:
    return VolumeBinding(VolumeBindingArgs(**args))  # type: ignore[arg-type]


def on_host(name: str, *hosts: str, size: str = "1Gi", **more: str) -> objects.PersistentVolume:
    return volume(name, size=size, node_affinity=[node_term((HOST, "In", hosts))], **more)  # type: ignore[arg-type]


def in_zone(name: str, zone: str, claimed_by: str = "") -> objects.PersistentVolume:
    return volume(name, node_affinity=[node_term((ZONE, "In", [zone]))], claimed_by=claimed_by)


def per_host(**free: str) -> list[objects.CSIStorageCapacity]:
    return [capacity(f"on-{name}", topology=selector({HOST: name}), free=size) for name, size in free.items()]


def everywhere(*reasons: str) -> Answer:
    return {each.metadata.name: list(reasons) for each in NODES}


def rejected(**reasons: str) -> Answer:
    return {
        each.metadata.name: [reasons[each.metadata.name]] if each.metadata.name in reasons else [] for each in NODES
    }


@pytest.mark.parametrize(
    ("claims", "storage", "expected"),
    [
        pytest.param([], [], SKIPPED, id="a pod without claims is none of its business"),
        pytest.param(["c"], [], 'persistentvolumeclaim "c" not found', id="claim does not exist"),
        pytest.param(
            ["c", "d"], [claim("c", volume="v"), volume("v", claimed_by="default/c")],
            'persistentvolumeclaim "d" not found', id="one of two claims does not exist",
        ),
        pytest.param(
            ["c"], [claim("c", volume="gone", phase="Lost")],
            'persistentvolumeclaim "c" bound to non-existent persistentvolume "gone"', id="claim is lost",
        ),
        pytest.param(
            ["c"], [claim("c"), storage_class(wait=False)],
            "pod has unbound immediate PersistentVolumeClaims", id="immediate claim is not bound",
        ),
        pytest.param(
            ["c"], [claim("c")],
            "pod has unbound immediate PersistentVolumeClaims", id="class does not exist",
        ),
        pytest.param(
            ["c"], [claim("c", storage_class=None)],
            "pod has unbound immediate PersistentVolumeClaims", id="no class at all",
        ),
        pytest.param(
            ["c"], [claim("c", volume="v", annotations={}), DYNAMIC],
            "pod has unbound immediate PersistentVolumeClaims", id="binding that is not complete",
        ),
        pytest.param(
            ["c"], [claim("c", volume="v"), volume("v", claimed_by="default/c")],
            everywhere(), id="bound volume without affinity",
        ),
        pytest.param(
            ["c"], [claim("c", volume="v"), in_zone("v", "a", "default/c")],
            rejected(b1=NODE_CONFLICT), id="bound volume in one zone",
        ),
        pytest.param(
            ["c"], [claim("c", volume="v")], everywhere(NO_SUCH_VOLUME), id="bound volume does not exist",
        ),
        pytest.param(
            ["c", "d"], [claim("c", volume="v"), in_zone("v", "a", "default/c"), claim("d", volume="w")],
            {"a1": [NO_SUCH_VOLUME], "a2": [NO_SUCH_VOLUME], "b1": [NODE_CONFLICT]},
            id="the first thing wrong with bound volumes counts",
        ),
        pytest.param(
            ["c", "d"], [claim("c", volume="v"), in_zone("v", "a", "default/c"), claim("d"), STATIC],
            {"a1": [NO_VOLUME], "a2": [NO_VOLUME], "b1": [NODE_CONFLICT, NO_VOLUME]},
            id="bound and unbound reasons come together",
        ),
        pytest.param(["c"], [claim("c"), STATIC], everywhere(NO_VOLUME), id="nothing to bind and nothing to provision"),
        pytest.param(
            ["c"], [claim("c"), STATIC, on_host("v", "a2")], rejected(a1=NO_VOLUME, b1=NO_VOLUME),
            id="local volume on one host",
        ),
        pytest.param(
            ["c"], [claim("c", size="2Gi"), STATIC, volume("v")], everywhere(NO_VOLUME), id="volume is too small",
        ),
        pytest.param(
            ["c"], [claim("c", modes=["ReadWriteMany"]), STATIC, volume("v")], everywhere(NO_VOLUME), id="access modes",
        ),
        pytest.param(
            ["c"], [claim("c", select=selector({"disk": "ssd"})), STATIC, volume("v", labels={"disk": "hdd"})],
            everywhere(NO_VOLUME), id="selector does not match",
        ),
        pytest.param(
            ["c"], [claim("c", select=selector({"disk": "ssd"})), STATIC, volume("v", labels={"disk": "ssd"})],
            everywhere(), id="selector matches",
        ),
        pytest.param(
            ["c"], [claim("c"), STATIC, volume("v", storage_class="slow")], everywhere(NO_VOLUME), id="other class",
        ),
        pytest.param(
            ["c"], [claim("c"), STATIC, volume("v", phase="Released")], everywhere(NO_VOLUME), id="not available",
        ),
        pytest.param(
            ["c"], [claim("c"), STATIC, volume("v", claimed_by="default/other")], everywhere(NO_VOLUME), id="taken",
        ),
        pytest.param(
            ["c"], [claim("c", modes=["ReadWriteMany"]), STATIC, in_zone("v", "b", "default/c")],
            rejected(a1=NO_VOLUME, a2=NO_VOLUME), id="reserved for the claim: phase and modes do not matter",
        ),
        pytest.param(
            ["c"], [claim("c"), STATIC, in_zone("v", "b", "default/c"), volume("w")],
            rejected(a1=NO_VOLUME, a2=NO_VOLUME), id="reserved for the claim: no other will do",
        ),
        pytest.param(
            ["c", "d"], [claim("c"), claim("d"), STATIC, on_host("v", "a1"), on_host("w", "a1"), on_host("x", "a2")],
            rejected(a2=NO_VOLUME, b1=NO_VOLUME), id="two claims need two volumes",
        ),
        pytest.param(
            ["large", "small"],
            [claim("large", size="2Gi"), claim("small"), STATIC, on_host("v", "a1", size="1Gi"),
             on_host("w", "a1", size="2Gi"), on_host("x", "a2", size="2Gi"), on_host("y", "a2", size="2Gi")],
            rejected(b1=NO_VOLUME), id="smallest claim first, so that each gets the tightest fit",
        ),
        pytest.param(["c"], [claim("c"), DYNAMIC], everywhere(), id="volume can be made"),
        pytest.param(
            ["c"], [claim("c"), storage_class(topologies=[{ZONE: ["b"]}])], rejected(a1=NO_VOLUME, a2=NO_VOLUME),
            id="allowed topologies",
        ),
        pytest.param(
            ["c"], [claim("c"), storage_class(topologies=[{ZONE: ["b"]}, {HOST: ["a1"], ZONE: ["a"]}])],
            rejected(a2=NO_VOLUME), id="allowed topologies: any term, all of its labels",
        ),
        pytest.param(
            ["c"], [claim("c", annotations={SELECTED: "a2"}), DYNAMIC], rejected(a1=NO_VOLUME, b1=NO_VOLUME),
            id="a node has been selected already",
        ),
        pytest.param(
            ["c"], [claim("c", annotations={SELECTED: "gone"}), DYNAMIC], everywhere(NO_VOLUME),
            id="the selected node is gone",
        ),
        pytest.param(
            ["c"], [claim("c", annotations={SELECTED: "a2"}), DYNAMIC, on_host("v", "a2")],
            rejected(a1=NO_VOLUME, b1=NO_VOLUME), id="a claim with a selected node takes no existing volume",
        ),
        pytest.param(
            ["c"], [claim("c"), DYNAMIC, csi_driver()], everywhere(NO_SPACE), id="driver publishes no capacity at all",
        ),
        pytest.param(
            ["c"], [claim("c"), DYNAMIC, csi_driver(storage_capacity=False), *per_host(a1="0")], everywhere(),
            id="driver does not publish capacity",
        ),
        pytest.param(
            ["c"], [claim("c"), DYNAMIC, *per_host(a1="0")], everywhere(), id="driver is not known",
        ),
        pytest.param(
            ["c"], [claim("c", size="5Gi"), DYNAMIC, csi_driver(), *per_host(a1="4Gi", a2="5Gi")],
            rejected(a1=NO_SPACE, b1=NO_SPACE), id="capacity per host",
        ),
        pytest.param(
            ["c"],
            [claim("c", size="5Gi"), DYNAMIC, csi_driver(),
             capacity("p", topology=selector({ZONE: "a"}), free="9Gi", largest="4Gi"),
             capacity("q", topology=selector({ZONE: "b"}), free=None, largest="5Gi")],
            rejected(a1=NO_SPACE, a2=NO_SPACE), id="largest volume",
        ),
        pytest.param(
            ["c"], [claim("c"), DYNAMIC, csi_driver(), capacity("p", topology=None, free="9Gi")],
            everywhere(NO_SPACE), id="capacity without topology is reachable from nowhere",
        ),
        pytest.param(
            ["c"], [claim("c"), DYNAMIC, csi_driver(), capacity("p", topology=selector(), free="9Gi")],
            everywhere(), id="capacity of an empty topology is reachable from everywhere",
        ),
        pytest.param(
            ["c"], [claim("c"), DYNAMIC, csi_driver(), capacity("p", topology=selector(), free=None)],
            everywhere(NO_SPACE), id="capacity that says nothing",
        ),
        pytest.param(
            ["c"],
            [claim("c"), DYNAMIC, csi_driver(), capacity("p", storage_class="x", topology=selector(), free="9Gi")],
            everywhere(NO_SPACE), id="capacity of another class",
        ),
        pytest.param(
            ["c", "d"],
            [claim("c", size="3Gi"), claim("d", size="3Gi"), DYNAMIC, csi_driver(), *per_host(a1="5Gi", b1="6Gi")],
            rejected(a1=NO_SPACE, a2=NO_SPACE), id="the claims of a pod must fit together",
        ),
        pytest.param(
            ["c", "d"],
            [claim("c", size="3Gi"), claim("d", size="3Gi"), DYNAMIC, csi_driver(),
             capacity("p", topology=selector({HOST: "a1"}), free="4Gi"),
             capacity("q", topology=selector({ZONE: "a"}), free="3Gi")],
            rejected(a2=NO_SPACE, b1=NO_SPACE), id="the claims of a pod may be split over the pools of a node",
        ),
        pytest.param(
            ["c", "d"],
            [claim("c", size="3Gi"), claim("d", size="3Gi"), DYNAMIC, csi_driver(),
             *per_host(a1="3Gi", a2="3Gi", b1="3Gi"), on_host("v", "a1", size="3Gi")],
            rejected(a2=NO_SPACE, b1=NO_SPACE), id="a claim that gets an existing volume takes no space",
        ),
        pytest.param(
            ["c"],
            [claim("c", size="3Gi"), claim("other", size="3Gi", annotations={SELECTED: "a1"}), DYNAMIC, csi_driver(),
             *per_host(a1="5Gi", a2="5Gi")],
            rejected(a1=NO_SPACE, b1=NO_SPACE), id="space that another claim is about to use is taken",
        ),
        pytest.param(
            ["c"],
            [claim("c", size="3Gi", annotations={SELECTED: "a1"}), DYNAMIC, csi_driver(),
             *per_host(a1="3Gi", a2="3Gi")],
            rejected(a2=NO_VOLUME, b1=NO_VOLUME), id="a claim does not stand in its own way",
        ),
    ],
)  # fmt: skip
def test_says_what_kube_scheduler_says(claims: list[str], storage: Iterable[StorageObject], expected: Answer) -> None:
    assert ask(plugin(), pod("p", claims=claims), snapshot(NODES, storage=storage)) == expected


def test_without_required_capacity_each_claim_is_judged_by_itself_as_in_kube_scheduler() -> None:
    storage: list[StorageObject] = [
        claim("c", size="3Gi"),
        claim("d", size="3Gi"),
        claim("other", size="3Gi", annotations={SELECTED: "a1"}),
        DYNAMIC,
        csi_driver(),
        *per_host(a1="3Gi", a2="2Gi"),
    ]
    nodes = snapshot(NODES, storage=storage)
    found = ask(plugin(require_capacity=False), pod("p", claims=["c", "d"]), nodes)
    assert found == rejected(a2=NO_SPACE, b1=NO_SPACE)


def test_match_fields_of_a_volume_are_passed_over_as_upstream_does() -> None:
    affinity = [node_term(names=[("metadata.name", "In", ["b1"])])]
    nodes = snapshot(
        NODES, storage=[claim("c", volume="v"), volume("v", claimed_by="default/c", node_affinity=affinity)]
    )
    assert ask(plugin(), pod("p", claims=["c"]), nodes) == everywhere()


def ephemeral(name: str) -> objects.Volume:
    return objects.Volume(name=name, ephemeral=objects.EphemeralVolumeSource())


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        pytest.param(
            [DYNAMIC], 'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-data"',
            id="not there yet",
        ),
        pytest.param(
            [DYNAMIC, claim("p-data")], "PVC default/p-data was not created for pod default/p (pod is not owner)",
            id="somebody else's",
        ),
        pytest.param([DYNAMIC, claim("p-data", owner=("Pod", "p", "uid-default/p"))], everywhere(), id="the pod's own"),
    ],
)  # fmt: skip
def test_claims_of_ephemeral_volumes_must_be_the_pods_own(storage: list[StorageObject], expected: Answer) -> None:
    assert ask(plugin(), pod("p", volumes=[ephemeral("data")]), snapshot(NODES, storage=storage)) == expected


def test_a_claim_that_is_being_deleted_is_refused() -> None:
    going = claim("c", volume="v")
    going.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    nodes = snapshot(NODES, storage=[going, volume("v", claimed_by="default/c")])
    assert ask(plugin(), pod("p", claims=["c"]), nodes) == 'persistentvolumeclaim "c" is being deleted'


# ---------------------------------------------------------------- capacity on nodes

LVM = LocalCapacity("fast", "capacity.example.com/ssd")


def annotated(name: str, free: str | None) -> objects.Node:
    return node(name, annotations={LVM.annotation: free} if free is not None else None)


def test_local_capacity_is_summed_over_all_claims_of_the_classes_that_share_it() -> None:
    nodes = snapshot(
        [annotated("n5", "5368709120"), annotated("n6", "6Gi"), annotated("none", None), annotated("odd", "lots")],
        storage=[
            claim("c", size="3Gi"),
            claim("d", size="3Gi", storage_class="xfs"),
            storage_class(),
            storage_class("xfs"),
        ],
    )
    judge = plugin(local_capacity=(LVM, LocalCapacity("xfs", LVM.annotation)))
    found = ask(judge, pod("p", claims=["c", "d"]), nodes)
    assert found == {"n5": [NO_SPACE], "n6": [], "none": [NO_SPACE], "odd": [NO_SPACE]}


def test_local_capacity_follows_the_nodes_and_what_is_promised() -> None:
    judge = plugin(local_capacity=(LVM,))
    nodes = snapshot(
        [annotated("n", "3Gi"), annotated("m", "1Gi")],
        storage=[DYNAMIC, claim("c", size="3Gi"), claim("d", size="1Gi")],
    )
    p, q, state = pod("p", claims=["c"]), pod("q", claims=["d"]), CycleState()
    assert ask(judge, p, nodes, state) == {"n": [], "m": [NO_SPACE]}
    judge.reserve(p, nodes, state, nodes.row_of["n"])
    assert ask(judge, q, nodes) == {"n": [NO_SPACE], "m": []}
    nodes.put_node(annotated("n", "4Gi"))
    assert ask(judge, q, nodes) == {"n": [], "m": []}
    nodes.remove_node("n")
    assert ask(judge, q, nodes) == {"m": []}


# ---------------------------------------------------------------- reserve


def test_reserve_names_the_volume_and_the_node_and_keeps_others_off_both() -> None:
    nodes = snapshot(
        NODES,
        storage=[
            DYNAMIC, csi_driver(), *per_host(a1="4Gi"), on_host("v", "a1"),
            claim("static"), claim("dynamic", size="3Gi"), claim("late"), claim("large", size="2Gi"),
        ],
    )  # fmt: skip
    p, state = pod("p", claims=["dynamic", "static"]), CycleState()
    assert ask(plugin(), p, nodes, state) == rejected(a2=NO_SPACE, b1=NO_SPACE)
    writes = plugin().reserve(p, nodes, state, nodes.row_of["a1"])
    assert writes == (BindVolume("default/static", "v"), ProvisionClaim("default/dynamic", "a1"))
    assert ask(plugin(), pod("q", claims=["late"]), nodes) == rejected(a2=NO_SPACE, b1=NO_SPACE)
    assert ask(plugin(), pod("q", claims=["large"]), nodes) == everywhere(NO_SPACE)
    assert ask(plugin(), pod("q", claims=["dynamic"]), nodes) == rejected(a2=NO_VOLUME, b1=NO_VOLUME)
    plugin().unreserve(p, nodes, state)
    assert ask(plugin(), pod("q", claims=["large"]), nodes) == rejected(a2=NO_SPACE, b1=NO_SPACE)


def test_reserve_takes_the_smallest_volume_that_fits_on_the_chosen_node() -> None:
    nodes = snapshot(
        NODES,
        storage=[STATIC, claim("c", size="2Gi"), on_host("v1", "a1"), volume("v9", size="9Gi"),
                 on_host("v3", "a1", "b1", size="3Gi"), on_host("v2", "b1", size="2Gi")],
    )  # fmt: skip
    chosen = {}
    for name, row in nodes.row_of.items():
        p, state = pod("p", claims=["c"]), CycleState()
        assert ask(plugin(), p, nodes, state) == everywhere()
        (write,) = plugin().reserve(p, nodes, state, row)  # type: ignore[misc]
        chosen[name] = write
        plugin().unreserve(p, nodes, state)
    assert chosen == {"a1": BindVolume("default/c", "v3"), "a2": BindVolume("default/c", "v9"),
                      "b1": BindVolume("default/c", "v2")}  # fmt: skip


def test_reserve_refuses_what_has_been_taken_since_the_filter() -> None:
    nodes = snapshot(NODES, storage=[STATIC, claim("c"), claim("d"), on_host("v", "a1")])
    p, q, mine, theirs = pod("p", claims=["c"]), pod("q", claims=["d"]), CycleState(), CycleState()
    ask(plugin(), p, nodes, mine)
    ask(plugin(), q, nodes, theirs)
    assert plugin().reserve(p, nodes, mine, 0) == (BindVolume("default/c", "v"),)
    assert plugin().reserve(q, nodes, theirs, 0) == Refusal(NO_VOLUME)
    assert nodes.check() == []


def test_reserve_works_without_a_filter_before_it() -> None:
    nodes = snapshot(NODES, storage=[DYNAMIC, claim("c"), claim("lost", phase="Lost")])
    assert plugin().reserve(pod("p", claims=["c"]), nodes, CycleState(), 1) == (ProvisionClaim("default/c", "a2"),)
    assert isinstance(plugin().reserve(pod("q", claims=["lost"]), nodes, CycleState(), 1), Refusal)


def test_there_is_nothing_to_reserve_for_bound_claims() -> None:
    nodes = snapshot(NODES, storage=[claim("c", volume="v"), volume("v", claimed_by="default/c")])
    p, state = pod("p", claims=["c"]), CycleState()
    ask(plugin(), p, nodes, state)
    assert plugin().reserve(p, nodes, state, 0) == ()
    plugin().unreserve(p, nodes, state)


def test_a_claim_shared_by_two_pods_in_flight_is_held_until_both_give_up() -> None:
    nodes = snapshot(NODES, storage=[DYNAMIC, claim("shared")])
    p, q = pod("p", claims=["shared"]), pod("q", claims=["shared"])
    plugin().reserve(p, nodes, CycleState(), 0)
    assert ask(plugin(), q, nodes) == rejected(a2=NO_VOLUME, b1=NO_VOLUME)
    plugin().reserve(q, nodes, CycleState(), 0)
    plugin().unreserve(p, nodes, CycleState())
    assert ask(plugin(), pod("r", claims=["shared"]), nodes) == rejected(a2=NO_VOLUME, b1=NO_VOLUME)
    plugin().unreserve(q, nodes, CycleState())
    plugin().unreserve(q, nodes, CycleState())
    assert ask(plugin(), pod("r", claims=["shared"]), nodes) == everywhere()


def test_a_node_on_which_no_volume_could_be_made_is_left_out_for_a_while() -> None:
    nodes = snapshot(NODES, storage=[DYNAMIC, on_host("v", "a1"), claim("dynamic"), claim("static", size="9Gi")])
    for name in ("dynamic", "static"):
        nodes.volumes.refuse(f"default/{name}", "a1", 0)
    nodes.volumes.refuse("default/static", "b1", 0)
    assert ask(plugin(), pod("p", claims=["dynamic"]), nodes) == rejected(), "there is a volume that needs no making"
    both, state = pod("p", claims=["static"]), CycleState()
    assert ask(plugin(), both, nodes, state) == rejected(a1=REFUSED, b1=REFUSED)
    assert plugin().reserve(both, nodes, state, nodes.row_of["a1"]) == Refusal(REFUSED)
    nodes.volumes.expire(1000)
    assert ask(plugin(), both, nodes) == rejected()
