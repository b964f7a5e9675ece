from __future__ import annotations

import json
import xml.etree.ElementTree
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


def test_what_a_policy_in_mode_dry_run_costs_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    command = "decisions --nodes 30 --pods 20 --repeat 1 --workload spread --dry-run-policy"
    assert main(command.split()) == 0
    assert "times as much as the other two together" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("waits", "in_vain"),
    [
        pytest.param("", 6, id="for CPU"),
        pytest.param("--claims", 5, id="for storage, so that a claim that grows wakes its pod"),
    ],
)
def test_what_a_flood_costs_the_others_is_measured(
    waits: str, in_vain: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"flood --nodes 30 --pods 20 --flood 40 --classes 2 {waits}".split()) == 0
    shown = capsys.readouterr().out
    assert "with 40 that never fit, of 2 kinds" in shown
    assert shown.count(" µs each, 0 woken") == in_vain
    assert "vain retries: {}" in shown


def test_a_curve_is_measured_written_and_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    figures, drawn = tmp_path / "curve.json", tmp_path / "curve.svg"
    command = f"curve --nodes 40,80 --bound 0,2000,4000 --workload spread --json {figures} --svg {drawn}"
    assert main(command.split()) == 0
    assert capsys.readouterr().out.count("µs a decision") == 5  # 40 nodes are too few for 4,000 pods
    points = json.loads(figures.read_text())["points"]
    assert [(each["nodes"], each["bound"]) for each in points] == [
        (40, 0), (40, 2000), (80, 0), (80, 2000), (80, 4000),
    ]  # fmt: skip
    assert all(each["micros"] > 0 for each in points)
    picture = xml.etree.ElementTree.parse(drawn)
    assert len(picture.findall(".//{http://www.w3.org/2000/svg}circle")) == 5 + 3  # points, and the legend
