"""Adding up what the rules of a policy say about the nodes."""

from __future__ import annotations

from collections.abc import Iterable

from stowplan.framework.plugin import MAX_SCORE, Scores


def weighted(points: Iterable[tuple[int, Scores]]) -> Scores | None:
    """Weighted points as a score; None where no rule has anything to say.

    A weight is the most that a rule can add to the score, out of 100: a single rule with weight 30 makes a difference
    of 30 at most. Where the weights sum up to more than 100 they share the 100.

    Args:
        points: weight (1 to 100) and int64[feasible] of 0 to 100, per rule.
    """
    total: Scores | None = None
    weights = 0
    for weight, each in points:
        weights += weight
        total = weight * each if total is None else total + weight * each
    return None if total is None else total // max(weights, MAX_SCORE)
