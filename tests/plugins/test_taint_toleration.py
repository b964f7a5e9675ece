from __future__ import annotations

import pytest
from tests.builders import node, pod, snapshot, toleration
from tests.plugins.running import rejected, scored

from stowplan.framework.status import UNRESOLVABLE
from stowplan.model.objects import Toleration
from stowplan.plugins.args import TolerationArgs
from stowplan.plugins.taint_toleration import TaintToleration

PLUGIN = TaintToleration(TolerationArgs())
REASON = ("node(s) had untolerated taint(s)", UNRESOLVABLE)


@pytest.mark.parametrize(
    ("taints", "tolerations", "passes"),
    [
        pytest.param([], [], True, id="no taints"),
        pytest.param(["a=1:NoSchedule"], [], False, id="NoSchedule keeps pods off"),
        pytest.param(["a=1:NoExecute"], [], False, id="NoExecute keeps pods off"),
        pytest.param(["a=1:PreferNoSchedule"], [], True, id="PreferNoSchedule does not"),
        pytest.param(["a=1:NoSchedule"], [toleration("a", "Equal", "1", "NoSchedule")], True, id="same value"),
        pytest.param(["a=1:NoSchedule"], [toleration("a", "Equal", "2", "NoSchedule")], False, id="another value"),
        pytest.param(["a=1:NoSchedule"], [toleration("a", "Exists")], True, id="any value, any effect"),
        pytest.param(["a=1:NoSchedule"], [toleration("a", "Exists", "", "NoExecute")], False, id="another effect"),
        pytest.param(
            ["a:NoSchedule", "b:NoSchedule"], [toleration("a", "Exists")], False, id="one of two is not enough"
        ),
        pytest.param(["a:NoSchedule", "b:NoExecute"], [toleration("", "Exists")], True, id="everything is tolerated"),
    ],
)
def test_hard_taints_keep_off_pods_that_do_not_tolerate_all_of_them(
    taints: list[str], tolerations: list[Toleration], passes: bool
) -> None:
    nodes = snapshot([node("tainted", taints=taints), node("clean")])
    expected = {} if passes else {"tainted": [REASON]}
    assert rejected(PLUGIN, pod("p", tolerations=tolerations), nodes) == expected


def test_tolerations_added_by_a_policy_count_in_filter_and_score() -> None:
    nodes = snapshot([node("hard", taints=["a:NoSchedule"]), node("soft", taints=["b:PreferNoSchedule"])])
    plugin = TaintToleration(TolerationArgs((toleration("a", "Exists"), toleration("b", "Exists"))))
    assert rejected(plugin, pod("p"), nodes) == {}
    assert scored(plugin, pod("p"), nodes) == {"hard": 100, "soft": 100}


def test_without_soft_taints_every_node_scores_100() -> None:
    assert scored(PLUGIN, pod("p"), snapshot([node("n1"), node("n2")])) == {"n1": 100, "n2": 100}


def test_fewer_untolerated_soft_taints_score_higher() -> None:
    nodes = snapshot(
        [
            node("none", taints=["x:NoSchedule"]),
            node("one", taints=["a:PreferNoSchedule"]),
            node("two", taints=["a:PreferNoSchedule", "b:PreferNoSchedule"]),
            node("three", taints=["a:PreferNoSchedule", "b:PreferNoSchedule", "c:PreferNoSchedule"]),
        ]
    )
    assert scored(PLUGIN, pod("p"), nodes) == {"none": 100, "one": 67, "two": 34, "three": 0}
    tolerant = pod("p", tolerations=[toleration("a", "Exists", "", "PreferNoSchedule"), toleration("b", "Exists")])
    assert scored(PLUGIN, tolerant, nodes) == {"none": 100, "one": 100, "two": 100, "three": 0}
    only_hard = pod("p", tolerations=[toleration("a", "Exists", "", "NoSchedule")])
    assert scored(PLUGIN, only_hard, nodes, feasible=["one", "two"]) == {"one": 50, "two": 0}


def test_a_taint_that_comes_later_counts() -> None:
    nodes = snapshot([node("n1"), node("n2")])
    assert scored(PLUGIN, pod("p"), nodes) == {"n1": 100, "n2": 100}
    nodes.put_node(node("n2", taints=["a:PreferNoSchedule"]))
    assert scored(PLUGIN, pod("p"), nodes) == {"n1": 100, "n2": 0}
