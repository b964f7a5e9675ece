"""`make scenarios ARGS=…`: what goes wrong in the life of a stateful service, with stock Kubernetes and with Stowplan.

The table goes to standard output, progress to standard error; see docs/scenarios.md.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench import machine, terminal
from tests.controlplane import binaries
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.progress import print_progress
from tests.scenarios import jobs, registry, report
from tests.scenarios.run import Case, Line
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
            options.json.touch()  # better now than after half an hour
        except OSError as error:
            raise ControlPlaneError(f"{options.json} cannot be written: {error.strerror}") from error
    binaries.ensure()
    before = machine.describe()
    progress = Progress(list(_cases(options)))
    try:
        asyncio.run(jobs.side_by_side(progress.cases, options.jobs, progress))
    finally:  # what is known is worth showing, whatever ended it
        outcomes = progress.outcomes()
        if outcomes:
            print(report.markdown(registry.SCENARIOS, outcomes, before), flush=True)
            if options.json:
                options.json.write_bytes(report.document(outcomes, before))
    if progress.errors:
        raise ControlPlaneError(f"{progress.errors} of {len(progress.cases)} runs could not be made: see above")
    return 0 if all(each.passed for each in outcomes if each.setup == Setup.OURS.value) else 1


class Progress:
    """Shows what goes on, and keeps how it ended.

    Attributes:
        cases: all that shall be run.
        errors: how many could not be.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        self.errors = 0
        self._ended: dict[Case, Outcome] = {}
        self._under_way: dict[Case, str] = {}
        self._started = time.monotonic()

    def outcomes(self) -> list[Outcome]:
        """Of the runs that have ended, in the order in which they were to be run."""
        return [self._ended[each] for each in self.cases if each in self._ended]

    def doing(self, case: Case, what: str) -> None:
        """A run goes on."""
        self._under_way[case] = what
        self.show()

    def ended(self, case: Case, line: Line) -> None:
        """A run has ended: with its outcome or the error."""
        self._under_way.pop(case, None)
        if line.outcome is None:
            self.errors += 1
            said = f"could not be run: {line.error}"
        else:
            self._ended[case] = line.outcome
            said = f"{line.outcome.phrase} ({line.outcome.seconds:.0f} s)"
        number = f"[{len(self._ended) + self.errors}/{len(self.cases)}]"
        terminal.done(f"{number} {case.title}: {said}")
        self.show()

    def show(self) -> None:
        """The line of what is under way, on a terminal."""
        if sys.stderr.isatty() and self._under_way:
            doing = "; ".join(f"{case.title} ({what})" for case, what in self._under_way.items())
            print_progress(f"{len(self._ended)} done: {doing}", time.monotonic() - self._started)


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
    parser.add_argument("--jobs", type=terminal.positive, default=4, metavar="N",
                        help="runs side by side, each of which mostly waits; default %(default)s")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all outcomes there too")
    parser.add_argument("--logs", type=Path, metavar="DIRECTORY", help="keep the logs of all processes there")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    return parser


if __name__ == "__main__":
    terminal.end_on_signals()
    sys.exit(main(sys.argv[1:]))
