"""Topologies over all nodes at once, against one node at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import HOST, ZONE, node, node_term, selector, snapshot

from stowplan.framework import reach
from stowplan.model import objects
from stowplan.model.selectors import Requirement

requirements = st.builds(
    Requirement,
    key=st.sampled_from([ZONE, HOST, "rack"]),
    operator=st.sampled_from(["In", "In", "NotIn", "Exists", "DoesNotExist"]),
    values=st.frozensets(st.sampled_from(["a", "b", "n0", "n1", "nowhere"]), min_size=1, max_size=5),
)
topologies = st.lists(st.frozensets(requirements, max_size=2), max_size=3).map(tuple)
clusters = st.lists(st.tuples(st.sampled_from([None, "a", "b"]), st.sampled_from([None, "a"])), max_size=5)


@given(clusters, st.lists(topologies, max_size=5))
@settings(max_examples=200, deadline=None)
def test_masks_and_pairs_equal_one_question_per_node_and_topology(
    labels: list[tuple[str | None, str | None]], asked: list[reach.Topology]
) -> None:
    nodes = snapshot(
        node(f"n{at}", zone=zone, labels={"rack": rack} if rack else {}) for at, (zone, rack) in enumerate(labels)
    )
    expected = np.array(
        [[reach.admits(each, there.metadata.labels) for each in asked] for there in nodes.nodes], dtype=np.bool_
    ).reshape(len(nodes), len(asked))
    for index, each in enumerate(asked):
        assert np.array_equal(reach.mask(each, nodes), expected[:, index])
    found = reach.Reach(asked, nodes)
    assert [found.of(row).tolist() for row in range(len(nodes))] == [
        np.flatnonzero(expected[row]).tolist() for row in range(len(nodes))
    ]
    assert found.crowded.tolist() == np.flatnonzero(expected.sum(axis=1) > 1).tolist()
    assert found.of(len(nodes) + 1).tolist() == []
    everything = np.ones(len(found.rows), dtype=np.bool_)
    assert found.any(everything, len(nodes)).tolist() == expected.any(axis=1).tolist()


@pytest.mark.parametrize(
    ("topology", "on_a", "on_b"),
    [
        pytest.param(reach.of_volume(None), True, True, id="volume without affinity"),
        pytest.param(
            reach.of_volume(objects.VolumeNodeAffinity(objects.NodeSelector([]))), False, False, id="affinity, no terms"
        ),
        pytest.param(
            reach.of_volume(objects.VolumeNodeAffinity(objects.NodeSelector([node_term()]))),
            False, False, id="empty term",
        ),
        pytest.param(
            reach.of_volume(
                objects.VolumeNodeAffinity(objects.NodeSelector([node_term((ZONE, "In", ["a"])), node_term()]))
            ),
            True, False, id="a term and an empty one",
        ),
        pytest.param(reach.of_capacity(None), False, False, id="capacity without topology"),
        pytest.param(reach.of_capacity(selector()), True, True, id="capacity of an empty topology"),
        pytest.param(reach.of_class([]), True, True, id="class without topologies"),
        pytest.param(reach.of_class([objects.TopologySelectorTerm([])]), False, False, id="class with an empty term"),
        pytest.param(
            reach.of_class([
                objects.TopologySelectorTerm([objects.TopologySelectorLabelRequirement(ZONE, ["b"])]),
            ]),
            False, True, id="class with a term",
        ),
    ],
)  # fmt: skip
def test_absent_and_empty_mean_what_the_api_says(topology: reach.Topology, on_a: bool, on_b: bool) -> None:
    nodes = snapshot([node("n0", zone="a"), node("n1", zone="b")])
    assert reach.mask(topology, nodes).tolist() == [on_a, on_b]
