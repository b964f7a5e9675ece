"""SchedulingGates, NodeUnschedulable, NodeName, DynamicResources: a pod or a node is out for one plain reason."""

from __future__ import annotations

import pytest
from tests.builders import node, pod, snapshot, toleration
from tests.plugins.running import rejected

from stowplan.framework.plugin import CycleState
from stowplan.framework.status import UNRESOLVABLE, Refusal
from stowplan.model.objects import Toleration
from stowplan.plugins import scheduling_gates
from stowplan.plugins.args import TolerationArgs
from stowplan.plugins.dynamic_resources import REASON, DynamicResources
from stowplan.plugins.node_name import NodeName
from stowplan.plugins.node_unschedulable import NodeUnschedulable


def test_a_gated_pod_waits_and_names_its_gates() -> None:
    assert scheduling_gates.held_by(pod("p")) is None
    assert scheduling_gates.held_by(pod("p", gates=["a", "b"])) == "waiting for scheduling gates: [a b]"


CORDONED = {"cordoned": [("node(s) were unschedulable", UNRESOLVABLE)]}
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"


@pytest.mark.parametrize(
    ("own", "added", "expected"),
    [
        pytest.param([], [], CORDONED, id="a pod without tolerations is kept off"),
        pytest.param([toleration(UNSCHEDULABLE_TAINT, "Exists", "", "NoSchedule")], [], {}, id="one that tolerates it"),
        pytest.param([toleration("", "Exists")], [], {}, id="one that tolerates everything"),
        pytest.param([toleration(UNSCHEDULABLE_TAINT, "Exists", "", "NoExecute")], [], CORDONED, id="another effect"),
        pytest.param([toleration("other", "Exists")], [], CORDONED, id="another taint"),
        pytest.param([], [toleration(UNSCHEDULABLE_TAINT, "Exists")], {}, id="the policy tolerates it"),
    ],
)
def test_cordoned_nodes_take_only_pods_that_tolerate_it(
    own: list[Toleration], added: list[Toleration], expected: dict[str, object]
) -> None:
    nodes = snapshot([node("open"), node("cordoned", unschedulable=True)])
    plugin = NodeUnschedulable(TolerationArgs(tuple(added)))
    assert rejected(plugin, pod("p", tolerations=own), nodes) == expected


def test_a_pod_that_names_a_node_fits_no_other() -> None:
    nodes = snapshot([node("n1"), node("n2")])
    reason = ("node(s) didn't match the requested node name", UNRESOLVABLE)
    assert rejected(NodeName(), pod("p"), nodes) == {}
    assert rejected(NodeName(), pod("p", on="n2"), nodes) == {"n1": [reason]}
    assert rejected(NodeName(), pod("p", on="gone"), nodes) == {"n1": [reason], "n2": [reason]}


def test_pods_with_resource_claims_are_refused_with_a_clear_reason() -> None:
    nodes = snapshot([node("n1")])
    plugin = DynamicResources()
    assert plugin.pre_filter(pod("p", resource_claims=["gpu"]), nodes, CycleState()) == Refusal(REASON, UNRESOLVABLE)
    assert plugin.pre_filter(pod("p"), nodes, CycleState()) is None
