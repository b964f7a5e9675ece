from __future__ import annotations

import json

from tests.bench.machine import Machine
from tests.bench.perf import report
from tests.bench.perf.measure import Result

MACHINE = Machine(
    cpu="Some CPU", cores=2, memory=8 * 2**30, kernel="6.1", python="3.11.7", kubernetes="v1.36.3", stowplan="0.1.0",
    load=(0.5, 1.25),
)  # fmt: skip


def result(system: str, seconds: float, *, workload: str = "Spreading/500Nodes", bound: int = 101) -> Result:
    return Result(
        workload=workload, system=system, nodes=500, before=1000, pods=101, bound=bound, seconds=seconds, creating=0.5,
        first_bind=0.25, cpu_per_pod=1.234, api_cpu_per_pod=2.5, peak_rss=75 * 2**20, churned=7, gone=3, own_cpu=0.1,
        others=0.25, remark="" if bound == 101 else "stopped | after 300 s",
    )  # fmt: skip


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "Nodes" in line]


def test_the_two_systems_stand_side_by_side() -> None:
    speed, *_ = rows(report.markdown([result("kube-scheduler", 10), result("stowplan", 0.5)], MACHINE))
    assert speed == ["Spreading/500Nodes", "500", "1,000", "101", "10.0", "200", "20.0"]


def test_a_workload_that_only_one_has_run_has_no_ratio() -> None:
    speed, *_ = rows(report.markdown([result("stowplan", 0.5)], MACHINE))
    assert speed[4:] == ["", "200", ""]


def test_all_that_was_measured_has_a_row() -> None:
    *_, row = rows(report.markdown([result("stowplan", 0.5, bound=51)], MACHINE))
    assert row == ["Spreading/500Nodes", "stowplan", "51", "100", "202", "0.25", "1.23", "2.50", "75", "7", "3", "0.1",
                   "25%", "stopped / after 300 s"]  # fmt: skip


def test_no_bind_at_all_is_a_rate_of_nothing() -> None:
    speed, *_ = rows(report.markdown([result("kube-scheduler", 10), result("stowplan", 0, bound=0)], MACHINE))
    assert speed[4:] == ["10.0", "0.0", ""]


def test_the_json_has_the_machine_and_every_result() -> None:
    document = json.loads(report.document([result("kube-scheduler", 10), result("stowplan", 0.5)], MACHINE))
    assert document["machine"]["cores"] == 2
    assert [(each["system"], each["rate"]) for each in document["results"]] == [
        ("kube-scheduler", 10.0), ("stowplan", 200.0),
    ]  # fmt: skip
