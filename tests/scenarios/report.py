"""The table of all scenarios as markdown for people, and everything as JSON. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import msgspec
from tests.bench.machine import Machine
from tests.scenarios.scenario import Outcome, Scenario, Setup

_LONGEST = 160
"""Characters of a reason in the table; the JSON has all of it."""


def markdown(scenarios: Sequence[Scenario], outcomes: Sequence[Outcome], machine: Machine) -> str:
    """The machine, the table, and how many scenarios each setup has passed."""
    setups = [setup for setup in Setup if any(each.setup == setup.value for each in outcomes)]
    rows = [["", "issue", *(setup.value for setup in setups)]]
    passed = dict.fromkeys(setups, 0)
    shown = [each for each in scenarios if any(outcome.scenario == each.name for outcome in outcomes)]
    for scenario in shown:
        row = [scenario.title, scenario.issue]
        for setup in setups:
            runs = _of(outcomes, scenario, setup)
            passed[setup] += bool(runs) and all(run.passed for run in runs)
            row.append(_cell(runs))
        rows.append(row)
    rows.append([f"passed, of {len(shown)}", "", *(str(passed[setup]) for setup in setups)])
    return f"{machine}\n\n{_table(rows)}"


def document(outcomes: Sequence[Outcome], machine: Machine) -> bytes:
    """``{"machine": {…}, "outcomes": [{"scenario", "setup", "run", "passed", "reason", "broken", "seconds"}]}``."""
    rows = [{**dataclasses.asdict(each), "passed": each.passed} for each in outcomes]
    return msgspec.json.format(msgspec.json.encode({"machine": machine, "outcomes": rows}), indent=1) + b"\n"


def _of(outcomes: Iterable[Outcome], scenario: Scenario, setup: Setup) -> list[Outcome]:
    return [each for each in outcomes if (each.scenario, each.setup) == (scenario.name, setup.value)]


def _cell(runs: Sequence[Outcome]) -> str:
    """passed, or failed and why; where it was not always so, how often."""
    if not runs:
        return ""
    failed = [run for run in runs if not run.passed]
    if not failed:
        return "passed"
    often = "" if len(failed) == len(runs) else f" in {len(failed)} of {len(runs)} runs"
    reason = failed[0].phrase.replace("|", "/").replace("\n", " ")
    return f"**failed**{often}: {reason if len(reason) <= _LONGEST else f'{reason[:_LONGEST]}…'}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *body = rows
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
