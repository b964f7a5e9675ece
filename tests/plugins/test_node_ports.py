from __future__ import annotations

import pytest
from tests.builders import container, node, pod, port, snapshot
from tests.plugins.running import rejected

from stowplan.framework.status import UNSCHEDULABLE
from stowplan.model.objects import ContainerPort
from stowplan.plugins.node_ports import NodePorts

TAKEN = {"n1": [("node(s) didn't have free ports for the requested pod ports", UNSCHEDULABLE)]}


@pytest.mark.parametrize(
    ("have", "want", "fits"),
    [
        pytest.param([], [port(80)], True, id="nothing taken"),
        pytest.param([port(80)], [port(81)], True, id="another port"),
        pytest.param([port(80)], [port(80)], False, id="the same port"),
        pytest.param([port(80)], [port(80, "UDP")], True, id="another protocol"),
        pytest.param([port(80, ip="10.0.0.1")], [port(80, ip="10.0.0.2")], True, id="another address"),
        pytest.param([port(80, ip="10.0.0.1")], [port(80, ip="10.0.0.1")], False, id="the same address"),
        pytest.param([port(80, ip="10.0.0.1")], [port(80)], False, id="any address against one"),
        pytest.param([port(80)], [port(80, ip="10.0.0.1")], False, id="one against any address"),
        pytest.param([port(80, ip="0.0.0.0")], [port(80, ip="10.0.0.1")], False, id="any address written out"),
        pytest.param([port(80), port(81)], [port(82), port(81)], False, id="the second of two"),
        pytest.param([port(80), port(80, "UDP")], [port(82), port(81)], True, id="none of two"),
    ],
)
def test_a_host_port_is_used_once_per_node(have: list[ContainerPort], want: list[ContainerPort], fits: bool) -> None:
    nodes = snapshot([node("n1"), node("n2")], [pod("there", on="n1", ports=have)])
    assert rejected(NodePorts(), pod("p", ports=want), nodes) == ({} if fits else TAKEN)


def test_a_port_is_free_again_when_its_pod_has_gone() -> None:
    there = pod("there", on="n1", ports=[port(80)])
    nodes = snapshot([node("n1")], [there])
    assert rejected(NodePorts(), pod("p", ports=[port(80)]), nodes) == TAKEN
    nodes.remove_pod(there.uid)
    assert rejected(NodePorts(), pod("p", ports=[port(80)]), nodes) == {}


def test_sidecars_hold_ports_and_other_init_containers_do_not() -> None:
    sidecar = [container("s", ports=[port(80)], restart="Always")]
    init = [container("i", ports=[port(80)])]
    wanting = pod("p", ports=[port(80)])
    assert rejected(NodePorts(), wanting, snapshot([node("n1")], [pod("x", on="n1", init_containers=sidecar)])) == TAKEN
    assert rejected(NodePorts(), wanting, snapshot([node("n1")], [pod("x", on="n1", init_containers=init)])) == {}


def test_ports_of_containers_that_are_not_on_the_host_do_not_count() -> None:
    inner = [ContainerPort(container_port=80)]
    nodes = snapshot([node("n1")], [pod("there", on="n1", ports=inner)])
    assert rejected(NodePorts(), pod("p", ports=inner), nodes) == {}
