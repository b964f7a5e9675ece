"""`make parity`: the same verdicts as kube-scheduler on 100,000 generated pods. See docs/parity.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tests.controlplane import binaries
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.progress import print_progress
from tests.parity import compare, kube_scheduler, run, world
from tests.parity.draw import Object

from stowplan.model.words import counted
from stowplan.simulator import tables

SHOWN = 3
"""Differences that are made small and shown; all are counted."""


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; 1 where the two differ, 2 where something is in the way."""
    options = _parser().parse_args(arguments)
    try:
        program = kube_scheduler.program()
        if options.build:
            return 0
        if options.state is not None:
            return _saved(program, options.state)
        return _generated(program, options)
    except (ControlPlaneError, kube_scheduler.OracleError, OSError, msgspec.DecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("--pods", type=int, default=100_000, help="how many to compare (default: %(default)s)")
    parser.add_argument("--seed", default="stowplan", help="the same one gives the same states (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--features", type=_features, default=world.FEATURES, help=f"of {','.join(world.FEATURES)}")
    parser.add_argument("--save", type=Path, default=binaries.cache_directory() / "parity", help="where differences go")
    parser.add_argument("--build", action="store_true", help="build the oracle and nothing else")
    parser.add_argument("--state", type=Path, help="compare a saved state and nothing else")
    return parser


def _features(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = set(chosen) - set(world.FEATURES)
    if unknown:
        raise argparse.ArgumentTypeError(f"no feature is called {', '.join(sorted(unknown))}")
    return chosen


def _generated(program: Path, options: argparse.Namespace) -> int:
    started = time.monotonic()
    total = run.Total()
    for total in run.totals(
        program, pods=options.pods, seed=options.seed, features=options.features, workers=options.workers
    ):
        seconds = time.monotonic() - started
        so_far = f"{total.pods:,} of {options.pods:,} pods, {len(total.failures)} differ"
        print_progress(f"comparing with kube-scheduler: {so_far}", seconds)
    print(summary(total, time.monotonic() - started))
    for failure in total.failures[:SHOWN]:
        print(f"\n{failure.pod} in state {failure.seed} ({', '.join(failure.features)}):", flush=True)
        small = run.reproduction(program, failure, options.features)
        for each in small.differences:
            print(f"  {each}")
        print(f"  saved as {_save(options.save, failure, small)}; the state, made small:")
        print(*(f"    {msgspec.json.encode(item).decode()}" for item in small.items), sep="\n")
        if small.before:
            print("  and before it:", *(f"    {msgspec.json.encode(item).decode()}" for item in small.before), sep="\n")
    return 1 if total.failures or total.invalid else 0


def summary(total: run.Total, seconds: float) -> str:
    """The table for people."""
    rows = [
        [
            feature,
            f"{row.states:,}",
            f"{row.pods:,}",
            f"{row.infeasible:,}",
            f"{row.differences:,}",
            f"{row.excepted:,}",
        ]
        for feature, row in sorted(total.rows.items())
    ]
    lines = [
        tables.columns(["FULL OF", "STATES", "PODS", "NO NODE", "DIFFER", "ON PURPOSE"], rows),
        "",
        f"{total.pods:,} pods in {total.states:,} states in {seconds:.0f} s: {len(total.failures)} differ",
    ]
    lines += [f"{count:,} differ on purpose, as checked: {name}" for name, count in sorted(total.excepted.items())]
    if total.invalid:
        what, why = next(iter(total.invalid.items()))
        lines.append(f"{len(total.invalid)} objects are none that the API server would take, e.g. {what}: {why}")
    return "\n".join(lines)


def _save(folder: Path, failure: run.Failure, small: run.Reproduction) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{failure.seed}-{failure.pod.replace('/', '-')}.json"
    state = {"apiVersion": "v1", "kind": "List", "items": small.items, "before": small.before}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n")
    return path


class _Saved(msgspec.Struct):
    items: list[Object]
    before: list[Object] = []


def _saved(program: Path, path: Path) -> int:
    state = msgspec.json.decode(path.read_bytes(), type=_Saved)
    with kube_scheduler.Oracle(program) as running:
        found = compare.compare(running, state.items, before=state.before)
    for pod, differences in found.differences.items():
        print(pod, *(f"  {each}" for each in differences), sep="\n")
    for pod, used in found.excepted.items():
        print(f"{pod}: differs on purpose: {', '.join(used)}")
    for what, why in found.invalid.items():
        print(f"{what} is not what the API server would take: {why}")
    print(f"{counted(len(found.verdicts), 'pod')}: {len(found.differences)} differ")
    return 1 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
