"""Node selectors and node affinity. Source: kubernetes v1.36.3 ``plugins/nodeaffinity/node_affinity.go``."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np

from stowplan.framework import matching, normalize
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import SKIP, CycleState, Rows, Scores, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Refusal, Reject
from stowplan.model import objects, selectors
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins.args import NodeAffinityArgs


class NodeAffinity:
    """Keep pods on the nodes that their nodeSelector and node affinity, and the scheduler's own, ask for."""

    name = "NodeAffinity"
    static = True
    requeue_on = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS})

    def __init__(self, args: NodeAffinityArgs) -> None:
        self._required = args.added_required
        self._preferred = args.added_preferred

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Refusal | Reject | Skip | None:
        """Steps aside where nothing is asked for.

        Where the pod names its nodes (as those of a DaemonSet do), all others are out; terms that contradict
        themselves in the name are refused.
        """
        cls = pod.cls
        if cls.node_affinity is None:
            return None if self._required or cls.node_selector else SKIP
        return nodes.once((self, cls, "names"), lambda: _by_name(cls.node_affinity, nodes))

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects nodes outside of the added affinity, and then those outside of the pod's own."""
        enforced = np.ones(len(nodes), dtype=np.bool_)
        for selector in self._required:
            enforced &= matching.selector_mask(selector, nodes)
        if self._required:
            yield Reject(~enforced, "node(s) didn't match scheduler-enforced node affinity", UNRESOLVABLE)
        wanted = matching.required_mask(pod.cls, nodes)
        yield Reject(enforced & ~wanted, "node(s) didn't match Pod's node affinity/selector", UNRESOLVABLE)

    def alike(self, pod: PodInfo) -> Hashable:
        """The nodes that the pod asks for."""
        return (pod.cls.node_selector, pod.cls.node_affinity)

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether the node is one that the pod asks for now, and was not before."""
        old, new = event.of(objects.Node)
        return new is not None and self._admits(pod.cls, new) and (old is None or not self._admits(pod.cls, old))

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """The sum of the weights of the preferred terms that match, scaled to the best node."""
        if not pod.cls.preferred_nodes and not self._preferred:
            return None
        raw = nodes.once((self, pod.cls), lambda: self._weights(pod.cls, nodes))
        return normalize.default_normalize(raw[rows], reverse=False)

    def _admits(self, cls: PodClass, node: objects.Node) -> bool:
        name, labels = node.metadata.name, node.metadata.labels
        own = () if cls.node_affinity is None else (cls.node_affinity,)
        return all(each.allows(labels.get(each.key)) for each in cls.node_selector) and all(
            each.matches(labels, name) for each in (*self._required, *own)
        )

    def _weights(self, cls: PodClass, nodes: Snapshot) -> Scores:
        raw: Scores = np.zeros(len(nodes), dtype=np.int64)
        for weight, term in (*self._preferred, *cls.preferred_nodes):
            raw += weight * matching.term_mask(term, nodes)
        return raw


def _by_name(selector: selectors.NodeSelector | None, nodes: Snapshot) -> Refusal | Reject | None:
    names = named_nodes(selector) if selector is not None else None
    if names is None:
        return None
    if not names:
        return Refusal("pod affinity terms conflict")
    others = np.ones(len(nodes), dtype=np.bool_)
    others[[nodes.row_of[name] for name in names if name in nodes.row_of]] = False
    return Reject(others, "node(s) didn't satisfy plugin(s) [NodeAffinity]", UNRESOLVABLE)


def named_nodes(selector: selectors.NodeSelector) -> frozenset[str] | None:
    """The only nodes that the selector can match, where each of its terms names some; else None.

    Empty where every term asks for several names at once.
    """
    if not selector.terms:
        return None
    names: frozenset[str] = frozenset()
    for term in selector.terms:
        wanted = [each.values for each in term.names if each.operator == "In"]
        if not wanted:
            return None
        names |= frozenset.intersection(*wanted)
    return names
