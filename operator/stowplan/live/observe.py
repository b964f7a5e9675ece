"""What the scheduling loop reports while it runs; ``app`` turns it into metrics."""

from __future__ import annotations

from typing import Literal, Protocol

from stowplan.framework.plugin import Probe

Result = Literal["scheduled", "unschedulable", "error"]
GangResult = Literal["bound", "waiting", "undone"]


class Observer(Protocol):
    """Told of everything that is counted or timed. Called in the event loop; must be quick and must not raise."""

    def probe(self, profile: str) -> Probe:
        """The clock of one decision."""

    def algorithm(self, seconds: float) -> None:
        """A decision was made, from filter to reserve."""

    def attempt(self, result: Result, profile: str, seconds: float) -> None:
        """An attempt has ended: with a bind, without a node, or by an error."""

    def preemption(self, victims: int) -> None:
        """Room was looked for, for a pod that fits nowhere; so many pods have to leave, 0 where that does not help."""

    def bound(self, attempts: int, seconds: float) -> None:
        """A pod is bound after so many attempts, ``seconds`` after it was first queued."""

    def bind(self, outcome: str, seconds: float) -> None:
        """The API server has answered a bind."""

    def gang(self, result: GangResult) -> None:
        """What became of a gang that was tried: ``undone`` where its members gave up their nodes before any bind."""

    def joint_placement(self, answer: str, seconds: float) -> None:
        """The solver has answered a question."""
