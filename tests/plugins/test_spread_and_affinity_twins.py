"""PodTopologySpread and InterPodAffinity decide and score as their scalar twins do, and their counts stay true."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import HOST, INTERNER, RACK, ZONE, node, raw_pod, selector, spread
from tests.plugins import generated, scalar
from tests.plugins.verdicts import scores, verdicts

from stowplan.framework.plugin import CycleState
from stowplan.framework.runtime import Framework
from stowplan.model import objects
from stowplan.plugins import inclusion
from stowplan.plugins.inter_pod_affinity import InterPodAffinity, InterPodAffinityArgs
from stowplan.plugins.pod_topology_spread import PodTopologySpread

SPREAD = PodTopologySpread(inclusion.Added())
AFFINITY = InterPodAffinity(InterPodAffinityArgs())
PLUGINS = (SPREAD, AFFINITY)


def some_rows(data: st.DataObject, size: int) -> list[int]:
    return sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1), label="feasible"))


@generated.UNHURRIED
@given(generated.clusters(), generated.pods("incoming"))
def test_topology_spread_rejects_as_its_scalar_twin(cluster: scalar.Cluster, pod: objects.Pod) -> None:
    nodes = generated.snapshot_of(cluster)
    assert verdicts(SPREAD, INTERNER.pod(pod), nodes) == scalar.spread_filter(pod, cluster)


@generated.UNHURRIED
@given(generated.clusters(), generated.pods("incoming"), st.data())
def test_topology_spread_scores_as_its_scalar_twin(
    cluster: scalar.Cluster, pod: objects.Pod, data: st.DataObject
) -> None:
    nodes = generated.snapshot_of(cluster)
    rows = some_rows(data, len(nodes))
    feasible = [cluster.nodes[row] for row in rows]
    assert scores(SPREAD, INTERNER.pod(pod), nodes, rows) == scalar.spread_score(pod, cluster, feasible)


@generated.UNHURRIED
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["1", "2", None]), st.integers(0, 3)),
        min_size=20,
        max_size=30,
    ),
    st.lists(st.sampled_from([HOST, HOST, ZONE, RACK]), min_size=1, max_size=3),
    st.data(),
)
def test_nodes_that_agree_in_labels_and_pods_score_as_their_scalar_twins(
    looks: list[tuple[str, str | None, int]], keys: list[str], data: st.DataObject
) -> None:
    """Many nodes, of which some have the same zone, rack and number of pods."""
    labels = {"app": "db"}
    nodes = [node(f"n{row}", zone=zone, rack=rack) for row, (zone, rack, _) in enumerate(looks)]
    pods = [raw_pod(f"p{row}-{i}", on=f"n{row}", labels=labels) for row, (*_, n) in enumerate(looks) for i in range(n)]
    cluster = scalar.Cluster(nodes, pods, {})
    soft = [spread(key, selector(labels), skew=place + 1, required=False) for place, key in enumerate(keys)]
    asking = raw_pod("incoming", labels=labels, spreads=soft)
    rows = some_rows(data, len(nodes)) if data.draw(st.booleans()) else list(range(len(nodes)))
    found = scores(SPREAD, INTERNER.pod(asking), generated.snapshot_of(cluster), rows)
    assert found == scalar.spread_score(asking, cluster, [nodes[row] for row in rows])


@generated.UNHURRIED
@given(generated.clusters(), generated.pods("incoming"))
def test_inter_pod_affinity_rejects_as_its_scalar_twin(cluster: scalar.Cluster, pod: objects.Pod) -> None:
    nodes = generated.snapshot_of(cluster)
    assert verdicts(AFFINITY, INTERNER.pod(pod), nodes) == scalar.affinity_filter(pod, cluster)


@generated.UNHURRIED
@given(generated.clusters(), generated.pods("incoming"), st.sampled_from([0, 1, 7]), st.booleans(), st.data())
def test_inter_pod_affinity_scores_as_its_scalar_twin(
    cluster: scalar.Cluster, pod: objects.Pod, hard_weight: int, ignore: bool, data: st.DataObject
) -> None:
    nodes = generated.snapshot_of(cluster)
    rows = some_rows(data, len(nodes))
    plugin = InterPodAffinity(InterPodAffinityArgs(hard_weight, ignore_preferred_terms_of_existing_pods=ignore))
    expected = scalar.affinity_score(
        pod,
        cluster,
        [cluster.nodes[row] for row in rows],
        hard_weight=hard_weight,
        ignore_existing=ignore,
    )
    assert scores(plugin, INTERNER.pod(pod), nodes, rows) == expected


@generated.UNHURRIED
@given(generated.clusters(), generated.pods("incoming"), st.data())
def test_counts_follow_the_pods_that_come_and_go(
    cluster: scalar.Cluster, pod: objects.Pod, data: st.DataObject
) -> None:
    """Asked before, between and after; compared each time with a snapshot that has only just been made."""
    nodes = generated.snapshot_of(cluster)
    incoming = INTERNER.pod(pod)
    rows = list(range(len(nodes)))
    present = {each.metadata.name: each for each in cluster.pods}
    for index in range(data.draw(st.integers(1, 5), label="changes")):
        leaving = data.draw(st.sampled_from([None, *sorted(present)]), label="leaves")
        if leaving is not None:
            nodes.remove_pod(INTERNER.pod(present.pop(leaving)).uid)
        else:
            where = data.draw(st.sampled_from([each.metadata.name for each in cluster.nodes]))
            new = data.draw(generated.pods(f"new-{index}", on=where))
            present[new.metadata.name] = new
            nodes.add_pod(INTERNER.pod(new))
        fresh = generated.snapshot_of(scalar.Cluster(cluster.nodes, list(present.values()), cluster.namespaces))
        for plugin in PLUGINS:
            assert verdicts(plugin, incoming, nodes) == verdicts(plugin, incoming, fresh)
            assert scores(plugin, incoming, nodes, rows) == scores(plugin, incoming, fresh, rows)
        assert nodes.check() == []


@generated.UNHURRIED
@given(generated.clusters(), generated.pods("incoming"), generated.pods("other"), st.data())
def test_assume_then_forget_changes_nothing(
    cluster: scalar.Cluster, pod: objects.Pod, other: objects.Pod, data: st.DataObject
) -> None:
    nodes = generated.snapshot_of(cluster)
    incoming, assumed = INTERNER.pod(pod), INTERNER.pod(other)
    rows = list(range(len(nodes)))
    before = [(verdicts(each, incoming, nodes), scores(each, incoming, nodes, rows)) for each in PLUGINS]
    assumed.node_name = data.draw(st.sampled_from([each.metadata.name for each in cluster.nodes]))
    nodes.add_pod(assumed)
    nodes.remove_pod(assumed.uid)
    after = [(verdicts(each, incoming, nodes), scores(each, incoming, nodes, rows)) for each in PLUGINS]
    assert before == after


@generated.UNHURRIED
@given(generated.clusters(), generated.pods("incoming"), st.data())
def test_the_order_of_the_nodes_changes_nothing_but_ties(
    cluster: scalar.Cluster, pod: objects.Pod, data: st.DataObject
) -> None:
    shuffled = scalar.Cluster(data.draw(st.permutations(cluster.nodes)), cluster.pods, cluster.namespaces)
    profile = Framework("default", PLUGINS, {})
    incoming = INTERNER.pod(pod)

    def totals(of: scalar.Cluster) -> dict[str, int]:
        nodes = generated.snapshot_of(of)
        rows = np.flatnonzero(profile.feasible(incoming, nodes, CycleState()))
        if not len(rows):
            return {}
        table = profile.score(incoming, nodes, CycleState(), rows)
        return {nodes.name(int(row)): int(total) for row, total in zip(rows, table.total, strict=True)}

    assert totals(cluster) == totals(shuffled)
