"""Kubernetes events: what was done to the members of a cluster, and when a cluster or policy turned well or unwell.

Called by ``clusters`` and its ``executor``, and by ``policies``. Nothing is said about what stays as it is, so at rest
there are no events; ``kube.events`` counts repeats instead of telling them anew, and cuts floods.
"""

from __future__ import annotations

from typing import Final

from stowplan.api import cluster as api
from stowplan.api import common, conditions, policy, policy_status
from stowplan.kube import eventlog, events
from stowplan.reconcile import actions, plan
from stowplan.reconcile.policy_status import QUESTIONABLE

MEMBERS: Final = frozenset({"Pod", "PersistentVolumeClaim"})
"""Kinds whose coming and going is told: the rest follows from the spec."""


class Announcer:
    """Tells about one cluster.

    Args:
        recorder: sends the events.
        cluster: the cluster.
    """

    def __init__(self, recorder: events.Recorder, cluster: api.StatefulCluster) -> None:
        meta = cluster.metadata
        self._recorder = recorder
        self._subject = eventlog.Subject(
            api_version=common.API_VERSION, kind=api.KIND, namespace=meta.namespace, name=meta.name, uid=meta.uid
        )

    def done(self, action: actions.Action) -> None:
        """A write was done; the words are those of a StatefulSet's events."""
        if action.kind not in MEMBERS:
            return
        what = f"{action.kind} {action.name}"
        match action:
            case actions.Create():
                self._tell(events.NORMAL, "SuccessfulCreate", "Create", f"created {what}")
            case actions.Delete() | actions.Evict():
                self._tell(events.NORMAL, "SuccessfulDelete", "Delete", f"deleted {what}: {action.why}")
            case actions.Patch(kind="PersistentVolumeClaim") if "spec" in action.body:
                self._tell(events.NORMAL, "VolumeGrows", "Resize", f"{action.name}: {action.why}")
            case _:
                pass

    def refused(self, action: actions.Action, refusal: plan.Refusal) -> None:
        """The API server did not accept a write."""
        verb = type(action).__name__
        note = f"{plan.describe(action).change} {action.name}: {refusal.message}"
        self._tell(events.WARNING, f"Failed{verb}", verb, note)

    def turned(self, old: api.StatefulClusterStatus, new: api.StatefulClusterStatus) -> None:
        """The status has changed: tell where Ready or Degraded has become true."""
        for kind, weight in ((api.READY, events.NORMAL), (api.DEGRADED, events.WARNING)):
            before, after = conditions.find(old.conditions, kind), conditions.find(new.conditions, kind)
            if after is not None and after.status == "True" and (before is None or before.status != "True"):
                self._tell(weight, after.reason, kind, after.message)

    def doubted(self, field: str, message: str) -> None:
        """A field of the spec is likely a mistake."""
        self._tell(events.WARNING, "QuestionableSpec", "Validate", f"{field}: {message}")

    def _tell(self, type_: str, reason: str, action: str, note: str) -> None:
        self._recorder.record(self._subject, type_=type_, reason=reason, action=action, note=note)


def tell_of_policy(
    recorder: events.Recorder, old: policy.SchedulingPolicy, new: policy_status.SchedulingPolicyStatus
) -> None:
    """The status of a policy has changed: tells what is wrong with it now, and when running pods keep its rules again.

    Args:
        recorder: sends the events.
        old: the policy with the status that it had.
        new: the status that it has.
    """
    meta = old.metadata
    subject = eventlog.Subject(
        api_version=common.API_VERSION, kind=policy.KIND, namespace=meta.namespace, name=meta.name, uid=meta.uid
    )

    def tell(type_: str, said: common.Condition) -> None:
        recorder.record(subject, type_=type_, reason=said.reason, action=said.type, note=said.message)

    for kind, well in ((policy.ACCEPTED, "True"), (policy.SATISFIED, "True"), (policy.CONFLICTED, "False")):
        before, after = conditions.find(old.status.conditions, kind), conditions.find(new.conditions, kind)
        if after is None or (before is not None and (before.reason, before.message) == (after.reason, after.message)):
            continue
        if after.status != well or after.reason == QUESTIONABLE:
            tell(events.WARNING, after)
        elif kind == policy.SATISFIED and before is not None and before.status != well:
            tell(events.NORMAL, after)
