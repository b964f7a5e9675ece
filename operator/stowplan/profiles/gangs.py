"""Which pods are placed together: by ``spec.gang``, and as members of a StatefulCluster that wait at the same time."""

from __future__ import annotations

import dataclasses

from stowplan.api import base
from stowplan.api import policy as api
from stowplan.model.pods import PodClass
from stowplan.plugins.policy_rules import Governed
from stowplan.scheduler.groups import Group


@dataclasses.dataclass(frozen=True, slots=True)
class GangRule:
    """``spec.gang``.

    Attributes:
        timeout: seconds.
    """

    min_member: int
    group_by: tuple[str, ...]
    timeout: float


def compile_gang(gang: api.Gang | None) -> GangRule | None:
    """The rule as the scheduler reads it."""
    if gang is None:
        return None
    return GangRule(gang.min_member, tuple(sorted(gang.group_by)), base.seconds(gang.timeout))


def group_of(cls: PodClass, policy: str, rule: GangRule | None) -> Group | None:
    """The group of the pods of a class.

    Args:
        cls: the class.
        policy: key of the policy that governs it, or "".
        rule: what that says about gangs. A pod without one of the labels that a gang goes by is in none: what has no
            value has no equal.
    """
    if rule is not None and all(key in cls.labels for key in rule.group_by):
        values = tuple((key, cls.labels[key]) for key in rule.group_by)
        counted = Governed(policy, cls.cluster, group=values, leaving=False)
        parts = [cls.cluster, *(value for _, value in values)] if cls.cluster else [value for _, value in values]
        name = "/".join(parts) or policy.rpartition("/")[2]
        return Group(f"gang {cls.namespace}/{name}", counted, rule.min_member, rule.timeout)
    if cls.cluster:
        counted = Governed(policy, cls.cluster, leaving=False)
        return Group(f"cluster {cls.namespace}/{cls.cluster}", counted)
    return None
