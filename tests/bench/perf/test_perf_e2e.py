from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.bench.__main__ import main
from tests.bench.perf import command, source
from tests.bench.perf.measure import Case, run
from tests.bench.systems import System
from tests.controlplane.errors import ControlPlaneError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_every_workload_of_the_pinned_kubernetes_is_understood_with_its_templates() -> None:
    known = source.load()
    for workload in known.values():
        workload.check()
    assert {name.partition("/")[0] for name in known} >= {"TopologySpreading", "PreemptionBasic", "Unschedulable"}
    assert not [name for name in command.SELECTION if source.refusal(known[name].gates)]


def test_a_gate_that_kubernetes_has_locked_is_refused_with_the_reason() -> None:
    assert source.refusal({"SchedulerQueueingHints": True}) == ""
    assert "feature is locked to true" in source.refusal({"SchedulerQueueingHints": False})


def test_both_schedulers_make_room_for_pods_with_volumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "perf.json"
    name = "PreemptionPVs/5Nodes_QueueingHintsEnabled"
    assert main(["perf", "--workloads", name, "--timeout", "90", "--json", str(output)]) == 0
    shown = capsys.readouterr()
    assert f"| {name} |" in shown.out
    assert f"{name} by stowplan: 5 pods bound" in shown.err
    theirs, ours = json.loads(output.read_text())["results"]
    assert (theirs["system"], ours["system"]) == ("kube-scheduler", "stowplan")
    for result in (theirs, ours):
        assert (result["nodes"], result["before"], result["bound"], result["remark"]) == (5, 20, 5, "")
        assert result["gone"] >= 15  # three on each node have to go
        assert result["rate"] > 0
        assert result["peak_rss"] > 10 * 2**20


def test_a_scheduler_that_does_not_come_up_is_one_clear_error() -> None:
    script = [sys.executable, "-c", "raise SystemExit('no such flag')"]
    workload = source.load()["SchedulingBasic/5Nodes_QueueingHintsEnabled"]
    case = Case(system=System("broken", "broken", lambda _: script), workload=workload, timeout=5)
    with pytest.raises(
        ControlPlaneError, match=r"(?s)^SchedulingBasic/5Nodes\w+ by broken: broken has ended.*no such flag"
    ):
        run(case, lambda _: None)
