"""From what was read to the next writes: one pure function, called by ``handlers`` until it has nothing more to do.

The order is: what the members need (Service, budgets, owners), members beyond repair, members too many, members too
few, the rollout, which only touches what is healthy, and last what is kept of a template that serves. Rules that hold
for every plan, and that ``tests/reconcile`` checks on simulated worlds:

* at most one pod per identity: a pod is created only where none with its name exists;
* claims are deleted only as the retention policy or ``nodeFailure.volumes`` says;
* a ready member of a quorum set is given up only while a majority of the others stays ready, and only while the set's
  disruption budget is as it should be, so that evictions by others are counted in;
* done in order, stopped anywhere and decided anew, it ends in the same state; at rest it asks for nothing.
"""

from __future__ import annotations

from datetime import datetime

from stowplan.api import checks
from stowplan.reconcile import placement, repair, resizing, revisions, rollout, scaling
from stowplan.reconcile.actions import CheckTemplate
from stowplan.reconcile.classify import Group, Member
from stowplan.reconcile.observed import Observed
from stowplan.reconcile.plan import Draft, Plan, Problem, describe


def decide(observed: Observed, groups: tuple[Group, ...], now: datetime) -> Plan:
    """What to do next.

    Args:
        observed: what was read.
        groups: ``classify.fleet(observed)``.
        now: the time, UTC.
    """
    if observed.cluster.metadata.deletion_timestamp is not None:
        return Plan()  # the garbage collector takes what the cluster owns
    draft = Draft()
    wrong = [each for each in checks.validate(observed.cluster.metadata.name, observed.cluster.spec) if each.blocks]
    draft.problems += [Problem(reason="InvalidSpec", message=str(each)) for each in wrong]
    sound = tuple(group for group in groups if group.name not in {each.node_set for each in wrong})
    repair.service(observed, draft)
    settled = repair.budgets(observed, groups, draft)
    held_by = "" if settled else "the disruption budget is being changed"
    repair.metadata(observed, groups, draft)
    for group in groups:
        resizing.expand(group, draft)
        repair.pods(observed, group, now, draft)
        repair.stranded(observed, group, draft)
        scaling.clean(observed, group, draft)
    leaves = _shrink(observed, groups, now, draft, held_by=held_by)
    for group in sound:
        scaling.grow(observed, group, now, draft, leaves=leaves.get(group.name))
    rollout.roll(observed, sound, now, draft, held_by=held_by)
    rollout.heal(observed, sound, draft, held_by=held_by)
    revisions.keep(observed, groups, draft)
    plan = draft.finish()
    return _paused(plan) if observed.cluster.spec.paused else plan


def _shrink(
    observed: Observed, groups: tuple[Group, ...], now: datetime, draft: Draft, *, held_by: str
) -> dict[str, Member | None]:
    """Sets that are no longer in the spec go last: their members may be what the others need to get ready."""
    domains = placement.failure_domains(observed)
    unsettled = next((group.name for group in groups if group.spec is not None and not group.settled), None)
    leaves: dict[str, Member | None] = {}
    for group in groups:
        wait = held_by
        if group.spec is None and unsettled is not None:
            wait = wait or f"node set {unsettled} is not ready yet"
        leaves[group.name] = scaling.shrink(observed, group, domains, now, draft, held_by=wait)
    return leaves


def _paused(plan: Plan) -> Plan:
    """Everything that would be done, as held back, but for questions that change nothing."""
    asked = tuple(action for action in plan.actions if isinstance(action, CheckTemplate))
    held = [
        describe(action).model_copy(update={"held_by": "spec.paused is true"})
        for action in plan.actions
        if action not in asked
    ]
    return Plan(actions=asked, pending=(*held, *plan.pending), problems=plan.problems, again_after=None)
