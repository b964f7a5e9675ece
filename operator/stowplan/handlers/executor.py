"""Carries out what ``reconcile.decide`` asks for: one request to the API server for each action, in their order.

Called by ``clusters``. Nothing here decides: an object that is gone, or has been replaced since, is left to the next
decision; a refusal is reported, and keeps back only what would be refused in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from stowplan.api import common
from stowplan.api.cluster import PendingChange, StatefulCluster
from stowplan.errors import ApiError, Conflict, NotFound
from stowplan.handlers import draining
from stowplan.handlers.announcing import Announcer
from stowplan.kube import resources, session
from stowplan.model import objects
from stowplan.reconcile import actions, observed, specs
from stowplan.reconcile.plan import Refusal, describe

log = structlog.get_logger(__name__)

SERVICES: Final = resources.Resource(kind="Service", plural="services", type=objects.KubeObject)
REVISIONS: Final = resources.Resource(
    group="apps", kind="ControllerRevision", plural="controllerrevisions", type=observed.Revision
)
RESOURCES: Final[dict[actions.Kind, resources.Resource[objects.KubeObject]]] = {
    "Pod": resources.PODS,
    "PersistentVolumeClaim": resources.CLAIMS,
    "PodDisruptionBudget": resources.DISRUPTION_BUDGETS,
    "Service": SERVICES,
    "ControllerRevision": REVISIONS,
}

STRICT: Final = {"fieldValidation": "Strict"}
"""Of what is created from a new template. Our CRD keeps whatever a template holds, so a misspelt field of a pod is
found out here; without this the API server would leave it out without a word."""
HELD: Final = 2.0
"""Seconds until an eviction that the disruption budget did not allow is asked for again."""
_NOT_TRIED: Final = frozenset({429, 500, 502, 503, 504})
"""Answers that say nothing of the object: try again later."""
_NO_VERDICT: Final = ("exceeded quota", "does not support dry run")
"""A dry run is refused so, although the pod that takes an old one's place might not be."""


@dataclass(kw_only=True)
class Outcome:
    """What became of the actions.

    Attributes:
        written: how many requests changed something, or found it changed by others.
        refusals: what the API server did not accept.
        held: evictions that a disruption budget does not allow now, and members that have not drained yet.
        again_after: seconds after which what is held is tried again.
    """

    written: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    held: list[PendingChange] = field(default_factory=list)
    again_after: float | None = None

    def hold(self, action: actions.Action, held_by: str, again_after: float) -> None:
        """The action has to wait."""
        self.held.append(PendingChange(target=action.name, change=describe(action).change, held_by=held_by))
        self.again_after = min(again_after, again_after if self.again_after is None else self.again_after)


class Executor:
    """Writes for one cluster.

    Args:
        api: the API server.
        cluster: the cluster that is written for.
        templates: by revision, the API server's verdict on its pods; written here, see ``Observed.templates``.
        announcer: is told what was done.
    """

    def __init__(
        self, api: session.Api, cluster: StatefulCluster, templates: dict[str, str], announcer: Announcer
    ) -> None:
        self._announcer = announcer
        self._api = api
        self._cluster = cluster
        self._namespace = cluster.metadata.namespace
        self._templates = templates
        self._log = log.bind(cluster=f"{self._namespace}/{cluster.metadata.name}")

    async def run(self, todo: tuple[actions.Action, ...]) -> Outcome:
        """Do them all.

        Raises:
            ApiUnreachable: the API server gives no answer; nobody knows what became of the last one.
            ApiError: it cannot take requests now.
        """
        outcome = Outcome()
        refused: set[str] = set()
        for action in todo:
            if isinstance(action, actions.Create) and (node_set := _node_set(action.manifest)) in refused:
                self._log.debug("not tried", action="create", name=action.name, node_set=node_set)
                continue
            try:
                if isinstance(action, actions.AskToDrain) and (said := await draining.ask(action.url)):
                    outcome.hold(action, said, action.again_after)
                    continue
                await self._do(action)
            except NotFound:
                if isinstance(action, actions.Create):
                    raise  # the namespace
                outcome.written += 1
            except ApiError as error:
                if isinstance(action, actions.Evict) and error.status == 429:
                    outcome.hold(action, str(error), HELD)
                    continue
                if error.status in _NOT_TRIED:
                    raise
                if isinstance(error, Conflict) and not isinstance(action, actions.Create):
                    outcome.written += 1  # it has changed since it was read
                    continue
                if await self._refused(action, error, outcome) and isinstance(action, actions.Create):
                    refused.add(_node_set(action.manifest))
            else:
                outcome.written += 1
        return outcome

    async def _do(self, action: actions.Action) -> None:
        resource = RESOURCES[action.kind]
        path = resource.path(self._namespace, action.name)
        why = getattr(action, "why", "")
        match action:
            case actions.Create():
                params = None if action.serves else STRICT
                await self._api.request("POST", resource.path(self._namespace), body=action.manifest, params=params)
            case actions.Patch():
                metadata = action.body.get("metadata")
                guarded = {**(metadata if isinstance(metadata, dict) else {}), "uid": action.uid}
                body = {**action.body, "metadata": guarded}
                await self._api.patch(path, body, msgspec.Raw, content_type=session.STRATEGIC_PATCH, repeat=True)
            case actions.Delete():
                await self._api.delete(path, uid=action.uid, grace_seconds=0 if action.force else None)
            case actions.Evict():
                eviction: dict[str, object] = {
                    "apiVersion": "policy/v1",
                    "kind": "Eviction",
                    "metadata": {"name": action.name, "namespace": self._namespace},
                    "deleteOptions": {"preconditions": {"uid": action.uid}},
                }
                await self._evict(f"{path}/eviction", eviction)
            case actions.AskToDrain():
                drained: dict[str, object] = {"metadata": {"uid": action.uid, "annotations": {**action.done}}}
                await self._api.patch(path, drained, msgspec.Raw, repeat=True)
            case actions.CheckTemplate():
                await self._check(resource.path(self._namespace), action)
                return
        self._announcer.done(action)
        self._log.info("wrote", action=type(action).__name__.lower(), kind=action.kind, name=action.name, why=why)

    async def _evict(self, path: str, eviction: dict[str, object]) -> None:
        """A budget that does not allow it answers 429, with a time to wait: not here, the next reconcile asks again."""
        await self._api.request("POST", path, body=eviction, attempts=1)

    async def _check(self, path: str, action: actions.CheckTemplate) -> None:
        verdict = ""
        try:
            await self._api.request("POST", path, body=action.manifest, params={"dryRun": "All", **STRICT})
        except ApiError as error:
            if error.status in _NOT_TRIED:
                raise
            if not any(text in str(error) for text in _NO_VERDICT):
                verdict = str(error)
        self._templates[action.revision] = verdict

    async def _refused(self, action: actions.Action, error: ApiError, outcome: Outcome) -> bool:
        """Report it; False where there is nothing to report."""
        refusal = await self._refusal(action, error)
        if refusal is None:
            outcome.written += 1
            return False
        self._log.warning("refused", action=type(action).__name__, name=action.name, message=refusal.message)
        self._announcer.refused(action, refusal)
        outcome.refusals.append(refusal)
        return True

    async def _refusal(self, action: actions.Action, error: ApiError) -> Refusal | None:
        """What to tell of it; None where what is in the way is the cluster's own, and gets its labels again."""

        def refusal(reason: str, message: str) -> Refusal:
            return Refusal(target=action.name, change=describe(action).change, reason=reason, message=message)

        if not isinstance(error, Conflict):
            return refusal(error.reason or "Refused", str(error))
        path = RESOURCES[action.kind].path(self._namespace, action.name)
        try:
            found = await self._api.get(path, objects.KubeObject)
        except NotFound:
            return refusal("Conflict", str(error))
        mine = self._cluster.metadata.uid in {each.uid for each in found.metadata.owner_references if each.controller}
        if not mine or not isinstance(action, actions.Create):
            return refusal("ForeignObject", self._in_the_way(action, found))
        labels = _labels(action.manifest)
        if action.kind == "Pod":
            labels.pop(common.LABEL_REVISION, None)  # it may be of another template
        body = {"metadata": {"uid": found.metadata.uid, "labels": labels}}
        await self._api.patch(path, body, msgspec.Raw, repeat=True)
        self._log.info("wrote", action="patch", kind=action.kind, name=action.name, why="it has lost its labels")
        return None

    def _in_the_way(self, action: actions.Action, found: objects.KubeObject) -> str:
        owner = next((each for each in found.metadata.owner_references if each.controller), None)
        what = f"the {action.kind} {action.name} exists"
        if owner is not None:
            return f"{what} and belongs to {owner.kind} {owner.name} ({owner.uid}): delete it to let the member have it"
        wanted = _labels(action.manifest) if isinstance(action, actions.Create) else {}
        labels = ", ".join(f"{key}={value}" for key, value in sorted(wanted.items()) if key in _IDENTITY)
        return f"{what} and is not this cluster's: delete it, or label it {labels} to let the member have it"


_IDENTITY: Final = frozenset({common.LABEL_CLUSTER, common.LABEL_NODE_SET, common.LABEL_MEMBER})


def _labels(manifest: specs.Manifest) -> dict[str, str]:
    return msgspec.convert(manifest, objects.KubeObject).metadata.labels


def _node_set(manifest: specs.Manifest) -> str:
    return _labels(manifest).get(common.LABEL_NODE_SET, "")
