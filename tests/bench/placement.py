"""What became of the pods: how evenly they lie, and which of the workload's rules are broken. Pure."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping

from tests.bench.workloads import GROUP, Workload
from tests.controlplane.nodes import Layout


@dataclasses.dataclass(frozen=True)
class Balance:
    """The placement of the pods that have a node.

    Attributes:
        zone_skew: the most that two zones differ in pods of one group; a zone without any counts.
        rack_skew: the same over the racks.
        per_zone: least and most pods in a zone, of all groups together.
        per_node: the same for a node.
        broken: how often a rule is broken: a skew above the allowed, a second member on a host, a pod in another zone
            than its volume.
    """

    zone_skew: int
    rack_skew: int
    per_zone: tuple[int, int]
    per_node: tuple[int, int]
    broken: int


def judge(workload: Workload, pods: int, layout: Layout, placements: Mapping[str, str]) -> Balance:
    """Judges a placement.

    Args:
        workload: the rules.
        pods: how many pods there are.
        layout: the nodes.
        placements: pod name to node name, of those that have one.
    """
    zone_of = {name: zone for zone, _, _, name in layout.names()}
    rack_of = {name: rack for _, _, rack, name in layout.names()}
    group_of = {
        each["metadata"]["name"]: each["metadata"]["labels"][GROUP] for each in workload.manifests(pods, layout, "")
    }
    members: dict[str, list[str]] = {group: [] for group in group_of.values()}
    for pod, node in placements.items():
        members[group_of[pod]].append(node)
    zone_skews = [_skew((zone_of[node] for node in nodes), zone_of.values()) for nodes in members.values()]
    rack_skews = [_skew((rack_of[node] for node in nodes), rack_of.values()) for nodes in members.values()]
    broken = _above(zone_skews, workload.zone_skew) + _above(rack_skews, workload.rack_skew)
    if workload.one_per_host:
        broken += sum(len(nodes) - len(set(nodes)) for nodes in members.values())
    for claim, volume in workload.volumes(pods, layout):
        pod = claim["metadata"]["name"]
        broken += pod in placements and zone_of[placements[pod]] != workload.zone_of_volume(volume)
    return Balance(
        zone_skew=max(zone_skews, default=0),
        rack_skew=max(rack_skews, default=0),
        per_zone=_range((zone_of[node] for node in placements.values()), zone_of.values()),
        per_node=_range(placements.values(), zone_of),
        broken=broken,
    )


def _range(where: Iterable[str], domains: Iterable[str]) -> tuple[int, int]:
    """Least and most in a domain."""
    counts = collections.Counter(dict.fromkeys(domains, 0))
    counts.update(where)
    return min(counts.values()), max(counts.values())


def _skew(where: Iterable[str], domains: Iterable[str]) -> int:
    least, most = _range(where, domains)
    return most - least


def _above(skews: list[int], allowed: int | None) -> int:
    return 0 if allowed is None else sum(skew > allowed for skew in skews)
