"""`python -m tests.bench stream`: pods that come while the scheduler runs, at a rate or all at once.

Measured is what a user waits: from the moment at which the request that creates a pod is sent to the moment at which a
watch shows it bound. With `--churn`, nodes leave and come back meanwhile; none of them holds a pod of the test before.
Afterwards nothing may be left over, and the memory is read again when the scheduler has been idle for a while. How
evenly the pods lie in the end is told beside the speed: the worst skew of a group, and the least and most in a domain.

With `--flood`, so many pods that fit nowhere are there, too: before the others, or created as fast as possible beside
them. What that costs the others is the scheduler's doing or the API server's, which has to store them all: the last run
has the same flood for a scheduler that there is not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import enum
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import aiohttp
import msgspec
from tests.bench import flood, machine, measure, meter, placement, report, systems, workloads
from tests.bench.machine import Machine
from tests.bench.placement import Balance
from tests.bench.populate import OPTIONS, each, populate
from tests.bench.systems import ROOT, System
from tests.bench.workloads import Workload
from tests.controlplane.api import Api, condition, path_of
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import Layout, Manifest
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import Process

WARM = 5
"""Pods that come first, to be sure that the scheduler runs."""
KINDS = 10
"""Kinds of pods in the flood; half of them have a rule of their own besides."""
WAIT = 120.0
"""Seconds after the last pod was created in which all must be bound."""
_HEADER = (
    "", "pods", "bound", "p50 ms", "p90 ms", "p99 ms", "max ms", "pods/s", "CPU ms/pod", "API CPU ms/pod",
    "RSS before", "peak", "after MiB", "zone skew", "rack skew", "pods per zone", "pods per node", "others",
)  # fmt: skip


class When(enum.Enum):
    """When the flood comes; the values are what the table says."""

    NEVER = ""
    BEFORE = "flood before"
    MEANWHILE = "flood meanwhile"
    OF_OTHERS = "flood meanwhile, for nobody"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
    """What happens.

    Attributes:
        rate: pods a second; 0 for as fast as they can be created.
        churn: nodes a second that leave; each comes back before the next one leaves.
        rest: seconds without work before the memory is read for the last time.
        flood: pods that fit nowhere, and ``when`` they come.
    """

    workload: Workload
    pods: int
    layout: Layout
    rate: float
    churn: float
    rest: float
    flood: int = 0
    when: When = When.NEVER


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured.

    Attributes:
        bound: pods that got a node.
        waits: seconds from create to bound of each, sorted.
        rate: pods bound a second, from the first create to the last bind.
        cpu: CPU milliseconds of the scheduler for each pod, those after the last bind included; ``api_cpu`` likewise.
        rss: bytes before the first pod, at most, and after the rest.
        balance: how the pods lie in the end, those that came first among them.
        others: share of the machine that went to processes which have no part in this.
    """

    system: str
    when: When
    pods: int
    bound: int
    waits: list[float]
    rate: float
    cpu: float
    api_cpu: float
    rss: tuple[int, int, int]
    balance: Balance
    others: float

    def wait(self, share: float) -> float:
        """A percentile of the waits, in milliseconds; 0 where nothing was bound."""
        return 1000 * self.waits[min(int(share * len(self.waits)), len(self.waits) - 1)] if self.waits else 0.0


def run(system: System, stream: Stream) -> Result:
    """Measures once, on a control plane of its own; everything has ended afterwards.

    Raises:
        ControlPlaneError: the control plane did not come up, or the scheduler never bound a pod.
    """
    with (
        tempfile.TemporaryDirectory(prefix="stowplan-bench-") as directory,
        ControlPlane(Path(directory), OPTIONS) as plane,
    ):
        empty = dataclasses.replace(stream.workload, volume=False)
        asyncio.run(populate(plane, workload=empty, pods=0, layout=stream.layout, scheduler="", told=lambda _: None))
        process = Process(
            system.name,
            system.prepare(plane),
            log=plane.directory / "logs" / f"{system.name}.log",
            directory=plane.directory,
            environment={**plane.environment(), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"},
        )
        try:
            return asyncio.run(_observe(system, stream, plane, process))
        finally:
            process.stop(grace=0)


async def _observe(system: System, stream: Stream, plane: ControlPlane, process: Process) -> Result:
    created: dict[bytes, float] = {}
    arrived: dict[bytes, float] = {}
    manifests = stream.workload.manifests(WARM + stream.pods, stream.layout, system.scheduler_name)
    async with measure.connected(plane) as http, plane.api(connections=32) as api:
        used = meter.Meter(process, plane)
        process.start()
        watching = asyncio.create_task(_watch(http, stream.workload, arrived))
        for manifest in itertools.islice(manifests, WARM):
            await api.create(manifest)
        await process_until(process, lambda: len(arrived) >= WARM)
        if stream.when is When.BEFORE:
            await _flood(plane, stream, system.scheduler_name)
            await _last_is_told(api, stream, process)
        await used.settle()
        before = used.read()
        churning = asyncio.create_task(_churn(api, stream))
        name = system.scheduler_name if stream.when is When.MEANWHILE else "nobody"
        beside = stream.when in (When.MEANWHILE, When.OF_OTHERS)
        flooding = asyncio.create_task(_flood(plane, stream, name)) if beside else None
        started = time.perf_counter()
        await _create(api, manifests, stream.rate, created)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT):
                while len(arrived) < WARM + stream.pods and process.alive:
                    used.read()
                    await asyncio.sleep(measure.POLL)
        churning.cancel()
        if flooding is not None:
            await flooding
        await used.settle()
        worked = used.latest
        await asyncio.sleep(stream.rest)
        after = used.read()
        placements = await measure.placements_of(http, stream.workload)
        watching.cancel()
    waits = sorted(arrived[name] - at for name, at in created.items() if name in arrived)
    last = max((at for name, at in arrived.items() if name in created), default=started)
    per_pod = 1000 / max(1, len(waits))
    return Result(
        system=system.name,
        when=stream.when,
        pods=stream.pods,
        bound=len(waits),
        waits=waits,
        rate=len(waits) / max(last - started, 1e-9),
        cpu=per_pod * (worked.scheduler.cpu_seconds - before.scheduler.cpu_seconds),
        api_cpu=per_pod * (worked.api.cpu_seconds - before.api.cpu_seconds),
        rss=(before.scheduler.rss, after.scheduler.peak_rss, after.scheduler.rss),
        balance=placement.judge(stream.workload, WARM + stream.pods, stream.layout, placements),
        others=worked.others_since(before),
    )


async def _flood(plane: ControlPlane, stream: Stream, scheduler: str) -> None:
    """Over connections of its own: the other pods must not wait for them before they are sent."""
    async with plane.api(connections=32) as api:
        await each(flood.hopeless(stream.flood, KINDS, scheduler), api.create)


async def _last_is_told(api: Api, stream: Stream, process: Process) -> None:
    """Waits until the last pod of the flood says why it waits."""
    path = f"{measure.PODS}/never-{stream.flood - 1}"
    deadline = time.perf_counter() + 5 * WAIT
    while condition(await api.get(path), "PodScheduled") != "False":
        if not process.alive or time.perf_counter() > deadline:
            raise ControlPlaneError(f"{process.name} has not said why the pods of the flood wait\n{process.tail()}")
        await asyncio.sleep(0.5)


async def process_until(process: Process, done: Callable[[], bool]) -> None:
    """Waits for something that the scheduler must do, two minutes at most.

    Raises:
        ControlPlaneError: it has ended, or did not do it.
    """
    deadline = time.perf_counter() + WAIT
    while not done():
        if not process.alive or time.perf_counter() > deadline:
            raise ControlPlaneError(f"{process.name} has not bound a pod\n{process.tail()}")
        await asyncio.sleep(0.05)


async def _watch(http: aiohttp.ClientSession, workload: Workload, arrived: dict[bytes, float]) -> None:
    """Notes when each pod is shown bound for the first time."""
    binds = measure.Binds()
    async for chunk in measure.watched(http, workload, binds):
        now = time.perf_counter()
        arrived.update(dict.fromkeys(binds.feed(chunk, now), now))


async def _create(api: Api, manifests: Iterator[Manifest], rate: float, created: dict[bytes, float]) -> None:
    """Creates the pods, each at its time however long the others take."""
    start = time.perf_counter()
    counted = enumerate(manifests)

    async def create(item: tuple[int, Manifest]) -> None:
        number, manifest = item
        if rate:
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
        created[manifest["metadata"]["name"].encode()] = time.perf_counter()
        await api.create(manifest)

    await each(counted, create)


async def _churn(api: Api, stream: Stream) -> None:
    """Takes one node after the other away, and brings it back."""
    if not stream.churn:
        return
    for manifest in itertools.cycle(list(stream.layout.nodes())):
        await api.delete(path_of(manifest))
        await asyncio.sleep(1 / stream.churn)
        await api.create(manifest)


def markdown(stream: Stream, results: Sequence[Result], on: Machine) -> str:
    """The results as a table."""
    how = f"{stream.rate:g} pods/s" if stream.rate else "all at once"
    nodes = f"{stream.layout.count:,} nodes" + (f", {stream.churn:g} of them a second leave" if stream.churn else "")
    crowd = f"; {stream.flood:,} pods that fit nowhere" if stream.flood else ""
    head = f"**{stream.workload.name}**: {stream.pods:,} pods, {how}; {nodes}{crowd}"
    rows = [
        [
            f"{each.system}{each.when.value and ', '}{each.when.value}", f"{each.pods:,}", f"{each.bound:,}",
            *(f"{each.wait(share):,.0f}" for share in (0.5, 0.9, 0.99, 1.0)),
            f"{each.rate:,.0f}", f"{each.cpu:.2f}", f"{each.api_cpu:.2f}",
            *(f"{rss / report.MIB:,.0f}" for rss in each.rss),
            str(each.balance.zone_skew), str(each.balance.rack_skew),
            *(f"{least:,} to {most:,}" for least, most in (each.balance.per_zone, each.balance.per_node)),
            f"{each.others:.0%}",
        ]
        for each in results
    ]  # fmt: skip
    return "\n\n".join([str(on), head, report.table(_HEADER, rows)])


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; 1 where a pod was left over."""
    options = _parser().parse_args(arguments)
    base = workloads.BY_NAME[options.workload]
    stream = Stream(
        workload=dataclasses.replace(base, groups=max(base.groups, options.groups)),
        pods=options.pods,
        layout=workloads.layout_of(options.nodes),
        rate=options.rate,
        churn=options.churn,
        rest=options.rest,
        flood=options.flood,
    )
    stream.workload.check(stream.pods, stream.layout)
    on = machine.describe()
    results = []
    for name in options.systems.split(","):
        for when in When if stream.flood else (When.NEVER,):
            print(f"==> {stream.pods} pods by {name} {when.value}".rstrip(), file=sys.stderr, flush=True)
            results.append(run(systems.BY_NAME[name], dataclasses.replace(stream, when=when)))
    print(markdown(stream, results, on))
    if options.json:
        document = msgspec.json.encode({"machine": on, "stream": stream, "results": results})
        options.json.write_bytes(msgspec.json.format(document, indent=1) + b"\n")
    return 0 if all(each.bound == each.pods for each in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench stream", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000, metavar="N", help="default %(default)s")
    parser.add_argument("--pods", type=int, default=1500, metavar="N", help="default %(default)s")
    parser.add_argument("--rate", type=float, default=50.0, metavar="N", help="pods a second, 0 for all at once; "
                        "default %(default)s")  # fmt: skip
    parser.add_argument("--churn", type=float, default=0.0, metavar="N", help="nodes a second that leave and come back")
    parser.add_argument("--flood", type=int, default=0, metavar="N", help="pods that fit nowhere: four runs each, "
                        "without them, with them before, meanwhile, and meanwhile but for nobody")  # fmt: skip
    parser.add_argument("--rest", type=float, default=20.0, metavar="SECONDS", help="without work, before the memory "
                        "is read for the last time; default %(default)s")  # fmt: skip
    parser.add_argument("--groups", type=int, default=1, metavar="N", help="workloads that the pods belong to")
    parser.add_argument("--workload", default="spread", choices=[w.name for w in workloads.WORKLOADS if not w.volume],
                        help="default %(default)s")  # fmt: skip
    parser.add_argument("--systems", default="kube-scheduler,stowplan", help="default %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser
