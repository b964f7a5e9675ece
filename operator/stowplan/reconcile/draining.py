"""A member that is to be removed is asked to give away what it holds, and is waited for: drain of a node set.

Called by ``scaling`` before it takes a member away. What to ask is kept on the pod itself, so that a set that was taken
out of the spec is drained, too; so is since when, and that it has answered. A crash in between asks once more, which
the answer must stand (``api.cluster.Drain``).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from stowplan.api import cluster as api
from stowplan.api import common
from stowplan.api.base import seconds
from stowplan.model import objects, times
from stowplan.reconcile import specs
from stowplan.reconcile.actions import AskToDrain, Patch
from stowplan.reconcile.classify import Member, State
from stowplan.reconcile.observed import Pod, parse_time
from stowplan.reconcile.plan import Draft, Problem

DRAINED: Final = f"{common.GROUP}/drained"
"""On a pod that has answered that it holds nothing any more."""
PACE: Final = 2.0
"""Seconds between two questions."""
SLOWLY: Final = 30.0
"""Seconds between two questions to a member that has not drained in time."""
_ENDED: Final = frozenset({State.LOST, State.FAILED, State.SUCCEEDED, State.FOREIGN, State.TERMINATING})


def holds(member: Member, now: datetime, draft: Draft) -> str:
    """Ask the member to drain, where it shall be asked.

    Returns:
        What the removal waits for; "" where the member may go.
    """
    pod = member.pod
    drain = _drain(pod.metadata) if pod is not None else None
    if pod is None or drain is None or DRAINED in pod.metadata.annotations or member.state in _ENDED:
        return ""
    if not pod.status.pod_ip:  # it has never run
        return ""
    since = parse_time(pod.metadata.annotations.get(specs.ANNOTATION_DRAINING))
    if since is None:
        stamp = {specs.ANNOTATION_DRAINING: times.rfc3339(now.timestamp())}
        draft.do(_annotate(member, pod, {**stamp}, "it is asked to drain before it is removed"))
        return "it is asked to drain first"
    late = (now - since).total_seconds() >= seconds(drain.timeout)
    if late and drain.on_timeout == "Continue":
        return ""
    if late:
        message = (
            f"{member.name} has not drained within {drain.timeout}: see why, set drain.onTimeout to Continue, or take"
            " the scale-down back"
        )
        draft.problems.append(Problem(reason="DrainTimedOut", message=message))
    draft.do(AskToDrain(
        name=member.name, uid=pod.metadata.uid, url=_url(drain.http_post, pod.status.pod_ip), done={DRAINED: "true"},
        again_after=SLOWLY if late else PACE,
    ))  # fmt: skip
    return "it is draining" if not late else f"it has not drained within {drain.timeout}"


def stays(member: Member, draft: Draft) -> None:
    """The member is not to be removed after all."""
    pod = member.pod
    if pod is not None and member.live and specs.ANNOTATION_DRAINING in pod.metadata.annotations:
        draft.do(_annotate(member, pod, {specs.ANNOTATION_DRAINING: None, DRAINED: None}, "it stays"))


def _annotate(member: Member, pod: Pod, annotations: dict[str, str | None], why: str) -> Patch:
    body: specs.Manifest = {"metadata": {"annotations": {**annotations}}}
    return Patch(kind="Pod", name=member.name, uid=pod.metadata.uid, body=body, why=why)


def _drain(meta: objects.ObjectMeta) -> api.Drain | None:
    try:
        return api.Drain.model_validate(json.loads(meta.annotations.get(specs.ANNOTATION_DRAIN, "")))
    except ValueError:  # no JSON, or not what a Drain is
        return None


def _url(post: api.DrainHttpPost, address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{post.scheme.lower()}://{host}:{post.port}{post.path}"
