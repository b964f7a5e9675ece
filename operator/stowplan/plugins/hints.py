"""Questions that the hints of several plugins ask: whether an event can help a pod that waits.

Called by ``may_help`` of the plugins, see ``framework.plugin.Hinting``. The strictest question is whether a plugin
accepts any node now (:func:`accepts`): it is exact for a pod that can evict nobody. One that can may be helped by less,
so it is only asked whether the event concerns the pod at all, as kube-scheduler does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

import numpy as np

from stowplan.framework import matching
from stowplan.framework.counters import Predicate
from stowplan.framework.events import Happening
from stowplan.framework.plugin import SKIP, CycleState, Filter, PreFilter
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Mask, Refusal, Reject
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins import inclusion


class PreFiltering(PreFilter, Filter, Protocol):
    """A plugin of both extension points."""


def may_evict(pod: PodInfo, nodes: Snapshot) -> bool:
    """Whether there are pods that the pod could make leave."""
    return pod.preemption_policy != "Never" and nodes.lowest_priority() < pod.priority


def accepts(plugin: Filter, pod: PodInfo, nodes: Snapshot, *, among: Mask | None = None) -> bool:
    """Whether the plugin accepts any node as it is, of some nodes (bool[node]) or of all."""
    state = CycleState()
    if hasattr(plugin, "pre_filter"):  # isinstance takes as long as many a filter before Python 3.12
        answer = cast("PreFilter", plugin).pre_filter(pod, nodes, state)
        if answer is SKIP or isinstance(answer, Refusal):
            return answer is SKIP
    left = np.ones(len(nodes), dtype=np.bool_) if among is None else among
    for reject in plugin.filter(pod, nodes, state):
        left = left & ~reject.mask
    return bool(left.any())


def rejects(plugin: PreFiltering, pod: PodInfo, nodes: Snapshot) -> Iterable[Reject]:
    """What the plugin has against nodes as they are; nothing where its pre-filter has settled the matter."""
    state = CycleState()
    return () if plugin.pre_filter(pod, nodes, state) is not None else plugin.filter(pod, nodes, state)


def may_accept(plugin: Filter, pod: PodInfo, nodes: Snapshot, *, among: Mask | None = None) -> bool:
    """Whether the plugin accepts any node as it is, or might if some pods were made to leave."""
    return may_evict(pod, nodes) or accepts(plugin, pod, nodes, among=among)


def wished(cls: PodClass, nodes: Snapshot, added: inclusion.Added) -> Mask:
    """bool[node]: the nodes that the pods of a class can use by affinity, taints and cordons. Do not write."""
    wish = inclusion.wishes(cls, added)

    def build() -> Mask:
        mask = inclusion.usable(nodes, wish.tolerations)
        chosen = inclusion.included(nodes, wish, honor_affinity=True, honor_taints=False)
        return mask if chosen is None else mask & chosen

    return nodes.once((wished, wish), build)


def chosen(cls: PodClass, nodes: Snapshot) -> Mask:
    """bool[node]: the nodes that the pods of a class choose by their own affinity. Do not write."""
    key = (chosen, cls.node_selector, cls.node_affinity)
    return nodes.once(key, lambda: matching.required_mask(cls, nodes))


def only(event: Happening, nodes: Snapshot) -> Mask | None:
    """bool[node]: the node of an event alone; None where there is no such node (any more)."""
    row = nodes.row_of.get(event.node)
    if row is None:
        return None
    mask = np.zeros(len(nodes), dtype=np.bool_)
    mask[row] = True
    return mask


def recounts(event: Happening, counted: Iterable[Predicate], nodes: Snapshot) -> bool:
    """Whether the event is about a pod that any of the predicates counts now, or did before, but not both."""
    old, new = event.of(PodInfo)
    return any(
        (old is not None and each.matches(old.cls, nodes)) != (new is not None and each.matches(new.cls, nodes))
        for each in counted
    )
