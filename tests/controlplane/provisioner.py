"""The fake CSI driver as a process: watches claims, makes and deletes volumes, keeps CSIStorageCapacity true.

Started by `ControlPlane` as `python -m tests.controlplane.provisioner --kubeconfig F`. It does what the
external-provisioner and external-resizer sidecars do with a real driver, as far as the API server and a scheduler can
see: a WaitForFirstConsumer claim waits for its selected-node annotation; a claim that does not fit loses it again, with
an event, so that the scheduler chooses anew. `storage` decides, this acts, and any object that changes makes it look at
everything again, so that it may be killed and started at any time.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import datetime
import json
import secrets
import sys
from pathlib import Path

import aiohttp
from tests.controlplane import storage
from tests.controlplane.api import Api, ApiFailure
from tests.controlplane.nodes import DRIVER, Manifest

WATCHED = {
    "nodes": "/api/v1/nodes",
    "classes": "/apis/storage.k8s.io/v1/storageclasses",
    "volumes": "/api/v1/persistentvolumes",
    "claims": "/api/v1/persistentvolumeclaims",
    "capacities": f"/apis/storage.k8s.io/v1/namespaces/{storage.NAMESPACE}/csistoragecapacities",
}
UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)


class Provisioner:
    """The driver's controller, on one API connection."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._objects: dict[str, dict[str, Manifest]] = {}
        self._changed = asyncio.Event()
        self._making: dict[str, tuple[storage.Place, asyncio.Task[None]]] = {}
        self._complained: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind, path in WATCHED.items():
                group.create_task(self._follow(kind, path))
            while True:
                await self._changed.wait()
                self._changed.clear()
                if len(self._objects) == len(WATCHED):
                    await self._attempt()

    async def _attempt(self) -> None:
        try:
            await self._reconcile()
        except (ApiFailure, *UNREACHABLE) as error:
            _log(f"again in a second: {error}")
            await asyncio.sleep(1)
            self._changed.set()

    async def _follow(self, kind: str, path: str) -> None:
        """Keep the objects of one kind up to date; whatever goes wrong, list again."""
        while True:
            try:
                answer = await self._api.get(path)
                self._objects[kind] = {_key(item): item for item in answer["items"]}
                self._changed.set()
                async for event in self._api.watch(path, answer["metadata"]["resourceVersion"]):
                    if event["type"] == "DELETED":
                        self._objects[kind].pop(_key(event["object"]), None)
                    else:
                        self._remember(kind, event["object"])
                    self._changed.set()
            except (ApiFailure, *UNREACHABLE) as error:
                _log(f"{path}: {error}")
                await asyncio.sleep(0.5)

    def _remember(self, kind: str, item: Manifest) -> None:
        """Take over an object unless a newer one has come already by the other way (a write's answer, the watch)."""
        known = self._objects[kind].get(_key(item))
        if known is None or _version(known) <= _version(item):
            self._objects[kind][_key(item)] = item

    def _state(self) -> storage.State:
        return storage.State(
            nodes=self._objects["nodes"],
            classes=self._objects["classes"],
            volumes=self._objects["volumes"],
            claims=self._objects["claims"],
            reserved=[(name, place) for name, (place, _) in self._making.items()],
        )

    async def _reconcile(self) -> None:
        for claim in list(self._objects["claims"].values()):
            name = storage.volume_name(claim)
            if name in self._making or name in self._objects["volumes"]:
                continue
            state = self._state()
            answer = state.place(claim, state.free())
            if isinstance(answer, storage.Place):
                task = asyncio.create_task(self._make(claim, state.volume(claim, answer), state.delay(claim)))
                self._making[name] = (answer, task)
            elif answer is not None:
                await self._refuse(claim, answer)
        for name in list(self._state().released()):
            await self._api.delete(f"/api/v1/persistentvolumes/{name}")
        state = self._state()
        for claim, volume in list(state.growing(state.free())):
            await self._grow(claim, volume)
        await self._report()

    async def _make(self, claim: Manifest, volume: Manifest, delay: float) -> None:
        try:
            await asyncio.sleep(delay)
            self._remember("volumes", await self._api.create(volume))
            _log(f"{_key(claim)}: {storage.size_of(volume)} bytes in {storage.segment_of(volume)}")
        except (ApiFailure, *UNREACHABLE) as error:
            _log(f"{_key(claim)}: {error}")
            await asyncio.sleep(1)  # a conflict: it exists, and the watch tells before that; else it is tried again
        finally:
            del self._making[storage.volume_name(claim)]
            self._changed.set()

    async def _refuse(self, claim: Manifest, refusal: storage.Refusal) -> None:
        """Tell by an event, once for each decision of the scheduler, and give the decision back to it."""
        metadata = claim["metadata"]
        complaint = (metadata["uid"], metadata["resourceVersion"] if refusal.reschedule else refusal.reason)
        if complaint not in self._complained:
            self._complained.add(complaint)
            await self._event(claim, f"ResourceExhausted: {refusal.reason}")
        if refusal.reschedule:
            body = {"metadata": {"resourceVersion": metadata["resourceVersion"],
                                 "annotations": {storage.SELECTED_NODE: None}}}  # fmt: skip
            try:
                self._remember("claims", await self._api.patch(_claim_path(claim), body))
            except ApiFailure as failure:
                if failure.status not in (404, 409):  # it has changed or gone: the watch brings what it is now
                    raise

    async def _grow(self, claim: Manifest, volume: Manifest) -> None:
        size = claim["spec"]["resources"]["requests"]["storage"]
        path = f"/api/v1/persistentvolumes/{volume['metadata']['name']}"
        if storage.size_of(volume) < storage.parse(size):
            self._remember("volumes", await self._api.patch(path, {"spec": {"capacity": {"storage": size}}}))
        status = {"status": {"capacity": {"storage": size}}}
        self._remember("claims", await self._api.patch(f"{_claim_path(claim)}/status", status))

    async def _report(self) -> None:
        state = self._state()
        wanted, present = state.capacities(state.free()), self._objects["capacities"]
        for name in [name for name in present if name.partition("/")[2] not in wanted]:
            if present[name]["metadata"].get("labels", {}).get("managed-by") == DRIVER:
                await self._api.delete(f"{WATCHED['capacities']}/{present.pop(name)['metadata']['name']}")
        for name, manifest in wanted.items():
            known = present.get(f"{storage.NAMESPACE}/{name}")
            if known is None:
                manifest["metadata"]["labels"] = {"managed-by": DRIVER}
                self._remember("capacities", await self._api.create(manifest))
            elif storage.parse(known["capacity"]) != storage.parse(manifest["capacity"]):
                body = {"capacity": manifest["capacity"]}
                self._remember("capacities", await self._api.patch(f"{WATCHED['capacities']}/{name}", body))

    async def _event(self, claim: Manifest, message: str) -> None:
        metadata = claim["metadata"]
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        await self._api.create({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}", "namespace": metadata["namespace"]},
            "involvedObject": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": metadata["name"],
                               "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "reason": "ProvisioningFailed", "message": f"failed to provision volume: {message}", "type": "Warning",
            "source": {"component": DRIVER}, "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        })  # fmt: skip


def _key(item: Manifest) -> str:
    metadata = item["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else str(metadata["name"])


def _version(item: Manifest) -> int:
    return int(item["metadata"]["resourceVersion"])


def _claim_path(claim: Manifest) -> str:
    metadata = claim["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/persistentvolumeclaims/{metadata['name']}"


def _log(text: str) -> None:
    print(datetime.datetime.now(datetime.UTC).strftime("%H:%M:%S.%f"), text, flush=True)


async def main(kubeconfig: str) -> None:
    """Serve the cluster that the kubeconfig leads to, given as its JSON, which is how `access` writes it."""
    content = json.loads(kubeconfig)
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    async with Api(cluster["server"], ca=authority, token=user["token"]) as api:
        await Provisioner(api).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The fake CSI driver of the tests.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    sys.exit(asyncio.run(main(parser.parse_args().kubeconfig.read_text())))
