"""The few words that generated objects are made of: so few that they meet all the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.parity.draw import Draw, Object

HOST = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
BETA_ZONE = "failure-domain.beta.kubernetes.io/zone"
RACK = "example.com/rack"
DISK = "example.com/disk"
GENERATION = "example.com/generation"

ZONES = ("za", "zb", "zc")
NODE_LABELS: Mapping[str, Sequence[str]] = {
    ZONE: ZONES,
    REGION: ("ra", "rb"),
    BETA_ZONE: ZONES,
    RACK: ("r1", "r2", "r3", "r4"),
    DISK: ("ssd", "hdd", ""),
    GENERATION: ("1", "3", "07", "12", "x"),
}
"""Label to the values that nodes have; each node lacks some."""

_COMMON_TOPOLOGY = (HOST, HOST, HOST, ZONE, ZONE, ZONE, ZONE, RACK, RACK)
TOPOLOGY = (*_COMMON_TOPOLOGY, DISK, REGION, BETA_ZONE, "example.com/unheard-of")

POD_LABELS: Mapping[str, Sequence[str]] = {
    "app": ("db", "web", "cache"),
    "tier": ("front", "back", ""),
    "version": ("v1", "v2"),
}
NAMESPACES: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "blue": {"team": "a", "env": "prod"},
    "green": {"team": "b"},
}
EXTENDED = ("example.com/gpu", "example.com/fpga")
HUGE = ("hugepages-2Mi", "hugepages-1Gi")


def requirement(draw: Draw, words: Mapping[str, Sequence[str]], *, numbers: bool = False) -> Object:
    """A requirement of a label selector; with numbers one of a node selector, which knows Gt and Lt."""
    key = draw.one([*words, "example.com/unheard-of"] if draw.chance(0.1) else list(words))
    values = list(words.get(key, ("a",)))
    operators = ["In", "In", "NotIn", "Exists", "DoesNotExist"]
    if numbers and draw.chance(0.25):
        bound = "x" if draw.chance(0.03) else draw.one(("0", "3", "7", "007", "11"))
        return {"key": GENERATION, "operator": draw.one(("Gt", "Lt")), "values": [bound]}
    operator = draw.one(operators)
    if operator in ("Exists", "DoesNotExist"):
        return {"key": key, "operator": operator}
    return {"key": key, "operator": operator, "values": draw.some(values, 1, 2)}


def selector(draw: Draw, words: Mapping[str, Sequence[str]], mine: Mapping[str, str]) -> Object | None:
    """A label selector, most often one for what has the labels ``mine``; at times none, at times an empty one."""
    if draw.chance(0.05):
        return None
    if draw.chance(0.06):
        return {}
    found: Object = {}
    if mine and draw.chance(0.6):
        found["matchLabels"] = {key: mine[key] for key in draw.some(sorted(mine), 1, 2)}
    else:
        key = draw.one(list(words))
        found["matchLabels"] = {key: draw.one(words[key])}
    if draw.chance(0.25):
        found["matchExpressions"] = [requirement(draw, words) for _ in range(draw.number(1, 2))]
        if draw.chance(0.5):
            del found["matchLabels"]
    return found
