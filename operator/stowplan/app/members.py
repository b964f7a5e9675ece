"""StatefulClusters in files: the members that are not there are made as the operator would make them.

Called by ``judge`` before ``plan`` places what waits. What to make is asked of ``reconcile``, with the files as the
cluster: pods and claims with the names, labels and templates that the operator would give them. What it would not make
yet is told with the reason. Whatever else the operator would do (updates, removals) is not done.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from stowplan import errors
from stowplan.api import checks, common
from stowplan.api import cluster as api
from stowplan.api.policy import SchedulingPolicySpec
from stowplan.model import objects, times
from stowplan.reconcile import actions, classify, observed, specs
from stowplan.reconcile.decide import decide
from stowplan.reconcile.plan import Plan
from stowplan.simulator import manifest

_PARTS: Final[Mapping[str, type[objects.KubeObject]]] = {
    "Pod": observed.Pod,
    "PersistentVolumeClaim": observed.Claim,
    "ControllerRevision": observed.Revision,
}
_MADE: Final = frozenset({"Pod", "PersistentVolumeClaim"})


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A member that the operator would not make now.

    Attributes:
        pod: ``namespace/name``.
        reason: why not.
    """

    pod: str
    reason: str


def make(found: manifest.Manifests, now: datetime) -> list[Held]:
    """Adds the pods and claims that members of the StatefulClusters lack; where two have one name, the last one counts.

    Args:
        found: what was read.
        now: the time, UTC. The members are made one second after the other from then on, in the operator's order.

    Returns:
        The members that are not made.

    Raises:
        UsageError: a part of a cluster cannot be understood.
    """
    found.clusters[:] = {_key(each): each for each in found.clusters}.values()
    parts = _parts(found)
    nodes = {each.metadata.name: observed.glimpse(each) for each in found.objects if isinstance(each, objects.Node)}
    policies = {f"{each.metadata.namespace}/{each.metadata.name}": each.spec for each in found.policies}
    held: list[Held] = []
    made: list[dict[str, object]] = []
    for cluster in found.clusters:
        seen = _observed(cluster, parts.get(_key(cluster), []), nodes, policies)
        groups = classify.fleet(seen)
        decided = decide(seen, groups, now)
        for action in decided.actions:
            if isinstance(action, actions.Create) and action.kind in _MADE:
                made.append(_dated(action.manifest, now + timedelta(seconds=len(made))))
        held += _held(seen, groups, decided)
    manifest.add(found, made)
    return held


def _parts(found: manifest.Manifests) -> Mapping[str, list[objects.KubeObject]]:
    """What carries the label of a cluster, by the cluster's key."""
    parts: dict[str, list[objects.KubeObject]] = collections.defaultdict(list)
    for raw in found.labelled:
        kind = _PARTS.get(str(raw["kind"]))
        if kind is not None:
            try:
                part = msgspec.convert(raw, kind)
            except msgspec.ValidationError as error:
                named = msgspec.convert(raw, objects.KubeObject).metadata.name
                raise errors.UsageError(f"{raw['kind']} {named}: {error}") from error
            namespace = part.metadata.namespace or manifest.DEFAULT_NAMESPACE
            parts[f"{namespace}/{part.metadata.labels[common.LABEL_CLUSTER]}"].append(part)
    return parts


def _observed(
    cluster: api.StatefulCluster,
    parts: list[objects.KubeObject],
    nodes: Mapping[str, observed.NodeView],
    policies: Mapping[str, SchedulingPolicySpec],
) -> observed.Observed:
    """The files as the operator would see them, were they the cluster; the API server would accept each template."""
    pods = tuple(each for each in parts if isinstance(each, observed.Pod))
    meta = cluster.metadata.model_copy(update={"uid": _uid(cluster, pods)})
    ref = cluster.spec.scheduling_policy_ref
    return observed.Observed(
        cluster=cluster.model_copy(update={"metadata": meta}),
        pods=pods,
        claims=tuple(each for each in parts if isinstance(each, observed.Claim)),
        revisions=tuple(each for each in parts if isinstance(each, observed.Revision)),
        nodes=nodes,
        policy=None if ref is None else policies.get(f"{meta.namespace}/{ref.name}"),
        templates={specs.revision(each): "" for each in cluster.spec.node_sets},
    )


def _uid(cluster: api.StatefulCluster, pods: tuple[observed.Pod, ...]) -> str:
    """Of a cluster as somebody has written it: that which its pods name as their owner, if there are any."""
    owners = (observed.controller(each) for each in pods)
    named = (
        each.uid for each in owners if each is not None and (each.kind, each.name) == (api.KIND, cluster.metadata.name)
    )
    return cluster.metadata.uid or next(named, f"{api.KIND}/{_key(cluster)}")


def _dated(made: specs.Manifest, created: datetime) -> dict[str, object]:
    metadata = made["metadata"]
    assert isinstance(metadata, dict)
    return {**made, "metadata": {**metadata, "creationTimestamp": times.rfc3339(created.timestamp())}}


def _held(seen: observed.Observed, groups: tuple[classify.Group, ...], decided: Plan) -> Iterator[Held]:
    meta, spec = seen.cluster.metadata, seen.cluster.spec
    present = {each.metadata.name for each in seen.pods}
    waits = {each.target: each.held_by for each in decided.pending}
    wrong = {each.node_set: str(each) for each in checks.validate(meta.name, spec) if each.blocks}
    for group in groups:
        for ordinal in range(group.wanted):
            name = specs.pod_name(meta.name, specs.Identity(group.name, ordinal))
            reason = wrong.get(group.name) or waits.get(name)
            if reason and name not in present:
                yield Held(f"{meta.namespace}/{name}", reason)


def _key(cluster: api.StatefulCluster) -> str:
    return f"{cluster.metadata.namespace}/{cluster.metadata.name}"
