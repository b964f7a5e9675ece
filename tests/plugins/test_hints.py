"""What is no help wakes nobody: the other half of ``tests/scheduler/test_waking.py``, which proves that help does."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from tests import builders
from tests.builders import HOST, ZONE, node, pod

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import Filter
from stowplan.framework.snapshot import Snapshot
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.plugins import hints
from stowplan.plugins.args import FitArgs, NodeAffinityArgs, TolerationArgs
from stowplan.plugins.inclusion import Added
from stowplan.plugins.inter_pod_affinity import InterPodAffinity, InterPodAffinityArgs
from stowplan.plugins.node_affinity import NodeAffinity
from stowplan.plugins.node_ports import NodePorts
from stowplan.plugins.node_resources_fit import NodeResourcesFit
from stowplan.plugins.node_unschedulable import NodeUnschedulable
from stowplan.plugins.node_volume_limits import NodeVolumeLimits
from stowplan.plugins.pod_topology_spread import PodTopologySpread
from stowplan.plugins.taint_toleration import TaintToleration
from stowplan.plugins.volume_args import VolumeBindingArgs
from stowplan.plugins.volume_binding import VolumeBinding
from stowplan.plugins.volume_restrictions import VolumeRestrictions
from stowplan.plugins.volume_zone import VolumeZone
from stowplan.scheduler.cache import ClusterCache

DB = {"app": "db"}
SELECTED = "volume.kubernetes.io/selected-node"
SET = builders.selector(DB)


@pytest.fixture
def cache() -> ClusterCache:
    """Two nodes with 4 CPUs in zones a and b; on the first a pod with 3 CPUs and a port, on the second one with 1."""
    made = ClusterCache()
    for name, zone in (("n1", "a"), ("n2", "b")):
        made.put_node(node(name, zone=zone, cpu="4"))
    made.put_pod(pod("large", on="n1", cpu="3", labels=DB, ports=[builders.port(80)]))
    made.put_pod(pod("small", on="n2", cpu="1"))
    return made


def removed(cache: ClusterCache, name: str) -> Happening:
    (event,) = cache.remove_pod(f"uid-default/{name}")
    return event


@pytest.mark.parametrize(
    ("wants", "gone", "helps"),
    [
        pytest.param("4", "small", True, id="all that it asks for is free there now"),
        pytest.param("4", "large", True, id="on either node"),
        pytest.param("5", "large", False, id="not enough even so"),
    ],
)
def test_a_pod_that_leaves_helps_where_there_is_enough_room_then(
    cache: ClusterCache, wants: str, gone: str, helps: bool
) -> None:
    event = removed(cache, gone)
    assert NodeResourcesFit(FitArgs()).may_help(pod("new", cpu=wants), event, cache.snapshot) == helps


def test_what_could_be_evicted_counts_as_free(cache: ClusterCache) -> None:
    cache.put_pod(pod("other", on="n1", cpu="1"))
    event = removed(cache, "other")
    fit = NodeResourcesFit(FitArgs())
    assert not fit.may_help(pod("new", cpu="2"), event, cache.snapshot)
    assert fit.may_help(pod("important", cpu="2", priority=1), event, cache.snapshot)
    humble = pod("humble", cpu="2", priority=1, preemption_policy="Never")
    assert not fit.may_help(humble, event, cache.snapshot)


@pytest.mark.parametrize(
    ("change", "helps"),
    [
        pytest.param({"cpu": "8"}, True, id="more of what it asks for"),
        pytest.param({"memory": "512Gi"}, False, id="more of something else"),
        pytest.param({"cpu": "2"}, False, id="less"),
        pytest.param({"annotations": {"example.com/seen": "now"}}, False, id="an annotation"),
    ],
)
def test_a_node_that_offers_more_helps_who_asks_for_that(
    cache: ClusterCache, change: dict[str, str], helps: bool
) -> None:
    (event,) = cache.put_node(node("n1", **{"zone": "a", "cpu": "4", **change}))  # type: ignore[arg-type]
    assert NodeResourcesFit(FitArgs()).may_help(pod("new", cpu="5"), event, cache.snapshot) == helps


def test_a_node_helps_by_taints_labels_and_cordons_only_where_that_lets_the_pod_in(cache: ClusterCache) -> None:
    def changed(**more: object) -> Happening:
        (event,) = cache.put_node(node("n1", **{"zone": "a", "cpu": "4", **more}))  # type: ignore[arg-type]
        return event

    new, nodes = pod("new", node_selector={"disk": "ssd"}), cache.snapshot
    taints = TaintToleration(TolerationArgs(()))
    assert not taints.may_help(new, changed(taints=["a:NoSchedule"]), nodes)
    assert not taints.may_help(new, changed(taints=["b:NoSchedule"]), nodes)
    assert taints.may_help(new, changed(taints=["b:PreferNoSchedule"]), nodes)
    cordons = NodeUnschedulable(TolerationArgs(()))
    assert not cordons.may_help(new, changed(unschedulable=True, taints=["b:PreferNoSchedule"]), nodes)
    assert cordons.may_help(new, changed(taints=["b:PreferNoSchedule"]), nodes)
    labels = NodeAffinity(NodeAffinityArgs())
    soft = ["b:PreferNoSchedule"]
    assert not labels.may_help(new, changed(taints=soft, labels={"disk": "hdd"}), nodes)
    assert labels.may_help(new, changed(taints=soft, labels={"disk": "ssd"}), nodes)
    assert not labels.may_help(new, changed(taints=soft, labels={"disk": "ssd", "x": "y"}), nodes)


def test_a_port_is_freed_by_a_pod_that_had_it(cache: ClusterCache) -> None:
    new = pod("new", ports=[builders.port(80)])
    assert not NodePorts().may_help(new, removed(cache, "small"), cache.snapshot)
    assert NodePorts().may_help(new, removed(cache, "large"), cache.snapshot)


def test_spread_looks_at_pods_that_count_and_at_what_is_acceptable_then(cache: ClusterCache) -> None:
    spread = PodTopologySpread(Added())
    even = builders.spread(ZONE, SET, node_affinity="Ignore")
    new = pod("new", labels=DB, spreads=[even], node_selector={ZONE: "a"})
    cache.put_pod(pod("second", on="n1", labels=DB))
    assert not spread.may_help(new, removed(cache, "small"), cache.snapshot)
    assert not spread.may_help(new, removed(cache, "second"), cache.snapshot)
    assert spread.may_help(new, removed(cache, "large"), cache.snapshot)


def test_anti_affinity_waits_for_the_last_one_to_go(cache: ClusterCache) -> None:
    affinity = InterPodAffinity(InterPodAffinityArgs())
    cache.put_pod(pod("second", on="n1", labels=DB))
    new = pod("new", anti_affinity=[builders.term(HOST, SET)], node_selector={HOST: "n1"})
    assert not affinity.may_help(new, removed(cache, "small"), cache.snapshot)
    assert not affinity.may_help(new, removed(cache, "large"), cache.snapshot)
    assert affinity.may_help(new, removed(cache, "second"), cache.snapshot)


def test_volumes_are_the_pods_own_or_of_a_class_that_it_waits_for(cache: ClusterCache) -> None:
    cache.put_storage(builders.storage_class("fast", provisioner="kubernetes.io/no-provisioner"))
    cache.put_storage(builders.claim("mine"))
    binding, new, nodes = VolumeBinding(VolumeBindingArgs()), pod("new", claims=["mine"]), cache.snapshot

    def came(volume: str, storage_class: str, size: str) -> bool:
        (event,) = cache.put_storage(builders.volume(volume, storage_class=storage_class, size=size))
        return binding.may_help(new, event, nodes)

    assert not came("v1", "slow", "9Gi")
    assert not came("v2", "fast", "1Mi")
    assert came("v3", "fast", "1Gi")
    (other,) = cache.put_storage(builders.claim("other", storage_class="slow"))
    assert not binding.may_help(new, other, nodes)


def test_pods_that_wait_with_claims_of_one_look_are_judged_once(
    cache: ClusterCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put_storage(builders.storage_class("fast"))
    cache.put_storage(builders.csi_driver("csi.example.com"))
    waiting: dict[str, list[PodInfo]] = {"1Gi": [], "4Gi": []}
    for number in range(20):
        for size, pods in waiting.items():
            cache.put_storage(builders.claim(f"c{size}{number}".lower(), size=size))
            pods.append(pod(f"p{size}{number}".lower(), claims=[f"c{size}{number}".lower()]))
    cache.put_storage(builders.claim("chosen", annotations={"volume.kubernetes.io/selected-node": "n2"}))
    binding, nodes = VolumeBinding(VolumeBindingArgs()), cache.snapshot
    judged: list[str] = []
    accepts = hints.accepts

    def counted(plugin: Filter, each: PodInfo, among: Snapshot) -> bool:
        judged.append(each.name)
        return accepts(plugin, each, among)

    monkeypatch.setattr(hints, "accepts", counted)
    pool = builders.capacity("pool", free="2Gi", topology=builders.selector({ZONE: "a"}))
    (event,) = cache.put_storage(pool)
    assert [binding.may_help(each, event, nodes) for each in waiting["1Gi"]] == [True] * 20
    assert [binding.may_help(each, event, nodes) for each in waiting["4Gi"]] == [False] * 20
    assert len(judged) == 2
    assert not binding.may_help(pod("elsewhere", claims=["chosen"]), event, nodes), "its node is in another zone"

    nodes.volumes.refuse("default/c1gi0", "n1", 0.0)
    assert [binding.may_help(each, event, nodes) for each in waiting["1Gi"]] == [False] + [True] * 19
    (grown,) = cache.put_storage(builders.capacity("pool", free="8Gi", topology=builders.selector({ZONE: "a"})))
    assert [binding.may_help(each, grown, nodes) for each in waiting["4Gi"]] == [True] * 20
    (other,) = cache.put_storage(builders.capacity("other", storage_class="slow", free="8Gi", topology=None))
    assert not any(binding.may_help(each, other, nodes) for pods in waiting.values() for each in pods)


def test_a_volume_that_is_attached_counts_until_it_is_gone(cache: ClusterCache) -> None:
    """Whatever claim had it: the node has fewer volumes of the driver then."""
    cache.put_storage(builders.storage_class())
    cache.put_storage(builders.claim("mine"))
    cache.put_storage(builders.csi_node("n1", {"csi.example.com": 1}))
    cache.put_storage(builders.csi_node("n2", {"csi.example.com": 0}))
    for name in ("attached", "other"):
        cache.put_storage(builders.volume(name, driver="csi.example.com"))
    meta, source = objects.ObjectMeta(name="attachment"), objects.VolumeAttachmentSource("attached")
    cache.put_storage(objects.VolumeAttachment(meta, objects.VolumeAttachmentSpec("csi.example.com", "n1", source)))
    limits, new = NodeVolumeLimits(), pod("new", claims=["mine"])
    (event,) = cache.remove_storage(builders.volume("other"))
    assert not limits.may_help(new, event, cache.snapshot)
    (event,) = cache.remove_storage(builders.volume("attached"))
    assert limits.may_help(new, event, cache.snapshot)


def test_a_claim_is_free_when_the_pod_that_had_it_is_gone(cache: ClusterCache) -> None:
    cache.put_storage(builders.claim("mine", modes=["ReadWriteOncePod"]))
    for name in ("first", "second"):
        cache.put_pod(pod(name, on="n1", claims=["mine"]))
    restrictions, new = VolumeRestrictions(), pod("new", claims=["mine"])
    assert not restrictions.may_help(new, removed(cache, "small"), cache.snapshot)
    assert not restrictions.may_help(new, removed(cache, "first"), cache.snapshot)
    assert restrictions.may_help(new, removed(cache, "second"), cache.snapshot)


def test_pods_are_alike_in_what_a_plugin_looks_at() -> None:
    one, other = pod("one", cpu="1", labels={"x": "1"}), pod("other", cpu="1", labels={"x": "2"})

    def alike(*plugins: object) -> list[bool]:
        return [each.alike(one) == each.alike(other) for each in plugins]  # type: ignore[attr-defined]

    assert alike(NodeResourcesFit(FitArgs()), TaintToleration(TolerationArgs(())), NodePorts()) == [True] * 3
    assert alike(InterPodAffinity(InterPodAffinityArgs())) == [False]


@pytest.mark.parametrize(
    ("change", "alike"),
    [
        pytest.param(lambda cache: cache.put_storage(builders.claim("b", annotations={"x": "y"})), True, id="no"),
        pytest.param(lambda cache: cache.put_storage(builders.claim("b", size="2Gi")), False, id="larger"),
        pytest.param(lambda cache: cache.put_storage(builders.claim("b", storage_class="slow")), False, id="class"),
        pytest.param(lambda cache: cache.put_storage(builders.claim("b", modes=["ReadOnlyMany"])), False, id="modes"),
        pytest.param(lambda cache: cache.put_storage(builders.claim("b", volume="v")), False, id="bound"),
        pytest.param(lambda cache: cache.put_storage(builders.claim("b", annotations={SELECTED: "n1"})), False,
                     id="a node is selected"),
        pytest.param(lambda cache: cache.put_storage(builders.volume("v", claimed_by="default/b")), False,
                     id="a volume is reserved"),
        pytest.param(lambda cache: cache.snapshot.volumes.refuse("default/b", "n1", 0.0), False, id="refused"),
        pytest.param(lambda cache: cache.put_pod(pod("user", on="n1", claims=["b"])), False, id="in use"),
        pytest.param(lambda cache: cache.remove_storage(builders.claim("b")), False, id="gone"),
    ],
)  # fmt: skip
def test_pods_are_alike_whose_claims_look_the_same_and_have_nothing_of_their_own(
    cache: ClusterCache, change: Callable[[ClusterCache], object], alike: bool
) -> None:
    cache.put_storage(builders.storage_class())
    for name in ("a", "b"):
        cache.put_storage(builders.claim(name))
    one, other = pod("one", claims=["a"]), pod("other", claims=["b"])
    change(cache)
    volumes = (VolumeRestrictions(), VolumeZone(), VolumeBinding(VolumeBindingArgs()), NodeVolumeLimits())
    for each in volumes:
        assert (each.alike_now(one, cache.snapshot) == each.alike_now(other, cache.snapshot)) == alike


def test_an_event_remembers_what_many_pods_would_ask() -> None:
    event, asked = Happening(ClusterEvent.POD_REMOVED, node="n1"), itertools.count()
    for _ in range(3):
        assert event.once("question", lambda: next(asked)) == 0
