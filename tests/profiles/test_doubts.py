"""Policies that say what is likely not meant: in force as written, and told."""

from __future__ import annotations

import pytest
from tests.builders import RACK, node, storage_class
from tests.profiles.world import Spec, World, policy, spread

NODES = [node("a1", zone="a"), node("b1", zone="b")]
DB: Spec = {"matchLabels": {"app": "db"}}
MASTERS: Spec = {"matchLabels": {"app": "db", "role": "master"}}


def apart(domain: str = "host", **more: object) -> Spec:
    return {"name": "apart", "domain": domain, **more}


def near(domain: str = "host", **more: object) -> Spec:
    return {"name": "near", "domain": domain, "with": DB, **more}


def doubts(**spec: object) -> tuple[str, ...]:
    world = World(NODES, [policy(selector=DB, **spec)])  # type: ignore[arg-type]
    world.nodes.volumes.put(storage_class("lvm"))
    return world.policies.doubts("default/ha", world.nodes)


NO_RACK = f"no node has the label {RACK} of failure domain rack, so "


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param({"spread": [spread("rack")]}, f"{NO_RACK}pods fit nowhere (rule even)", id="a label that is none"),
        pytest.param(
            {"spread": [spread("host", within="rack")]}, f"{NO_RACK}pods fit nowhere (rule even)", id="within such"
        ),
        pytest.param({"colocate": [near("rack")]}, f"{NO_RACK}pods fit nowhere (rule near)", id="near others"),
        pytest.param({"separate": [apart("rack")]}, f"{NO_RACK}its rules have no effect", id="nobody is kept apart"),
        pytest.param(
            {"spread": [spread("rack", enforcement="Preferred", weight=5)]}, f"{NO_RACK}its rules have no effect",
            id="nothing is preferred",
        ),
        pytest.param(
            {"spread": [spread(minDomains=3, maxSkew=2)]},
            "spread rule even has minDomains 3, and nodes are in 2 zone domains: until there are more, each gets 2 "
            "of a group at most", id="more domains than there are",
        ),
        pytest.param(
            {"separate": [apart("zone")], "colocate": [near("host")]},
            "separate rule apart keeps pods out of every zone where colocate rule near wants them", id="near and apart",
        ),
        pytest.param(
            {"nodes": {"limits": {"utilization": {"cpus": "0.5"}}}},
            "nodes.limits.utilization: no node has cpus", id="a resource that is none",
        ),
        pytest.param(
            {"storage": {"media": {"preferred": [{"key": "disk", "values": ["nvme"], "weight": 1}]}}},
            "no node has the label disk of storage.media", id="a medium that nobody has",
        ),
        pytest.param(
            {"storage": {"localCapacity": [{"storageClassName": "lvm", "nodeAnnotation": "free"}]}},
            "no node has the annotation free, so volumes of StorageClass lvm fit nowhere", id="nobody tells it",
        ),
        pytest.param(
            {"storage": {"localCapacity": [{"storageClassName": "mvl", "nodeAnnotation": "free"}]}},
            "there is no StorageClass mvl", id="a class that is none",
        ),
    ],
)  # fmt: skip
def test_what_is_likely_a_mistake_is_told(spec: Spec, says: str) -> None:
    (doubt,) = doubts(**dict(spec))
    assert says in doubt
    assert "\n" not in doubt


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="no rules"),
        pytest.param({"spread": [spread(minDomains=2)], "separate": [apart()]}, id="domains that there are"),
        pytest.param({"separate": [apart("host")], "colocate": [near("zone")]}, id="one zone, several hosts"),
        pytest.param(
            {"separate": [apart(pods=MASTERS)], "colocate": [near("host")]}, id="some are kept apart from some"
        ),
        pytest.param(
            {"separate": [apart("zone")], "colocate": [near("host", enforcement="Preferred", weight=1)]},
            id="near where possible",
        ),
        pytest.param(
            {"separate": [apart("zone")], "colocate": [{**near("host"), "with": {"matchLabels": {"app": "cache"}}}]},
            id="near to others",
        ),
        pytest.param({"nodes": {"limits": {"utilization": {"cpu": "0.5"}}}}, id="a limit on what there is"),
    ],
)
def test_what_makes_sense_is_not_doubted(spec: Spec) -> None:
    assert doubts(**dict(spec)) == ()


def test_nothing_is_doubted_before_there_are_nodes() -> None:
    world = World([], [policy(spread=[spread("rack")])])
    assert world.policies.doubts("default/ha", world.nodes) == ()


def test_a_label_that_comes_later_ends_the_doubt() -> None:
    world = World(NODES, [policy(spread=[spread("rack")])])
    assert len(world.policies.doubts("default/ha", world.nodes)) == 1
    world.nodes.put_node(node("c1", zone="c", rack="1"))
    assert world.policies.doubts("default/ha", world.nodes) == ()
