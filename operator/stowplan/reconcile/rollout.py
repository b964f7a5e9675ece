"""Members get a changed template: which of them is replaced next, and what it waits for.

Called by ``decide`` for what is left when members have been repaired and counted. The sets are updated one after the
other; inside a set at most so many members are unavailable as the update strategy, the disruption budget and the
majority of a quorum set allow. A template that the API server refuses is found out before anybody is given up for it,
and one that never gets ready stops the rollout after its first members. Members that are outdated and not ready are
replaced whatever the order is, so a broken rollout is rolled back (or forward) by changing the spec.
"""

from __future__ import annotations

from datetime import datetime

from stowplan.api import cluster as api
from stowplan.model.words import counted
from stowplan.reconcile import resizing, specs
from stowplan.reconcile.actions import CheckTemplate, Delete, Evict
from stowplan.reconcile.classify import Group, Member, State, majority
from stowplan.reconcile.observed import Observed
from stowplan.reconcile.plan import Draft

WHY = "it has an older template"
RETURN = "it can go back to a domain that was out"
REMOUNT = "its volume grows when it is mounted anew"
DETACH = "its volume grows only while nobody uses it"
CHANGE = f"replace the pod: {WHY}"
UNJUDGED = "the API server has not judged the new template yet"
_REPAIRED = frozenset({State.LOST, State.FAILED, State.SUCCEEDED, State.UNREACHABLE})
"""States that ``repair`` sees to."""


def ordered(observed: Observed, groups: tuple[Group, ...]) -> list[Group]:
    """The sets in the order of the update strategy: by the first entry that is their name or one of their roles."""
    order = observed.cluster.spec.update_strategy.order

    def position(group: Group) -> int:
        names = (group.name, *(group.spec.roles if group.spec is not None else ()))
        return min((order.index(name) for name in names if name in order), default=len(order))

    return sorted((group for group in groups if group.spec is not None), key=position)


def limit(observed: Observed, group: Group) -> int:
    """How many members of the set may be unavailable at once by our own doing."""
    if group.spec is None:
        return 0
    spec = observed.cluster.spec
    allowed = (spec.update_strategy.max_unavailable, spec.disruption_budget.max_unavailable)
    return min(specs.spare(group.spec, each, group.size) for each in allowed)


def outdated(observed: Observed, group: Group) -> list[Member]:
    """Members that are to be replaced, those that serve last, and from the highest ordinal down."""
    partition = observed.cluster.spec.update_strategy.partition
    found = [member for member in group.members if member.live and member.outdated and member.ordinal >= partition]
    return sorted(found, key=lambda member: (member.ready, -member.ordinal))


def roll(observed: Observed, groups: tuple[Group, ...], now: datetime, draft: Draft, *, held_by: str) -> None:
    """Replace outdated members and those whose volumes wait for it, as many as may go now.

    Args:
        observed: the cluster.
        groups: its members.
        now: the time, UTC.
        draft: where the writes go.
        held_by: what keeps running members from being replaced now; "" where nothing does.
    """
    before = ""
    for group in ordered(observed, groups):
        todo = outdated(observed, group)
        todo += [member for member in resizing.to_restart(group, now, draft) if member not in todo]
        if observed.cluster.spec.update_strategy.type == "OnDelete":
            for member in todo:
                draft.hold(
                    member.name, f"replace the pod: {_why(member)}", "updateStrategy.type is OnDelete: delete the pod"
                )
            continue
        if todo:
            _roll_group(observed, group, todo, draft, held_by=held_by, before=before)
        never = bool(todo) and limit(observed, group) == 0  # waiting for it would hold up the others for ever
        if not before and not never and (todo or not group.settled):
            before = f"node set {group.name} is updated first"


def heal(observed: Observed, groups: tuple[Group, ...], draft: Draft, *, held_by: str) -> None:
    """Give up one member that is where it is only because a domain was out, so that it is placed anew.

    Only where everything else is done: each move is judged by where all the others are. Whoever is placed anew is not
    moved again, since no allowance is made for it then.
    """
    change = f"replace the pod: {RETURN}"
    for group in groups:
        for member in group.members:
            moved = member.pod is not None and member.pod.metadata.uid in observed.misplaced
            if member.pod is None or not moved or not member.ready or member.outdated:
                continue
            why = held_by
            if not why and observed.cluster.spec.update_strategy.type == "OnDelete":
                why = "updateStrategy.type is OnDelete: delete the pod"
            unsettled = next((each for each in groups if not each.settled), None)
            if not why and (unsettled is not None or draft.actions):
                why = f"node set {unsettled.name} is not ready" if unsettled is not None else "other changes go first"
            why = why or _no_room(observed, group, allowed=limit(observed, group), unavailable=0)
            if why:
                draft.hold(member.name, change, why)
            else:
                draft.do(Evict(name=member.name, uid=member.pod.metadata.uid, why=RETURN))


def _roll_group(
    observed: Observed, group: Group, todo: list[Member], draft: Draft, *, held_by: str, before: str
) -> None:
    assert group.spec is not None
    verdict = judged(observed, group, group.spec, draft)
    if verdict is None:
        held_by = held_by or UNJUDGED
    elif verdict:
        held_by = f"the API server refuses the new template: {verdict}"
    elif group.surplus:
        held_by = held_by or "the node set is being scaled down"
    elif observed.missing_policy:
        held_by = f"SchedulingPolicy {observed.missing_policy} not found"
    allowed = limit(observed, group)
    unavailable = group.size - group.ready
    ends = [
        member for member in group.members if member.live and not member.ready and (member.outdated or member in todo)
    ]
    unfinished = unavailable - len(ends)
    for member in todo:
        if member.state in _REPAIRED:
            continue
        assert member.pod is not None
        uid = member.pod.metadata.uid
        why = held_by
        counts = member.placed or group.stable is not None  # with no template known to serve, they run nowhere anyway
        if member.ready:
            why = why or before or _no_room(observed, group, allowed=allowed, unavailable=unavailable)
        elif counts and unfinished >= max(1, allowed):
            why = why or _waiting(group)
        if why:
            draft.hold(member.name, f"replace the pod: {_why(member)}", why)
        else:
            evicted = Evict(name=member.name, uid=uid, why=_why(member))
            draft.do(evicted if member.placed else Delete(kind="Pod", name=member.name, uid=uid, why=_why(member)))
            unavailable += member.ready
            unfinished += counts


def judged(observed: Observed, group: Group, spec: api.NodeSet, draft: Draft) -> str | None:
    """What the API server says of the set's template, see ``Observed.templates``; where that is None, it is asked."""
    verdict = observed.templates.get(group.revision)
    if verdict is None:
        name = specs.budget_name(observed.cluster.metadata.name, group.name)
        probe = specs.probe(observed.cluster, spec)
        check = CheckTemplate(name=name, revision=group.revision, manifest=probe)
        if check not in draft.actions:
            draft.do(check)
    return verdict


def _why(member: Member) -> str:
    if member.outdated:
        return WHY
    return DETACH if resizing.in_use(member) else REMOUNT


def _no_room(observed: Observed, group: Group, *, allowed: int, unavailable: int) -> str:
    """Why no ready member of the set may be replaced; "" where one may."""
    if unavailable < allowed:
        return ""
    if allowed:
        return _waiting(group)
    if observed.cluster.spec.disruption_budget.max_unavailable in {0, "0%"}:
        return "disruptionBudget.maxUnavailable is 0"
    if observed.cluster.spec.update_strategy.max_unavailable in {0, "0%"}:
        return "updateStrategy.maxUnavailable is 0"
    needed = counted(majority(group.size), "ready member")
    return f"a quorum set of {group.size} needs {needed} and has none to spare: delete the pod yourself to update it"


def _waiting(group: Group) -> str:
    """Whom the next step waits for."""
    stopping = (member for member in group.every if member.state is State.TERMINATING)
    waited = next((member for member in group.members if not member.ready), None) or next(stopping, None)
    if waited is None:
        missing = group.size - len(group.members)
        if not missing:
            return "another member goes first"
        return counted(missing, "member is not there yet", "members are not there yet")
    return f"{waited.name} is not ready: {waited.reason}"
