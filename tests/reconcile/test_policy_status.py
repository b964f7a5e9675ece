from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import JsonValue

from stowplan.api.policy import SchedulingPolicy
from stowplan.api.policy_status import DomainStatus, GangStatus, PodCounts, Shadow
from stowplan.reconcile.policy_status import PolicyFacts, status

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def policy(**spec: JsonValue) -> SchedulingPolicy:
    return SchedulingPolicy.model_validate(
        {"metadata": {"name": "ha", "namespace": "ns", "generation": 4}, "spec": spec}
    )


def row(rule: str, *, violated: bool, group: str = "") -> DomainStatus:
    return DomainStatus(rule=rule, group=group, domain="zone", counts={"a": 1}, skew=0, violated=violated)


@pytest.mark.parametrize(
    ("facts", "expected", "summary"),
    [
        pytest.param(
            PolicyFacts(), {"Accepted": "True", "Satisfied": "True", "Conflicted": "False", "Ready": "True"}, "",
            id="all is well",
        ),
        pytest.param(
            PolicyFacts(domains=(row("x", violated=True),)),
            {"Accepted": "True", "Satisfied": "False", "Conflicted": "False", "Ready": "True"}, "RulesViolated",
            id="pods break a rule",
        ),
        pytest.param(
            PolicyFacts(overridden_by=("other",)),
            {"Accepted": "True", "Satisfied": "True", "Conflicted": "True", "Ready": "False"}, "Overridden",
            id="another policy takes its pods",
        ),
        pytest.param(
            PolicyFacts(error="no such plugin"),
            {"Accepted": "False", "Satisfied": "True", "Conflicted": "False", "Ready": "False"}, "Invalid",
            id="the scheduler cannot use it",
        ),
    ],
)  # fmt: skip
def test_the_conditions_when(facts: PolicyFacts, expected: dict[str, str], summary: str) -> None:
    told = status(policy(), facts, NOW)
    assert {each.type: each.status for each in told.conditions} == expected
    assert {each.observed_generation for each in told.conditions} == {4}
    assert told.summary.reason == summary


def test_so_many_gangs_wait_that_not_all_are_listed() -> None:
    gangs = tuple(GangStatus(name=f"g{number:03}", min_member=3, waiting=1) for number in reversed(range(100)))
    told = status(policy(), PolicyFacts(gangs=gangs), NOW)
    assert [each.name for each in told.gangs] == [f"g{number:03}" for number in range(64)]


def test_a_doubt_is_told_and_keeps_the_policy_in_force() -> None:
    told = status(policy(), PolicyFacts(doubts=("this is odd: mend it", "and that")), NOW)
    accepted, *_, ready = told.conditions
    assert (accepted.status, accepted.reason) == ("True", "QuestionableSpec")
    assert accepted.message == "this is odd: mend it; and that"
    assert ready.status == "True"
    assert told.summary.reason == "QuestionableSpec"
    worse = status(policy(), PolicyFacts(doubts=("odd",), overridden_by=("other",)), NOW)
    assert worse.summary.reason == "Overridden"


def test_pods_and_violations_are_counted_and_violated_rules_come_first() -> None:
    facts = PolicyFacts(
        pods=PodCounts(governed=9, bound=8, pending=1),
        domains=(row("even", violated=False), row("apart", violated=True, group="data"), row("full", violated=True)),
    )
    told = status(policy(), facts, NOW)
    assert told.summary.pods == "8/9"
    assert told.violations == 2
    assert [each.rule for each in told.domains] == ["apart", "full", "even"]
    satisfied = next(each for each in told.conditions if each.type == "Satisfied")
    assert satisfied.message == "running pods break apart (data), full"


def test_said_again_it_is_the_same() -> None:
    first = status(policy(), PolicyFacts(), NOW)
    again = policy().model_copy(update={"status": first})
    assert status(again, PolicyFacts(), NOW.replace(year=2027)) == first


def test_a_policy_that_is_tried_says_so_and_what_it_would_have_done() -> None:
    shadow = Shadow(decisions=5, different=2, impossible=1)
    told = status(policy(mode="DryRun"), PolicyFacts(shadow=shadow), NOW)
    assert told.shadow == shadow
    ready = next(each for each in told.conditions if each.type == "Ready")
    assert (ready.status, ready.reason) == ("True", "DryRun")
    assert ready.message == "the policy is tried on the pods that it selects, and places none: see status.shadow"
