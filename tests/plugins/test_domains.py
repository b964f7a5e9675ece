"""What is kept about pods by domain is what counting them anew gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import ZONE, node, pod, snapshot

from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask
from stowplan.model.pods import PodClass
from stowplan.plugins import domains

HOSTNAME = "kubernetes.io/hostname"
ZONES = ("a", "b", None, "c", "a", "b", "d")


class Chosen:
    """Counts the pods with a label."""

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        return cls.labels.get("app") == "chosen"


CHOSEN = Chosen()


def cluster(*, hosts: bool) -> Snapshot:
    labels = [{ZONE: zone} if zone else {} for zone in ZONES]
    return snapshot(
        node(f"n{row}", labels=each | ({HOSTNAME: f"n{row}"} if hosts else {})) for row, each in enumerate(labels)
    )


def names(nodes: Snapshot, mask: Mask | None) -> set[str]:
    return set() if mask is None else {nodes.name(row) for row in np.flatnonzero(mask).tolist()}


@pytest.mark.parametrize("key", [pytest.param(ZONE, id="zones"), pytest.param(HOSTNAME, id="a domain for each node")])
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), max_size=30))
def test_domains_with_and_without_pods(key: str, steps: list[tuple[int, bool, bool]]) -> None:
    nodes = cluster(hosts=True)
    tally = domains.tally(nodes, CHOSEN, key)
    domain = {each.metadata.name: each.metadata.labels.get(key) for each in nodes.nodes}
    for number, (row, chosen, stays) in enumerate(steps):
        each = pod(f"p{number}", on=f"n{row}", labels={"app": "chosen" if chosen else "other"})
        nodes.add_pod(each)
        if not stays:
            nodes.remove_pod(each.uid)
        there = {domain[each.node_name] for each in nodes.pods.values() if CHOSEN.matches(each.cls, nodes)}
        inhabited = {name for name, value in domain.items() if value is not None and value in there}
        assert names(nodes, tally.occupied()) == inhabited
        labelled = {name for name, value in domain.items() if value is not None}
        assert names(nodes, tally.vacant()) & labelled == labelled - inhabited
        assert tally.empty == (not inhabited)
    assert nodes.check() == []


def test_what_is_told_of_nodes_stays_as_it_was_told() -> None:
    nodes = cluster(hosts=True)
    tally = domains.tally(nodes, CHOSEN, HOSTNAME)
    nodes.add_pod(pod("p", on="n1", labels={"app": "chosen"}))
    told = tally.occupied()
    nodes.add_pod(pod("q", on="n2", labels={"app": "chosen"}))
    assert names(nodes, told) == {"n1"}


def test_the_nodes_of_any_groups() -> None:
    nodes = cluster(hosts=False)
    group = domains.grouping(nodes, ZONE)
    for _ in range(2):  # of more groups than are remembered, and again
        for some in itertools.product([False, True], repeat=group.size):
            groups = np.array(some)
            expected = {f"n{row}" for row, code in enumerate(group.codes.tolist()) if some[code]}
            assert names(nodes, group.nodes_of(groups)) == expected
            assert (group.nodes_of(groups) is None) == (not any(some))
