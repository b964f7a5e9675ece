"""`python -m tests.bench perf`: Kubernetes' own scheduler_perf workloads, by kube-scheduler and by Stowplan.

The workloads and their templates are read from the Kubernetes module at run time; `--list` shows them.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench import machine, systems, terminal
from tests.bench.perf import report, source
from tests.bench.perf.measure import Case, Result, run
from tests.bench.perf.source import Workload
from tests.controlplane import binaries
from tests.controlplane.errors import ControlPlaneError

SELECTION = (
    "TopologySpreading/500Nodes",
    "PreferredTopologySpreading/500Nodes",
    "SchedulingPodAntiAffinity/500Nodes",
    "SchedulingPodAffinity/500Nodes",
    "SchedulingRequiredPodAntiAffinityWithNSSelector/500Nodes",
    "SchedulingCSIPVs/500Nodes",
    "PreemptionAsync/500Nodes",
    "Unschedulable/500Nodes/10Init/1kPods",
    "SchedulingWithMixedChurn/1000Nodes",
)
"""What is run where nothing is said: a bit of everything, in a size that takes minutes."""
SYSTEMS = {name: systems.BY_NAME[name] for name in (report.BASE, report.OURS)}


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; 1 where a system did not bind all pods."""
    options = _parser().parse_args(arguments)
    known = source.load()
    if options.list:
        print(report.listing([(each, source.refusal(each.gates)) for each in known.values()]))
        return 0
    chosen = choose(known, options.workloads or SELECTION, options.size)
    if options.pods:
        chosen = [each.limited(options.pods) for each in chosen]
    if options.json:
        try:
            options.json.touch()  # better now than after ten minutes
        except OSError as error:
            raise ControlPlaneError(f"{options.json} cannot be written: {error.strerror}") from error
    runnable = []
    for workload in chosen:
        if why := source.refusal(workload.gates):
            print(f"==> {workload.name} is left out: {why}", file=sys.stderr, flush=True)
            continue
        workload.check()
        runnable.append(workload)
    return _measure(runnable, options)


def choose(known: Mapping[str, Workload], names: Sequence[str], size: str) -> list[Workload]:
    """The workloads of these names; a test case without a size is run in the given one.

    Raises:
        ControlPlaneError: there is none of such a name, or its case has no such size.
    """
    cases = {workload.case for workload in known.values()}
    found = []
    for name in names:
        full = f"{name}/{size}" if name in cases else name
        if full not in known:
            case = name.partition("/")[0]
            sizes = [each.size for each in known.values() if each.case == case]
            what = f"the sizes of {case} are {', '.join(sizes)}" if sizes else f"there are {', '.join(sorted(cases))}"
            raise ControlPlaneError(f"no workload {full}: {what}")
        found.append(known[full])
    return found


def _measure(workloads: Sequence[Workload], options: argparse.Namespace) -> int:
    cases = [
        Case(system=SYSTEMS[system], workload=workload, timeout=options.timeout, logs=options.logs)
        for workload, system in itertools.product(workloads, options.systems)
    ]
    binaries.ensure()
    before = machine.describe()
    results: list[Result] = []
    try:
        for number, case in enumerate(cases, start=1):
            title = f"[{number}/{len(cases)}] {case.workload.name} by {case.system.name}"
            results.append(run(case, terminal.teller(title)))
            terminal.done(f"{title}: {_summary(results[-1])}")
    finally:  # what has been measured is worth showing, whatever ended it
        if results:
            print(report.markdown(results, before), flush=True)
            if options.json:
                options.json.write_bytes(report.document(results, before))
    return 0 if all(each.bound == each.pods for each in results) else 1


def _summary(result: Result) -> str:
    remark = f" ({result.remark})" if result.remark else ""
    return f"{result.bound} pods bound at {result.rate:,.0f} a second{remark}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench perf", description=__doc__)
    parser.add_argument("--list", action="store_true", help="show all workloads, and why some are left out")
    parser.add_argument("--workloads", type=lambda text: text.split(","), metavar="A,B",
                        help="test cases, or workloads such as PreemptionBasic/1000Nodes; default: one of each "
                        "kind")  # fmt: skip
    parser.add_argument("--size", default="500Nodes", metavar="NAME",
                        help="of the test cases that are named without one; default %(default)s")  # fmt: skip
    parser.add_argument("--pods", type=terminal.positive, metavar="N", help="measure so many pods at most; what is "
                        "there before stays as it is")  # fmt: skip
    parser.add_argument("--systems", type=terminal.names(SYSTEMS), default=list(SYSTEMS), metavar="A,B",
                        help=f"of {','.join(SYSTEMS)}; default: both")  # fmt: skip
    parser.add_argument("--timeout", type=terminal.positive, default=300, metavar="SECONDS",
                        help="for each system and workload; what is bound by then counts; default %(default)s",
                        )  # fmt: skip
    parser.add_argument("--logs", type=Path, metavar="DIRECTORY", help="keep the logs of all processes there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser
