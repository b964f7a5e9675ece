from __future__ import annotations

import pytest
from tests.builders import node, pod, snapshot

from stowplan.framework.nominations import Nominations
from stowplan.model.pods import PodInfo


def test_a_pod_that_the_api_shows_nominated_is_nominated() -> None:
    known = Nominations()
    assert known.seen(pod("p", nominated="n1")) is None
    assert known.node_of("uid-default/p") == "n1"
    assert known


@pytest.mark.parametrize(
    ("then", "node_of", "freed"),
    [
        pytest.param("", "n1", False, id="an update before ours is written changes nothing"),
        pytest.param("n1", "n1", False, id="ours as it is shown"),
        pytest.param("n2", "n2", True, id="somebody else names another node"),
    ],
)
def test_a_decision_holds_until_the_api_shows_something_new(then: str, node_of: str, freed: bool) -> None:
    known = Nominations()
    known.nominate(pod("p"), "n1")
    newer = pod("p", nominated=then)
    left = known.seen(newer)
    assert (left is not None and left.node_name == "n1") is freed
    assert known.node_of("uid-default/p") == newer.nominated == node_of


def test_a_nomination_that_is_shown_no_more_is_over() -> None:
    known = Nominations()
    known.nominate(pod("p"), "n1")
    known.seen(pod("p", nominated="n1"))
    assert known.seen(pod("p")) is not None
    assert not known


def test_a_nomination_taken_back_does_not_return_with_an_old_update() -> None:
    known = Nominations()
    known.seen(pod("p", nominated="n1"))
    known.nominate(pod("p", nominated="n1"), "")
    newer = pod("p", nominated="n1", labels={"new": "label"})
    assert known.seen(newer) is None
    assert newer.nominated == ""
    assert known.node_of("uid-default/p") == ""
    assert not known


def test_who_has_a_node_or_is_gone_is_nominated_no_more() -> None:
    known = Nominations()
    known.nominate(pod("p"), "n1")
    left = known.remove("uid-default/p")
    assert left is not None
    assert left.node_name == "n1"
    assert known.remove("uid-default/p") is None
    assert not known


def test_a_pod_leaves_room_for_those_of_its_own_or_a_higher_priority() -> None:
    nodes = snapshot([node("n1"), node("n2")], [pod("bound", on="n1", priority=9)])
    known = Nominations()
    guests: dict[str, PodInfo] = {name: pod(name, priority=priority) for name, priority in
                                  (("low", 1), ("same", 5), ("high", 9), ("itself", 5), ("elsewhere", 9))}  # fmt: skip
    for name in ("low", "same", "high", "itself"):
        known.nominate(guests[name], "n2")
    known.nominate(guests["elsewhere"], "no-such-node")
    known.nominate(pod("bound", priority=9), "n2")
    ((row, rivals),) = known.rivals(guests["itself"], nodes, range(len(nodes)))
    assert (row, [each.name for each in rivals]) == (1, ["same", "high"])
    assert {each.node_name for each in rivals} == {"n2"}
    assert not guests["same"].node_name, "the pod itself has no node yet"
    assert [each.name for each in known.lower(5, "n2")] == ["low"]
