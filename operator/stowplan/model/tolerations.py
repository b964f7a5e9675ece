"""Taints and tolerations.

Source of the rules: k8s.io/api v0.36.3 ``core/v1/toleration.go`` and component-helpers v0.36.3
``scheduling/corev1/helpers.go``. The operators ``Lt`` and ``Gt`` (KEP-5471) are always honoured: an API server
that has them switched off does not let a pod use them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from stowplan.model import objects

NO_SCHEDULE = "NoSchedule"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
NO_EXECUTE = "NoExecute"

UNSCHEDULABLE = objects.Taint(key="node.kubernetes.io/unschedulable", effect=NO_SCHEDULE)
"""The taint that stands for ``spec.unschedulable: true``."""

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,62}")  # apimachinery v0.36.3 pkg/api/validate/content/decimal_int.go
_LEAST, _MOST = -(2**63), 2**63 - 1


def _compare(operator: str, want: str, have: str) -> bool:
    if not (_INTEGER.fullmatch(have) and _INTEGER.fullmatch(want)):
        return False
    left, right = int(have), int(want)
    if not (min(left, right) >= _LEAST and max(left, right) <= _MOST):
        return False
    return left < right if operator == "Lt" else left > right


def tolerates(toleration: objects.Toleration, taint: objects.Taint) -> bool:
    """Whether one toleration tolerates one taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "" | "Equal":
            return toleration.value == taint.value
        case "Exists":
            return True
        case "Lt" | "Gt":
            return _compare(toleration.operator, toleration.value, taint.value)
        case _:
            return False


def any_tolerates(tolerations: Iterable[objects.Toleration], taint: objects.Taint) -> bool:
    """Whether any of the tolerations tolerates the taint."""
    return any(tolerates(each, taint) for each in tolerations)


def first_untolerated(
    taints: Iterable[objects.Taint], tolerations: Iterable[objects.Toleration], effects: frozenset[str]
) -> objects.Taint | None:
    """The first taint with one of the effects that no toleration tolerates."""
    tolerations = tuple(tolerations)
    for taint in taints:
        if taint.effect in effects and not any_tolerates(tolerations, taint):
            return taint
    return None
