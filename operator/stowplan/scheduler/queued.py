"""One pod in the scheduling queue, and where it is; see ``scheduler.queue``."""

from __future__ import annotations

import dataclasses
import enum

from stowplan.model.pods import PodInfo


class Place(enum.Enum):
    """Where a queued pod is; the values are kube-scheduler's labels of ``scheduler_pending_pods``."""

    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"


@dataclasses.dataclass(slots=True, eq=False)
class QueuedPodInfo:
    """A pod in the queue, and its history.

    Attributes:
        added: when the queue saw it first.
        attempts: decisions made for it.
        looks: looks in a row, since the last decision, that have shown that none was needed.
        backoff_until: it is not tried again before.
        rejected_by: plugins that rejected it when it was last found to fit nowhere.
        reasons: theirs, without numbers.
        message: why it fits nowhere, as last reported.
        woken_by: the label of what woke it for the try under way; "" for its first try.
        ticket: of its entry in the queue; changes with each move.
    """

    pod: PodInfo
    added: float
    place: Place = Place.ACTIVE
    attempts: int = 0
    looks: int = 0
    backoff_until: float = 0.0
    rejected_by: tuple[str, ...] = ()
    reasons: frozenset[str] = frozenset()
    message: str = ""
    woken_by: str = ""
    ticket: int = 0
