"""`python -m tests.bench curve`: what a decision costs as the cluster grows, in nodes and in pods that run already.

No API server, one process, as for `decisions`. A decision may cost more in proportion to the nodes, and must not cost
more for the pods that are there. The figures go to standard output and, where asked for, into JSON and a plot.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import itertools
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from tests.bench import decisions, machine, plot, workloads
from tests.bench.machine import Machine

from stowplan.framework.plugin import Probe
from stowplan.scheduler.cycle import Scheduler

NODES = (1000, 5000, 15_000, 50_000)
BOUND = (0, 10_000, 50_000, 200_000)
MOST_ON_A_NODE = 50
"""Larger clusters are left out for pods that would be more than this on each node."""
BATCH = 200
BATCHES = 5


@dataclasses.dataclass(frozen=True)
class Point:
    """One cluster.

    Attributes:
        bound: pods that are on the nodes before.
        micros: CPU microseconds of a decision, in the best of the batches; others on the machine add to the rest.
        first: of the first decision, which has nothing to go by, in milliseconds.
    """

    workload: str
    nodes: int
    bound: int
    micros: float
    first: float


def measure(workload: str, nodes: int, bound: int) -> Point:
    """Decides about pods of a workload in a cluster of that size."""
    layout = workloads.layout_of(nodes)
    scheduler = decisions.scheduler_of(workloads.BY_NAME[workload], 1 + BATCH * BATCHES, layout, bound)
    chance = random.Random(0)
    first = _decide(scheduler, chance, 1)
    batches = [_decide(scheduler, chance, BATCH) for _ in range(BATCHES)]
    gc.unfreeze()
    return Point(workload, nodes, bound, round(1e6 * min(batches), 1), round(1e3 * first, 2))


def _decide(scheduler: Scheduler, chance: random.Random, pods: int) -> float:
    """CPU seconds of a decision."""
    probe = Probe()
    start = time.process_time()
    for _ in range(pods):
        scheduler.attempt(0.0, chance.getrandbits(32), lambda _: probe)
    return (time.process_time() - start) / pods


def clusters(nodes: Sequence[int], bound: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Nodes and bound pods, as far as the pods find room with some to spare."""
    return ((n, b) for n, b in itertools.product(nodes, bound) if b <= n * MOST_ON_A_NODE)


def picture(points: Sequence[Point]) -> str:
    """The plot: a panel for each workload, a line for each number of bound pods."""
    panels = []
    for workload in dict.fromkeys(point.workload for point in points):
        lines = []
        for bound in dict.fromkeys(point.bound for point in points):
            of = tuple((p.nodes, p.micros) for p in points if (p.workload, p.bound) == (workload, bound))
            if of:
                lines.append(plot.Line(f"{bound:,}", of))
        panels.append(plot.Panel(workload, tuple(lines)))
    return plot.svg(panels, x="nodes", y="CPU µs per decision", legend="pods on the nodes before:")


def document(points: Sequence[Point], on: Machine) -> bytes:
    """The same as JSON: ``{"machine": {…}, "points": [{…}]}``."""
    return msgspec.json.format(msgspec.json.encode({"machine": on, "points": points}), indent=1) + b"\n"


def main(arguments: Sequence[str]) -> int:
    """Runs the command line."""
    options = _parser().parse_args(arguments)
    points = []
    for workload in options.workload or ["spread", "mission"]:
        for nodes, bound in clusters(options.nodes, options.bound):
            point = measure(workload, nodes, bound)
            points.append(point)
            print(
                f"{workload:<14}{nodes:>7,} nodes {bound:>8,} pods {point.micros:>9,.0f} µs a decision, "
                f"the first {point.first:,.1f} ms",
                flush=True,
            )
    if options.json:
        options.json.write_bytes(document(points, machine.describe()))
    if options.svg:
        options.svg.write_text(picture(points))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench curve", description=__doc__)
    parser.add_argument("--nodes", type=_sizes, default=NODES, metavar="A,B", help="default %(default)s")
    parser.add_argument("--bound", type=_sizes, default=BOUND, metavar="A,B", help="default %(default)s")
    parser.add_argument("--workload", action="append", choices=list(workloads.BY_NAME), help="repeatable; default: "
                        "spread and mission")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the plot there")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers, such as 1000,5000")
    return tuple(int(part) for part in parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
