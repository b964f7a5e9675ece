"""A scalar twin of a policy's rules: node by node and pod by pod, from the API objects alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stowplan.api import common
from stowplan.api.policy import ColocateRule, SchedulingPolicySpec, SeparateRule, SpreadRule
from stowplan.model import objects, tolerations

Labels = Mapping[str, str]
HARD = frozenset({"NoSchedule", "NoExecute"})


def selects(selector: common.LabelSelector | None, labels: Labels) -> bool:
    """Whether a selector takes pods with these labels; None takes all."""
    if selector is None:
        return True
    for each in selector.match_expressions:
        have = labels.get(each.key)
        verdict = {
            "In": have in each.values,
            "NotIn": have not in each.values,
            "Exists": have is not None,
            "DoesNotExist": have is None,
        }
        if not verdict[each.operator]:
            return False
    return all(labels.get(key) == value for key, value in selector.match_labels.items())


class Twin:
    """The nodes that the Required rules and limits of one policy leave to a pod.

    Args:
        spec: of the policy; it governs the pods of the namespace ``default`` that its selector takes.
        nodes: the nodes.
        pods: those that are on nodes.
        waiting: those that are not, the one asked about among them.
    """

    def __init__(
        self,
        spec: SchedulingPolicySpec,
        nodes: Sequence[objects.Node],
        pods: Sequence[objects.Pod],
        waiting: Sequence[objects.Pod],
    ) -> None:
        self._spec = spec
        self._nodes = nodes
        self._pods = pods
        self._waiting = waiting

    def feasible(self, pod: objects.Pod) -> set[str]:
        """By name."""
        tests: list[Callable[[objects.Node, objects.Pod], bool]] = [
            self._within_limits,
            *(self._keeps_spread(rule) for rule in self._spec.spread if rule.enforcement == "Required"),
            *(self._keeps_apart(rule) for rule in self._spec.separate if rule.enforcement == "Required"),
            *(self._keeps_near(rule) for rule in self._spec.colocate if rule.enforcement == "Required"),
        ]
        return {node.metadata.name for node in self._nodes if all(test(node, pod) for test in tests)}

    def _governed(self, pod: objects.Pod) -> bool:
        return pod.metadata.namespace == "default" and selects(self._spec.selector, pod.metadata.labels)

    def _same_cluster(self, one: objects.Pod, other: objects.Pod) -> bool:
        return one.metadata.labels.get(common.LABEL_CLUSTER) == other.metadata.labels.get(common.LABEL_CLUSTER)

    def _on(self, node: objects.Node) -> list[objects.Pod]:
        return [pod for pod in self._pods if pod.spec.node_name == node.metadata.name]

    def _keys(self, rule: SpreadRule) -> list[str]:
        names = [rule.domain] if rule.within is None else [rule.within, rule.domain]
        return [self._spec.domain(name).topology_key for name in names]

    def _keeps_spread(self, rule: SpreadRule) -> Callable[[objects.Node, objects.Pod], bool]:
        keys = self._keys(rule)

        def place(node: objects.Node) -> tuple[str, ...] | None:
            values = tuple(node.metadata.labels[key] for key in keys if key in node.metadata.labels)
            return values if len(values) == len(keys) else None

        def counts(node: objects.Node, pod: objects.Pod) -> bool:
            untolerated = tolerations.first_untolerated(node.spec.taints, pod.spec.tolerations, HARD)
            selected = all(node.metadata.labels.get(key) == value for key, value in pod.spec.node_selector.items())
            return (rule.node_taints_policy == "Ignore" or untolerated is None) and (
                rule.node_affinity_policy == "Ignore" or selected
            )

        def test(node: objects.Node, pod: objects.Pod) -> bool:
            def together(other: objects.Pod) -> bool:
                return (
                    self._governed(other)
                    and self._same_cluster(pod, other)
                    and other.metadata.deletion_timestamp is None
                    and all(pod.metadata.labels.get(k) == other.metadata.labels.get(k) for k in rule.group_by)
                )

            here = place(node)
            if here is None:
                return False
            tally: dict[tuple[str, ...], int] = {}
            held = 1  # in this domain, on whatever node: that is what maxPerDomain is about
            for each in self._nodes:
                where = place(each)
                if where == here:
                    held += sum(map(together, self._on(each)))
                if where is not None and counts(each, pod):
                    tally[where] = tally.get(where, 0) + sum(map(together, self._on(each)))
            pool = {where: count for where, count in tally.items() if where[:-1] == here[:-1]}
            lowest = min(pool.values(), default=0) if len(pool) >= (rule.min_domains or 1) else 0
            mine = tally.get(here, 0) + 1
            size = sum(map(together, self._pods)) + sum(map(together, self._waiting))
            return mine - lowest <= rule.max_skew and held <= _most(rule.max_per_domain, size)

        return test

    def _keeps_apart(self, rule: SeparateRule) -> Callable[[objects.Node, objects.Pod], bool]:
        key = self._spec.domain(rule.domain).topology_key
        others = rule.pods if rule.from_ is None else rule.from_

        def test(node: objects.Node, pod: objects.Pod) -> bool:
            value = node.metadata.labels.get(key)
            if value is None:
                return True
            mine, theirs = (
                pod.metadata.labels,
                [
                    other.metadata.labels
                    for each in self._nodes
                    if each.metadata.labels.get(key) == value
                    for other in self._on(each)
                    if self._governed(other) and self._same_cluster(pod, other)
                ],
            )
            return not any(
                (selects(rule.pods, mine) and selects(others, labels))
                or (selects(others, mine) and selects(rule.pods, labels))
                for labels in theirs
            )

        return test

    def _keeps_near(self, rule: ColocateRule) -> Callable[[objects.Node, objects.Pod], bool]:
        key = self._spec.domain(rule.domain).topology_key

        def test(node: objects.Node, pod: objects.Pod) -> bool:
            found = {
                each.metadata.labels[key]
                for each in self._nodes
                if key in each.metadata.labels
                for other in self._on(each)
                if other.metadata.namespace == "default" and selects(rule.with_, other.metadata.labels)
            }
            if not found and selects(rule.with_, pod.metadata.labels):
                return key in node.metadata.labels
            return node.metadata.labels.get(key) in found

        return test

    def _within_limits(self, node: objects.Node, pod: objects.Pod) -> bool:
        limits = self._spec.nodes.limits if self._spec.nodes is not None else None
        if limits is None or limits.pods_per_node is None:
            return True
        return sum(map(self._governed, self._on(node))) < limits.pods_per_node


def _most(limit: int | str | None, size: int) -> int:
    match limit:
        case None:
            return 1_000_000
        case int():
            return limit
        case "Minority":
            return max([1, *(count for count in range(size) if 2 * count < size)])
        case _:
            return max(int(limit[:-1]) * size // 100, 1)
