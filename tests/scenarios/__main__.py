"""`make scenarios ARGS=…`: what goes wrong in the life of a stateful service, with stock Kubernetes and with Stowplan.

The table goes to standard output, progress to standard error; see docs/scenarios.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench import machine, terminal
from tests.controlplane import binaries
from tests.controlplane.errors import ControlPlaneError
from tests.scenarios import registry, report
from tests.scenarios.run import Case, run
from tests.scenarios.scenario import Outcome, Setup

SETUPS = {each.value: each for each in Setup}


def main(arguments: list[str]) -> int:
    """Runs the command line; 1 where Stowplan did not pass, 2 where something is in the way."""
    try:
        return _scenarios(_parser().parse_args(arguments))
    except ControlPlaneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _scenarios(options: argparse.Namespace) -> int:
    if options.list:
        for scenario in registry.SCENARIOS:
            print(f"{scenario.name:20} {scenario.title}")
        return 0
    if options.json:
        try:
            options.json.touch()  # better now than after an hour
        except OSError as error:
            raise ControlPlaneError(f"{options.json} cannot be written: {error.strerror}") from error
    cases = list(_cases(options))
    binaries.ensure()
    before = machine.describe()
    outcomes: list[Outcome] = []
    try:
        for number, case in enumerate(cases, start=1):
            title = f"[{number}/{len(cases)}] {case.scenario.name}, {case.setup.value}"
            outcome = run(case, terminal.teller(title))
            outcomes.append(outcome)
            clear = terminal.CLEAR if sys.stderr.isatty() else ""
            print(f"{clear}==> {title}: {outcome.phrase} ({outcome.seconds:.0f} s)", file=sys.stderr, flush=True)
    finally:  # what is known is worth showing, whatever ended it
        if outcomes:
            print(report.markdown(registry.SCENARIOS, outcomes, before), flush=True)
            if options.json:
                options.json.write_bytes(report.document(outcomes, before))
    return 0 if all(each.passed for each in outcomes if each.setup == Setup.OURS.value) else 1


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    for number in range(1, options.runs + 1):
        for name in options.only:
            for setup in options.setups:
                yield Case(scenario=registry.BY_NAME[name], setup=SETUPS[setup], number=number, logs=options.logs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.scenarios",
        description="Run every scenario with a StatefulSet (or pods) under kube-scheduler as a user would plainly "
        "write it, with the best setup of an expert, and with Stowplan, each on a control plane of its own.",
    )
    parser.add_argument("--only", type=terminal.names(registry.BY_NAME), default=list(registry.BY_NAME), metavar="A,B",
                        help="these scenarios alone; --list names them")  # fmt: skip
    parser.add_argument("--setups", type=terminal.names(SETUPS), default=list(SETUPS), metavar="A,B",
                        help=f"of {','.join(SETUPS)}; default: all")  # fmt: skip
    parser.add_argument("--runs", type=terminal.positive, default=3, metavar="N", help="of each; default %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all outcomes there too")
    parser.add_argument("--logs", type=Path, metavar="DIRECTORY", help="keep the logs of all processes there")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    return parser


if __name__ == "__main__":
    terminal.end_on_signals()
    sys.exit(main(sys.argv[1:]))
