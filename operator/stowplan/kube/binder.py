"""The scheduler's decisive write: assign a pod to a node.

The live loop calls ``Binder.bind`` from many tasks at once. What can happen to a bind is a value, not an exception,
because each outcome has its own way back into the cache and the queue::

    Bound          the pod is on the node (by this request, or by an earlier one of ours whose answer was lost)
    PodGone        deleted, being deleted, or replaced by another pod of the same name: forget it
    AlreadyBound   somebody else was faster: forget ours, the watch tells the rest
    Refused        the API server said no (fence, admission, gates, overload): undo, try again later
    Unknown        nobody can say yet: the pod may be on the node, so nothing is undone until ``ask`` has an answer

Rules of the API server: k8s.io/kubernetes v1.36.3 ``pkg/registry/core/pod/storage/storage.go`` (assignPod): the uid is
a precondition, annotations of the Binding are merged into the pod, the second bind is a 409.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from stowplan.errors import ApiError, ApiUnreachable, Conflict, NotFound
from stowplan.kube import resources, session
from stowplan.model import objects

WHY: Final = "stowplan.dev/why"
FENCE: Final = "stowplan.dev/fence"


@dataclass(frozen=True)
class Bound:
    """The pod is on the node that was asked for."""


@dataclass(frozen=True)
class PodGone:
    """The pod no longer exists, or is about to end."""


@dataclass(frozen=True)
class AlreadyBound:
    """The pod has a node, and not by us."""

    node: str


@dataclass(frozen=True)
class Refused:
    """The API server said no; ``message`` is its reason, in one line."""

    message: str


@dataclass(frozen=True)
class Unknown:
    """No answer, or none that tells what became of the request; ``fence`` is the one that was sent."""

    message: str
    fence: str


Settled = Bound | PodGone | AlreadyBound | Refused
Outcome = Settled | Unknown


class _Meta(objects.Struct):
    name: str
    namespace: str
    uid: str
    annotations: dict[str, str]


class _Target(objects.Struct, omit_defaults=False):
    name: str
    kind: str = "Node"


class _Binding(objects.Struct, omit_defaults=False):
    metadata: _Meta
    target: _Target
    api_version: str = "v1"
    kind: str = "Binding"


_ENCODER: Final = msgspec.json.Encoder()


class Binder:
    """Binds pods.

    Args:
        api: where to.
        fence: our leadership now (``<holder>/<transitions>``), written into each pod and compared with the lease by an
            admission policy; empty where there is no leader election.
        seconds: for one request. Short: an answer later than this is of no use to the queue.
    """

    def __init__(self, api: session.Api, *, fence: Callable[[], str], seconds: float = 10.0) -> None:
        self._api = api
        self._fence = fence
        self._seconds = seconds

    async def bind(self, pod: objects.Pod, node: str, annotations: Mapping[str, str]) -> Outcome:
        """Assign ``pod`` to ``node``; the pod's uid must still be the same.

        Args:
            pod: as last seen.
            node: the node's name.
            annotations: merged into the pod by the same write, ``WHY`` for one.
        """
        meta = pod.metadata
        merged = dict(annotations)
        fence = self._fence()
        if fence:
            merged[FENCE] = fence
        binding = _Binding(_Meta(meta.name, meta.namespace, meta.uid, merged), _Target(node))
        path = resources.PODS.path(meta.namespace, meta.name, "binding")
        try:
            await self._api.request("POST", path, body=_ENCODER.encode(binding), seconds=self._seconds)
        except NotFound:
            return PodGone()
        except Conflict as error:
            return await self._resolve(pod, node, fence, Refused(str(error)))
        except ApiUnreachable as error:
            return await self._resolve(pod, node, fence, Unknown(str(error), fence))
        except ApiError as error:
            if error.status < 500:
                return Refused(str(error))
            return await self._resolve(pod, node, fence, Unknown(str(error), fence))
        return Bound()

    async def ask(self, pod: objects.Pod, node: str, unknown: Unknown) -> Outcome:
        """What has become of a bind, asked a while later: Refused if it never arrived, Unknown if nobody can say yet.

        Args:
            pod: as given to ``bind``.
            node: as given to ``bind``.
            unknown: what ``bind`` returned.
        """
        return await self._resolve(pod, node, unknown.fence, Refused(unknown.message))

    async def _resolve(self, pod: objects.Pod, node: str, fence: str, unbound: Outcome) -> Outcome:
        """Read the pod to learn what is true; ``unbound`` when it has no node.

        Right after a lost answer, no node is no proof: the request may yet arrive. If it does even later, the API
        server arbitrates (the later of two binds is a 409), and the watch reports whichever came first.
        """
        meta = pod.metadata
        path = resources.PODS.path(meta.namespace, meta.name)
        try:
            now = await self._api.get(path, objects.Pod, seconds=self._seconds)
        except NotFound:
            return PodGone()
        except (ApiError, ApiUnreachable) as error:
            return Unknown(str(error), fence)
        if now.metadata.uid != meta.uid or (now.metadata.deletion_timestamp and not now.spec.node_name):
            return PodGone()
        if not now.spec.node_name:
            return unbound
        ours = now.spec.node_name == node and now.metadata.annotations.get(FENCE, "") == fence
        return Bound() if ours else AlreadyBound(now.spec.node_name)
