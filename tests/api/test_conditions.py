from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from stowplan.api import conditions
from stowplan.api.common import Condition

EARLY = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
LATE = EARLY + timedelta(minutes=5)


def ready(status: str, *, generation: int = 1, reason: str = "Because", message: str = "") -> Condition:
    return Condition.model_validate(
        {"type": "Ready", "status": status, "observedGeneration": generation, "reason": reason, "message": message}
    )


def test_a_new_condition_is_appended_with_the_time() -> None:
    other = Condition(type="Accepted", status="True", reason="Valid")
    found = conditions.set_condition((other,), ready("True"), now=EARLY)
    assert [condition.type for condition in found] == ["Accepted", "Ready"]
    assert found[1].last_transition_time == EARLY


def test_the_time_stays_while_the_status_stays_and_the_rest_is_taken_over() -> None:
    before = conditions.set_condition((), ready("False", reason="Waiting"), now=EARLY)
    after = conditions.set_condition(
        before, ready("False", reason="StillWaiting", message="for a", generation=2), now=LATE
    )
    assert len(after) == 1
    assert (after[0].last_transition_time, after[0].reason, after[0].message) == (EARLY, "StillWaiting", "for a")
    assert after[0].observed_generation == 2


def test_the_time_changes_with_the_status() -> None:
    before = conditions.set_condition((), ready("False"), now=EARLY)
    assert conditions.set_condition(before, ready("True"), now=LATE)[0].last_transition_time == LATE


def test_the_order_of_a_list_stays() -> None:
    listed = (
        Condition(type="A", status="True", reason="R"),
        ready("False"),
        Condition(type="B", status="True", reason="R"),
    )
    found = conditions.set_condition(listed, ready("True"), now=EARLY)
    assert [condition.type for condition in found] == ["A", "Ready", "B"]


def test_what_is_said_of_an_older_generation_comes_too_late() -> None:
    before = conditions.set_condition((), ready("False", generation=3), now=EARLY)
    assert conditions.set_condition(before, ready("True", generation=2), now=LATE) == before


def test_a_time_is_kept_in_whole_seconds_as_the_api_server_keeps_it() -> None:
    found = conditions.set_condition((), ready("True"), now=EARLY.replace(microsecond=123456))
    assert found[0].to_json()["lastTransitionTime"] == "2026-01-01T12:00:00Z"


@given(statuses=st.lists(st.sampled_from(["True", "False", "Unknown"]), min_size=1))
def test_the_time_is_that_of_the_last_change(statuses: list[str]) -> None:
    listed: tuple[Condition, ...] = ()
    expected = EARLY
    for minute, status in enumerate(statuses):
        now = EARLY + timedelta(minutes=minute)
        if minute == 0 or statuses[minute - 1] != status:
            expected = now
        listed = conditions.set_condition(listed, ready(status), now=now)
        assert conditions.set_condition(listed, ready(status), now=LATE + timedelta(days=1)) == listed
    assert [(condition.status, condition.last_transition_time) for condition in listed] == [(statuses[-1], expected)]
