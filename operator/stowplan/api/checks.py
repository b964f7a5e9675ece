"""What is wrong with a spec that the API server accepts: only what CEL cannot say or must not refuse.

Called by the handlers, which put the problems into a condition. A problem that blocks means that the part it names
cannot be acted on; one that does not is a likely mistake, and the rest of the spec says clearly enough what is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stowplan.api.cluster import StatefulClusterSpec


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, at one field.

    Attributes:
        field: its path.
        message: what is wrong with it, and what to do.
        blocks: the node set cannot be acted on.
        node_set: the name of the node set that it is about; "" for none.
    """

    field: str
    message: str
    blocks: bool
    node_set: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def validate(cluster: str, spec: StatefulClusterSpec) -> tuple[Problem, ...]:
    """All problems of the StatefulCluster named ``cluster``, in the order of its fields."""
    return (*_empty_templates(spec), *_shared_claims(cluster, spec), *_order_of_nothing(spec))


def _empty_templates(spec: StatefulClusterSpec) -> Iterator[Problem]:
    for position, node_set in enumerate(spec.node_sets):
        if node_set.template.spec is None:
            yield Problem(
                field=f"spec.nodeSets[{position}].template.spec",
                message="a pod needs at least one container: no member of this set can be made",
                blocks=True,
                node_set=node_set.name,
            )


def _shared_claims(cluster: str, spec: StatefulClusterSpec) -> Iterator[Problem]:
    """Sets whose claims ``<template>-<cluster>-<nodeSet>-<n>`` have the same names would mount each other's data."""
    owners: dict[str, str] = {}
    for position, node_set in enumerate(spec.node_sets):
        for number, template in enumerate(node_set.volume_claim_templates):
            stem = f"{template.metadata.name}-{cluster}-{node_set.name}"
            owner = owners.setdefault(stem, node_set.name)
            if owner != node_set.name:
                yield Problem(
                    field=f"spec.nodeSets[{position}].volumeClaimTemplates[{number}].metadata.name",
                    message=f"claims {stem}-<n> belong to the members of node set {owner} already: choose another name",
                    blocks=True,
                    node_set=node_set.name,
                )


def _order_of_nothing(spec: StatefulClusterSpec) -> Iterator[Problem]:
    known = {name for node_set in spec.node_sets for name in (node_set.name, *node_set.roles)}
    for position, name in enumerate(spec.update_strategy.order):
        if name not in known:
            yield Problem(
                field=f"spec.updateStrategy.order[{position}]",
                message=f"{name} is neither a node set nor a role of one",
                blocks=False,
            )
