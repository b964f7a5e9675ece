"""Lists of everything, once: what the command line needs of a live cluster."""

from __future__ import annotations

import msgspec

from stowplan.kube import session, wire
from stowplan.kube.reflector import PAGE, K
from stowplan.kube.resources import Resource
from stowplan.model import objects


async def everything(api: session.Api, resource: Resource[K]) -> list[K]:
    """All objects of a kind, page by page.

    Raises:
        ApiError, ApiUnreachable: they cannot be listed.
        InvalidObject: one of them cannot be understood.
    """
    codec = wire.Codec(resource.kind, resource.type)
    found: list[K] = []
    token = ""
    while True:
        params = {"limit": str(PAGE), **({"continue": token} if token else {})}
        page = codec.page(bytes(await api.get(resource.path(), msgspec.Raw, params=params)))
        if page.bad:
            raise page.bad[0].error
        found += page.items
        token = page.metadata.continue_
        if not token:
            return found


async def documents(api: session.Api, group: str, version: str, plural: str) -> list[dict[str, object]]:
    """All objects of a kind that has no struct, as JSON values. Raises like :func:`everything`."""
    kind = Resource(kind=plural, plural=plural, type=objects.KubeObject, group=group, version=version)
    answer = await api.get(kind.path(), dict[str, object])
    items = answer.get("items") or []
    assert isinstance(items, list)
    return items
