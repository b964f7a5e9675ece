from __future__ import annotations

import pytest
from tests.scenarios.__main__ import main
from tests.scenarios.registry import SCENARIOS


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        pytest.param("--only none", "'none' is none of scale-down, zone-outage", id="unknown scenario"),
        pytest.param("--setups other", "'other' is none of plain, expert, ours", id="unknown setup"),
        pytest.param("--runs 0", "'0' is not a number above 0", id="no runs"),
    ],
)
def test_bad_usage_is_refused(command: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "/nowhere/scenarios.json"]) == 2
    assert "/nowhere/scenarios.json cannot be written" in capsys.readouterr().err


def test_the_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [each.name for each in SCENARIOS]
