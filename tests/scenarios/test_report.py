from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.bench import machine
from tests.scenarios import report
from tests.scenarios.registry import BY_NAME, SCENARIOS
from tests.scenarios.scenario import Outcome, Scenario

PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"


def outcome(setup: str, run: int, reason: str = "", *broken: str) -> Outcome:
    return Outcome(scenario="rollback", setup=setup, run=run, reason=reason, broken=broken, seconds=1.0)


OUTCOMES = [
    outcome("plain", 1, "db-2 | is not ready"),
    outcome("plain", 2, "db-2 is not ready"),
    outcome("expert", 1),
    outcome("expert", 2, "", "only 1 member served"),
    outcome("ours", 1),
    outcome("ours", 2),
]


def test_the_table_says_who_passed_and_why_not() -> None:
    *_, header, _, row, total = report.markdown(SCENARIOS, OUTCOMES, machine.describe()).splitlines()
    assert [cell.strip() for cell in header.split("|")][3:-1] == ["plain", "expert", "ours"]
    assert [cell.strip() for cell in row.split("|")][1:-1] == [
        "broken rollout rolled back", "kubernetes 67250", "**failed**: db-2 / is not ready",
        "**failed** in 1 of 2 runs: only 1 member served", "passed",
    ]  # fmt: skip
    assert [cell.strip() for cell in total.split("|")][1:-1] == ["passed, of 1", "", "0", "0", "1"]


def test_the_document_has_every_run() -> None:
    document = json.loads(report.document(OUTCOMES, machine.describe()))
    assert [each["passed"] for each in document["outcomes"]] == [False, False, True, False, True, True]
    assert document["machine"]["kubernetes"].startswith("v1.")


def test_every_scenario_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(SCENARIOS) == 15


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_the_page_tells_each_scenario_in_the_words_of_its_module(scenario: Scenario) -> None:
    title, _, story = (sys.modules[scenario.check.__module__].__doc__ or "").partition("\n\n")
    assert scenario.issue in title
    page = " ".join(PAGE.read_text().split())
    assert f"`{scenario.name}`: {scenario.title}" in page
    assert " ".join(story.split()) in page
