from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import HOST, claim, node, pod, selector, snapshot, term

from stowplan.framework.snapshot import Snapshot
from stowplan.framework.trial import Trial
from stowplan.model import selectors
from stowplan.model.pods import PodInfo
from stowplan.plugins.predicates import MeetsAll, SpreadsWith

NODES = ("n1", "n2", "n3")


def running(number: int, on: str) -> PodInfo:
    """All sorts of pods: what they change in the snapshot differs."""
    return pod(
        f"p{number}",
        on=on,
        labels={"app": ("db", "web")[number % 2]},
        cpu=f"{number}00m",
        requests={"example.com/gpu": 1} if number % 3 == 0 else None,
        anti_affinity=[term(HOST, selector({"app": "db"}))] if number % 4 == 0 else [],
        claims=[f"c{number}"] if number % 5 == 0 else [],
        priority=number * 10,
    )


def cluster(places: list[str]) -> Snapshot:
    pods = [running(number, on) for number, on in enumerate(places)]
    claims = [claim(f"c{number}") for number in range(0, len(places), 5)]
    return snapshot([node(name) for name in NODES], pods, storage=claims)


def db_pods(nodes: Snapshot) -> list[int]:
    app = next(each.cls for each in nodes.pods.values() if each.cls.labels["app"] == "db")
    found: list[int] = nodes.count(SpreadsWith("default", app_selector(app.labels["app"]))).tolist()
    return found


def app_selector(app: str) -> selectors.Selector:
    return selectors.compile_selector(selector({"app": app}))


places = st.lists(st.sampled_from((*NODES, "gone")), min_size=2, max_size=14)


@given(places=places, data=st.data())
def test_after_a_trial_everything_is_as_before(places: list[str], data: st.DataObject) -> None:
    nodes = cluster(places)
    nodes.priorities()
    before = (nodes.requested.copy(), db_pods(nodes), set(nodes.pods), [set(each) for each in nodes.on_node])
    pods = sorted(nodes.pods.values(), key=lambda each: each.key)
    with Trial(nodes) as trial:
        taken = data.draw(st.lists(st.sampled_from(pods), unique=True))
        for each in taken:
            trial.take(each)
        for each in data.draw(st.lists(st.sampled_from(taken), unique=True)) if taken else []:
            trial.give_back(each)
        trial.add(pod("guest", on="n1", cpu="3"))
        assert nodes.check() == []
    assert nodes.check() == []
    assert np.array_equal(nodes.requested, before[0])
    assert (db_pods(nodes), set(nodes.pods), [set(each) for each in nodes.on_node]) == before[1:]


def test_an_exception_ends_a_trial_as_well() -> None:
    nodes = cluster(["n1", "n2"])

    def fail() -> None:
        with Trial(nodes) as trial:
            trial.take(next(iter(nodes.pods.values())))
            trial.add(pod("guest", on="n3"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert sorted(each.name for each in nodes.pods.values()) == ["p0", "p1"]
    assert nodes.check() == []


@given(places=places, below=st.integers(-5, 150))
def test_requests_by_priority_are_those_of_the_pods(places: list[str], below: int) -> None:
    nodes = cluster(places)
    nodes.priorities()
    nodes.add_pod(pod("late", on="n2", cpu="1", requests={"example.com/fpga": 2}, priority=35))
    nodes.put_node(node("n4"))
    nodes.add_pod(pod("later", on="n4", cpu="2", priority=35))
    nodes.remove_node("n1")
    levels = dict(nodes.priorities().below(below, nodes))
    on_nodes = [each for pods in nodes.on_node for each in pods.values()]
    assert list(levels) == sorted({each.priority for each in on_nodes if each.priority < below})
    for level, lower in levels.items():
        for name, index in nodes.resources.items():
            for row, pods in enumerate(nodes.on_node):
                counted = [each for each in pods.values() if each.priority <= level]
                wanted = len(counted) if name == "pods" else sum(each.cls.requests.get(name, 0) for each in counted)
                assert lower.freed[index, row] == wanted


@given(places=places, level=st.integers(-5, 150))
def test_pods_are_counted_by_priority(places: list[str], level: int) -> None:
    """Also those that come and go after somebody has asked."""
    nodes = cluster(places)
    counted = SpreadsWith("default", app_selector("db"))
    nodes.priorities().count(counted, level, nodes)
    late = pod("late", on="n2", labels={"app": "db"}, priority=35)
    nodes.add_pod(late)
    nodes.put_node(node("n4"))
    nodes.add_pod(pod("later", on="n4", labels={"app": "db"}, priority=55))
    nodes.remove_node("n1")
    for uid in (late.uid, next(iter(nodes.pods))):
        nodes.remove_pod(uid)
    assert nodes.check() == []
    wanted = [
        sum(each.priority <= level and each.cls.labels["app"] == "db" for each in pods.values())
        for pods in nodes.on_node
    ]
    assert nodes.priorities().count(counted, level, nodes).tolist() == wanted


def test_pods_by_priority_are_counted_anew_when_namespaces_change() -> None:
    away = selector({"team": "a"})
    nodes = snapshot([node("n1")], [pod("p", namespace="other", on="n1", labels={"app": "db"}, priority=5)])
    (far,) = pod("x", anti_affinity=[term(HOST, selector({"app": "db"}), namespace_selector=away)]).cls.anti_affinity
    there = MeetsAll((far,))
    nodes.put_namespace("other", {"team": "b"})
    assert nodes.priorities().count(there, 5, nodes).tolist() == [0]
    nodes.put_namespace("other", {"team": "a"})
    assert nodes.priorities().count(there, 5, nodes).tolist() == [1]


def test_what_is_kept_survives_a_trial() -> None:
    """Also where the only pods with an affinity term leave for a moment; the term itself is forgotten later."""
    nodes = snapshot([node("n1")], [pod("shy", on="n1", anti_affinity=[term(HOST, selector({"app": "db"}))])])
    (shy,) = nodes.pods.values()
    kept = nodes.epoch
    with Trial(nodes) as trial:
        trial.take(shy)
        assert nodes.check() == []
    assert nodes.epoch is kept
    nodes.remove_pod(shy.uid)
    assert nodes.required_anti_terms
    nodes.sweep()
    assert not nodes.required_anti_terms
    nodes.add_pod(shy)
    assert nodes.check() == []
