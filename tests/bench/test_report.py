from __future__ import annotations

import json

import pytest
from tests.bench import report
from tests.bench.machine import Machine
from tests.bench.measure import Run
from tests.bench.placement import Balance

MACHINE = Machine(
    cpu="Some CPU", cores=2, memory=8 * 2**30, kernel="6.1", python="3.11.7", kubernetes="v1.36.3", stowplan="0.1.0",
    load=(0.5, 1.25),
)  # fmt: skip


def run(system: str, rate: float, *, round_: int = 1, skew: int = 1, bound: int = 101, remark: str = "") -> Run:
    return Run(
        workload="spread", system=system, round=round_, nodes=1000, pods=101, bound=bound, seconds=(bound - 1) / rate,
        first_bind=1.25, cpu=2.0, cpu_per_pod=0.456, peak_rss=75 * 2**20, api_cpu=3.0, api_cpu_per_pod=1.5, own_cpu=0.1,
        requests={"POST pods/binding": bound, "POST events": 50}, others=0.25,
        balance=Balance(skew, 2, (33, 34), (0, 1), 0), remark=remark,
    )  # fmt: skip


def row(text: str, system: str, table: int = 0) -> list[str]:
    """The cells of the row of a system; of the table of speeds, or of the last one."""
    rows = [line for line in text.splitlines() if f"| {system} " in line]
    return [cell.strip() for cell in rows[table].strip("|").split("|")]


def test_a_row_tells_rate_share_and_usage() -> None:
    text = report.markdown([run("bare", 1000), run("stowplan", 800)], MACHINE)
    assert row(text, "stowplan") == ["stowplan", "800", "80%", "1.2", "2.0", "0.46", "75", "3.0", "1.50", "1.5", "25%"]


def test_a_system_is_compared_with_bare_binding_of_the_same_round() -> None:
    runs = [run("bare", 1000, round_=1), run("stowplan", 500, round_=1),
            run("bare", 100, round_=2), run("stowplan", 90, round_=2)]  # fmt: skip
    assert report.share_of_base(runs[1::2], runs) == pytest.approx(0.7)  # the median of 50% and 90%


def test_several_rounds_show_the_median_and_the_range() -> None:
    runs = [run("stowplan", rate, round_=number) for number, rate in enumerate((300.0, 100.0, 200.0), start=1)]
    assert row(report.markdown(runs, MACHINE), "stowplan")[1:3] == ["200 (100–300)", ""]  # noqa: RUF001 - a range


def test_the_worst_skew_of_all_rounds_is_shown() -> None:
    runs = [run("stowplan", 300, round_=1, skew=1), run("stowplan", 300, round_=2, skew=4)]
    assert row(report.markdown(runs, MACHINE), "stowplan", -1)[3] == "4"


def test_an_incomplete_run_says_why() -> None:
    text = report.markdown([run("kube-scheduler", 5, bound=50, remark="stopped after 300 s")], MACHINE)
    cells = row(text, "kube-scheduler", -1)
    assert (cells[2], cells[-1]) == ("50", "stopped after 300 s")


def test_a_run_without_a_single_bind_has_a_rate_of_nothing() -> None:
    nothing = run("stowplan", 1, bound=1)
    assert nothing.rate == 0
    assert row(report.markdown([nothing], MACHINE), "stowplan")[1] == "0.0"


def test_every_line_of_a_table_has_the_same_width() -> None:
    text = report.markdown([run("bare", 1000), run("stowplan", 12345)], MACHINE)
    for table in (part for part in text.split("\n\n") if part.startswith("|")):
        assert len({len(line) for line in table.splitlines()}) == 1


def test_the_json_has_the_machine_and_every_run() -> None:
    document = json.loads(report.document([run("bare", 1000), run("stowplan", 800)], MACHINE))
    assert document["machine"]["cores"] == 2
    assert [(each["system"], each["rate"]) for each in document["runs"]] == [("bare", 1000.0), ("stowplan", 800.0)]
    assert document["runs"][0]["balance"]["per_zone"] == [33, 34]
