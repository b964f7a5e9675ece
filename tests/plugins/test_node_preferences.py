"""ImageLocality, StorageMedia, FailureDomain: nodes that are better, none that are out."""

from __future__ import annotations

import pytest
from tests.builders import HOST, POWER, RACK, ZONE, container, node, pod, snapshot
from tests.plugins.running import scored

from stowplan.api import common
from stowplan.model.pods import PodInfo
from stowplan.plugins.args import FailureDomainArgs, Media, StorageMediaArgs
from stowplan.plugins.failure_domain import FailureDomain
from stowplan.plugins.image_locality import ImageLocality
from stowplan.plugins.storage_media import StorageMedia

MIB = 2**20


def test_nodes_with_larger_and_more_common_images_score_higher() -> None:
    nodes = snapshot(
        [
            node("big", images={"db:1": 2000 * MIB}),
            node("both", images={"db:1": 2000 * MIB, "log:latest": 400 * MIB}),
            node("small", images={"log:latest": 400 * MIB}),
            node("none"),
        ]
    )
    # db: 2000 MiB on 2 of 4 nodes counts 1000; log: 400 on 2 of 4 counts 200; 23 MiB is the least, 2000 the most
    asking = pod("p", containers=[container("db", image="db:1"), container("log", image="log")])
    assert scored(ImageLocality(), asking, nodes) == {"big": 49, "both": 59, "small": 8, "none": 0}
    init = pod("p", init_containers=[container("i", image="db:1")], image="other:1")
    assert scored(ImageLocality(), init, nodes) == {"big": 49, "both": 49, "small": 0, "none": 0}


@pytest.mark.parametrize(
    ("asked", "reported"),
    [
        pytest.param("db", "db:latest", id="latest is understood"),
        pytest.param("registry:5000/db", "registry:5000/db:latest", id="a port is no tag"),
        pytest.param("registry:5000/db:2", "registry:5000/db:2", id="a tag"),
        pytest.param("db@sha256:0f", "db@sha256:0f", id="a digest"),
    ],
)
def test_images_are_found_under_the_name_that_nodes_report(asked: str, reported: str) -> None:
    nodes = snapshot([node("has", images={reported: 5000 * MIB}), node("has-not")])
    assert scored(ImageLocality(), pod("p", image=asked), nodes) == {"has": 100, "has-not": 0}


def test_images_that_nobody_has_say_nothing_until_a_node_pulls_one() -> None:
    nodes = snapshot([node("n1"), node("n2", images={"tiny:1": MIB})])
    plugin = ImageLocality()
    assert scored(plugin, pod("p", image="db:1"), nodes) is None
    assert scored(plugin, pod("p", image="tiny:1"), nodes) is None
    nodes.put_node(node("n1", images={"db:1": 1000 * MIB}))
    assert scored(plugin, pod("p", image="db:1"), nodes) == {"n1": 48, "n2": 0}
    nodes.put_node(node("n1"))
    assert scored(plugin, pod("p", image="db:1"), nodes) is None


def test_an_image_follows_its_node_when_another_one_goes() -> None:
    nodes = snapshot([node("gone", images={"db:1": 900 * MIB}), node("n1"), node("n2", images={"db:1": 900 * MIB})])
    plugin = ImageLocality()
    assert scored(plugin, pod("p", image="db:1"), nodes) == {"gone": 59, "n1": 0, "n2": 59}
    nodes.remove_node("gone")
    assert scored(plugin, pod("p", image="db:1"), nodes) == {"n1": 0, "n2": 43}
    for i in range(40):
        nodes.put_node(node(f"more{i}"))
    nodes.put_node(node("more39", images={"db:1": 900 * MIB}))
    found = scored(plugin, pod("p", image="db:1"), nodes)
    assert found is not None
    assert {name for name, score in found.items() if score} == {"n2", "more39"}


def test_media_preferences_add_up_and_are_scaled_to_the_best_node() -> None:
    plugin = StorageMedia(
        StorageMediaArgs((Media("disk", frozenset({"nvme", "ssd"}), 30), Media("raid", frozenset({"10"}), 10)))
    )
    nodes = snapshot(
        [
            node("nvme", labels={"disk": "nvme"}),
            node("best", labels={"disk": "ssd", "raid": "10"}),
            node("raid", labels={"disk": "hdd", "raid": "10"}),
            node("none"),
        ]
    )
    assert scored(plugin, pod("p"), nodes) == {"nvme": 75, "best": 100, "raid": 25, "none": 0}
    assert scored(plugin, pod("p"), nodes, feasible=["raid", "none"]) == {"raid": 100, "none": 0}
    assert scored(StorageMedia(StorageMediaArgs()), pod("p"), nodes) is None


LEVELS = (ZONE, POWER, RACK, HOST)
NODES = [
    node("a1", zone="a", power="p1", rack="r1"),
    node("a2", zone="a", power="p1", rack="r1"),
    node("a3", zone="a", power="p1", rack="r2"),
    node("a4", zone="a", power="p2", rack="r1"),
    node("b1", zone="b", power="p1", rack="r1"),
    node("bare"),
]


def members(*on: str, cluster: str = "db", namespace: str = "default") -> list[PodInfo]:
    return [
        pod(f"{cluster}-{i}", namespace=namespace, on=each, labels={common.LABEL_CLUSTER: cluster})
        for i, each in enumerate(on)
    ]


NEXT = pod("db-9", labels={common.LABEL_CLUSTER: "db"})


def test_nodes_score_by_the_failure_domains_they_share_with_the_peers() -> None:
    nodes = snapshot(NODES, members("a1"))
    near = FailureDomain(FailureDomainArgs(LEVELS))
    assert scored(near, NEXT, nodes) == {"a1": 100, "a2": 75, "a3": 50, "a4": 25, "b1": 0, "bare": 0}
    assert scored(near, NEXT, nodes, feasible=["a3", "a4", "b1"]) == {"a3": 100, "a4": 50, "b1": 0}


def test_every_peer_counts() -> None:
    nodes = snapshot(NODES, members("a2", "a2", "b1"))
    near = FailureDomain(FailureDomainArgs((ZONE, RACK)))
    # points: a1 2 peers x 2 levels; a3 2 x 1; a4 shares the zone and a rack of that name in it: 2 x 2; b1 1 x 2
    assert scored(near, NEXT, nodes) == {"a1": 100, "a2": 100, "a3": 50, "a4": 100, "b1": 50, "bare": 0}


def test_other_namespaces_clusters_and_leaving_pods_are_no_peers() -> None:
    leaving = pod("db-8", on="a1", labels={common.LABEL_CLUSTER: "db"}, terminating=True)
    others = [*members("a1", cluster="web"), *members("a1", namespace="other"), leaving]
    near = FailureDomain(FailureDomainArgs(LEVELS))
    assert scored(near, NEXT, snapshot(NODES, others)) is None
    assert scored(near, pod("alone"), snapshot(NODES, members("a1"))) is None


def test_a_peer_without_a_rack_is_near_in_its_zone_only() -> None:
    nodes = snapshot([node("x", zone="a"), node("y", zone="a"), node("z", zone="a", rack="r1")], members("x"))
    assert scored(FailureDomain(FailureDomainArgs((ZONE, RACK))), NEXT, nodes) == {"x": 100, "y": 100, "z": 100}
    assert scored(FailureDomain(FailureDomainArgs((ZONE, HOST))), NEXT, nodes) == {"x": 100, "y": 50, "z": 50}


def test_the_group_can_be_any_labels() -> None:
    peers = [pod("w", on="b1", labels={"app": "web", "tier": "front"}), pod("v", on="a1", labels={"app": "web"})]
    near = FailureDomain(FailureDomainArgs((ZONE,), group_by=("app", "tier")))
    asking = pod("p", labels={"app": "web", "tier": "front"})
    assert scored(near, asking, snapshot(NODES, peers)) == {"a1": 0, "a2": 0, "a3": 0, "a4": 0, "b1": 100, "bare": 0}
