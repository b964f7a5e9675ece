"""Features that nodes declare, and pods that use one: an addition to some generated states."""

from __future__ import annotations

from collections.abc import Iterable

from tests.parity.draw import Draw, Object

_RESTART = "RestartAllContainersOnContainerExits"
_RULE = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}


def declare(draw: Draw, nodes: Iterable[Object], pods: Iterable[Object]) -> None:
    """Some nodes declare what some pods use, and others do not."""
    for node in nodes:
        status = node["status"]
        assert isinstance(status, dict)
        status["declaredFeatures"] = sorted(draw.some((_RESTART, "InPlacePodLevelResourcesVerticalScaling"), 0, 2))
    for pod in pods:
        if draw.chance(0.5):
            spec = pod["spec"]
            assert isinstance(spec, dict)
            kinds = [key for key in ("containers", "initContainers") if key in spec]
            container = draw.one(spec[draw.one(kinds)])
            if container.get("restartPolicy") != "Always":
                container |= {"restartPolicy": "Never", "restartPolicyRules": [_RULE]}
