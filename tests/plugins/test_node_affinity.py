from __future__ import annotations

import pytest
from tests.builders import node, node_term, pod, snapshot
from tests.plugins.running import rejected, scored

from stowplan.framework.plugin import SKIP, CycleState
from stowplan.framework.runtime import Framework
from stowplan.framework.status import UNRESOLVABLE, Refusal
from stowplan.model import selectors
from stowplan.model.objects import NodeSelector, NodeSelectorTerm
from stowplan.plugins.args import FitArgs, NodeAffinityArgs, TolerationArgs
from stowplan.plugins.node_affinity import NodeAffinity
from stowplan.plugins.node_resources_fit import NodeResourcesFit
from stowplan.plugins.node_unschedulable import NodeUnschedulable

PLUGIN = NodeAffinity(NodeAffinityArgs())
OWN = ("node(s) didn't match Pod's node affinity/selector", UNRESOLVABLE)
ENFORCED = ("node(s) didn't match scheduler-enforced node affinity", UNRESOLVABLE)


def named(*names: str, operator: str = "In") -> NodeSelectorTerm:
    return node_term(names=[("metadata.name", operator, [name]) for name in names])


@pytest.mark.parametrize(
    ("terms", "passing"),
    [
        pytest.param([node_term(("disk", "In", ["ssd", "nvme"]))], {"ssd", "nvme"}, id="In"),
        pytest.param([node_term(("disk", "NotIn", ["ssd"]))], {"nvme", "none"}, id="NotIn holds without the label"),
        pytest.param([node_term(("disk", "Exists"))], {"ssd", "nvme"}, id="Exists"),
        pytest.param([node_term(("disk", "DoesNotExist"))], {"none"}, id="DoesNotExist"),
        pytest.param([node_term(("cores", "Gt", ["8"]))], {"nvme"}, id="Gt"),
        pytest.param([node_term(("cores", "Lt", ["16"]))], {"ssd"}, id="Lt does not hold without the label"),
        pytest.param([node_term(("disk", "Exists"), ("cores", "Lt", ["16"]))], {"ssd"}, id="all of a term"),
        pytest.param(
            [node_term(("cores", "Gt", ["8"])), node_term(("disk", "In", ["ssd"]))], {"ssd", "nvme"}, id="any"
        ),
        pytest.param([node_term()], set(), id="an empty term matches nothing"),
        pytest.param([], set(), id="no terms match nothing"),
        pytest.param([node_term(), node_term(("disk", "Exists"))], {"ssd", "nvme"}, id="an empty term is passed over"),
        pytest.param([named("ssd")], {"ssd"}, id="by name"),
        pytest.param([named("ssd"), named("none"), named("gone")], {"ssd", "none"}, id="by names"),
        pytest.param([named("ssd", operator="NotIn")], {"nvme", "none"}, id="not by name"),
        pytest.param(
            [node_term(("disk", "In", ["nvme"]), names=[("metadata.name", "In", ["ssd"])])], set(), id="label and name"
        ),
    ],
)
def test_required_affinity_asks_for_any_term_and_all_of_it(terms: list[NodeSelectorTerm], passing: set[str]) -> None:
    nodes = snapshot(
        [
            node("ssd", labels={"disk": "ssd", "cores": "8"}),
            node("nvme", labels={"disk": "nvme", "cores": "16"}),
            node("none", labels={"cores": "many"}),
        ]
    )
    found = rejected(PLUGIN, pod("p", node_affinity=terms), nodes)
    assert set(nodes.row_of) - set(found) == passing
    assert all(each == [OWN] for each in found.values())


def test_node_selector_and_affinity_must_both_match() -> None:
    nodes = snapshot([node("a", zone="a", labels={"disk": "ssd"}), node("b", zone="b", labels={"disk": "ssd"})])
    both = pod(
        "p", node_selector={"disk": "ssd"}, node_affinity=[node_term(("topology.kubernetes.io/zone", "In", ["a"]))]
    )
    assert rejected(PLUGIN, both, nodes) == {"b": [OWN]}


def test_a_pod_that_asks_for_nothing_is_skipped() -> None:
    nodes = snapshot([node("n1")])
    assert PLUGIN.pre_filter(pod("p"), nodes, CycleState()) is SKIP
    assert PLUGIN.pre_filter(pod("p", node_selector={"a": "b"}), nodes, CycleState()) is not SKIP


@pytest.mark.parametrize(
    ("terms", "refused"),
    [
        pytest.param([named("n1", "n2")], True, id="one term with two names"),
        pytest.param([named("n1", "n2"), named("n2")], False, id="another term can match"),
        pytest.param([named("n1", "n2"), node_term(("a", "Exists"))], False, id="another term names no node"),
        pytest.param([named("n1", "n1")], False, id="the same name twice"),
    ],
)
def test_terms_that_contradict_themselves_refuse_the_pod(terms: list[NodeSelectorTerm], refused: bool) -> None:
    answer = PLUGIN.pre_filter(pod("p", node_affinity=terms), snapshot([node("n1"), node("n2")]), CycleState())
    assert isinstance(answer, Refusal) == refused
    if refused:
        assert answer == Refusal("pod affinity terms conflict", UNRESOLVABLE)


def test_added_affinity_holds_for_every_pod_and_has_its_own_reason() -> None:
    nodes = snapshot(
        [
            node("a", labels={"pool": "db", "disk": "ssd"}),
            node("b", labels={"pool": "db"}),
            node("c", labels={"disk": "ssd"}),
        ]
    )

    def only(*expression: str) -> selectors.NodeSelector:
        key, value = expression
        return selectors.compile_node_selector(NodeSelector([node_term((key, "In", [value]))]))

    enforced = NodeAffinity(NodeAffinityArgs((only("pool", "db"),)))
    assert rejected(enforced, pod("p"), nodes) == {"c": [ENFORCED]}
    assert rejected(enforced, pod("p", node_selector={"disk": "ssd"}), nodes) == {"b": [OWN], "c": [ENFORCED]}
    assert rejected(enforced, pod("p", node_selector={"disk": "hdd"}), nodes) == {
        "a": [OWN],
        "b": [OWN],
        "c": [ENFORCED],
    }
    both = NodeAffinity(NodeAffinityArgs((only("pool", "db"), only("disk", "ssd"))))
    assert rejected(both, pod("p"), nodes) == {"b": [ENFORCED], "c": [ENFORCED]}


def test_preferred_terms_add_up_and_are_scaled_to_the_best_feasible_node() -> None:
    nodes = snapshot(
        [
            node("both", labels={"disk": "ssd", "cpu": "fast"}),
            node("disk", labels={"disk": "ssd"}),
            node("cpu", labels={"cpu": "fast"}),
            node("none"),
        ]
    )
    preferring = pod("p", preferred_nodes=[(30, node_term(("disk", "Exists"))), (10, node_term(("cpu", "Exists")))])
    assert scored(PLUGIN, preferring, nodes) == {"both": 100, "disk": 75, "cpu": 25, "none": 0}
    assert scored(PLUGIN, preferring, nodes, feasible=["cpu", "none"]) == {"cpu": 100, "none": 0}
    empty = pod("p", preferred_nodes=[(30, node_term())])
    assert scored(PLUGIN, empty, nodes, feasible=["both", "none"]) == {"both": 0, "none": 0}
    assert scored(PLUGIN, pod("p"), nodes) is None


def test_added_preferences_count_like_the_pods_own() -> None:
    nodes = snapshot([node("ssd", labels={"disk": "ssd"}), node("fast", labels={"cpu": "fast"})])
    added = NodeAffinity(NodeAffinityArgs((), ((20, selectors.compile_node_term(node_term(("disk", "Exists")))),)))
    assert scored(added, pod("p"), nodes) == {"ssd": 100, "fast": 0}
    own = pod("p", preferred_nodes=[(10, node_term(("cpu", "Exists")))])
    assert scored(added, own, nodes) == {"ssd": 100, "fast": 50}


def test_nodes_that_the_pod_does_not_name_are_out_before_anything_else_is_said_of_them() -> None:
    framework = Framework("test", [NodeUnschedulable(TolerationArgs()), PLUGIN, NodeResourcesFit(FitArgs())], {})
    nodes = snapshot([node("n1", cpu="1"), node("n2", unschedulable=True), node("n3", cpu="1"), node("n4")])
    asking = pod("p", cpu="2", node_affinity=[named("n1"), named("gone")])
    assert not framework.feasible(asking, nodes, CycleState()).any()
    assert framework.diagnose(asking, nodes, CycleState()).message == (
        "0/4 nodes are available: 1 Insufficient cpu, 3 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
    small = pod("p", node_affinity=[named("n1")])
    assert framework.feasible(small, nodes, CycleState()).tolist() == [True, False, False, False]
