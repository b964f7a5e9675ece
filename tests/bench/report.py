"""The results as text: markdown tables for people, JSON for whatever compares them later. Pure."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Sequence

import msgspec
from tests.bench.machine import Machine
from tests.bench.measure import Run

BASE = "bare"
"""The system that all others are compared with."""
MIB = 2**20

_SPEED = (
    "", "pods/s", "of bare", "first bind s", "CPU s", "CPU ms/pod", "peak RSS MiB", "API CPU s", "API CPU ms/pod",
    "requests/pod", "others",
)  # fmt: skip
_RESULT = (
    "", "", "bound", "zone skew", "rack skew", "pods per zone", "pods per node", "broken rules", "harness CPU s", "",
)  # fmt: skip


def markdown(runs: Sequence[Run], machine: Machine) -> str:
    """All tables: one of speeds for each workload, one of what became of the pods."""
    parts = [str(machine)]
    for name in dict.fromkeys(run.workload for run in runs):
        of = [run for run in runs if run.workload == name]
        rounds = len({run.round for run in of})
        median = f", median of {rounds} rounds" if rounds > 1 else ""
        parts.append(f"**{name}**: {of[0].pods:,} pods, {of[0].nodes:,} nodes{median}")
        parts.append(table(_SPEED, (_speed(group, of) for group in _by_system(of))))
    parts.append("**What became of the pods** (the worst of all rounds)")
    workloads = [[run for run in runs if run.workload == name] for name in dict.fromkeys(run.workload for run in runs)]
    parts.append(table(_RESULT, (_result(group) for of in workloads for group in _by_system(of))))
    return "\n\n".join(parts)


def document(runs: Sequence[Run], machine: Machine) -> bytes:
    """The same and more as JSON: ``{"machine": {…}, "runs": [{…, "rate": pods/s}]}``."""
    rows = [{**dataclasses.asdict(run), "rate": round(run.rate, 1)} for run in runs]
    return msgspec.json.format(msgspec.json.encode({"machine": machine, "runs": rows}), indent=1) + b"\n"


def share_of_base(runs: Sequence[Run], all_runs: Sequence[Run]) -> float | None:
    """Median over the rounds of the rate divided by that of bare binding in the same round; None without one."""
    base = {run.round: run.rate for run in all_runs if run.system == BASE and run.rate}
    shares = [run.rate / base[run.round] for run in runs if run.round in base]
    return statistics.median(shares) if shares else None


def _speed(runs: Sequence[Run], all_runs: Sequence[Run]) -> list[str]:
    share = share_of_base(runs, all_runs)
    rates = [run.rate for run in runs]
    spread = f" ({min(rates):,.0f}–{max(rates):,.0f})" if len(rates) > 1 else ""  # noqa: RUF001 - a range
    return [
        runs[0].system,
        f"{_digits(statistics.median(rates))}{spread}",
        "" if share is None else f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.1f}%",
        _median(runs, lambda run: run.first_bind, 1),
        _median(runs, lambda run: run.cpu, 1),
        _median(runs, lambda run: run.cpu_per_pod, 2),
        _median(runs, lambda run: run.peak_rss / MIB, 0),
        _median(runs, lambda run: run.api_cpu, 1),
        _median(runs, lambda run: run.api_cpu_per_pod, 2),
        _median(runs, lambda run: sum(run.requests.values()) / max(1, run.bound), 1),
        f"{100 * statistics.median(run.others for run in runs):.0f}%",
    ]


def _result(runs: Sequence[Run]) -> list[str]:
    balances = [run.balance for run in runs]
    return [
        runs[0].workload,
        runs[0].system,
        f"{min(run.bound for run in runs):,}",
        str(max(each.zone_skew for each in balances)),
        str(max(each.rack_skew for each in balances)),
        _widest(each.per_zone for each in balances),
        _widest(each.per_node for each in balances),
        str(max(each.broken for each in balances)),
        _median(runs, lambda run: run.own_cpu, 1),
        "; ".join(dict.fromkeys(run.remark for run in runs if run.remark)).replace("|", "/"),
    ]


def _by_system(runs: Iterable[Run]) -> list[list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.system, []).append(run)
    return list(groups.values())


def _median(runs: Sequence[Run], value: Callable[[Run], float], digits: int) -> str:
    return f"{statistics.median(value(run) for run in runs):,.{digits}f}"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"


def _widest(ranges: Iterable[tuple[int, int]]) -> str:
    least, most = max(ranges, key=lambda each: each[1] - each[0])
    return f"{least} to {most}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table, padded so that it can be read as it is; figures to the right."""
    body = [list(row) for row in rows]
    widths = [max(2, *(len(row[column]) for row in [header, *body])) for column in range(len(header))]
    texts = {column for column in range(len(header)) if not header[column]}

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if column in texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column in texts else f"{'-' * (width - 1)}:" for column, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *(line(row) for row in body)])
