"""Fields that are accepted and validated, and whose behaviour is not there yet: reported, never ignored in silence.

The controllers put what :func:`unsupported` says into a condition, and the API reference lists the tables. Whoever
makes a field work takes its entry out (and runs ``make generate``); an empty table is the aim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from stowplan.api.cluster import StatefulClusterSpec
from stowplan.api.policy import SchedulingPolicySpec

SpecT = TypeVar("SpecT", SchedulingPolicySpec, StatefulClusterSpec)


@dataclass(frozen=True)
class Gap(Generic[SpecT]):
    """One field without behaviour.

    Attributes:
        field: its path in the object.
        instead: what happens instead, as one clause.
        asked_for: whether a spec asks for the behaviour that is missing.
    """

    field: str
    instead: str
    asked_for: Callable[[SpecT], bool]


POLICY_GAPS: tuple[Gap[SchedulingPolicySpec], ...] = ()

CLUSTER_GAPS: tuple[Gap[StatefulClusterSpec], ...] = ()


def unsupported(spec: SchedulingPolicySpec | StatefulClusterSpec) -> list[str]:
    """One line for each field of ``spec`` that asks for what is not there yet; empty where all of it works."""
    if isinstance(spec, SchedulingPolicySpec):
        return [f"{gap.field}: {gap.instead}" for gap in POLICY_GAPS if gap.asked_for(spec)]
    return [f"{gap.field}: {gap.instead}" for gap in CLUSTER_GAPS if gap.asked_for(spec)]
