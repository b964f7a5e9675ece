"""The scheduler's smaller writes: pod conditions, nominations, and claims and volumes before a bind.

Called by the live loop. Each is one PATCH of exactly the fields that change, guarded by the uid, or by the resource
version where somebody else writes the same field. Failures are exceptions here: the caller gives up its decision and
the next one starts from what the watch reports.

Sources: k8s.io/kubernetes v1.36.3 ``pkg/scheduler/util/utils.go`` (PatchPodStatus), ``pkg/api/v1/pod/util.go``
(UpdatePodCondition), ``pkg/scheduler/framework/plugins/volumebinding/binder.go`` (bindAPIUpdate), and
k8s.io/component-helpers v0.36.3 ``storage/volume/pv_helpers.go`` (GetBindVolumeToClaim).
"""

from __future__ import annotations

import time
from typing import Final

import msgspec

from stowplan.errors import ApiError, Conflict
from stowplan.kube import resources, session
from stowplan.model import objects, times

_INVALID: Final = 422
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"


async def patch_pod_status(
    api: session.Api,
    pod: objects.Pod,
    *,
    condition: objects.PodCondition | None = None,
    nominated: str | None = None,
) -> bool:
    """Set a condition and the nominated node of a pod, if they are not so already.

    Args:
        api: where to.
        pod: as last seen; the patch applies to this uid only.
        condition: replaces the condition of its type; None leaves the conditions alone.
        nominated: the node's name, empty to clear it, None to leave it alone.

    Returns:
        Whether anything was written.

    Raises:
        NotFound, Conflict: the pod is gone.
        ApiError, ApiUnreachable: it could not be written.
    """
    status: dict[str, object] = {}
    if condition is not None and (changed := _condition(pod, condition)):
        status["conditions"] = [changed]
    if nominated is not None and nominated != pod.status.nominated_node_name:
        status["nominatedNodeName"] = nominated or None
    if not status:
        return False
    body = {"metadata": {"uid": pod.metadata.uid}, "status": status}
    path = resources.PODS.of(pod, "status")
    try:
        await api.patch(path, body, msgspec.Raw, content_type=session.STRATEGIC_PATCH, repeat=True)
    except ApiError as error:
        if error.status == _INVALID and "metadata.uid" in str(error):  # how a patch is told that the uid is another
            raise Conflict(409, "Conflict", str(error)) from error
        raise
    return True


async def select_node(
    api: session.Api, claim: objects.PersistentVolumeClaim, node: str | None
) -> objects.PersistentVolumeClaim:
    """Tell the provisioner where to make the claim's volume; None takes the word back.

    Raises:
        Conflict: the claim has changed since it was read.
        ApiError, ApiUnreachable: it could not be written.
    """
    meta = claim.metadata
    body = {
        "metadata": {
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "annotations": {SELECTED_NODE: node},
        }
    }
    return await api.patch(resources.CLAIMS.of(claim), body, objects.PersistentVolumeClaim)


async def reserve_volume(
    api: session.Api, volume: objects.PersistentVolume, claim: objects.PersistentVolumeClaim
) -> objects.PersistentVolume:
    """Point an available volume at the claim; the controller manager's volume binder completes the binding.

    Raises:
        Conflict: the volume has changed since it was read; perhaps another claim has it.
        ApiError, ApiUnreachable: it could not be written.
    """
    wanted = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": claim.metadata.namespace,
        "name": claim.metadata.name,
        "uid": claim.metadata.uid,
        "resourceVersion": claim.metadata.resource_version,
    }
    reserved = volume.spec.claim_ref
    by_user = reserved is not None and (reserved.namespace, reserved.name) == (
        claim.metadata.namespace,
        claim.metadata.name,
    )
    return await _patch_volume(api, volume, wanted, None if by_user else "yes")


async def release_volume(api: session.Api, volume: objects.PersistentVolume) -> objects.PersistentVolume:
    """Undo ``reserve_volume`` before the binding was completed.

    Args:
        api: where to.
        volume: as ``reserve_volume`` returned it.

    Raises:
        Conflict: the volume has changed since: leave it to the volume binder.
        ApiError, ApiUnreachable: it could not be written.
    """
    return await _patch_volume(api, volume, None, None)


async def _patch_volume(
    api: session.Api, volume: objects.PersistentVolume, claim: dict[str, str] | None, by_controller: str | None
) -> objects.PersistentVolume:
    meta = volume.metadata
    body = {
        "metadata": {
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "annotations": {BOUND_BY_CONTROLLER: by_controller},
        },
        "spec": {"claimRef": claim},
    }
    return await api.patch(resources.VOLUMES.of(volume), body, objects.PersistentVolume)


def _condition(pod: objects.Pod, wanted: objects.PodCondition) -> dict[str, object] | None:
    """The condition as a patch; None when the pod has it already."""
    old = next((have for have in pod.status.conditions if have.type == wanted.type), None)
    if old is not None and (old.status, old.reason, old.message) == (wanted.status, wanted.reason, wanted.message):
        return None
    patch: dict[str, object] = {
        "type": wanted.type,
        "status": wanted.status,
        "reason": wanted.reason,
        "message": wanted.message,
    }
    if pod.metadata.generation:
        patch["observedGeneration"] = pod.metadata.generation
    if old is None or old.status != wanted.status:
        patch["lastTransitionTime"] = times.rfc3339(time.time())
    return patch
