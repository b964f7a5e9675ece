"""Generated nodes."""

from __future__ import annotations

from tests.parity.draw import Draw, Object
from tests.parity.words import BETA_ZONE, EXTENDED, HOST, HUGE, NODE_LABELS

IMAGES = ("app", "app:1", "registry.example.com:5000/team/app", "registry.example.com/big:v2", "side:2", "init:1")
_MIB = 1024 * 1024

_SMALL = {"cpu": ("500m", "1", "1500m", "2"), "memory": ("512Mi", "1Gi", "1G"), "pods": ("1", "3", "8")}
_MEDIUM = {"cpu": ("4", "3920m", "8", "15.5"), "memory": ("4G", "7825Mi", "16Gi", "64Gi"), "pods": ("8", "110", "110")}
_LARGE = {"cpu": ("8", "15.5", "32", "63770m"), "memory": ("16Gi", "16398304Ki", "64G"), "pods": ("110", "250")}

TAINTS: tuple[Object, ...] = (
    {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
    {"key": "dedicated", "value": "web", "effect": "PreferNoSchedule"},
    {"key": "gpu", "effect": "NoExecute"},
    {"key": "gpu", "effect": "PreferNoSchedule"},
    {"key": "slow", "value": "yes", "effect": "PreferNoSchedule"},
    {"key": "level", "value": "5", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
)


def nodes(draw: Draw, features: frozenset[str]) -> list[Object]:
    """3 to 25 nodes; more often few."""
    count = draw.number(3, draw.one((5, 8, 14, 25)))
    labelled = draw.one((0.6, 0.95, 1.0, 1.0))
    tight = draw.chance(0.15 if "resources" in features else 0.02)
    found = [_node(draw, f"n{number}", features, labelled, tight=tight) for number in range(count)]
    if "images" in features or draw.chance(0.1):
        _give_images(draw, found)
    return found


def _node(draw: Draw, name: str, features: frozenset[str], labelled: float, *, tight: bool) -> Object:
    labels = {key: draw.one(values) for key, values in NODE_LABELS.items() if draw.chance(labelled)}
    if draw.chance(0.85):
        labels.pop(BETA_ZONE, None)
    if draw.chance(0.97):
        labels[HOST] = name if draw.chance(0.97) else "n0"
    taints: list[Object] = []
    if draw.chance(0.5 if "taints" in features else 0.05):
        taints = list({(each["key"], each["effect"]): each for each in draw.some(TAINTS, 1, 3)}.values())
    spec: Object = {"taints": taints} if taints else {}
    if draw.chance(0.12 if "taints" in features else 0.04):
        spec["unschedulable"] = True
        if draw.chance(0.7):  # the node controller adds it a moment later
            taints = [*taints, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]
            spec["taints"] = taints
    status: Object = {"allocatable": _allocatable(draw, features, tight=tight)}
    status["capacity"] = status["allocatable"]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels},
        "spec": spec,
        "status": status,
    }


def _allocatable(draw: Draw, features: frozenset[str], *, tight: bool) -> Object:
    usual = _MEDIUM if "resources" in features else _LARGE
    amounts: Object = {
        "cpu": draw.one(_SMALL["cpu"] if tight else usual["cpu"]),
        "memory": draw.one(_SMALL["memory"] if tight else usual["memory"]),
        "pods": draw.one(_SMALL["pods"] if tight else usual["pods"]),
    }
    if draw.chance(0.7):
        amounts["ephemeral-storage"] = draw.one(("10Gi", "95491281146", "95491281146"))
    if "resources" in features:
        if draw.chance(0.05):
            amounts[draw.one(("cpu", "memory", "pods"))] = "0"
        if draw.chance(0.03):
            del amounts[draw.one(("cpu", "memory", "pods"))]
        for name in EXTENDED:
            if draw.chance(0.8):
                amounts[name] = str(draw.number(0, 16))
        for name in HUGE:
            if draw.chance(0.8):
                amounts[name] = draw.one(("0", "4Gi", "16Gi"))
    return amounts


def _give_images(draw: Draw, nodes: list[Object]) -> None:
    """An image has one size: upstream takes that of the first node it heard of, so others would mean nothing."""
    sizes = {image: draw.number(1, draw.one((30, 400, 3000))) * _MIB + draw.number(0, 1000) for image in IMAGES}
    for node in nodes:
        status = node["status"]
        assert isinstance(status, dict)
        status["images"] = [
            {"names": [f"{image}@sha256:{'0' * 64}", _tagged(image)], "sizeBytes": sizes[image]}
            for image in draw.some(IMAGES, 0, 5)
        ]


def _tagged(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"
