"""What a StatefulCluster says about itself: counts, placement, and conditions that are true.

Pure; called by ``handlers`` at the end of a reconcile, when there is nothing more to write, or no more that the API
server accepts. No text here holds a time or a number that changes by itself, so that at rest the status stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from stowplan.api import cluster as api
from stowplan.api import common, conditions
from stowplan.api.core import VolumeClaimTemplate
from stowplan.model import quantity
from stowplan.model.words import counted
from stowplan.reconcile import placement, rollout, specs
from stowplan.reconcile.classify import Group, Member, State, age, leaving, majority
from stowplan.reconcile.observed import Claim, Observed
from stowplan.reconcile.plan import Plan, Refusal, shortened

DEADLINE = timedelta(minutes=10)
"""How long a member may take to get ready before it counts as stalled (a Deployment's progressDeadlineSeconds)."""

_BAD = frozenset({
    State.BROKEN, State.NOT_READY, State.UNREACHABLE, State.LOST, State.FAILED, State.SUCCEEDED, State.UNSCHEDULABLE,
    State.FOREIGN,
})  # fmt: skip
_NAMED = 3
_LONGEST = 1024


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A condition without its time and generation."""

    type: str
    holds: bool | None
    reason: str
    message: str = ""


def status(
    observed: Observed, groups: tuple[Group, ...], plan: Plan, refusals: tuple[Refusal, ...], now: datetime
) -> api.StatefulClusterStatus:
    """The status to write.

    Args:
        observed: what was read.
        groups: ``classify.fleet(observed)``.
        plan: what ``decide`` made of it; its actions are those that were refused or not tried.
        refusals: what the API server said to them.
        now: the time, UTC.
    """
    cluster = observed.cluster
    rows = [_row(group) for group in groups if group.spec is not None or group.members]
    domains = placement.failure_domains(observed)
    survives = placement.survives(groups, domains)
    wanted = sum(group.wanted for group in groups)
    ready, updated = sum(row.ready for row in rows), sum(row.updated for row in rows)
    verdicts = tuple(_verdicts(observed, groups, plan, refusals, now))
    kept = cluster.status.conditions
    for verdict in verdicts:
        kept = conditions.set_condition(kept, _condition(verdict, cluster.metadata.generation), now=now)
    return api.StatefulClusterStatus(
        observed_generation=cluster.metadata.generation,
        replicas=sum(row.replicas for row in rows),
        ready_replicas=ready,
        updated_replicas=updated,
        selector=f"{common.LABEL_CLUSTER}={cluster.metadata.name}",
        node_sets=tuple(rows[: api.MAX_NODE_SETS]),
        placement=placement.placement(groups, domains, observed.domains),
        survives=survives,
        pending_changes=_pending(plan, refusals),
        conditions=kept,
        summary=api.ClusterSummary(
            ready=f"{ready}/{wanted}", updated=f"{updated}/{wanted}", survives=",".join(survives)
        ),
    )


def _row(group: Group) -> api.NodeSetStatus:
    live = [member for member in group.members if member.live]
    return api.NodeSetStatus(
        name=group.name,
        replicas=len(live),
        scheduled=sum(member.placed for member in live),
        ready=sum(member.ready for member in live),
        updated=sum(not member.outdated for member in live) if group.spec is not None else 0,
    )


def _pending(plan: Plan, refusals: tuple[Refusal, ...]) -> tuple[api.PendingChange, ...]:
    refused = tuple(
        api.PendingChange(target=each.target, change=each.change, held_by=_short(each.message)) for each in refusals
    )
    held = tuple(each.model_copy(update={"held_by": _short(each.held_by)}) for each in plan.pending)
    return shortened((*refused, *held))


def _condition(verdict: Verdict, generation: int) -> common.Condition:
    status_ = "Unknown" if verdict.holds is None else str(verdict.holds)
    return common.Condition.model_validate({
        "type": verdict.type, "status": status_, "reason": verdict.reason, "message": _short(verdict.message),
        "observedGeneration": generation,
    })  # fmt: skip


def _verdicts(
    observed: Observed, groups: tuple[Group, ...], plan: Plan, refusals: tuple[Refusal, ...], now: datetime
) -> Iterable[Verdict]:
    blocked = _blocked(observed, groups, plan, refusals)
    unready = _unready(observed, groups)
    yield _ready(observed, groups, plan, blocked, unready)
    stalled = [member for group in groups for member in group.members if _stalled(member, now)]
    yield _progressing(observed, groups, plan, blocked, unready, stalled)
    yield _degraded(groups, blocked, stalled)
    yield _placed(observed, groups)
    yield _volumes(groups)


def _blocked(
    observed: Observed, groups: tuple[Group, ...], plan: Plan, refusals: tuple[Refusal, ...]
) -> Verdict | None:
    """What only a person can put right; ``type`` and ``holds`` mean nothing here."""
    if plan.problems:
        return Verdict(type="", holds=None, reason=plan.problems[0].reason,
                       message="; ".join(each.message for each in plan.problems))  # fmt: skip
    if refusals:
        shown = "; ".join(f"{each.target}: {each.message}" for each in refusals[:_NAMED])
        return Verdict(type="", holds=None, reason="Refused", message=f"the API server refuses {shown}")
    for group in groups:
        if (verdict := observed.templates.get(group.revision)) and rollout.outdated(observed, group):
            message = f"the API server refuses the new template of node set {group.name}: {verdict}"
            return Verdict(type="", holds=None, reason="TemplateRefused", message=message)
    return None


def _unready(observed: Observed, groups: tuple[Group, ...]) -> str:
    """What is left to do until the cluster is as the spec says; "" when it is."""
    ready, wanted = sum(group.ready for group in groups), sum(group.wanted for group in groups)
    waited = [member for group in groups for member in group.members if not member.ready]
    if waited:
        return f"{ready} of {counted(wanted, 'member is', 'members are')} ready; {_named(waited)}"
    for group in groups:
        if len(group.members) != group.wanted:
            return f"node set {group.name} has {counted(len(group.members), 'member')} of {group.wanted} wanted"
        if not group.settled:
            return f"node set {group.name} has members that are still stopping"
    if observed.cluster.spec.update_strategy.type == "RollingUpdate":
        todo = [member.name for group in groups for member in rollout.outdated(observed, group)]
        if todo:
            return counted(len(todo), "member has an older template", "members have an older template")
    return ""


def _ready(observed: Observed, groups: tuple[Group, ...], plan: Plan, blocked: Verdict | None, unready: str) -> Verdict:
    if observed.cluster.metadata.deletion_timestamp is not None:
        return Verdict(type=api.READY, holds=False, reason="Deleting", message="the cluster is being deleted")
    if blocked is not None:
        return Verdict(type=api.READY, holds=False, reason=blocked.reason, message=blocked.message)
    if observed.cluster.spec.paused and plan.pending:
        return Verdict(type=api.READY, holds=False, reason="Paused", message="spec.paused is true, and changes wait")
    if unready:
        serving = all(group.settled for group in groups)
        return Verdict(
            type=api.READY, holds=False, reason="RollingOut" if serving else "MembersNotReady", message=unready
        )
    total = sum(group.wanted for group in groups)
    message = "the only member is ready" if total == 1 else f"all {total} members are ready"
    return Verdict(type=api.READY, holds=True, reason="AllMembersReady", message=message)


def _progressing(  # noqa: PLR0917
    observed: Observed,
    groups: tuple[Group, ...],
    plan: Plan,
    blocked: Verdict | None,
    unready: str,
    stalled: list[Member],
) -> Verdict:
    holds, reason, message = True, "Changing", unready
    if observed.cluster.spec.paused:
        holds, reason, message = False, "Paused", "spec.paused is true"
    elif observed.missing_policy:
        holds, reason = False, "PolicyNotFound"
        message = f"SchedulingPolicy {observed.missing_policy} not found: members are made once it exists"
    elif blocked is not None:
        holds, reason, message = False, blocked.reason, blocked.message
    elif not unready:
        holds, reason, message = False, "Complete", "everything is as the spec says"
    elif stalled:
        holds, reason, message = False, "Stalled", _named(stalled)
    elif any(rollout.outdated(observed, group) for group in groups):
        reason = "RollingOut"
        held = next((each for each in plan.pending if each.change == rollout.CHANGE), None)
        if held is not None:
            message = f"{unready}; {held.target} waits: {held.held_by}"
    return Verdict(type=api.PROGRESSING, holds=holds, reason=reason, message=message)


def _stalled(member: Member, now: datetime) -> bool:
    """Whether waiting is not expected to help."""
    if member.state is State.BROKEN:
        return True
    waits = member.state in {State.STARTING, State.PENDING, State.UNSCHEDULABLE, State.NOT_READY}
    return waits and member.pod is not None and age(member.pod, now) >= DEADLINE


def _degraded(groups: tuple[Group, ...], blocked: Verdict | None, stalled: list[Member]) -> Verdict:
    bad = [member for group in groups for member in group.members if member.state in _BAD or member in stalled]
    for group in groups:
        needed = majority(group.size)
        if group.quorum and group.ready < needed and any(member in bad for member in group.members):
            return Verdict(
                type=api.DEGRADED, holds=True, reason="NoMajority",
                message=f"node set {group.name} has {counted(group.ready, 'ready member')} of {needed} needed; "
                f"{_named(bad)}",
            )  # fmt: skip
    if bad:
        return Verdict(type=api.DEGRADED, holds=True, reason=f"Member{bad[0].state.value}", message=_named(bad))
    if blocked is not None:
        return Verdict(type=api.DEGRADED, holds=True, reason=blocked.reason, message=blocked.message)
    return Verdict(type=api.DEGRADED, holds=False, reason="AsExpected", message="no member is in trouble")


def _placed(observed: Observed, groups: tuple[Group, ...]) -> Verdict:
    kind = api.PLACEMENT_SATISFIED
    waiting = [member for group in groups for member in group.members if not member.placed]
    nowhere = [member for member in waiting if member.state is State.UNSCHEDULABLE]
    if observed.missing_policy:
        return Verdict(type=kind, holds=False, reason="PolicyNotFound",
                       message=f"SchedulingPolicy {observed.missing_policy} not found")  # fmt: skip
    if nowhere:
        return Verdict(type=kind, holds=False, reason="Unschedulable", message=_named(nowhere))
    if observed.violations:
        return Verdict(type=kind, holds=False, reason="RulesViolated",
                       message=f"the members break {', '.join(observed.violations)}")  # fmt: skip
    if waiting or any(len(group.members) < group.wanted for group in groups):
        return Verdict(type=kind, holds=None, reason="MembersPending", message="not all members are placed yet")
    if observed.policy is None:
        return Verdict(type=kind, holds=True, reason="NoPolicy", message="no SchedulingPolicy governs the members")
    return Verdict(type=kind, holds=True, reason="Satisfied", message="every member is where the policy wants it")


def _volumes(groups: tuple[Group, ...]) -> Verdict:
    kind, wanted = api.VOLUMES_READY, 0
    problems: list[tuple[str, str]] = []
    for group in groups:
        templates = group.spec.volume_claim_templates if group.spec is not None else ()
        wanted += len(templates) * group.wanted
        problems += [found for member in group.members for found in _claim_problems(member, templates)]
        if templates and len(group.members) < group.wanted:
            problems.append(("ClaimsPending", f"members of node set {group.name} are missing"))
    if problems:
        shown = "; ".join(message for _, message in problems[:_NAMED])
        more = f"; {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        return Verdict(type=kind, holds=False, reason=problems[0][0], message=shown + more)
    if not wanted:
        return Verdict(type=kind, holds=True, reason="NoVolumes", message="the members have no volumes")
    message = "the only claim is bound" if wanted == 1 else f"all {wanted} claims are bound"
    return Verdict(type=kind, holds=True, reason="AllBound", message=message)


def _claim_problems(member: Member, templates: Iterable[VolumeClaimTemplate]) -> Iterable[tuple[str, str]]:
    found = {claim.metadata.name: claim for claim in member.claims}
    for template in templates:
        name = specs.claim_name(template.metadata.name, member.name)
        claim = found.get(name)
        if claim is None:
            yield "ClaimsPending", f"{name} is missing"
        elif leaving(claim):
            yield "ClaimDeleted", f"{name} is being deleted: the member has an empty volume once its pod stops"
        elif claim.status.phase == "Lost":
            yield "VolumeLost", f"{name} has lost its volume"
        elif claim.status.phase != "Bound":
            yield "ClaimsPending", f"{name} is not bound"
        else:
            have, asked = claim.status.capacity.get("storage"), claim.spec.resources.requests.get("storage")
            if have is not None and asked is not None and quantity.value(have) < quantity.value(asked):
                yield "Resizing", f"{name} grows from {have} to {asked}" + _resizing(claim)


def _resizing(claim: Claim) -> str:
    """How far it is, by the conditions that the driver's resizer and the kubelet note; errors in their words."""
    true = [each for each in claim.status.conditions if each.status == "True"]
    failed = next((each for each in true if each.type.endswith("Error")), None)
    if failed is not None:
        return f": {failed.type}: {failed.message}"
    return f": {true[0].type}" if true else ""


def _named(members: list[Member]) -> str:
    shown = "; ".join(f"{member.name} is {member.state.value}: {member.reason}" for member in members[:_NAMED])
    return shown + (f"; {len(members) - _NAMED} more" if len(members) > _NAMED else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
