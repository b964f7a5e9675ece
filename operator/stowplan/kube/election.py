"""Who leads: the rules, without clock and network.

The pure half of ``lease``, which feeds it what it read and what it wrote, with the times of a monotonic clock.

Rules, after k8s.io/client-go v0.36.3 ``tools/leaderelection/leaderelection.go``: a lease is free when nobody holds it,
or when it has not *changed* for its whole duration as seen by our own clock (clocks of different machines are never
compared). A new holder increments ``leaseTransitions``. Stricter than client-go in three points: our term counts from
when a renewal was sent, not from when its answer came; a term that was not renewed in time is over even if nobody took
the lease; and a process that finds its own name on a lease that it does not hold waits like everybody else and starts
a new term, so that ``fence`` never names two processes.

Why there is at most one leader: a leader's term ends ``renew_deadline`` after it *sent* a renewal. Others wait
``lease_duration``, which is longer, from when they *saw* that renewal, which is later. (With clocks that run at about
the same speed. What a leader sent before its term ended can still arrive after: that is what the fence is for.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec

from stowplan.errors import UsageError

RELEASED_SECONDS: Final = 1
"""Duration written by a holder that steps down (client-go: release)."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Timing, in seconds; defaults are kube-scheduler's.

    Attributes:
        lease_duration: how long others wait after the last renewal that they saw (whole seconds: the API's).
        renew_deadline: how long a leader goes on without a renewal.
        retry_period: how often to renew, or to look.

    Raises:
        UsageError: they do not fit together.
    """

    lease_duration: int = 15
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if not self.lease_duration > self.renew_deadline > self.retry_period > 0:
            raise UsageError(
                "leader election: leaseDuration must be longer than renewDeadline, and that longer than retryPeriod"
            )


class LeaseSpec(msgspec.Struct, rename="camel", omit_defaults=False, frozen=True):
    """``coordination.k8s.io/v1`` LeaseSpec, as far as an election goes; absent and null fields are empty."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """A lease as the API server keeps it; ``version`` is its resourceVersion, empty where it does not exist yet."""

    spec: LeaseSpec
    version: str


class Candidate:
    """One process's view of the lease.

    Args:
        identity: unlike any other process's, this machine's earlier ones included.
        terms: the timing.

    Attributes:
        record: the lease as last seen; None before the first look.
    """

    def __init__(self, identity: str, terms: Terms) -> None:
        self.identity = identity
        self.terms = terms
        self.record: Record | None = None
        self._seen_at = 0.0
        self._renewed_at: float | None = None

    @property
    def holder(self) -> str:
        """Who held the lease when we last looked; empty for nobody."""
        return (self.record.spec.holder_identity or "") if self.record is not None else ""

    @property
    def fence(self) -> str:
        """``<identity>/<leaseTransitions>`` of our term, also when it has run out; empty when we have none."""
        if self._renewed_at is None or self.record is None:
            return ""
        return f"{self.identity}/{self.record.spec.lease_transitions or 0}"

    def remaining(self, now: float) -> float:
        """Seconds until our term ends unless it is renewed; 0 or less when we do not lead."""
        if self._renewed_at is None:
            return 0.0
        return self._renewed_at + self.terms.renew_deadline - now

    def leads(self, now: float) -> bool:
        """Whether we may act as the leader now."""
        return self.remaining(now) > 0

    def saw(self, record: Record, now: float) -> None:
        """The lease was read at ``now``; a change of it starts its holder's time anew."""
        if self.record is None or record != self.record:
            self.record, self._seen_at = record, now
        if self.holder != self.identity:
            self._renewed_at = None

    def may_claim(self, now: float) -> bool:
        """Whether the lease is free: nobody's, or unchanged for all of its duration."""
        if self.record is None:
            return False
        if not self.holder:
            return True
        return now - self._seen_at >= float(self.record.spec.lease_duration_seconds or 0)

    def claim(self, stamp: str) -> Record:
        """What to write to lead, or to go on leading.

        Args:
            stamp: the time of day, for people (RFC 3339 with microseconds).
        """
        spec = self.record.spec if self.record is not None else LeaseSpec()
        version = self.record.version if self.record is not None else ""
        renewing = self._renewed_at is not None
        transitions = spec.lease_transitions or 0
        claimed = LeaseSpec(
            holder_identity=self.identity,
            lease_duration_seconds=self.terms.lease_duration,
            acquire_time=spec.acquire_time if renewing else stamp,
            renew_time=stamp,
            lease_transitions=transitions if renewing or not version else transitions + 1,
        )
        return Record(spec=claimed, version=version)

    def won(self, record: Record, sent_at: float) -> None:
        """What ``claim`` said, sent at ``sent_at``, was written; ``record`` has its new version."""
        self.record, self._seen_at, self._renewed_at = record, sent_at, sent_at

    def released(self, stamp: str) -> Record | None:
        """What to write to step down, after all work has ended; None when we hold nothing."""
        if self._renewed_at is None or self.record is None:
            return None
        self._renewed_at = None
        spec = LeaseSpec(
            holder_identity="",
            lease_duration_seconds=RELEASED_SECONDS,
            acquire_time=stamp,
            renew_time=stamp,
            lease_transitions=self.record.spec.lease_transitions,
        )
        return replace(self.record, spec=spec)
