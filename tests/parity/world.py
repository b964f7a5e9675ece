"""Generated cluster states: the same for the same seed, and each with one or two features that it is full of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from tests.parity import declared_world, node_world, pod_world, priority_world, storage_world, workload_world
from tests.parity.draw import Draw, Object
from tests.parity.words import NAMESPACES

FEATURES: Final = (
    "resources",
    "taints",
    "nodeaffinity",
    "ports",
    "images",
    "spread",
    "workloads",
    "podaffinity",
    "lifecycle",
    "volumes",
    "limits",
    "capacity",
    "preemption",
)
"""What a state can be full of; every feature can come in any state, but seldom."""

_STORAGE = frozenset({"volumes", "limits", "capacity"})


def state(seed: str, features: Collection[str] = FEATURES) -> tuple[list[Object], frozenset[str]]:
    """The objects of a cluster and what the state is full of.

    Args:
        seed: anything; the same seed gives the same state.
        features: what it may be full of.
    """
    draw = Draw(seed)
    full_of = frozenset(draw.some([each for each in FEATURES if each in features], 1, draw.one((1, 2, 2, 3))))
    if draw.chance(0.3):
        full_of |= {"resources"} & set(features)
    nodes = node_world.nodes(draw, full_of)
    names = [f"n{number}" for number in range(len(nodes))]
    stored = storage_world.Storage([], {})
    with_storage = bool(full_of & _STORAGE)
    if with_storage:
        stored = storage_world.storage(draw, names, full_of)
    pods = []
    crowded = names[: max(len(names) // 2, 1)] if draw.chance(0.4) else names
    for number in range(draw.number(0, draw.one((10, 25, 40)))):
        raw = pod_world.pod(draw, f"b{number}", names, full_of)
        if with_storage and draw.chance(0.45):
            storage_world.give(draw, raw, stored, stranger=False)
        pods.append(pod_world.bound(draw, raw, crowded, full_of))
    for number in range(draw.number(5, 20)):
        raw = pod_world.pod(draw, f"p{number}", names, full_of)
        if with_storage and draw.chance(0.85):
            storage_world.give(draw, raw, stored, stranger=True)
        pods.append(raw)
    priorities = Draw(f"{seed} priorities")
    budgets = priority_world.crowd(priorities, nodes, pods) if "preemption" in full_of else []
    priority_world.start(priorities, pods)
    declaring = Draw(f"{seed} declared features")
    if declaring.chance(0.1):
        declared_world.declare(declaring, nodes, pods)
    belonging = Draw(f"{seed} workloads")
    full = "workloads" in full_of
    owners = workload_world.workloads(belonging, pods) if full or belonging.chance(0.15) else []
    if full:
        workload_world.alone(belonging, pods)
    return draw.shuffled([*_namespaces(), *nodes, *stored.objects, *pods, *budgets, *owners]), full_of


def earlier(items: Sequence[Object], seed: str, features: Collection[str] = FEATURES) -> list[Object]:
    """What the cluster was before it became this state, for one state in three; else nothing.

    Some objects are there already, some are others of the same name, some are not there yet, and some will go. In every
    other cluster the nodes stay, so that what is remembered of them stays too.
    """
    draw = Draw(f"{seed} earlier")
    if not draw.chance(1 / 3):
        return []
    others = {_identity(each): each for each in state(f"{seed} earlier", features)[0]}
    same_nodes = draw.chance(0.5)
    found = []
    for item in items:
        other = others.pop(_identity(item), None)
        if draw.chance(0.5) or (same_nodes and item["kind"] == "Node"):
            found.append(item)
        elif other is not None and draw.chance(0.7):
            found.append(other)
    found += [each for each in others.values() if draw.chance(0.3) and not (same_nodes and each["kind"] == "Node")]
    return draw.shuffled(found)


def _identity(item: Object) -> tuple[object, object, object]:
    metadata = item["metadata"]
    assert isinstance(metadata, dict)
    return item["kind"], metadata.get("namespace"), metadata["name"]


def _namespaces() -> Sequence[Object]:
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "uid": f"uid-{name}", "labels": {"kubernetes.io/metadata.name": name, **labels}},
        }
        for name, labels in NAMESPACES.items()
    ]
