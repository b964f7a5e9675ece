"""Bringing raw scores to 0..100.

Source: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/helper/normalize_score.go``.
"""

from __future__ import annotations

import numpy as np

from stowplan.framework.plugin import MAX_SCORE, Scores


def default_normalize(raw: Scores, *, reverse: bool) -> Scores:
    """Scales to the largest: ``100 * raw // max``; reversed, ``100 - that``.

    Args:
        raw: int64[feasible], non-negative.
        reverse: whether the smallest raw value is the best.
    """
    largest = int(raw.max(initial=0))
    if largest == 0:
        return np.full_like(raw, MAX_SCORE) if reverse else raw
    scaled = raw * MAX_SCORE // largest
    return MAX_SCORE - scaled if reverse else scaled
