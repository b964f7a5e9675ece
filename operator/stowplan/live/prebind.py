"""What volumes need before a pod is bound: the writes that ``VolumeBinding`` asked for, and the wait for Bound.

The scheduling loop runs one :meth:`PreBinder.run` per such pod, beside everything else. Whether the writes have had
their effect is judged by ``plugins.volume_prebind`` from what the watch shows; this module writes, waits and, when it
comes to nothing, takes the writes back, so that the next try is not tied to a node that could not do it.

Pods that share a claim share its write. A node on which no volume could be made is remembered (``framework.refusals``).

Source: kubernetes v1.36.3 ``pkg/scheduler/framework/plugins/volumebinding/binder.go`` (``BindPodVolumes``). Upstream
leaves ``selected-node`` where it is after a timeout; then a pod whose provisioner hangs never gets another node. Here
it stays only for members of StatefulClusters. A driver that is slow makes the volume all the same: a member that has
gone elsewhere meanwhile, or another one that has taken its place, would be on the wrong side of a rule for good
(kubernetes 129632). Its place is kept for it (``framework.homes``) until the driver refuses.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from stowplan import errors
from stowplan.framework import homes
from stowplan.framework.plugin import BindVolume, PreBindWrite, ProvisionClaim
from stowplan.framework.snapshot import Snapshot
from stowplan.kube import session, writes
from stowplan.live.gangs import Permit
from stowplan.model import objects
from stowplan.plugins import volume_prebind
from stowplan.plugins.volume_prebind import Failed, Waiting, Written
from stowplan.scheduler.outcomes import Placed

log = structlog.get_logger(__name__)

LOOK_AGAIN: Final = 5.0
"""Seconds after which a waiting pod is looked at without a change of its claims: its node may have gone."""


@dataclasses.dataclass(slots=True)
class _Shared:
    """A write that several pods may rely on: its answer, and how many do."""

    answer: asyncio.Future[Written]
    pods: int = 0


class PreBinder:
    """Carries out ``PreBindWrite`` and waits for the claims.

    Args:
        api: where to write.
        nodes: the cluster as the watch shows it.
        timeout: seconds that provisioning may take before the pod is tried elsewhere.
        clock: seconds, monotonic.
    """

    def __init__(self, api: session.Api, nodes: Snapshot, *, timeout: float, clock: Callable[[], float]) -> None:
        self._api = api
        self._nodes = nodes
        self._timeout = timeout
        self._clock = clock
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._shared: dict[PreBindWrite, _Shared] = {}

    def changed(self, item: objects.KubeObject) -> None:
        """A claim or volume has changed or is gone: whoever waits for it looks again."""
        match item:
            case objects.PersistentVolumeClaim():
                key = item.key
            case objects.PersistentVolume() if item.spec.claim_ref is not None:
                key = f"{item.spec.claim_ref.namespace}/{item.spec.claim_ref.name}"
            case _:
                return
        for event in self._waiting.get(key, ()):
            event.set()

    def look(self, members: Iterable[Placed]) -> None:
        """Something may have become of the permits of these pods: whoever waits for their claims looks again."""
        for write in (write for each in members for write in each.writes):
            for event in self._waiting.get(write.claim, ()):
                event.set()

    async def run(self, placed: Placed, permit: Permit) -> str | None:
        """Writes and waits; None when the pod can be bound, else why not, with the writes taken back."""
        node = placed.decision.node
        written: list[Written] = []
        try:
            for write in placed.writes:
                written.append(await self._write_once(write))  # noqa: PERF401 - must be known on a failure
            failure = await self._wait(written, node, permit)
        except (errors.ApiError, errors.ApiUnreachable) as error:
            failure = f"volumes could not be prepared: {error}"
        finally:
            alone = [each for each in written if self._last(each.write)]
        if failure is not None:
            await self._take_back(alone)
        return failure

    async def _write_once(self, write: PreBindWrite) -> Written:
        """Writes, unless another pod in flight has written just that, or is about to: then waits for its answer."""
        shared = self._shared.get(write)
        if shared is None:
            shared = self._shared[write] = _Shared(asyncio.ensure_future(self._write(write)))
        shared.pods += 1
        try:
            return await asyncio.shield(shared.answer)
        except BaseException:
            self._last(write)
            raise

    def _last(self, write: PreBindWrite) -> bool:
        """A pod relies on a write no more; whether nobody does now."""
        shared = self._shared[write]
        shared.pods -= 1
        if not shared.pods:
            del self._shared[write]
        return not shared.pods

    async def _write(self, write: PreBindWrite) -> Written:
        catalog = self._nodes.volumes
        claim = catalog.claims.get(write.claim)
        if claim is None:
            raise errors.NotFound(404, "NotFound", f'persistentvolumeclaims "{write.claim}" not found')
        match write:
            case ProvisionClaim():
                answer: objects.KubeObject = await writes.select_node(self._api, claim, write.node)
            case BindVolume():
                volume = catalog.volumes.get(write.volume)
                if volume is None:
                    raise errors.NotFound(404, "NotFound", f'persistentvolumes "{write.volume}" not found')
                answer = await writes.reserve_volume(self._api, volume, claim)
        return Written(write, answer.metadata.resource_version)

    async def _wait(self, written: list[Written], node: str, permit: Permit) -> str | None:
        deadline = self._clock() + self._timeout
        claims = {each.write.claim for each in written}
        event = asyncio.Event()
        for claim in claims:
            self._waiting.setdefault(claim, set()).add(event)
        try:
            while True:
                event.clear()
                if permit.failure:
                    return permit.failure
                match volume_prebind.prebind_status(written, node, self._nodes):
                    case Failed(reason, refused):
                        self._refused([refused] if refused else [], node)
                        return reason
                    case Waiting(missing):
                        left = deadline - self._clock()
                        if left <= 0:
                            made = {each.write.claim for each in written if isinstance(each.write, ProvisionClaim)}
                            self._refused(
                                [each for each in made.intersection(missing) if self._leaves(each, node)], node
                            )
                            return f"no volume within {self._timeout:.0f} s for {', '.join(sorted(missing))}"
                        await _either(event, min(left, LOOK_AGAIN))
                    case _:
                        return None
        finally:
            for claim in claims:
                self._waiting[claim].discard(event)
                if not self._waiting[claim]:
                    del self._waiting[claim]

    def _refused(self, claims: Iterable[str], node: str) -> None:
        """No volumes could be made there for these claims: their pods go elsewhere for a while."""
        for claim in claims:
            log.info("no volume made", claim=claim, node=node)
            self._nodes.volumes.refuse(claim, node, self._clock())

    def _leaves(self, claim: str, node: str) -> bool:
        """Whether a claim whose volume does not come is tried elsewhere before the driver has refused the node."""
        found = self._nodes.volumes.claims.get(claim)
        return found is None or node not in self._nodes.row_of or not homes.of_member(found)

    async def _take_back(self, written: list[Written]) -> None:
        """Undoes the writes that have had no effect; whatever somebody else has changed meanwhile stays."""
        catalog = self._nodes.volumes
        for each in written:
            try:
                match each.write:
                    case ProvisionClaim(claim=key, node=node) if self._leaves(key, node):
                        claim = catalog.claims.get(key)
                        if claim is not None and not claim.spec.volume_name and _selected(claim) == node:
                            await writes.select_node(self._api, claim, None)
                    case BindVolume(claim=key, volume=name):
                        volume, bound = catalog.volumes.get(name), catalog.claims.get(key)
                        if volume is not None and bound is not None and not bound.spec.volume_name:
                            await writes.release_volume(self._api, volume)
            except (errors.ApiError, errors.ApiUnreachable) as error:
                log.info("volume write not taken back", claim=each.write.claim, error=str(error))


def _selected(claim: objects.PersistentVolumeClaim) -> str:
    return claim.metadata.annotations.get(writes.SELECTED_NODE, "")


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Waits for the event, but no longer than that."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
