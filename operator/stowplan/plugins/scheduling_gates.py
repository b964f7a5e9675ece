"""Pods that are not to be scheduled yet, said in kube-scheduler's words; called by ``plan`` and ``explain``.

No decision is made about them: the queue (``scheduler.queue``) holds them back by itself. Source: kubernetes v1.36.3
``plugins/schedulinggates/scheduling_gates.go``.
"""

from __future__ import annotations

from stowplan.model.pods import PodInfo


def held_by(pod: PodInfo) -> str | None:
    """Why the pod waits; None where it has no gates."""
    if not pod.gates:
        return None
    return f"waiting for scheduling gates: [{' '.join(pod.gates)}]"
