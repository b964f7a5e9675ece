"""Explanations and plans as text for people: plain columns as kubectl prints them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from stowplan.model.words import counted
from stowplan.simulator.explain import Explanation
from stowplan.simulator.plan import Placement, Unschedulable

TOP = 10
"""Nodes shown in a score table unless all are asked for."""
EXAMPLES = 3
"""Nodes named for each reason."""
DOMAINS = 6
"""Domains of which there may be so many before the emptier ones are only counted."""


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Left-aligned columns, three spaces apart."""
    table = [header, *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(header))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def explanation(one: Explanation, *, total: int, idle: str | None, wide: bool) -> str:
    """One pod: the verdict, the scores of the best nodes, and the reasons against the others.

    Args:
        one: what to show.
        total: number of nodes.
        idle: why the scheduler does not try the pod; None where it does.
        wide: show every feasible node with the scores of all plugins, not only of those that tell nodes apart, and
            name every rejected one.
    """
    if one.chosen is None:
        blocks = [f"{one.pod}: {one.unschedulable}"]
    else:
        among = counted(total, "node is", "nodes are")
        blocks = [f"{one.pod}: {len(one.feasible)} of {among} feasible, the best is {one.chosen}"]
        blocks.append(_scores(one, wide=wide))
    if idle is not None:
        blocks.append(f"Stowplan does not try it: {idle}")
    if one.gang is not None:
        blocks.append(f"It is placed with its gang: {one.gang}")
    if one.rejected:
        blocks.append(_reasons(one, wide=wide))
    return "\n\n".join(blocks)


def _scores(one: Explanation, *, wide: bool) -> str:
    ranked = sorted(one.scores, key=lambda node: (-one.scores[node].total, node))
    shown = ranked if wide else ranked[:TOP]
    plugins = list(dict.fromkeys(plugin for node in ranked for plugin in one.scores[node].plugins))
    points = {each: [one.scores[node].plugins.get(each, 0) for node in ranked] for each in plugins}
    equal = [] if wide or len(ranked) == 1 else [each for each in plugins if len(set(points[each])) == 1]
    telling = [each for each in plugins if each not in equal]
    rows = [
        [node, str(one.scores[node].total), *(str(points[each][at]) for each in telling)]
        for at, node in enumerate(shown)
    ]
    lines = [columns(["NODE", "TOTAL", *telling], rows)]
    if len(shown) < len(ranked):
        lines.append(f"… and {len(ranked) - len(shown)} more (-o wide shows all)")
    if equal:
        lines.append(f"the same on all of them: {', '.join(f'{plugin} {points[plugin][0]}' for plugin in equal)}")
    return "\n".join(lines)


def _reasons(one: Explanation, *, wide: bool) -> str:
    nodes: dict[tuple[str, str], list[str]] = {}
    for node, rejections in one.rejected.items():
        for each in rejections:
            nodes.setdefault((each.plugin, each.reason), []).append(node)
    rows = []
    for (plugin, reason), names in nodes.items():
        names.sort()
        shown = names if wide else names[:EXAMPLES]
        more = f", … {len(names) - len(shown)} more" if len(shown) < len(names) else ""
        rows.append([str(len(names)), plugin, reason, ", ".join(shown) + more])
    rows.sort(key=lambda row: (-int(row[0]), row[1:]))
    return columns(["REJECTED", "PLUGIN", "REASON", "NODES"], rows)


def counts(pods: Mapping[str, int], *, wide: bool) -> str:
    """How many pods are in each domain: ``a: 2, b: 1``; of many domains the fullest, unless ``wide``."""
    shown = list(pods.items())
    if wide or len(shown) <= DOMAINS:
        return ", ".join(f"{domain}: {count}" for domain, count in shown)
    shown.sort(key=lambda each: (-each[1], each[0]))
    first, rest = shown[: DOMAINS - 1], [count for _, count in shown[DOMAINS - 1 :]]
    between = str(rest[0]) if rest[0] == rest[-1] else f"{rest[-1]} to {rest[0]}"
    return f"{counts(dict(first), wide=True)}, … {len(rest)} more: {between}"


def plan(
    placements: Sequence[Placement], unschedulable: Sequence[Unschedulable], domains: Sequence[Sequence[str]]
) -> str:
    """Where each pod goes, which go nowhere and why, and how the pods then lie over the domains.

    Args:
        placements: in the order of the decisions.
        unschedulable: pods without a node.
        domains: rows of (rule, group, domain, counts, skew).
    """
    blocks = []
    if placements:
        blocks.append(columns(["POD", "NODE"], [[each.pod, each.node] for each in placements]))
    if unschedulable:
        blocks.append(columns(["UNSCHEDULABLE", "REASON"], [[each.pod, each.reason] for each in unschedulable]))
    if domains:
        blocks.append(columns(["RULE", "GROUP", "DOMAIN", "PODS", "SKEW"], domains))
    return "\n\n".join(blocks) if blocks else "No pending pods."
