from __future__ import annotations

import json

from tests.bench import machine
from tests.scenarios import report
from tests.scenarios.registry import BY_NAME, SCENARIOS
from tests.scenarios.scenario import Outcome


def outcome(setup: str, run: int, reason: str = "", *broken: str) -> Outcome:
    return Outcome(scenario="rollback", setup=setup, run=run, reason=reason, broken=broken, seconds=1.0)


OUTCOMES = [
    outcome("plain", 1, "db-2 | is not ready"),
    outcome("plain", 2, "db-2 is not ready"),
    outcome("expert", 1),
    outcome("expert", 2, "", "only 1 members served"),
    outcome("ours", 1),
    outcome("ours", 2),
]


def test_the_table_says_who_passed_and_why_not() -> None:
    *_, header, _, row, total = report.markdown(SCENARIOS, OUTCOMES, machine.describe()).splitlines()
    assert [cell.strip() for cell in header.split("|")][3:-1] == ["plain", "expert", "ours"]
    assert [cell.strip() for cell in row.split("|")][1:-1] == [
        "broken rollout rolled back", "kubernetes 67250", "**failed**: db-2 / is not ready",
        "**failed** in 1 of 2 runs: only 1 members served", "passed",
    ]  # fmt: skip
    assert [cell.strip() for cell in total.split("|")][1:-1] == ["passed, of 1", "", "0", "0", "1"]


def test_the_document_has_every_run() -> None:
    document = json.loads(report.document(OUTCOMES, machine.describe()))
    assert [each["passed"] for each in document["outcomes"]] == [False, False, True, False, True, True]
    assert document["machine"]["kubernetes"].startswith("v1.")


def test_every_scenario_has_a_name_of_its_own_and_a_docstring_for_the_docs() -> None:
    assert len(BY_NAME) == len(SCENARIOS) == 15
