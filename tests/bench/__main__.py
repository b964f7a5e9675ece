"""`make bench ARGS=…`: Stowplan beside kube-scheduler and beside bare binding, in one run.

`python -m tests.bench decisions` measures the decisions alone, `… curve` how they grow with the cluster, `… stream`
schedulers that run while pods come, and `… perf` Kubernetes' own workloads; see docs/performance.md for all of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench import curve, decisions, flood, machine, preemption, report, stream, systems, terminal, workloads
from tests.bench.measure import Case, Run, measure
from tests.bench.perf import command as perf
from tests.controlplane import binaries
from tests.controlplane.errors import ControlPlaneError


def main(arguments: list[str]) -> int:
    """Runs the command line; 1 where a system did not bind all pods, 2 where something is in the way."""
    try:
        if arguments[:1] == ["decisions"]:
            return decisions.main(arguments[1:])
        if arguments[:1] == ["flood"]:
            return flood.main(arguments[1:])
        if arguments[:1] == ["preemption"]:
            return preemption.main(arguments[1:])
        if arguments[:1] == ["curve"]:
            return curve.main(arguments[1:])
        if arguments[:1] == ["stream"]:
            return stream.main(arguments[1:])
        if arguments[:1] == ["perf"]:
            return perf.main(arguments[1:])
        return _compare(_parser().parse_args(arguments))
    except ControlPlaneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _compare(options: argparse.Namespace) -> int:
    if options.json:
        try:
            options.json.touch()  # better now than after ten minutes
        except OSError as error:
            raise ControlPlaneError(f"{options.json} cannot be written: {error.strerror}") from error
    cases = list(_cases(options))
    binaries.ensure()
    before = machine.describe()
    runs: list[Run] = []
    try:
        for number, case in enumerate(cases, start=1):
            title = f"[{number}/{len(cases)}] {case.workload.name} by {case.system.name}"
            runs.append(measure(case, terminal.teller(title)))
            terminal.done(f"{title}: {_summary(runs[-1])}")
    finally:  # what has been measured is worth showing, whatever ended it
        if runs:
            print(report.markdown(runs, before), flush=True)
            if options.json:
                options.json.write_bytes(report.document(runs, before))
    return 0 if all(run.bound == run.pods for run in runs) else 1


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    """Round by round; every second round in the opposite order, for the sake of what warms up or wears off."""
    layout = workloads.layout_of(options.nodes)
    for number in range(1, options.repeat + 1):
        for name in options.workloads:
            workload = workloads.BY_NAME[name]
            pods = options.pods or workload.pods
            workload.check(pods, layout)
            for system in options.systems[:: 1 if number % 2 else -1]:
                case = Case(
                    system=systems.BY_NAME[system],
                    workload=workload,
                    pods=pods,
                    layout=layout,
                    timeout=options.timeout,
                    number=number,
                    bound=options.bound,
                    logs=options.logs,
                )
                yield _profiled(case, options.profile) if options.profile else case


def _profiled(case: Case, directory: Path) -> Case:
    """Raises ControlPlaneError where the system is not a Python program."""
    if case.system.name not in systems.PROFILABLE:
        raise ControlPlaneError(f"--profile is for {', '.join(sorted(systems.PROFILABLE))} alone: use --systems")
    directory.mkdir(parents=True, exist_ok=True)
    output = directory.resolve() / f"{case.label}.pstats"
    return dataclasses.replace(case, system=systems.profiled(case.system, output), grace=30.0)


def _summary(run: Run) -> str:
    remark = f" ({run.remark})" if run.remark else ""
    return f"{run.bound} pods bound at {run.rate:,.0f} a second{remark}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure bare binding, kube-scheduler and Stowplan on the same pods, each on a control plane of "
        "its own.",
        epilog="Others, each with a --help of its own: decisions (without an API server), curve (those from 1,000 to "
        "50,000 nodes), stream (pods that come while it runs), perf (Kubernetes' own scheduler_perf workloads).",
    )
    parser.add_argument("--nodes", type=terminal.positive, default=1000, metavar="N", help="default %(default)s")
    parser.add_argument("--pods", type=terminal.positive, metavar="N", help="default: 2000, mission 1000")
    parser.add_argument("--bound", type=terminal.natural, default=0, metavar="N",
                        help="pods that are on the nodes before; default %(default)s")  # fmt: skip
    parser.add_argument("--workloads", type=terminal.names(workloads.BY_NAME), default=list(workloads.BY_NAME),
                        metavar="A,B", help=f"of {','.join(workloads.BY_NAME)}; default: all")  # fmt: skip
    parser.add_argument("--systems", type=terminal.names(systems.BY_NAME), default=list(systems.BY_NAME),
                        metavar="A,B", help=f"of {','.join(systems.BY_NAME)}; default: all")  # fmt: skip
    parser.add_argument(
        "--repeat", type=terminal.positive, default=1, metavar="K", help="rounds, of which the median counts"
    )
    parser.add_argument("--timeout", type=terminal.positive, default=300, metavar="SECONDS",
                        help="for each system and workload; what is bound by then counts; default %(default)s",
                        )  # fmt: skip
    parser.add_argument("--profile", type=Path, metavar="DIRECTORY",
                        help="run bare binding or Stowplan under cProfile, which slows them down, and write its "
                        "findings there, for python -m pstats")  # fmt: skip
    parser.add_argument("--logs", type=Path, metavar="DIRECTORY", help="keep the logs of all processes there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser


if __name__ == "__main__":
    terminal.end_on_signals()
    sys.exit(main(sys.argv[1:]))
