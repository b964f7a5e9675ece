"""StatefulClusters: read, decide, do, until there is nothing more to do; then say how things stand.

Called by ``operator`` through its work queue, one reconcile at a time for each cluster, whatever woke it: a change of
the spec, of a member, of its policy, the start of the operator, or the time. Nothing is remembered that the next leader
would miss, except the API server's verdicts on new pod templates, which are asked for again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec
import structlog

from stowplan.api import checks
from stowplan.api.cluster import StatefulCluster, StatefulClusterStatus
from stowplan.errors import NotFound
from stowplan.handlers.announcing import Announcer
from stowplan.handlers.executor import Executor, Outcome
from stowplan.handlers.observer import CLUSTERS, Observer
from stowplan.kube import events, pacing, session
from stowplan.reconcile import classify, plan, status
from stowplan.reconcile.decide import decide

log = structlog.get_logger(__name__)

ROUNDS: Final = 20
"""Decisions in a row; a cluster that is not done then gives way to others for a moment."""
AGAIN: Final = 1.0


class ClusterController:
    """Reconciles StatefulClusters.

    Args:
        api: the API server.
        observer: reads.
        recorder: sends the events.
        now: the time, UTC.
        resync: seconds after which a cluster is looked at although nothing has woken it.
    """

    def __init__(
        self,
        api: session.Api,
        observer: Observer,
        recorder: events.Recorder,
        *,
        now: Callable[[], datetime],
        resync: float,
    ) -> None:
        self._api = api
        self._recorder = recorder
        self._observer = observer
        self._now = now
        self._resync = resync
        self._templates: dict[str, dict[str, str]] = {}
        self._refused: dict[str, pacing.Backoff] = {}

    async def reconcile(self, key: str) -> float | None:
        """Bring one cluster to where its spec says.

        Returns:
            Seconds until it should be looked at again at the latest; None where it does not exist.

        Raises:
            StowplanError: the API server could not be read or written; nothing is lost, try again.
        """
        verdicts: dict[str, str] = {
            revision: said for revision, said in self._templates.get(key, {}).items() if not said
        }
        self._templates[key] = verdicts  # what was refused is asked anew: webhooks and quotas change their mind
        for _ in range(ROUNDS):
            observed = await self._observer.observe(key, verdicts)
            if observed is None:
                self._forget(key)
                return None
            groups = classify.fleet(observed)
            decided = decide(observed, groups, self._now())
            announcer = Announcer(self._recorder, observed.cluster)
            outcome = await Executor(self._api, observed.cluster, verdicts, announcer).run(decided.actions)
            if not outcome.written:
                break
        else:
            return AGAIN
        said = status.status(observed, groups, _with_held(decided, outcome), tuple(outcome.refusals), self._now())
        if said != observed.cluster.status:
            await self._tell(observed.cluster, said)
        return self._next(key, decided, outcome)

    async def _tell(self, cluster: StatefulCluster, new: StatefulClusterStatus) -> None:
        """Write the status, and tell what has turned."""
        old, meta = cluster.status, cluster.metadata
        body = {"metadata": {"uid": meta.uid}, "status": _whole(new)}
        try:
            await self._api.patch(CLUSTERS.path(meta.namespace, meta.name, "status"), body, msgspec.Raw, repeat=True)
        except NotFound:
            return
        announcer = Announcer(self._recorder, cluster)
        announcer.turned(old, new)
        if old.observed_generation != meta.generation:
            for doubt in checks.validate(meta.name, cluster.spec):
                if not doubt.blocks:
                    announcer.doubted(doubt.field, doubt.message)
        log.info(
            "status", cluster=f"{meta.namespace}/{meta.name}", ready=new.summary.ready, survives=new.summary.survives
        )

    def _next(self, key: str, decided: plan.Plan, outcome: Outcome) -> float:
        delays = [self._resync]
        if decided.again_after is not None:
            delays.append(decided.again_after)
        if outcome.again_after is not None:
            delays.append(outcome.again_after)
        if outcome.refusals:
            delays.append(self._refused.setdefault(key, pacing.Backoff(first=1.0, most=self._resync)).delay())
        else:
            self._refused.pop(key, None)
        return min(delays)

    def _forget(self, key: str) -> None:
        self._templates.pop(key, None)
        self._refused.pop(key, None)


def _with_held(decided: plan.Plan, outcome: Outcome) -> plan.Plan:
    return dataclasses.replace(decided, pending=(*outcome.held, *decided.pending))


def _whole(status_: StatefulClusterStatus) -> dict[str, object]:
    """All fields, also the empty ones: a merge patch leaves alone what it does not name."""
    return dict(status_.to_json())
