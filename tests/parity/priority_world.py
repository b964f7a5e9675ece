"""What preemption looks at in a generated state: priorities, start times, PodDisruptionBudgets, and too little room.

Two things hold in every state, as kube-scheduler's answer would depend on chance otherwise, or be none at all: bound
pods have start times of their own (of pods that are equal in all else it takes any), and no two on a node have the same
host port (it forgets the port of both when it takes one of them away; no kubelet lets the second one run).
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from tests.parity.draw import Draw, Object
from tests.parity.words import NAMESPACES, POD_LABELS, selector

_FIRST = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def start(draw: Draw, pods: Sequence[Object]) -> None:
    """Says when the bound pods were started, and takes host ports away that are in use on their node."""
    taken: set[tuple[object, ...]] = set()
    for number, pod in enumerate(draw.shuffled(list(pods))):
        spec, status = pod["spec"], pod["status"]
        assert isinstance(spec, dict)
        assert isinstance(status, dict)
        if "nodeName" in spec:
            status["startTime"] = (_FIRST + datetime.timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
            _share_ports(spec, taken)


def _share_ports(spec: Object, taken: set[tuple[object, ...]]) -> None:
    containers = [*_list(spec, "containers"), *_list(spec, "initContainers")]
    wanted = set()
    for each in containers:
        for port in _list(each, "ports"):
            number = port["containerPort"] if spec.get("hostNetwork") else port.get("hostPort")
            if number is not None:
                wanted.add((spec["nodeName"], number, port.get("protocol", "TCP")))
    if wanted & taken:
        spec.pop("hostNetwork", None)
        for each in containers:
            each.pop("ports", None)
    else:
        taken |= wanted


def _list(value: Object, key: str) -> list[Object]:
    found = value.get(key, [])
    assert isinstance(found, list)
    return found


def crowd(draw: Draw, nodes: Sequence[Object], pods: Sequence[Object]) -> list[Object]:
    """Makes a state full of preemption; returns its budgets."""
    for node in nodes:
        if draw.chance(0.8):
            status = node["status"]
            assert isinstance(status, dict)
            few = {"cpu": draw.one(("500m", "1", "2", "3")), "memory": draw.one(("512Mi", "1Gi", "4Gi"))}
            status["allocatable"] = status["capacity"] = {**status["allocatable"], **few}
    names = [f"n{number}" for number in range(draw.number(1, 4))]
    for pod in pods:
        spec = pod["spec"]
        assert isinstance(spec, dict)
        spec["priority"] = draw.one((-5, 0, 0, 3, 5, 100) if "nodeName" in spec else (0, 5, 5, 100, 100))
        if "nodeName" in spec and draw.chance(0.5):
            spec["nodeName"] = draw.one(names)
        if draw.chance(0.05):
            spec["preemptionPolicy"] = "Never"
    return [_budget(draw, f"budget{number}") for number in range(draw.number(0, 4))]


def _budget(draw: Draw, name: str) -> Object:
    mine = {key: draw.one(values) for key, values in POD_LABELS.items()}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": draw.one(list(NAMESPACES)), "uid": f"uid-{name}"},
        "spec": {"selector": selector(draw, POD_LABELS, mine), "maxUnavailable": 1},
        "status": {
            "disruptionsAllowed": draw.number(0, 2),
            "currentHealthy": 1,
            "desiredHealthy": 1,
            "expectedPods": 1,
            "disruptedPods": {f"b{draw.number(0, 40)}": "2026-01-01T00:00:00Z"} if draw.chance(0.3) else {},
        },
    }
