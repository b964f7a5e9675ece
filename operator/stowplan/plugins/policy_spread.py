"""The spread rules of a SchedulingPolicy.

Required rules reject the nodes that would break them. All rules score, the Required ones with the full weight: among
the nodes that keep a rule the emptiest domains are the better ones, so that the balance is as good as it can be and
not only as good as it must be.

A pod counts in the group of its ``groupBy`` labels; pods that are being deleted do not count. A label value is a
domain; with ``within`` a value inside a value of the broader label is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from stowplan.framework.events import NODE_CHANGES, ClusterEvent, Happening
from stowplan.framework.joint import Model
from stowplan.framework.plugin import SKIP, CycleState, Rows, Scores, Skip
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import UNRESOLVABLE, Mask, Reject
from stowplan.model.pods import PodClass, PodInfo
from stowplan.plugins import hints, inclusion, own_volumes, volume_hints
from stowplan.plugins.group_size import Sizes
from stowplan.plugins.outages import Outage
from stowplan.plugins.policy_rules import Governed, SpreadRule
from stowplan.plugins.policy_score import weighted
from stowplan.plugins.spread_layout import Layout

REQUEUE_ON = NODE_CHANGES | {
    ClusterEvent.POD_ADDED,
    ClusterEvent.POD_REMOVED,
    ClusterEvent.POD_TERMINATING,
    ClusterEvent.POD_LABELS,
}
"""What may bring other pods, other domains or other rules."""


class PolicySpread:
    """Spread the pods of a policy over its failure domains.

    Args:
        rules: the spread rules.
        added: what the policy adds to the specs of its pods.
        out: the domains that have been unusable for as long as their rules wait.
        sizes: how many pods a group has.
    """

    name = "PolicySpread"
    requeue_on = REQUEUE_ON | {
        ClusterEvent.POD_PENDING,  # a larger group may have more pods in a domain
        ClusterEvent.CLAIM,  # rules give way to volumes
        ClusterEvent.VOLUME,
    }
    relents = True

    def __init__(
        self,
        rules: tuple[SpreadRule, ...],
        added: inclusion.Added,
        out: frozenset[Outage],
        sizes: Sizes,
    ) -> None:
        self._rules = rules
        self._required = any(rule.required for rule in rules)
        self._added = added
        self._out = out
        self._sizes = sizes

    def pre_filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Skip | None:
        """Steps aside where no rule is Required."""
        return None if self._required else SKIP

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        """Rejects nodes without the labels, and nodes whose domain would hold too many pods."""
        required = [(layout, counted) for layout, counted in self._layouts(pod.cls, nodes) if layout.rule.required]
        for layout, _ in required:
            if layout.missing is not None:
                needed = " and ".join(layout.rule.keys)
                yield Reject(layout.missing, layout.rule.broken("spread", f"no label {needed}"), UNRESOLVABLE)
        yield from own_volumes.give_way(tuple(self._too_many(required, nodes)), pod, nodes)

    def _too_many(self, required: Sequence[tuple[Layout, Governed]], nodes: Snapshot) -> Iterator[Reject]:
        for layout, counted in required:
            over = layout.tally.nodes_of(layout.over())
            if over is not None:
                yield Reject(over, layout.uneven)
            if layout.rule.per_domain is not None:
                full = layout.tally.nodes_of(layout.full(self._sizes(counted, nodes)))
                if full is not None:
                    yield Reject(full, layout.crowded)

    def joint(self, pods: Sequence[PodInfo], nodes: Snapshot, model: Model) -> None:
        """Each Required rule for each of the groups that the pods are in."""
        bound_to_yield = np.array([own_volumes.held(pod, nodes) is not None for pod in pods], dtype=np.bool_)
        groups: dict[tuple[SpreadRule, Governed], dict[Layout, Mask]] = {}
        for index, pod in enumerate(pods):
            for layout, group in self._layouts(pod.cls, nodes):
                if layout.rule.required:
                    of = groups.setdefault((layout.rule, group), {})
                    of.setdefault(layout, np.zeros(len(pods), dtype=np.bool_))[index] = True
                    if layout.missing is not None:
                        needed = " and ".join(layout.rule.keys)
                        model.forbid(layout.rule.broken("spread", f"no label {needed}"), index, layout.missing)
        for (rule, group), layouts in groups.items():
            counted = np.zeros(len(pods), dtype=np.bool_)
            # Who wishes for fewer nodes compares fewer: it comes later, and those before it are not looked at again.
            for layout in sorted(layouts, key=lambda each: -each.tally.width(nodes)):
                counted = counted | layouts[layout]
                model.add(layout.even(layouts[layout] & ~bound_to_yield, counted))
            if rule.per_domain is not None:
                most = rule.per_domain.of(self._sizes(group, nodes))
                model.add(layout.room(most, counted & ~bound_to_yield))

    def alike_now(self, pod: PodInfo, nodes: Snapshot) -> Hashable:
        """The groups that the pod is in, the nodes that it wishes for, and what its claims look like."""
        groups = tuple(rule.counted(pod.cls) for rule in self._rules if rule.required)
        return (groups, inclusion.wishes(pod.cls, self._added), volume_hints.alike_now(pod, nodes))

    def may_help(self, pod: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        """Whether the event is about nodes, pods of a group or the pod's volumes, and a node is acceptable now."""
        if event.kind in NODE_CHANGES:
            concerned = True
        elif event.kind in (ClusterEvent.CLAIM, ClusterEvent.VOLUME):
            concerned = volume_hints.own_claim(pod, event) or volume_hints.own_volume(pod, event, nodes)
        else:
            groups = [rule.counted(pod.cls) for rule in self._rules if rule.required]
            concerned = hints.recounts(event, groups, nodes)
        return concerned and hints.may_accept(self, pod, nodes, among=hints.wished(pod.cls, nodes, self._added))

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores | None:
        """Points by how well each rule is kept, weighted."""
        return weighted(
            (layout.rule.weight, layout.points(rows, self._size(layout.rule, counted, nodes)))
            for layout, counted in self._layouts(pod.cls, nodes)
        )

    def _size(self, rule: SpreadRule, counted: Governed, nodes: Snapshot) -> int:
        return 0 if rule.per_domain is None else self._sizes(counted, nodes)

    def _layouts(self, cls: PodClass, nodes: Snapshot) -> tuple[tuple[Layout, Governed], ...]:
        return nodes.once((self, cls), lambda: tuple(self._layout(rule, cls, nodes) for rule in self._rules))

    def _layout(self, rule: SpreadRule, cls: PodClass, nodes: Snapshot) -> tuple[Layout, Governed]:
        """Shared by the pods that count together and wish for the same nodes, whatever else tells them apart."""
        counted = rule.counted(cls)
        wish = inclusion.wishes(cls, self._added)
        layout = nodes.once((self, rule, counted, wish), lambda: Layout(nodes, rule, counted, wish, self._out))
        return layout, counted
