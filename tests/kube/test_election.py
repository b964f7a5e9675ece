"""The rules of leader election, in virtual time: at most one leader, whatever the network does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
    """A read (``record`` is None) or a write on its way, and what the server answered."""

    record: Record | None
    sent_at: float
    answer: Record | None = None
    arrived: bool = False


NAMES = st.sampled_from(["a", "b", "c"])


class Election(RuleBasedStateMachine):
    """Three candidates and a server; requests arrive late or never, answers get lost, time passes at any pace."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lease = NOBODY
        self.version = 0
        self.candidates: dict[str, Candidate] = {}
        self.requests: dict[str, Request] = {}
        self.lost: list[Request] = []
        self.terms: dict[int, str] = {}

    @initialize()
    def begin(self) -> None:
        self.candidates = {name: Candidate(name, TERMS) for name in "abc"}

    @rule(seconds=st.floats(0.1, 20.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=NAMES)
    def sends(self, name: str) -> None:
        candidate = self.candidates[name]
        if name not in self.requests:
            claims = candidate.leads(self.now) or candidate.may_claim(self.now)
            self.requests[name] = Request(candidate.claim(str(self.now)) if claims else None, self.now)

    @rule(name=NAMES)
    def server_handles(self, name: str) -> None:
        if (request := self.requests.get(name)) is not None and not request.arrived:
            self._handle(request)

    @rule(name=NAMES)
    def answer_arrives(self, name: str) -> None:
        request = self.requests.get(name)
        if request is None or not request.arrived:
            return
        del self.requests[name]
        candidate = self.candidates[name]
        if request.record is not None and request.answer is not None:
            candidate.won(request.answer, request.sent_at)
        elif request.record is None and request.answer is not None:
            candidate.saw(request.answer, self.now)
        else:  # Conflict: what it knew is old
            candidate.saw(self.lease, self.now)

    @rule(name=NAMES)
    def connection_breaks(self, name: str) -> None:
        if (request := self.requests.pop(name, None)) is not None and not request.arrived:
            self.lost.append(request)

    @precondition(lambda self: self.lost)
    @rule()
    def lost_request_arrives_after_all(self) -> None:
        self._handle(self.lost.pop(0))

    @rule(name=NAMES)
    def steps_down(self, name: str) -> None:
        candidate = self.candidates[name]
        if name not in self.requests and candidate.leads(self.now) and (record := candidate.released("t")) is not None:
            self.requests[name] = Request(record, self.now)
            self._handle(self.requests.pop(name))

    @invariant()
    def at_most_one_leads(self) -> None:
        assert len([one for one in self.candidates.values() if one.leads(self.now)]) <= 1

    def _handle(self, request: Request) -> None:
        request.arrived = True
        if request.record is None:
            request.answer = self.lease
        elif request.record.version == self.lease.version:
            self.version += 1
            self.lease = request.answer = Record(spec=request.record.spec, version=str(self.version))
            holder = self.lease.spec.holder_identity
            if holder:  # a term is one process's: the fence names it
                assert self.terms.setdefault(self.lease.spec.lease_transitions or 0, holder) == holder


TestElection = Election.TestCase
TestElection.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
