"""The rules of leader election, in virtual time: at most one leader, whatever the network does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stowplan.errors import UsageError
from stowplan.kube.election import RELEASED_SECONDS, Candidate, LeaseSpec, Record, Terms

TERMS = Terms(lease_duration=15, renew_deadline=10, retry_period=2)
NOBODY = Record(spec=LeaseSpec(), version="")


def held(holder: str, version: str, *, transitions: int = 3, duration: int = 15) -> Record:
    spec = LeaseSpec(holder_identity=holder, lease_duration_seconds=duration, lease_transitions=transitions)
    return Record(spec=spec, version=version)


def leader(now: float = 0.0) -> Candidate:
    candidate = Candidate("me", TERMS)
    candidate.saw(NOBODY, now)
    claim = candidate.claim("t")
    candidate.won(Record(spec=claim.spec, version="1"), now)
    return candidate


@pytest.mark.parametrize(
    ("record", "waited", "free"),
    [
        pytest.param(NOBODY, 0.0, True, id="lease does not exist"),
        pytest.param(held("", "5"), 0.0, True, id="given back"),
        pytest.param(held("other", "5"), 14.9, False, id="held"),
        pytest.param(held("other", "5"), 15.0, True, id="not renewed for its duration"),
        pytest.param(held("other", "5", duration=60), 15.0, False, id="the holder's duration counts, not ours"),
        pytest.param(held("me", "5"), 14.9, False, id="our name, but not our term"),
        pytest.param(Record(spec=LeaseSpec(holder_identity="other"), version="5"), 0.0, True, id="no duration"),
    ],
)
def test_when_a_lease_may_be_claimed(record: Record, waited: float, free: bool) -> None:
    candidate = Candidate("me", TERMS)
    candidate.saw(record, 100.0)
    candidate.saw(record, 100.0 + waited)

    assert candidate.may_claim(100.0 + waited) is free


def test_before_the_first_look_nothing_may_be_claimed() -> None:
    assert not Candidate("me", TERMS).may_claim(1e9)


def test_each_renewal_seen_starts_the_wait_anew() -> None:
    candidate = Candidate("me", TERMS)
    candidate.saw(held("other", "5"), 0.0)
    candidate.saw(held("other", "6"), 14.0)

    assert not candidate.may_claim(28.0)
    assert candidate.may_claim(29.0)


def test_new_holder_counts_a_transition_and_keeps_it_while_renewing() -> None:
    candidate = Candidate("me", TERMS)
    candidate.saw(held("other", "5", transitions=3), 0.0)
    first = candidate.claim("t1")
    candidate.won(Record(spec=first.spec, version="6"), 20.0)
    second = candidate.claim("t2")

    assert first.spec.lease_transitions == second.spec.lease_transitions == 4
    assert (second.spec.acquire_time, second.spec.renew_time, second.version) == ("t1", "t2", "6")
    assert candidate.fence == "me/4"


def test_own_name_on_an_old_lease_starts_a_new_term() -> None:
    candidate = Candidate("me", TERMS)
    candidate.saw(held("me", "5", transitions=3), 0.0)

    assert candidate.claim("t").spec.lease_transitions == 4


def test_term_ends_at_the_deadline_after_the_renewal_was_sent() -> None:
    candidate = leader(now=100.0)

    assert candidate.leads(109.9)
    assert not candidate.leads(110.0)


def test_seeing_another_holder_ends_the_term_at_once() -> None:
    candidate = leader(now=100.0)
    candidate.saw(held("other", "9"), 101.0)

    assert not candidate.leads(101.0)
    assert candidate.fence == ""
    assert candidate.released("t") is None


def test_stepping_down_leaves_the_lease_to_nobody_with_its_count() -> None:
    candidate = leader()
    record = candidate.released("t")

    assert record is not None
    assert (record.spec.holder_identity, record.spec.lease_duration_seconds) == ("", RELEASED_SECONDS)
    assert (record.spec.lease_transitions, record.version) == (0, "1")
    assert not candidate.leads(0.1)
    assert candidate.released("t") is None


@pytest.mark.parametrize(
    ("duration", "deadline", "retry"),
    [
        pytest.param(10, 10.0, 2.0, id="others would not wait longer than we work"),
        pytest.param(15, 2.0, 2.0, id="no time for a second try"),
        pytest.param(15, 10.0, 0.0, id="no pause"),
    ],
)
def test_terms_that_do_not_fit_are_refused(duration: int, deadline: float, retry: float) -> None:
    with pytest.raises(UsageError, match="leader election"):
        Terms(lease_duration=duration, renew_deadline=deadline, retry_period=retry)


@dataclass
class Request:
    """A write on its way."""

    record: Record
    sent_at: float


NAMES = st.sampled_from(["a", "b"])
SECONDS = st.sampled_from([0.0, 1.0, 3.0, 7.0, 12.0])
FATES = st.sampled_from(["answered", "answered", "answered late", "answer lost", "arrives late", "never arrives"])


class Election(RuleBasedStateMachine):
    """Two candidates and a server; writes arrive late or never, answers get lost, time passes at any pace."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lease = NOBODY
        self.version = 0
        self.candidates = {name: Candidate(name, TERMS) for name in "ab"}
        self.late: list[Request] = []
        self.terms: dict[int, str] = {}

    @rule(after=SECONDS, name=NAMES, fate=FATES)
    def looks_or_writes(self, after: float, name: str, fate: str) -> None:
        self.now += after
        candidate = self.candidates[name]
        if not candidate.leads(self.now):
            candidate.saw(self.lease, self.now)
            if not candidate.may_claim(self.now):
                return
        request = Request(candidate.claim(str(self.now)), self.now)
        if fate == "arrives late":
            self.late.append(request)
        elif fate == "answer lost":
            self._handle(request)
        elif fate != "never arrives":
            written = self._handle(request)
            self.now += 7.0 if fate == "answered late" else 0.0
            if written is None:  # Conflict: it reads what is true
                candidate.saw(self.lease, self.now)
            else:
                candidate.won(written, request.sent_at)

    @precondition(lambda self: self.late)
    @rule(after=SECONDS)
    def late_write_arrives_after_all(self, after: float) -> None:
        self.now += after
        self._handle(self.late.pop(0))

    @rule(name=NAMES)
    def steps_down(self, name: str) -> None:
        candidate = self.candidates[name]
        if candidate.leads(self.now) and (record := candidate.released("t")) is not None:
            self._handle(Request(record, self.now))

    @invariant()
    def at_most_one_leads(self) -> None:
        assert len([one for one in self.candidates.values() if one.leads(self.now)]) <= 1

    @invariant()
    def whoever_leads_has_a_fence_of_its_own(self) -> None:
        for one in self.candidates.values():
            if one.leads(self.now):
                assert one.fence == f"{self.lease.spec.holder_identity}/{self.lease.spec.lease_transitions}"

    def _handle(self, request: Request) -> Record | None:
        """What the server does: write it if the version is the current one."""
        if request.record.version != self.lease.version:
            return None
        self.version += 1
        self.lease = Record(spec=request.record.spec, version=str(self.version))
        holder = self.lease.spec.holder_identity
        if holder:  # a term is one process's: the fence names it
            assert self.terms.setdefault(self.lease.spec.lease_transitions or 0, holder) == holder
        return self.lease


TestElection = Election.TestCase
TestElection.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)
