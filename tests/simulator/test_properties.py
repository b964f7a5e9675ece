"""What holds for `explain` and `plan` on any cluster."""

from __future__ import annotations

import collections

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controlplane.nodes import HOSTNAME, ZONE, Manifest
from tests.live import objects
from tests.simulator import worlds

Cluster = list[Manifest]

any_cluster = given(cluster=worlds.clusters())
slow = settings(max_examples=60, deadline=None)


def of_kind(cluster: Cluster, kind: str) -> dict[str, Manifest]:
    """The objects of a kind by name, with the namespace where there is one."""
    found = {}
    for each in cluster:
        if each["kind"] == kind:
            metadata = each["metadata"]
            found["/".join(filter(None, [metadata.get("namespace"), metadata["name"]]))] = each
    return found


def by_node(cluster: Cluster) -> dict[str, list[Manifest]]:
    """The pods that are on each node."""
    placed: dict[str, list[Manifest]] = {name: [] for name in of_kind(cluster, "Node")}
    for each in of_kind(cluster, "Pod").values():
        if "nodeName" in each["spec"]:
            placed[each["spec"]["nodeName"]].append(each)
    return placed


def milli(pods: list[Manifest]) -> int:
    quantities = [pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] for pod in pods]
    return sum(int(each[:-1]) if each.endswith("m") else int(each) * 1000 for each in quantities)


@any_cluster
@slow
def test_explain_sorts_every_node_into_feasible_or_rejected(cluster: Cluster) -> None:
    names = set(of_kind(cluster, "Node"))
    for one in worlds.explained(worlds.state(cluster)):
        assert set(one.feasible) | set(one.rejected) == names
        assert not set(one.feasible) & set(one.rejected)
        assert one.feasible == sorted(one.scores)
        assert all(reasons for reasons in one.rejected.values())
        assert (one.chosen is None) == (not one.feasible) == (one.unschedulable is not None)
        if one.chosen is not None:
            best = max(score.total for score in one.scores.values())
            assert one.scores[one.chosen].total == best
        if one.unschedulable is not None:
            assert one.unschedulable.startswith(f"0/{len(names)} nodes are available: ")


@any_cluster
@slow
def test_explain_changes_nothing(cluster: Cluster) -> None:
    world = worlds.state(cluster)
    assert worlds.explained(world) == worlds.explained(world)
    assert world.board.scheduler.cache.snapshot.check() == []


@any_cluster
@slow
def test_plan_tells_about_each_pending_pod_once(cluster: Cluster) -> None:
    placed, left = worlds.planned(worlds.state(cluster))
    pending = [key for key, pod in of_kind(cluster, "Pod").items() if "nodeName" not in pod["spec"]]
    assert sorted([*(each.pod for each in placed), *(each.pod for each in left)]) == sorted(pending)


@any_cluster
@slow
def test_plan_begins_as_explain_says(cluster: Cluster) -> None:
    first = next((one for one in worlds.explained(worlds.state(cluster)) if one.chosen is not None), None)
    placed, _ = worlds.planned(worlds.state(cluster))
    if first is None:
        assert placed == []
    else:
        assert (placed[0].pod, placed[0].node) == (first.pod, first.chosen)


@given(cluster=worlds.clusters(), data=st.data())
@slow
def test_plan_does_not_depend_on_the_order_of_the_input(cluster: Cluster, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(cluster))
    assert worlds.planned(worlds.state(cluster)) == worlds.planned(worlds.state(shuffled))


@any_cluster
@slow
def test_plan_books_no_node_over(cluster: Cluster) -> None:
    """More than fits is there only where it was before."""
    placed, _ = worlds.planned(worlds.state(cluster))
    before, after = by_node(cluster), by_node(worlds.carried_out(cluster, placed))
    for name, node in of_kind(cluster, "Node").items():
        if len(after[name]) == len(before[name]):
            continue
        allocatable = node["status"]["allocatable"]
        assert len(after[name]) <= int(allocatable["pods"])
        assert milli(after[name]) <= milli_of(allocatable["cpu"])
        ports = [port["hostPort"] for pod in after[name] for port in pod["spec"]["containers"][0]["ports"]]
        new = [pod for pod in after[name] if pod not in before[name]]
        assert len(ports) == len(set(ports)) or not any(pod["spec"]["containers"][0]["ports"] for pod in new)


def milli_of(quantity: str) -> int:
    return int(quantity) * 1000


@any_cluster
@slow
def test_what_a_plan_leaves_out_fits_nowhere_in_the_end(cluster: Cluster) -> None:
    placed, left = worlds.planned(worlds.state(cluster))
    answers = {one.pod: one for one in worlds.explained(worlds.state(worlds.carried_out(cluster, placed)))}
    assert sorted(answers) == sorted(each.pod for each in left)
    for each in left:
        assert answers[each.pod].chosen is None, each.reason


@given(skew=st.integers(1, 2), data=st.data())
@slow
def test_plan_keeps_to_required_spread_and_separation(skew: int, data: st.DataObject) -> None:
    """Checked step by step: wherever a pod goes, the rules hold with it."""
    labels = {"app": "db"}
    spec = {"topologySpreadConstraints": [objects.spread(ZONE, labels, skew=skew)]}
    nodes = data.draw(worlds.nodes(tainted=False))
    cluster = [*nodes, *data.draw(worlds.pods(on=[], labels=labels, spec=spec))]
    placed, _ = worlds.planned(worlds.state(cluster))

    zone = {each["metadata"]["name"]: each["metadata"]["labels"][ZONE] for each in nodes}
    pods = of_kind(cluster, "Pod")
    count = dict.fromkeys(zone.values(), 0)
    hosts: dict[str, list[Manifest]] = collections.defaultdict(list)
    for step in placed:
        count[zone[step.node]] += 1
        assert count[zone[step.node]] - min(count.values()) <= skew
        shy = [each for each in [*hosts[step.node], pods[step.pod]] if HOSTNAME in str(each["spec"].get("affinity"))]
        assert not (shy and hosts[step.node])
        hosts[step.node].append(pods[step.pod])
