"""Leader election on a coordination.k8s.io/v1 Lease: of several replicas, one works.

``app`` runs everything that writes inside ``Elector.run``. kubernetes_asyncio's election is not used: it lets a hung or
failed renewal go on for ever, compares clocks of two machines, and never counts terms. Who may lead is decided in
``election``; this module only asks and writes, with a limit on each request and a hard end of each term: the leader
stops ``renew_deadline`` after the last successful renewal was sent, whatever hangs.

Give it an ``Api`` of its own, so that no crowd of other requests stands between the leader and its renewal.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from stowplan.errors import ApiError, ApiUnreachable, Conflict, LeadershipLost, NotFound
from stowplan.kube import session
from stowplan.kube.election import Candidate, LeaseSpec, Record, Terms
from stowplan.model import times

_COLLECTION: Final = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"

log = structlog.get_logger(__name__)


class _Lease(msgspec.Struct):
    metadata: dict[str, object]
    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)


class Elector:
    """Takes part in the election for one lease.

    Args:
        api: its own connections to the API server.
        namespace: of the lease.
        name: of the lease.
        identity: unlike any other process's: ``<host>_<random>``.
        terms: the timing.
        clock: seconds, monotonic.
        chance: for jitter.
    """

    def __init__(
        self,
        api: session.Api,
        *,
        namespace: str,
        name: str,
        identity: str,
        terms: Terms,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._terms = terms
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 -- jitter
        self._candidate = Candidate(identity, terms)
        self._metadata: dict[str, object] = {"name": name, "namespace": namespace}

    @property
    def fence(self) -> str:
        """``<holder>/<leaseTransitions>`` of our latest term, for every bind; empty before the first."""
        return self._candidate.fence

    @property
    def holder(self) -> str:
        """The leader's identity as last seen, for logs and metrics; empty for nobody."""
        return self._candidate.holder

    def leads(self) -> bool:
        """Whether our term lasts at this moment; ask before each write that must be the leader's."""
        return self._candidate.leads(self._clock())

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then run ``lead`` while it is ours; step down when ``lead`` has ended.

        On cancellation ``lead`` is cancelled, awaited, and then the lease is given back, so that another replica takes
        over at once.

        Raises:
            LeadershipLost: the term ended first. ``lead`` was cancelled, but is not waited for longer than others wait
                for the lease: end the process.
        """
        await self._acquire()
        work = asyncio.ensure_future(lead())
        keep = asyncio.create_task(self._keep())
        try:
            await asyncio.wait({work, keep}, return_when=asyncio.FIRST_COMPLETED)
            if keep.done():
                keep.result()  # it only ever ends by LeadershipLost
            await work
        finally:
            await self._stop(work, seconds=self._grace())
            await self._stop(keep, seconds=1.0)
            if work.done() and self.leads():
                await self._release()

    # ------------------------------------------------------------ phases

    async def _acquire(self) -> None:
        log.info("waiting for leadership", lease=f"{self._namespace}/{self._name}", identity=self._candidate.identity)
        told = ""
        while True:
            try:
                async with asyncio.timeout(self._request_seconds()):
                    await self._look()
                    if self._candidate.may_claim(self._clock()):
                        await self._claim()
            except (ApiError, ApiUnreachable, TimeoutError) as error:
                log.info("lease not acquired", error=str(error) or "timeout")
            if self.leads():
                log.info("leading", fence=self.fence)
                return
            if self.holder != told:
                told = self.holder
                log.info("another leads", holder=told)
            await asyncio.sleep(self._pause())

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(min(self._pause(), max(self._remaining(), 0)))
            if (remaining := self._remaining()) <= 0:
                raise LeadershipLost(f"the lease {self._namespace}/{self._name} could not be renewed in time")
            try:
                async with asyncio.timeout(min(self._request_seconds(), remaining)):
                    await self._renew()
            except (ApiError, ApiUnreachable, TimeoutError) as error:
                log.warning("lease not renewed", error=str(error) or "timeout", remaining=round(self._remaining(), 1))

    async def _renew(self) -> None:
        """Write on top of what we know; when that is not the truth, read it and go by it."""
        try:
            await self._claim()
        except (Conflict, NotFound):
            await self._look()
            if self.holder != self._candidate.identity:
                raise LeadershipLost(
                    f"the lease {self._namespace}/{self._name} is held by {self.holder or 'nobody'}"
                ) from None
            await self._claim()

    async def _release(self) -> None:
        record = self._candidate.released(_stamp())
        if record is None:
            return
        try:
            async with asyncio.timeout(self._request_seconds()):
                await self._write(record)
        except (ApiError, ApiUnreachable, TimeoutError) as error:
            log.warning("lease not released", error=str(error) or "timeout")
        else:
            log.info("lease released")

    # ------------------------------------------------------------ requests

    async def _look(self) -> None:
        path = f"{_COLLECTION.format(self._namespace)}/{self._name}"
        try:
            record = self._take(await self._api.get(path, _Lease))
        except NotFound:
            self._metadata = {"name": self._name, "namespace": self._namespace}
            record = Record(spec=LeaseSpec(), version="")
        self._candidate.saw(record, self._clock())

    async def _claim(self) -> None:
        sent_at = self._clock()
        written = await self._write(self._candidate.claim(_stamp()))
        self._candidate.won(written, sent_at)

    async def _write(self, record: Record) -> Record:
        """Create or change the lease; other people's labels and annotations on it stay.

        Raises:
            Conflict: it is not what we believe it is.
        """
        collection = _COLLECTION.format(self._namespace)
        body = _Lease(metadata=self._metadata, spec=record.spec)
        if record.version:
            return self._take(await self._api.put(f"{collection}/{self._name}", body, _Lease, repeat=False))
        return self._take(await self._api.post(collection, body, _Lease))

    def _take(self, lease: _Lease) -> Record:
        self._metadata = lease.metadata
        return Record(spec=lease.spec, version=str(lease.metadata.get("resourceVersion", "")))

    # ------------------------------------------------------------ time

    def _remaining(self) -> float:
        return self._candidate.remaining(self._clock())

    def _pause(self) -> float:
        return self._terms.retry_period * self._chance.uniform(0.5, 1.0)

    def _request_seconds(self) -> float:
        return self._terms.renew_deadline / 2

    def _grace(self) -> float:
        """How long work that was told to stop may still take: until others may take the lease."""
        return max(self._remaining(), 0.0) + self._terms.lease_duration - self._terms.renew_deadline

    @staticmethod
    async def _stop(task: asyncio.Future[None], *, seconds: float) -> None:
        task.cancel()
        await asyncio.wait({task}, timeout=seconds)
        if task.done() and not task.cancelled():
            task.exception()  # seen: run() raises what matters


def _stamp() -> str:
    return times.rfc3339(time.time(), times.MICROSECONDS)
