"""The results of scheduler_perf's workloads as text: markdown tables for people, JSON for programs. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec
from tests.bench.machine import Machine
from tests.bench.perf.measure import Result
from tests.bench.perf.source import Workload
from tests.bench.report import MIB, table

BASE, OURS = "kube-scheduler", "stowplan"
_DETAILS = (
    "", "", "bound", "pods/s", "came at", "first bind s", "CPU ms/pod", "API CPU ms/pod", "peak RSS MiB", "churned",
    "gone", "harness CPU s", "others", "",
)  # fmt: skip


def markdown(results: Sequence[Result], machine: Machine) -> str:
    """Two tables: the speeds side by side, and all that was measured."""
    names = dict.fromkeys(result.workload for result in results)
    by = {(result.workload, result.system): result for result in results}
    speeds = [_speed(by.get((name, BASE)), by.get((name, OURS)), name) for name in names]
    return "\n\n".join(
        [
            str(machine),
            table(("", "nodes", "pods before", "pods", f"{BASE} pods/s", "Stowplan pods/s", "ratio"), speeds),
            table(_DETAILS, [_details(result) for result in results]),
        ]
    )


def document(results: Sequence[Result], machine: Machine) -> bytes:
    """The same as JSON: ``{"machine": {…}, "results": [{…, "rate": pods/s}]}``."""
    rows = [{**dataclasses.asdict(each), "rate": round(each.rate, 1)} for each in results]
    return msgspec.json.format(msgspec.json.encode({"machine": machine, "results": rows}), indent=1) + b"\n"


def listing(workloads: Sequence[tuple[Workload, str]]) -> str:
    """A line for each workload; one that is left out comes with the reason, which is "" for the others."""
    width = max(len(workload.name) for workload, _ in workloads)
    return "\n".join(
        f"{each.name:<{width}}  {each.nodes:>6,} nodes  {each.before:>6,} + {each.measured:>6,} pods"
        f"{f'  left out: {why}' if why else ''}"
        for each, why in workloads
    )


def _speed(base: Result | None, ours: Result | None, name: str) -> list[str]:
    either = base or ours
    assert either is not None
    ratio = ours.rate / base.rate if base and ours and base.rate else 0.0
    return [
        name, f"{either.nodes:,}", f"{either.before:,}", f"{either.pods:,}",
        _rate(base.rate) if base else "", _rate(ours.rate) if ours else "", f"{ratio:.1f}" if ratio else "",
    ]  # fmt: skip


def _details(result: Result) -> list[str]:
    return [
        result.workload,
        result.system,
        f"{result.bound:,}",
        _rate(result.rate),
        _rate(result.create_rate),
        f"{result.first_bind:.2f}",
        f"{result.cpu_per_pod:.2f}",
        f"{result.api_cpu_per_pod:.2f}",
        f"{result.peak_rss / MIB:,.0f}",
        f"{result.churned:,}",
        f"{result.gone:,}",
        f"{result.own_cpu:.1f}",
        f"{result.others:.0%}",
        result.remark.replace("|", "/"),
    ]


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"
