"""What ``decide`` hands back, and the notebook in which its parts write it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from stowplan.api.cluster import PendingChange
from stowplan.model.words import counted
from stowplan.reconcile.actions import Action, AskToDrain, CheckTemplate, Delete, Evict

MOST_PENDING = 32
"""Entries of status.pendingChanges; what is beyond them is counted in one more."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that only a person can put right. ``reason`` is a word for conditions."""

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The next writes in their order, and what is held back.

    Attributes:
        actions: do them in their order; after any of them, deciding anew gives the rest.
        pending: what would be done next, and what holds it back.
        problems: what only a person can put right.
        again_after: seconds after which deciding anew may give something else although nothing has changed.
    """

    actions: tuple[Action, ...] = ()
    pending: tuple[PendingChange, ...] = ()
    problems: tuple[Problem, ...] = ()
    again_after: float | None = None


@dataclass(kw_only=True)
class Draft:
    """A plan in the making."""

    actions: list[Action] = field(default_factory=list)
    pending: list[PendingChange] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    again_after: float | None = None
    deleted: set[str] = field(default_factory=set)

    def do(self, action: Action) -> None:
        """Add a write. An object that is deleted already for one reason is not deleted again for another."""
        if isinstance(action, Delete | Evict):
            if action.uid in self.deleted:
                return
            self.deleted.add(action.uid)
        self.actions.append(action)

    def hold(self, target: str, change: str, held_by: str) -> None:
        """Note a change that has to wait."""
        self.pending.append(PendingChange(target=target, change=change, held_by=held_by))

    def wake(self, seconds: float) -> None:
        """Decide again after so many seconds at the latest."""
        self.again_after = seconds if self.again_after is None else min(self.again_after, seconds)

    def finish(self) -> Plan:
        """The plan."""
        return Plan(
            actions=tuple(self.actions),
            pending=tuple(self.pending),
            problems=tuple(self.problems),
            again_after=self.again_after,
        )


def describe(action: Action) -> PendingChange:
    """A write that is not done now, in words."""
    verb = _VERBS.get(type(action), type(action).__name__.lower())
    why = getattr(action, "why", "")
    return PendingChange(target=action.name, change=f"{verb} {action.kind}" + (f": {why}" if why else ""))


_VERBS: Final[dict[type[Action], str]] = {CheckTemplate: "check the template of", AskToDrain: "drain"}


def shortened(pending: tuple[PendingChange, ...]) -> tuple[PendingChange, ...]:
    """At most ``MOST_PENDING`` entries, and one that counts the rest."""
    if len(pending) <= MOST_PENDING:
        return pending
    rest = len(pending) - MOST_PENDING
    return (*pending[:MOST_PENDING], PendingChange(target="", change=counted(rest, "more change")))


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A write that the API server did not accept.

    Attributes:
        target: the object.
        change: what was to be done with it, as ``describe`` says.
        reason: the API server's word, such as Forbidden or Invalid.
        message: what it says.
    """

    target: str
    change: str
    reason: str
    message: str
