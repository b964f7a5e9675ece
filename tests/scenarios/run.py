"""One run of one scenario with one setup, on a control plane of its own.

`python -m tests.scenarios.run SCENARIO SETUP NUMBER [LOGS]` is how `jobs` runs it: it writes lines of JSON (`Line`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from tests import process
from tests.bench import terminal
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.plane import ControlPlane, Options
from tests.scenarios import registry
from tests.scenarios.history import Recorder
from tests.scenarios.invariants import ClaimsKept, Invariant, Kept, NotOverbooked, OneIdentity, judge
from tests.scenarios.manifests import ELSEWHERE, LABELS, NAMESPACE
from tests.scenarios.scenario import Failed, Outcome, Scenario, Setup
from tests.scenarios.stage import Stage

Told = Callable[[str], None]
"""Is told what is going on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """What to run.

    Attributes:
        number: of the run.
        logs: folder that gets the logs of all processes; None for no copy.
    """

    scenario: Scenario
    setup: Setup
    number: int = 1
    logs: Path | None = None

    @property
    def title(self) -> str:
        """Names it for people."""
        return f"{self.scenario.name}, {self.setup.value}"

    @property
    def arguments(self) -> list[str]:
        """For the command line; `of` is the way back."""
        logs = [] if self.logs is None else [str(self.logs)]
        return [self.scenario.name, self.setup.value, str(self.number), *logs]

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Case:
        """The case that a command line means."""
        name, setup, number, *logs = arguments
        scenario = registry.BY_NAME[name]
        return cls(scenario=scenario, setup=Setup(setup), number=int(number), logs=Path(*logs) if logs else None)

    @property
    def label(self) -> str:
        """Names the run among all, fit for a file name."""
        return f"{self.scenario.name}-{self.setup.value}-{self.number}"


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a process says: what it is about, or how its run ended, or what was in the way of it."""

    doing: str = ""
    outcome: Outcome | None = None
    error: str = ""


def run(case: Case, told: Told) -> Outcome:
    """Run it; everything that it started has ended afterwards, whatever happens.

    Raises:
        ControlPlaneError: the control plane, or Stowplan, did not come up.
    """
    told("starting a control plane")
    options = Options(layout=case.scenario.layout, scheduler=case.setup is not Setup.OURS)
    with (
        tempfile.TemporaryDirectory(prefix="stowplan-scenario-", ignore_cleanup_errors=True) as directory,
        ControlPlane(Path(directory), options) as plane,
    ):
        try:
            with _scheduler(plane, case, told), case.scenario.others(plane, case.setup):
                told("running")
                return asyncio.run(_happen(case, plane))
        finally:
            if case.logs is not None:
                shutil.copytree(plane.directory / "logs", case.logs / case.label, dirs_exist_ok=True)


@contextlib.contextmanager
def _scheduler(plane: ControlPlane, case: Case, told: Told) -> Iterator[None]:
    """kube-scheduler as the scenario wants it, or Stowplan as the chart's service account."""
    scenario = case.scenario
    with contextlib.ExitStack() as running:
        if case.setup is Setup.OURS:
            told("starting Stowplan")
            release = process.install(plane, namespace="stowplan-system")
            for number in range(scenario.replicas):
                replica = running.enter_context(release.replica(f"stowplan-{number}", scenario.settings))
                replica.wait_ready()
                if number == 0:
                    replica.wait_leads()
        elif case.setup in scenario.scheduler:
            with (plane.directory / "kube-scheduler.yaml").open("a") as configuration:
                configuration.write(scenario.scheduler[case.setup])
            plane.restart("kube-scheduler")
        yield


async def _happen(case: Case, plane: ControlPlane) -> Outcome:
    for namespace in (NAMESPACE, ELSEWHERE):
        await plane.create_namespace(namespace)
    scenario = case.scenario
    reason = ""
    async with plane.api() as api, Recorder(api, NAMESPACE) as recorder:
        stage = Stage(case.setup, plane, api, recorder)
        started = time.monotonic()
        try:
            await scenario.before(stage)
            await stage.apply(scenario.objects(case.setup))
            await scenario.happens(stage)
            await scenario.check(stage)
        except Failed as failed:
            reason = str(failed)
        seconds = time.monotonic() - started
        await recorder.caught_up()
        invariants: list[Invariant] = [
            OneIdentity(), NotOverbooked(), ClaimsKept(stage.given_up), *stage.quorums,
            *(Kept(rule, LABELS) for rule in scenario.rules),
        ]  # fmt: skip
        return Outcome(
            scenario=scenario.name,
            setup=case.setup.value,
            run=case.number,
            reason=reason,
            broken=tuple(judge(recorder.seen, invariants)),
            seconds=seconds,
        )


def main(arguments: list[str]) -> int:
    """Runs one; 2 where something is in the way."""
    try:
        _say(Line(outcome=run(Case.of(arguments), lambda doing: _say(Line(doing=doing)))))
    except ControlPlaneError as error:
        _say(Line(error=str(error)))
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _say(line: Line) -> None:
    print(msgspec.json.encode(line).decode(), flush=True)


if __name__ == "__main__":
    terminal.end_on_signals()
    sys.exit(main(sys.argv[1:]))
