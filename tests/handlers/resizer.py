"""The external-resizer of a driver that grows only volumes that nobody uses, and the kubelets' part of it.

As far as the API shows it, after kubernetes-csi/external-resizer: the first attempt on a volume in use fails with
FAILED_PRECONDITION, which becomes a condition (resize_status.go); from then on it is tried again only while no pod that
has not ended names the claim, whether it runs or not (inuse_pvc_store.go); the condition stays while the file system is
left to grow, which a kubelet does when it mounts the volume for a new pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator

from tests.controlplane import storage
from tests.controlplane.api import Api, ApiFailure, condition
from tests.controlplane.nodes import DRIVER, Manifest

ENDED = frozenset({"Succeeded", "Failed"})


class Resizer:
    """Works on the claims of one namespace.

    Attributes:
        refused: claims that it has refused to grow since they were in use, in the order of the first refusals.
        grown: claims whose volumes have grown, in that order.
    """

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self.refused: list[str] = []
        self.grown: list[str] = []

    async def run(self) -> None:
        """Look at all claims again and again, until cancelled."""
        while True:
            base = f"/api/v1/namespaces/{self._namespace}"
            claims = await self._api.list(f"{base}/persistentvolumeclaims")
            pods = await self._api.list(f"{base}/pods")
            for claim in claims:
                if _smaller(claim):
                    with contextlib.suppress(ApiFailure):  # it has changed meanwhile, or is gone
                        await self._grow(claim, [pod for pod in pods if _names(pod, claim)])
            await asyncio.sleep(0.1)

    async def _grow(self, claim: Manifest, users: list[Manifest]) -> None:
        name = claim["metadata"]["name"]
        if condition(claim, "FileSystemResizePending") == "True":
            if any(condition(pod, "Ready") == "True" for pod in users):  # its kubelet has mounted the volume
                await self._tell(claim, [], size=claim["spec"]["resources"]["requests"]["storage"])
            return
        kept = claim["status"].get("conditions", [])
        if users and (name in self.refused or any(pod["spec"].get("nodeName") for pod in users)):
            if name not in self.refused:
                said = f"failed to expand pvc with rpc error: code = FailedPrecondition desc = {name} is in use"
                self.refused.append(name)
                await self._tell(claim, [_true("Resizing"), _true("ControllerResizeError", said)])
            return
        size = claim["spec"]["resources"]["requests"]["storage"]
        path = f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}"
        await self._api.patch(path, {"spec": {"capacity": {"storage": size}}})
        await self._tell(claim, [*kept, _true("FileSystemResizePending")])
        self.grown.append(name)

    async def _tell(self, claim: Manifest, conditions: list[Manifest], *, size: str = "") -> None:
        meta = claim["metadata"]
        capacity = {"capacity": {"storage": size}} if size else {}
        body = {
            "metadata": {"resourceVersion": meta["resourceVersion"]},
            "status": {"conditions": conditions, **capacity},
        }
        path = f"/api/v1/namespaces/{self._namespace}/persistentvolumeclaims/{meta['name']}/status"
        await self._api.patch(path, body)


@contextlib.asynccontextmanager
async def resizing(api: Api, namespace: str) -> AsyncIterator[Resizer]:
    """While this goes on, somebody looks after claims that ask for more than they have."""
    resizer = Resizer(api, namespace)
    working = asyncio.create_task(resizer.run())
    try:
        yield resizer
        assert not working.done(), "the resizer has failed"
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


def zonal_volumes(storage_class: str, zones: list[str]) -> list[Manifest]:
    """A StorageClass without a provisioner that would grow volumes by itself, and a volume in each of these zones."""
    meta = {"name": storage_class}
    made: list[Manifest] = [{
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": meta, "allowVolumeExpansion": True,
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    }]  # fmt: skip
    for number, zone in enumerate(zones):
        name = f"{storage_class}-{number}"
        term = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}
        made.append({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": storage_class,
                "persistentVolumeReclaimPolicy": "Retain", "csi": {"driver": DRIVER, "volumeHandle": name},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
            },
        })  # fmt: skip
    return made


def _smaller(claim: Manifest) -> bool:
    have = claim.get("status", {}).get("capacity", {}).get("storage")
    return have is not None and storage.parse(have) < storage.request_of(claim)


def _names(pod: Manifest, claim: Manifest) -> bool:
    named = {each.get("persistentVolumeClaim", {}).get("claimName") for each in pod["spec"].get("volumes", [])}
    return claim["metadata"]["name"] in named and pod["status"].get("phase") not in ENDED


def _true(type_: str, message: str = "") -> Manifest:
    now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {"type": type_, "status": "True", "lastTransitionTime": now, "message": message}
