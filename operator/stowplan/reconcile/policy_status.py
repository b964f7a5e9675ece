"""What a SchedulingPolicy says about itself: its pods, its rules, its conditions.

Pure; called by ``handlers`` with what the scheduling loop counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from stowplan.api import common, conditions
from stowplan.api import policy as api
from stowplan.api import policy_status as written

QUESTIONABLE: Final = "QuestionableSpec"
"""Reason of Accepted: in force as written, which is likely not as it was meant."""
_NAMED = 3
_MOST_GANGS = 64
_MOST_ROWS = 256
"""Entries of status.domains: violated ones first."""


@dataclass(frozen=True, kw_only=True)
class PolicyFacts:
    """What the scheduling loop knows of a policy.

    Attributes:
        pods: its pods, counted.
        domains: where they are, by rule and group.
        shadow: in mode DryRun, what it would have done.
        overridden_by: names of policies that take pods which this one selects too.
        error: why the scheduler cannot use the policy; "" where it does.
        doubts: what is likely a mistake in it.
        gangs: those of its gangs of which members wait.
        broken: by key of each StatefulCluster that it governs, the rules that the cluster's members break.
    """

    pods: written.PodCounts = field(default_factory=written.PodCounts)
    domains: tuple[written.DomainStatus, ...] = ()
    shadow: written.Shadow = field(default_factory=written.Shadow)
    overridden_by: tuple[str, ...] = ()
    error: str = ""
    doubts: tuple[str, ...] = ()
    gangs: tuple[written.GangStatus, ...] = ()
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def status(policy: api.SchedulingPolicy, facts: PolicyFacts, now: datetime) -> written.SchedulingPolicyStatus:
    """The status to write."""
    verdicts = _verdicts(policy.spec, facts)
    kept = policy.status.conditions
    for verdict in verdicts:
        observed = verdict.model_copy(update={"observed_generation": policy.metadata.generation})
        kept = conditions.set_condition(kept, observed, now=now)
    good = {api.ACCEPTED: "True", api.SATISFIED: "True", api.CONFLICTED: "False", api.READY: "True"}
    bad = next((each.reason for each in verdicts if each.status != good[each.type]), "")
    if facts.doubts and not bad:
        bad = QUESTIONABLE
    rows = sorted(facts.domains, key=lambda row: not row.violated)[:_MOST_ROWS]
    return written.SchedulingPolicyStatus(
        observed_generation=policy.metadata.generation,
        pods=facts.pods,
        domains=tuple(rows),
        violations=sum(row.violated for row in facts.domains),
        gangs=tuple(sorted(facts.gangs, key=lambda gang: gang.name)[:_MOST_GANGS]),
        shadow=facts.shadow,
        conditions=kept,
        summary=written.PolicySummary(pods=f"{facts.pods.bound}/{facts.pods.governed}", reason=bad),
    )


def _verdicts(spec: api.SchedulingPolicySpec, facts: PolicyFacts) -> tuple[common.Condition, ...]:
    if facts.error:
        accepted = _condition(api.ACCEPTED, "False", "Invalid", facts.error)
    elif facts.doubts:
        accepted = _condition(api.ACCEPTED, "True", QUESTIONABLE, "; ".join(facts.doubts))
    else:
        accepted = _condition(api.ACCEPTED, "True", "Accepted", _effect(spec))
    violated = [row for row in facts.domains if row.violated]
    if violated:
        shown = ", ".join(f"{row.rule} ({row.group})" if row.group else row.rule for row in violated[:_NAMED])
        more = f" and {len(violated) - _NAMED} more" if len(violated) > _NAMED else ""
        satisfied = _condition(api.SATISFIED, "False", "RulesViolated", f"running pods break {shown}{more}")
    else:
        satisfied = _condition(api.SATISFIED, "True", "NoViolations", "running pods break no rule")
    if facts.overridden_by:
        others = ", ".join(facts.overridden_by)
        conflicted = _condition(
            api.CONFLICTED, "True", "Overridden", f"pods that this policy selects are governed by {others}"
        )
    else:
        conflicted = _condition(api.CONFLICTED, "False", "NoConflict", "no other policy takes its pods")
    if facts.error:
        ready = _condition(api.READY, "False", "Invalid", facts.error)
    elif facts.overridden_by:
        ready = _condition(api.READY, "False", "Overridden", conflicted.message)
    else:
        ready = _condition(api.READY, "True", spec.mode if spec.mode == "DryRun" else "InForce", _effect(spec))
    return accepted, satisfied, conflicted, ready


def _effect(spec: api.SchedulingPolicySpec) -> str:
    if spec.mode == "DryRun":
        return "the policy is tried on the pods that it selects, and places none: see status.shadow"
    return "the policy is in force"


def _condition(type_: str, status_: Literal["True", "False"], reason: str, message: str) -> common.Condition:
    return common.Condition(type=type_, status=status_, reason=reason, message=message[:1024])
