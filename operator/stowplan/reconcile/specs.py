"""The objects that a StatefulCluster owns, built from its spec: names, Service, claims, pods, budgets, revisions.

Pure builders, called by ``decide`` (and by ``fleet`` for names and revisions). What is built depends on the user's spec
alone, in particular the revision: a newer Stowplan must restart no member.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from pydantic import JsonValue

from stowplan.api import cluster as api
from stowplan.api import common
from stowplan.api.base import share
from stowplan.model import objects

Manifest = dict[str, JsonValue]

ANNOTATION_RELEASED: Final = f"{common.GROUP}/released"
"""On a claim whose member was scaled away: what was promised then, ``Retain`` or ``Delete``. It tells claims that wait
to be used again from those of members that are only missing a pod for the moment."""


ANNOTATION_DRAIN: Final = f"{common.GROUP}/drain"
"""On a member's pod: what it is asked before it is removed, as JSON; see ``draining``."""


ANNOTATION_DRAINING: Final = f"{common.GROUP}/draining-since"
"""On the pod of a member that is about to be removed: when it was first asked."""


class Identity(NamedTuple):
    """A member: its node set and its ordinal."""

    node_set: str
    ordinal: int


def pod_name(cluster: str, identity: Identity) -> str:
    """``<cluster>-<nodeSet>-<n>``."""
    return f"{cluster}-{identity.node_set}-{identity.ordinal}"


def claim_name(template: str, pod: str) -> str:
    """``<template>-<pod>``."""
    return f"{template}-{pod}"


def budget_name(cluster: str, node_set: str) -> str:
    """``<cluster>-<nodeSet>``."""
    return f"{cluster}-{node_set}"


def revision_name(cluster: str, node_set: str, revision_: str) -> str:
    """``<cluster>-<nodeSet>-<revision>``."""
    return f"{cluster}-{node_set}-{revision_}"


def identity(meta: objects.ObjectMeta) -> Identity | None:
    """The member that an object belongs to by its labels; None where they do not say."""
    node_set, ordinal = meta.labels.get(common.LABEL_NODE_SET), meta.labels.get(common.LABEL_MEMBER, "")
    if node_set is None or not ordinal.isascii() or not ordinal.isdigit() or str(int(ordinal)) != ordinal:
        return None
    return Identity(node_set, int(ordinal))


def owner_reference(cluster: api.StatefulCluster) -> Manifest:
    """What makes the garbage collector delete an object with the cluster, and others leave it alone."""
    return {
        "apiVersion": common.API_VERSION,
        "kind": api.KIND,
        "name": cluster.metadata.name,
        "uid": cluster.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def revision(node_set: api.NodeSet) -> str:
    """A hash of what a member must be restarted for: the pod template, and which volumes it has.

    Over the user's own JSON (fields that were set), with what means nothing left out: nulls, and empty metadata. The
    size of a volume is not part of it, since it grows in place.
    """
    claimed = sorted(template.metadata.name for template in node_set.volume_claim_templates)
    what: Manifest = {"template": _template(node_set), "claims": [*claimed]}
    canonical = json.dumps(what, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


def controller_revision(cluster: api.StatefulCluster, node_set: api.NodeSet, number: int) -> Manifest:
    """What is kept of a template that has served: an apps/v1 ControllerRevision, as a StatefulSet keeps its own.

    Args:
        cluster: the owner.
        node_set: whose template and claim templates are kept.
        number: higher than that of any older one.
    """
    name = revision_name(cluster.metadata.name, node_set.name, revision(node_set))
    labels: dict[str, JsonValue] = {common.LABEL_NODE_SET: node_set.name, common.LABEL_REVISION: revision(node_set)}
    claimed: list[JsonValue] = [
        each.model_dump(mode="json", by_alias=True, exclude_unset=True) for each in node_set.volume_claim_templates
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {**_metadata(cluster, name, labels), "ownerReferences": [owner_reference(cluster)]},
        "revision": number,
        "data": {_KEPT: _plain({"template": _template(node_set), "volumeClaimTemplates": claimed})},
    }


_KEPT: Final = "nodeSet"


def _plain(value: Manifest) -> str:
    """JSON as a text in which no JSON encoder finds anything to write in another way.

    The API server takes a ControllerRevision whose data was only written anew, with its keys sorted and some characters
    escaped, for one whose data was changed, and refuses every patch of it: that of the garbage collector when the
    cluster is deleted and leaves its objects behind, too (ValidateControllerRevisionUpdate in
    pkg/apis/apps/validation/validation.go compares the bytes).
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def stored(node_set: api.NodeSet, data: Mapping[str, object], revision_: str) -> api.NodeSet | None:
    """The node set with the template that a ControllerRevision holds; None where it is not what its label says.

    Claims that the node set still has are as big as it says now: a volume never shrinks again.
    """
    try:
        old = api.NodeSet.model_validate({**json.loads(str(data.get(_KEPT, ""))), "name": node_set.name})
    except (ValueError, TypeError):  # a ValidationError is a ValueError
        return None
    if revision(old) != revision_:
        return None
    present = {each.metadata.name: each for each in node_set.volume_claim_templates}
    claimed = tuple(present.get(each.metadata.name, each) for each in old.volume_claim_templates)
    return node_set.model_copy(update={"template": old.template, "volume_claim_templates": claimed})


def _template(node_set: api.NodeSet) -> Manifest:
    dumped: Manifest = node_set.template.model_dump(mode="json", by_alias=True, exclude_unset=True)
    template = _mapping(_without_nulls(dumped))
    given = _mapping(template.pop("metadata", None))
    given.pop("creationTimestamp", None)
    metadata: Manifest = {name: value for name, value in given.items() if value}
    return {**template, "metadata": metadata} if metadata else template


def _without_nulls(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value


def _mapping(value: JsonValue) -> Manifest:
    return dict(value) if isinstance(value, dict) else {}


def _items(value: JsonValue) -> list[JsonValue]:
    return list(value) if isinstance(value, list) else []


def _metadata(cluster: api.StatefulCluster, name: str, labels: dict[str, JsonValue]) -> Manifest:
    return {
        "name": name,
        "namespace": cluster.metadata.namespace,
        "labels": {**labels, common.LABEL_CLUSTER: cluster.metadata.name},
    }


def service(cluster: api.StatefulCluster) -> Manifest:
    """The headless Service that gives each member a stable DNS name, ready or not (members find each other by it)."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**_metadata(cluster, cluster.metadata.name, {}), "ownerReferences": [owner_reference(cluster)]},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {common.LABEL_CLUSTER: cluster.metadata.name},
        },
    }


def _member_labels(member: Identity) -> dict[str, JsonValue]:
    return {common.LABEL_NODE_SET: member.node_set, common.LABEL_MEMBER: str(member.ordinal)}


def _role_labels(node_set: api.NodeSet) -> dict[str, JsonValue]:
    return {common.role_label(role): "true" for role in node_set.roles}


def pod(cluster: api.StatefulCluster, node_set: api.NodeSet, ordinal: int) -> Manifest:
    """A member's pod."""
    member = Identity(node_set.name, ordinal)
    name = pod_name(cluster.metadata.name, member)
    template = _template(node_set)
    given = _mapping(template.get("metadata"))
    labels: dict[str, JsonValue] = {
        **_mapping(given.get("labels")),
        **_member_labels(member),
        common.LABEL_REVISION: revision(node_set),
        **_role_labels(node_set),
    }
    annotations = _mapping(given.get("annotations"))
    annotations |= live_annotations(cluster, node_set)
    given_spec = _mapping(template.get("spec"))
    claimed = [each.metadata.name for each in node_set.volume_claim_templates]
    # As a StatefulSet does, a claim template takes the place of a volume of the same name.
    volumes = [each for each in _items(given_spec.get("volumes")) if _mapping(each).get("name") not in claimed]
    volumes += [{"name": each, "persistentVolumeClaim": {"claimName": claim_name(each, name)}} for each in claimed]
    spec: Manifest = {
        **given_spec,
        "hostname": name,
        "subdomain": cluster.metadata.name,
        "schedulerName": given_spec.get("schedulerName") or common.SCHEDULER_NAME,
    }
    if volumes:
        spec["volumes"] = volumes
    metadata = _metadata(cluster, name, labels)
    metadata["ownerReferences"] = [owner_reference(cluster)]
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def live_annotations(cluster: api.StatefulCluster, node_set: api.NodeSet) -> dict[str, str]:
    """Annotations of a member's pod that follow the spec while it runs."""
    made = {}
    if cluster.spec.scheduling_policy_ref is not None:
        made[common.ANNOTATION_POLICY] = cluster.spec.scheduling_policy_ref.name
    if node_set.drain is not None:
        made[ANNOTATION_DRAIN] = json.dumps(node_set.drain.to_json(), sort_keys=True, separators=(",", ":"))
    return made


def probe(cluster: api.StatefulCluster, node_set: api.NodeSet) -> Manifest:
    """A pod like those of the node set under a name that none of them has, for the API server to judge (dry run)."""
    made = pod(cluster, node_set, 0)
    metadata = _mapping(made["metadata"])
    metadata["name"] = f"{pod_name(cluster.metadata.name, Identity(node_set.name, 0))[:-2]}-check"
    return {**made, "metadata": metadata}


def claims(cluster: api.StatefulCluster, node_set: api.NodeSet, ordinal: int) -> list[Manifest]:
    """A member's claims. With whenDeleted: Delete they are owned by the cluster, and go with it.

    They have the member's labels: the scheduler goes by them while the member has no pod (``framework.homes``).
    """
    member = Identity(node_set.name, ordinal)
    made: list[Manifest] = []
    for template in node_set.volume_claim_templates:
        dumped: Manifest = template.model_dump(mode="json", by_alias=True, exclude_unset=True)
        given = _mapping(dumped.get("metadata"))
        name = claim_name(template.metadata.name, pod_name(cluster.metadata.name, member))
        labels = {**_mapping(given.get("labels")), **_member_labels(member), **_role_labels(node_set)}
        metadata = _metadata(cluster, name, labels)
        if annotations := _mapping(given.get("annotations")):
            metadata["annotations"] = annotations
        if cluster.spec.persistent_volume_claim_retention_policy.when_deleted == "Delete":
            metadata["ownerReferences"] = [owner_reference(cluster)]
        spec: Manifest = {"accessModes": list(template.spec.access_modes), **_mapping(dumped.get("spec"))}
        made.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    return made


def spare(node_set: api.NodeSet, limit: int | str, size: int) -> int:
    """How many of ``size`` members may be unavailable at once: ``limit``, and in a quorum set less than would cost it
    its majority.
    """  # noqa: D205
    allowed = share(limit, size, round_up=True)
    return min(allowed, max(size - 1, 0) // 2) if node_set.quorum else min(allowed, size)


def budget(cluster: api.StatefulCluster, node_set: api.NodeSet, *, size: int, hold: bool) -> Manifest:
    """The PodDisruptionBudget of a node set.

    It says minAvailable, as a number: for maxUnavailable the disruption controller asks the owner's scale subresource
    how many pods there are, which a cluster of several node sets cannot answer (getExpectedPodCount in
    pkg/controller/disruption/disruption.go). Members that are not ready may always be evicted: they serve nobody, and
    would hold up a drain for ever (KEP-3017).

    Args:
        cluster: the owner.
        node_set: whose members it protects.
        size: how many members the set has, or shall have if that is more.
        hold: refuse every eviction of a ready member, because members are being taken away already.
    """
    allowed = 0 if hold else spare(node_set, cluster.spec.disruption_budget.max_unavailable, size)
    selector: Manifest = {
        common.LABEL_CLUSTER: cluster.metadata.name,
        common.LABEL_NODE_SET: node_set.name,
    }
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            **_metadata(cluster, budget_name(cluster.metadata.name, node_set.name), {
                common.LABEL_NODE_SET: node_set.name}),
            "ownerReferences": [owner_reference(cluster)],
        },
        "spec": {
            "minAvailable": size - allowed,
            "selector": {"matchLabels": selector},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }  # fmt: skip
