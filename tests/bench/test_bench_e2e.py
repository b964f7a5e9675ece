from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.bench import workloads
from tests.bench.__main__ import main
from tests.bench.measure import Case, measure
from tests.bench.stream import WARM
from tests.bench.systems import System

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_bare_binding_and_stowplan_bind_all_pods_and_stowplan_keeps_the_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "bench.json"
    command = "--systems bare,stowplan --workloads mission --nodes 60 --pods 50 --timeout 90 --json"
    assert main([*command.split(), str(output)]) == 0
    shown = capsys.readouterr()
    assert "**mission**: 50 pods, 60 nodes" in shown.out
    assert "mission by stowplan: 50 pods bound" in shown.err
    bare, stowplan = json.loads(output.read_text())["runs"]
    assert (bare["system"], stowplan["system"]) == ("bare", "stowplan")
    for run in (bare, stowplan):
        assert run["bound"] == 50
        assert run["remark"] == ""
        assert run["rate"] > 0
        assert run["cpu"] > 0
        assert run["api_cpu"] > 0
        assert run["peak_rss"] > 10 * 2**20
    assert stowplan["balance"]["broken"] == 0
    assert stowplan["balance"]["zone_skew"] == 1


def test_pods_that_come_while_nodes_come_and_go_are_all_bound(tmp_path: Path) -> None:
    output = tmp_path / "stream.json"
    command = "stream --systems stowplan --nodes 60 --pods 60 --groups 6 --rate 30 --churn 4 --rest 0 --json"
    assert main([*command.split(), str(output)]) == 0
    (result,) = json.loads(output.read_text())["results"]
    assert (result["pods"], result["bound"], len(result["waits"])) == (60, 60, 60)
    assert 0 < result["waits"][0] <= result["waits"][-1]
    least, most = result["balance"]["per_zone"]
    assert 3 * least <= 60 + WARM <= 3 * most
    assert result["balance"]["zone_skew"] > 0, "six groups of 11 and less over three zones"


def test_pods_that_are_there_before_are_not_counted(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    command = "--systems stowplan --workloads mission --nodes 60 --pods 20 --bound 90 --timeout 90 --json"
    assert main([*command.split(), str(output)]) == 0
    (run,) = json.loads(output.read_text())["runs"]
    assert (run["bound"], run["balance"]["broken"]) == (20, 0)


@pytest.mark.parametrize(
    ("script", "remark"),
    [
        pytest.param("import time; time.sleep(60)", "stopped after 1 s", id="too slow"),
        pytest.param("raise SystemExit('no such flag')", "ended too early: no such flag", id="broken"),
    ],
)
def test_a_system_that_does_not_bind_all_pods_is_reported_as_such(script: str, remark: str) -> None:
    system = System("idle", "idle", lambda _: [sys.executable, "-c", script])
    layout = workloads.layout_of(6)
    case = Case(system=system, workload=workloads.BY_NAME["basic"], pods=3, layout=layout, timeout=1)
    run = measure(case, lambda _: None)
    assert (run.bound, run.remark, run.rate) == (0, remark, 0.0)
