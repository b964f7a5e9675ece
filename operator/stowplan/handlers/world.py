"""What the controllers ask of the scheduling loop, and the way from their thread into its event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from stowplan import profiles
from stowplan.api.policy import SchedulingPolicy
from stowplan.reconcile.observed import Sight
from stowplan.reconcile.policy_status import PolicyFacts

T = TypeVar("T")


class World(Protocol):
    """The scheduling loop; every method is called in its event loop, must be quick, and reads its cache only."""

    def apply(self, policies: Sequence[SchedulingPolicy], clusters: Sequence[profiles.Cluster]) -> None:
        """Put these policies in force; they are all there are."""

    def facts(self, policy: str) -> PolicyFacts | None:
        """What a policy governs; None where it is not in force (yet)."""

    def sight(self, cluster: str, *, pods: Collection[str], nodes: Collection[str]) -> Sight:
        """The members of a cluster.

        Args:
            cluster: its key, ``namespace/name``.
            pods: uids of its members' pods.
            nodes: names of nodes to look at.
        """

    def clusters_on(self, nodes: Collection[str]) -> set[str]:
        """The keys of the clusters that have a member on one of these nodes."""

    def clusters_of(self, policies: Collection[str]) -> set[str]:
        """The keys of the clusters that have a member on a node and are governed by one of these policies."""

    def misplaced(self, pods: Collection[str]) -> frozenset[str]:
        """The first of these pods (uids) that could not be placed where it is now, and could be elsewhere, if any."""

    def domains(self, keys: Collection[str]) -> Mapping[str, frozenset[str]]:
        """By topology key, all values that nodes have."""


@dataclass(frozen=True)
class Bridge:
    """Runs functions in another thread's event loop."""

    loop: asyncio.AbstractEventLoop

    async def call(self, function: Callable[[], T]) -> T:
        """Run ``function`` over there and hand back what it returns or raises."""
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised again on the other side
                answer.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return await asyncio.wrap_future(answer)
