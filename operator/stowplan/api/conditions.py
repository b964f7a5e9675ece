"""Lists of conditions, kept as ``meta.SetStatusCondition`` does: pure, the time is an argument.

Called by whoever writes a status. Source: k8s.io/apimachinery/pkg/api/meta/conditions.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from stowplan.api.common import Condition


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of this type, if it is there."""
    return next((condition for condition in conditions if condition.type == type_), None)


def set_condition(conditions: Iterable[Condition], condition: Condition, *, now: datetime) -> tuple[Condition, ...]:
    """Put ``condition`` into the list, in the place of the one with the same type, or at the end.

    ``lastTransitionTime`` becomes ``now`` (whole seconds, as the API keeps it) where the status changes and stays as it
    was where it does not, so that setting what is already there changes nothing. A condition about an older generation
    than the one in the list comes too late and is left out.
    """
    kept = tuple(conditions)
    old = find(kept, condition.type)
    if old is not None and old.observed_generation > condition.observed_generation:
        return kept
    since = now.replace(microsecond=0)
    if old is not None and old.status == condition.status and old.last_transition_time is not None:
        since = old.last_transition_time
    new = condition.model_copy(update={"last_transition_time": since})
    if old is None:
        return (*kept, new)
    return tuple(new if present.type == new.type else present for present in kept)
