from __future__ import annotations

from pathlib import Path

import pytest
from tests.bench.__main__ import main


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        pytest.param("--workloads basic,none", "'none' is none of basic, spread", id="unknown workload"),
        pytest.param("--systems other", "'other' is none of bare, kube-scheduler, stowplan", id="unknown system"),
        pytest.param("--nodes 0", "'0' is not a number above 0", id="no nodes"),
        pytest.param("--repeat x", "'x' is not a number above 0", id="not a number"),
    ],
)
def test_bad_usage_is_refused(command: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        pytest.param("--nodes 10 --workloads pvc", "10 nodes are for 120 pods of pvc at most", id="too many pods"),
        pytest.param("decisions --nodes 10 --workload basic", "10 nodes are for 550 pods of basic", id="decisions too"),
        pytest.param("--json /nowhere/bench.json", "bench.json cannot be written", id="no such folder"),
        pytest.param("--profile /nowhere", "--profile is for bare, stowplan alone", id="a profile of kube-scheduler"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_started(
    command: str, complaint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(command.replace("/nowhere", f"{tmp_path}/profiles").split()) == 2
    assert complaint in capsys.readouterr().err


def test_decisions_are_measured_and_profiled(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "profile.pstats"
    command = "decisions --nodes 30 --pods 20 --bound 30 --repeat 1 --workload mission --plugins --profile --output"
    assert main([*command.split(), str(output)]) == 0
    shown = capsys.readouterr().out
    assert "30 nodes, 30 pods on them; 20 of 20 placed" in shown
    assert "Filter    PodTopologySpread" in shown
    assert "Ordered by: internal time" in shown
    assert output.stat().st_size > 1000
