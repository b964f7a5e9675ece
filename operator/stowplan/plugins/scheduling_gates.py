"""Pods that are not to be scheduled yet.

Called by the queue before it takes a pod up: a gated pod takes part in no decision. Source: kubernetes v1.36.3
``plugins/schedulinggates/scheduling_gates.go``.
"""

from __future__ import annotations

from stowplan.model.pods import PodInfo

NAME = "SchedulingGates"


def held_by(pod: PodInfo) -> str | None:
    """Why the pod waits, in kube-scheduler's words, or None where it has no gates."""
    if not pod.gates:
        return None
    return f"waiting for scheduling gates: [{' '.join(pod.gates)}]"
