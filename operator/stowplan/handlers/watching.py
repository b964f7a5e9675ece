"""kopf's part: it watches the two kinds, and each event wakes whoever has to look.

Called by ``operator``. The handlers are kopf's simplest kind (``on.event``): it keeps no state for them, so our objects
get no annotations and no finalizers from it, and at rest nothing is written. They decide nothing and read nothing but
the name and the generation: an event that is lost or comes twice does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import aiohttp
import kopf

from stowplan.api import cluster, common, policy
from stowplan.kube import config

Told = Callable[[str, str], None]
"""Called with the kind's plural and the key of an object that is new, has another generation, or is gone."""

_GONE: Final = "DELETED"


def settings() -> kopf.OperatorSettings:
    """How kopf works here: no events of its own, no peers (we have a lease), no look-out for new CRDs."""
    # It warns that it leaves signals alone outside of the main thread, which is where we want it.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.watching.server_timeout = 300
    chosen.watching.connect_timeout = 10
    return chosen


def registry(target: config.Cluster, told: Told) -> kopf.OperatorRegistry:
    """The handlers.

    Args:
        target: the API server to log in to.
        told: where the news goes, in kopf's event loop.
    """
    made = kopf.OperatorRegistry()
    seen: dict[tuple[str, str], tuple[object, ...]] = {}

    def hear(plural: str, event: kopf.RawEvent) -> None:
        meta = event["object"].get("metadata", {})
        key = f"{meta.get('namespace', '')}/{meta.get('name', '')}"
        version: tuple[object, ...] = (
            meta.get("uid", ""),
            meta.get("generation", 0),
            meta.get("deletionTimestamp", ""),
        )
        if event["type"] == _GONE:
            seen.pop((plural, key), None)
        elif seen.get((plural, key)) == version:
            return  # a new status only, most likely our own
        else:
            seen[plural, key] = version
        told(plural, key)

    @kopf.on.event(common.GROUP, common.VERSION, cluster.PLURAL, registry=made)
    async def on_cluster(event: kopf.RawEvent, **_: object) -> None:
        hear(cluster.PLURAL, event)

    @kopf.on.event(common.GROUP, common.VERSION, policy.PLURAL, registry=made)
    async def on_policy(event: kopf.RawEvent, **_: object) -> None:
        hear(policy.PLURAL, event)

    @kopf.on.login(registry=made)
    async def login(**_: object) -> kopf.AiohttpSession:
        await target.credentials.refused()  # asked again only when the last ones were
        return kopf.AiohttpSession(server=target.server, aiohttp_session=_session(target))

    return made


def _session(target: config.Cluster) -> aiohttp.ClientSession:
    """Connections with our credentials, as they are at the time of each request."""

    async def authorise(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        header = target.credentials.header()
        if header is not None:
            request.headers["Authorization"] = header
        return await handler(request)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=target.tls or True), proxy=target.proxy, middlewares=(authorise,)
    )
