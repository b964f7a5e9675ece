"""Which template a member gets that has no pod: the part of ``decide`` that remembers what served before.

A set whose members all have the template of the spec, at least one of them ready, keeps it in an apps/v1
ControllerRevision; the one before is dropped then. While a changed template is rolled out, members that lose their pod
for another reason come back with the template that is known to serve (as below a StatefulSet's partition,
newVersionedStatefulSetPod in pkg/controller/statefulset/stateful_set_utils.go), so that a broken template costs no more
members than the rollout itself may give up.
"""

from __future__ import annotations

from typing import Final

from stowplan.api import cluster as api
from stowplan.api import common
from stowplan.reconcile import repair, rollout, specs
from stowplan.reconcile.actions import Create, Delete
from stowplan.reconcile.classify import Group, Member
from stowplan.reconcile.observed import Observed, Revision
from stowplan.reconcile.plan import Draft

KIND: Final = "ControllerRevision"


def keep(observed: Observed, groups: tuple[Group, ...], draft: Draft) -> None:
    """Keep the template of each set once all its members have it and one of them serves; drop what it replaces."""
    left = {group.name for group in groups if group.wanted or any(member.pod for member in group.every)}
    mine = [each for each in observed.revisions if repair.ours(KIND, observed, each, draft)]
    _drop([each for each in mine if _node_set(each) not in left], "its members are gone", draft)
    for group in groups:
        serves = any(member.ready for member in group.members)
        if group.spec is not None and serves and not any(member.outdated for member in group.members):
            _keep(observed, group, group.spec, [each for each in mine if _node_set(each) == group.name], draft)


def _keep(observed: Observed, group: Group, spec: api.NodeSet, mine: list[Revision], draft: Draft) -> None:
    present = specs.revision_name(observed.cluster.metadata.name, group.name, group.revision)
    if present in {each.metadata.name for each in mine}:
        _drop([each for each in mine if each.metadata.name != present], "another template serves", draft)
    elif present not in {each.metadata.name for each in observed.revisions}:
        number = 1 + max((each.revision for each in mine), default=0)
        manifest = specs.controller_revision(observed.cluster, spec, number)
        draft.do(Create(kind=KIND, name=present, manifest=manifest))


def _node_set(revision: Revision) -> str:
    return revision.metadata.labels.get(common.LABEL_NODE_SET, "")


def _drop(revisions: list[Revision], why: str, draft: Draft) -> None:
    for each in revisions:
        if each.metadata.deletion_timestamp is None:
            draft.do(Delete(kind=KIND, name=each.metadata.name, uid=each.metadata.uid, why=why))


class Choice:
    """Gives out templates to the members of a set that get a pod now.

    A new template is given to as many members as may be unavailable during a rollout, until one of them is ready with
    it: then it is known to serve. One that the API server refuses is given to nobody while there is another one.
    ``updateStrategy.partition`` holds for all of them.
    """

    def __init__(self, observed: Observed, group: Group, spec: api.NodeSet) -> None:
        strategy = observed.cluster.spec.update_strategy
        self.group = group
        self.node_set = spec.name
        self._spec = spec
        self._kept = {
            each.metadata.labels.get(common.LABEL_REVISION)
            for each in observed.revisions
            if _node_set(each) == spec.name
        }
        self._stable = group.stable
        self._partition = strategy.partition if strategy.type == "RollingUpdate" else 0
        self._refused = bool(observed.templates.get(group.revision))
        new = [member for member in group.members if member.live and not member.outdated]
        self._proven = self._stable is None or any(member.ready for member in new)
        serves = self._proven or strategy.type == "OnDelete"
        trying = sum(not member.ready for member in new)
        self._room = None if serves else max(max(1, rollout.limit(observed, group)) - trying, 0)

    def template(self, ordinal: int) -> api.NodeSet:
        """The node set to make a member's pod and claims from."""
        if self._stable is None:
            return self._spec
        return self._stable if ordinal < self._partition or self._room == 0 or self._refused else self._spec

    def serves(self, template: api.NodeSet) -> bool:
        """Whether the template is one that was kept because it served."""
        return specs.revision(template) in self._kept

    def unproven(self, template: api.NodeSet) -> bool:
        """Whether the API server is to judge the template first, as there is another one that serves."""
        return template is self._spec and not self._proven

    def of(self, member: Member) -> api.NodeSet | None:
        """The node set that the member's pod was made from; None where it is not known any more."""
        have = member.pod.metadata.labels.get(common.LABEL_REVISION) if member.pod is not None else None
        known = (self._spec, self._stable)
        return next((each for each in known if each is not None and specs.revision(each) == have), None)

    def given(self, template: api.NodeSet) -> None:
        """A member gets a pod of this template."""
        if self._room is not None and template is self._spec:
            self._room = max(self._room - 1, 0)
