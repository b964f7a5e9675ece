"""What is kept about nominated pods is what one finds who looks at all of them anew."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.builders import HOST, node, pod, selector, snapshot, term

from stowplan.framework import departures
from stowplan.framework.departures import Departures, Named
from stowplan.framework.nodes import PODS, Amounts
from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodClass, PodInfo

APPS = ("a", "b", "c")
NODES = tuple(f"n{number}" for number in range(5))
PODS_MADE = tuple(f"p{number}" for number in range(6))


@dataclasses.dataclass(frozen=True)
class Of:
    """The pods of an app, in namespaces that have a label."""

    app: str

    def matches(self, cls: PodClass, nodes: Snapshot) -> bool:
        return cls.labels["app"] == self.app and "counts" in nodes.namespaces.get(cls.namespace, {})


def some_pod(draw: st.DrawFn, name: str) -> PodInfo:
    app = draw(st.sampled_from(APPS))
    away = [term(HOST, selector({"app": app}))] if draw(st.booleans()) else []
    more = {"example.com/gpu": 1} if draw(st.booleans()) else {}
    return pod(name, priority=draw(st.integers(0, 3)), labels={"app": app}, anti_affinity=away, cpu="1", requests=more,
               nominated=draw(st.sampled_from(("", *NODES))))  # fmt: skip


some_pods = st.composite(lambda draw: some_pod(draw, draw(st.sampled_from(PODS_MADE))))()
somewhere = st.sampled_from(NODES)


class Watched(RuleBasedStateMachine):
    """Pods that are nominated, or not any more, that get and lose nodes; nodes that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = snapshot([node(name) for name in NODES[:3]])
        self.nodes.put_namespace("default", {"counts": "yes"})

    @rule(who=some_pods, where=st.sampled_from(("", *NODES)))
    def promised(self, who: PodInfo, where: str) -> None:
        self.nodes.nominations.nominate(who, where)

    @rule(who=some_pods)
    def seen(self, who: PodInfo) -> None:
        self.nodes.nominations.seen(who)

    @rule(name=st.sampled_from(PODS_MADE))
    def waits_no_more(self, name: str) -> None:
        self.nodes.nominations.remove(f"uid-default/{name}")

    @rule(who=some_pods, where=somewhere)
    def gets_a_node(self, who: PodInfo, where: str) -> None:
        if who.uid not in self.nodes.pods:
            who.node_name = where
            self.nodes.add_pod(who)

    @precondition(lambda self: self.nodes.pods)
    @rule()
    def loses_its_node(self) -> None:
        self.nodes.remove_pod(min(self.nodes.pods))

    @rule(name=somewhere)
    def node_comes(self, name: str) -> None:
        self.nodes.put_node(node(name))

    @rule(name=somewhere)
    def node_has_another_resource(self, name: str) -> None:
        self.nodes.put_node(node(name, allocatable={"example.com/gpu": 4}))

    @rule(name=somewhere)
    def node_goes(self, name: str) -> None:
        if len(self.nodes) > 1:
            self.nodes.remove_node(name)

    @rule(labels=st.sampled_from(({}, {"counts": "yes"})))
    def namespace_changes(self, labels: dict[str, str]) -> None:
        self.nodes.put_namespace("default", labels)

    @rule()
    def somebody_asks_about_a_copy(self) -> None:
        self.agrees(self.nodes.fork())

    @invariant()
    def as_looked_at_anew(self) -> None:
        self.agrees(self.nodes)
        assert self.nodes.check() == []

    def agrees(self, nodes: Snapshot) -> None:
        for priority in range(5):
            asking = pod(PODS_MADE[0], priority=priority)
            anew, terms = Named(nodes), set()
            for row, rivals in nodes.nominations.rivals(asking, nodes, range(len(nodes))):
                for each in rivals:
                    anew.comes(each, row)
                    terms |= set(each.cls.anti_affinity)
            kept = nodes.nominations.coming(asking, nodes)
            if kept is None:
                assert not anew.freed.any()
                continue
            assert np.array_equal(kept.freed, anew.freed)
            for app in APPS:
                assert np.array_equal(kept.count(Of(app)), anew.count(Of(app)))
            assert terms <= set(kept.terms), "those of a pod that does not count may be among them"


Watched.TestCase.settings = settings(max_examples=60, stateful_step_count=25)
TestWatched = Watched.TestCase


def test_nobody_comes_where_nobody_of_that_priority_is_nominated() -> None:
    nodes = snapshot([node("n0")])
    nodes.nominations.nominate(pod("low", priority=1), "n0")
    nodes.nominations.nominate(pod("lost", priority=9), "no-such-node")
    assert nodes.nominations.coming(pod("asks", priority=2), nodes) is None
    found = nodes.nominations.coming(pod("asks", priority=1), nodes)
    assert found is not None
    assert found.freed[PODS].tolist() == [-1]


def test_a_pod_does_not_make_room_for_itself() -> None:
    nodes = snapshot([node("n0"), node("n1")])
    for name, where in (("asks", "n0"), ("other", "n1")):
        nodes.nominations.nominate(pod(name), where)
    found = nodes.nominations.coming(pod("asks"), nodes)
    assert found is not None
    assert found.freed[PODS].tolist() == [0, -1]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda come: come.freed, id="resources"),
        pytest.param(lambda come: come.count(Of("a"))[None], id="a count"),
    ],
)
def test_a_check_finds_what_is_wrong(wrong: Callable[[Departures], Amounts]) -> None:
    nodes = snapshot([node("n0")])
    nodes.put_namespace("default", {"counts": "yes"})
    nodes.nominations.nominate(pod("p", labels={"app": "a"}), "n0")
    come = nodes.nominations.coming(pod("asks"), nodes)
    assert come is not None
    assert come.count(Of("a")).tolist() == [-1]
    assert nodes.check() == []
    wrong(come)[0, 0] += 1
    assert nodes.check() == ["nominated pods"]


@given(st.lists(st.sampled_from(APPS), max_size=40))
def test_what_is_counted_does_not_depend_on_how_much_else_was_asked_for(apps: list[str]) -> None:
    """Only so many predicates are counted at a time."""
    nodes = snapshot([node("n0"), node("n1")])
    nodes.put_namespace("default", {"counts": "yes"})
    come, total = Named(nodes), collections.Counter[str]()
    for number, app in enumerate(apps):
        come.comes(pod(f"p{number}", labels={"app": app}), 1)
        total[app] += 1
        for other in range(departures.MOST // 8):
            come.count(Of(f"other{number}-{other}"))
        assert come.count(Of(app)).tolist() == [0, -total[app]]
