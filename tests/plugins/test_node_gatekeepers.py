"""SchedulingGates, NodeUnschedulable, NodeName, DynamicResources, NodeDeclaredFeatures: out for one plain reason."""

from __future__ import annotations

import pytest
from tests.builders import container, node, pod, snapshot, toleration
from tests.plugins.running import rejected

from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import CycleState
from stowplan.framework.status import UNRESOLVABLE, Refusal
from stowplan.model.objects import Toleration
from stowplan.model.pods import PodInfo
from stowplan.plugins import scheduling_gates
from stowplan.plugins.args import TolerationArgs
from stowplan.plugins.dynamic_resources import REASON, DynamicResources
from stowplan.plugins.node_declared_features import NodeDeclaredFeatures
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


RESTARTS = "RestartAllContainersOnContainerExits"
HOST_USERS = "UserNamespacesHostNetworkSupport"
RESTARTING = pod(
    "restarting", containers=[container(), container("c", restart="Never", restart_rules=["RestartAllContainers"])]
)


@pytest.mark.parametrize(
    ("asking", "fits"),
    [
        pytest.param(pod("p"), {"old", "new", "newest"}, id="nothing special"),
        pytest.param(RESTARTING, {"new", "newest"}, id="a container that restarts all"),
        pytest.param(
            pod("p", init_containers=[container("i", restart_rules=["RestartAllContainers"])]), {"new", "newest"},
            id="an init container that does",
        ),
        pytest.param(
            pod("p", containers=[container(restart_rules=["Restart"])]), {"old", "new", "newest"},
            id="one that restarts itself",
        ),
        pytest.param(pod("p", host_network=True, host_users=False), {"newest"}, id="its own users alone"),
        pytest.param(pod("p", host_network=True, host_users=True), {"old", "new", "newest"}, id="all of the host"),
        pytest.param(pod("p", host_users=False), {"old", "new", "newest"}, id="nothing of the host"),
    ],
)  # fmt: skip
def test_pods_go_where_the_kubelet_declares_what_they_use(asking: PodInfo, fits: set[str]) -> None:
    """pkg/scheduler/framework/plugins/nodedeclaredfeatures of 1.36.3."""
    nodes = snapshot([node("old"), node("new", features=[RESTARTS]), node("newest", features=[RESTARTS, HOST_USERS])])
    out = rejected(NodeDeclaredFeatures(), asking, nodes)
    assert set(nodes.row_of) - set(out) == fits
    assert {reason for said in out.values() for reason in said} <= {
        ("node(s) didn't match Pod's required features", UNRESOLVABLE)
    }


def test_what_a_node_declares_follows_its_kubelet() -> None:
    plugin, nodes = NodeDeclaredFeatures(), snapshot([node("first", features=[RESTARTS]), node("second")])
    assert rejected(plugin, RESTARTING, nodes).keys() == {"second"}
    nodes.remove_node("first")
    upgraded = node("second", features=[RESTARTS])
    nodes.put_node(upgraded)
    assert rejected(plugin, RESTARTING, nodes) == {}
    ready = Happening(ClusterEvent.NODE_FEATURES, node("second"), upgraded, node="second")
    assert plugin.may_help(RESTARTING, ready, nodes)
    nodes.put_node(node("second"))
    assert rejected(plugin, RESTARTING, nodes).keys() == {"second"}
    assert not plugin.may_help(RESTARTING, Happening(ClusterEvent.NODE_ADDED, new=node("third"), node="third"), nodes)
