"""What is said of one pod, by the oracle and by Stowplan, in one form, and how two such verdicts differ."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Rejection(msgspec.Struct, frozen=True):
    """What the first plugin that rejects a node (or the pod as a whole) says.

    Attributes:
        reasons: upstream has those of NodeResourcesFit in any order.
        unresolvable: evicting pods could not help.
    """

    plugin: str
    reasons: tuple[str, ...]
    unresolvable: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rejection) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, tuple[str, ...], bool]:
        return (self.plugin, tuple(sorted(self.reasons)), self.unresolvable)


class Score(msgspec.Struct, frozen=True):
    """The weighted scores of a node; a plugin that is not named gives 0."""

    total: int
    plugins: dict[str, int]


class Room(msgspec.Struct, frozen=True):
    """A node that could be made free.

    Attributes:
        victims: ``namespace/name``, the most important one first.
        violations: how many of them have a budget that does not allow it.
    """

    victims: tuple[str, ...] = ()
    violations: int = 0


class Preempted(msgspec.Struct, frozen=True):
    """What could be done.

    Attributes:
        candidates: by name of node.
        chosen: the node, or "".
        message: why nothing can be done, where there is no candidate.
    """

    candidates: dict[str, Room]
    chosen: str = ""
    message: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What is said of one pod, alone against the state as it is.

    Attributes:
        feasible: names of nodes.
        rejected: by name of node.
        scores: by name of feasible node.
        refused: by a pre-filter: no node was looked at.
        message: the failure text, where no node is feasible.
        error: what stopped the decision without a verdict.
        preemption: what could be done, where no node is feasible; of the oracle only.
    """

    feasible: tuple[str, ...]
    rejected: dict[str, Rejection]
    scores: dict[str, Score]
    refused: Rejection | None = None
    message: str = ""
    error: str = ""
    preemption: Preempted | None = None


class Difference(msgspec.Struct, frozen=True):
    """One difference.

    Attributes:
        kind: what differs: feasible, refused, reason, message, error, score of a plugin.
        detail: on which node, and what each says.
    """

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


def differences(ours: Verdict, theirs: Verdict) -> list[Difference]:
    """Everything in which two verdicts differ."""
    return list(_differences(ours, theirs))


def _differences(ours: Verdict, theirs: Verdict) -> Iterator[Difference]:
    if ours.error or theirs.error:
        if ours.error != theirs.error:
            yield Difference("error", _sides(ours.error, theirs.error))
        return
    if ours.refused != theirs.refused:
        yield Difference("refused", _sides(ours.refused, theirs.refused))
    for name in sorted(set(ours.feasible) ^ set(theirs.feasible)):
        yield Difference("feasible", f"{name} {_sides(ours.rejected.get(name), theirs.rejected.get(name))}")
    for name in sorted(ours.rejected.keys() & theirs.rejected.keys()):
        if ours.rejected[name] != theirs.rejected[name]:
            yield Difference("reason", f"{name} {_sides(ours.rejected[name], theirs.rejected[name])}")
    if ours.message != theirs.message:
        yield Difference("message", _sides(ours.message, theirs.message))
    if set(ours.feasible) == set(theirs.feasible):
        yield from _scores(ours, theirs)


def _scores(ours: Verdict, theirs: Verdict) -> Iterator[Difference]:
    for name in sorted(ours.feasible):
        mine, yours = ours.scores[name], theirs.scores[name]
        for plugin in sorted(mine.plugins.keys() | yours.plugins.keys()):
            if mine.plugins.get(plugin, 0) != yours.plugins.get(plugin, 0):
                detail = f"{name} {_sides(mine.plugins.get(plugin, 0), yours.plugins.get(plugin, 0))}"
                yield Difference(f"score of {plugin}", detail)
        if mine.total != yours.total:
            yield Difference("total score", f"{name} {_sides(mine.total, yours.total)}")


def _sides(ours: object, theirs: object) -> str:
    return f"Stowplan {ours!r}, kube-scheduler {theirs!r}"
