"""Who serves, by every revision of the API, not only by those at which a test happens to look."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.controlplane.api import Api, condition
from tests.controlplane.nodes import Manifest


def serves(pod: Manifest) -> bool:
    return condition(pod, "Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


@contextlib.asynccontextmanager
async def at_least(api: Api, namespace: str, ready: int, *, node_set: str = "") -> AsyncIterator[None]:
    """While this goes on, no revision of the API shows fewer members (of a node set) that serve."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    listed = await api.request("GET", path)
    serving = {each["metadata"]["name"] for each in listed["items"] if serves(each) and _of(each, node_set)}
    least = len(serving)

    async def follow() -> None:
        nonlocal least
        async for event in api.watch(path, listed["metadata"]["resourceVersion"]):
            pod = event["object"]
            if event["type"] != "DELETED" and serves(pod) and _of(pod, node_set):
                serving.add(pod["metadata"]["name"])
            else:
                serving.discard(pod["metadata"]["name"])
            least = min(least, len(serving))

    following = asyncio.create_task(follow())
    try:
        yield
        assert not following.done(), "the watch has ended: nobody knows what has been since"
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
    assert least >= ready


def _of(pod: Manifest, node_set: str) -> bool:
    return not node_set or pod["metadata"]["labels"].get("stowplan.dev/node-set") == node_set
