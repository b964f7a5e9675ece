"""One measurement: one system, one workload, on a control plane of its own.

Pods are there first, then the system is started, so that its start is not in its rate: that goes from the first bind to
the last, as a watch shows them. The watch asks for bound pods only and for their metadata only: that is the same work
for the API server whatever the measured system watches itself, and next to none for this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import shutil
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import aiohttp
import msgspec
from tests.bench import meter, placement, workloads
from tests.bench.placement import Balance
from tests.bench.populate import OPTIONS, populate
from tests.bench.systems import ROOT, System
from tests.bench.workloads import Workload
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import Layout
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import Process
from tests.controlplane.sockets import Sockets

from stowplan.kube import config
from stowplan.model import objects

PODS = f"/api/v1/namespaces/{workloads.NAMESPACE}/pods"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
WATCH = {"watch": "true", "timeoutSeconds": "86400"}
POLL = 0.5
"""Seconds between two readings of what everybody has used."""
_NAME = re.compile(rb'"metadata":\{"name":"([^"]+)"')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """What to measure.

    Attributes:
        system: who schedules.
        workload: what.
        pods: how many.
        layout: onto which nodes.
        timeout: seconds for the system from its start; what is bound by then counts.
        number: of the round.
        bound: pods that are on the nodes before.
        grace: seconds in which the system may end by itself.
        logs: folder that gets a copy of the logs of all processes; None for no copy.
    """

    system: System
    workload: Workload
    pods: int
    layout: Layout
    timeout: float
    number: int = 1
    bound: int = 0
    grace: float = 0.0
    logs: Path | None = None

    @property
    def label(self) -> str:
        """Names the measurement among those of one run, fit for a file name."""
        return f"{self.workload.name}-{self.system.name}-{self.number}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What was measured.

    Attributes:
        pods: pods to place.
        bound: pods placed.
        seconds: from the first bind to the last.
        first_bind: seconds from the start of the process to the first bind.
        cpu: CPU seconds of the scheduler, its start included.
        cpu_per_pod: CPU milliseconds of the scheduler for each bound pod, its start left out.
        peak_rss: bytes, of the scheduler.
        api_cpu: CPU seconds of the API server, from the start of the scheduler on.
        api_cpu_per_pod: CPU milliseconds of the API server for each bound pod, from the first bind on.
        requests: what the API server has answered meanwhile, by verb and resource; those of the measuring process too.
        own_cpu: CPU seconds of the measuring process meanwhile.
        others: share of the machine (0 to 1) that went to processes which have no part in this measurement.
        balance: how the pods lie.
        remark: why it is not complete, or "".
    """

    workload: str
    system: str
    round: int
    nodes: int
    pods: int
    bound: int
    seconds: float
    first_bind: float
    cpu: float
    cpu_per_pod: float
    peak_rss: int
    api_cpu: float
    api_cpu_per_pod: float
    requests: dict[str, int]
    own_cpu: float
    others: float
    balance: Balance
    remark: str

    @property
    def rate(self) -> float:
        """Pods per second from the first bind to the last; 0 where there were less than two."""
        return (self.bound - 1) / self.seconds if self.seconds > 0 else 0.0


class Binds:
    """What the watch has shown so far.

    Attributes:
        names: of the bound pods.
        first: when the first came, by the clock of the caller; None before.
        last: when the last new one came.
    """

    def __init__(self) -> None:
        self.names: set[bytes] = set()
        self.first: float | None = None
        self.last = 0.0
        self._rest = b""

    def cut(self) -> None:
        """The watch has ended, perhaps within a line, and another one begins."""
        self._rest = b""

    def feed(self, chunk: bytes, now: float) -> set[bytes]:
        """Takes the next bytes of the watch, cut anywhere; the names that are new."""
        lines, found, rest = (self._rest + chunk).rpartition(b"\n")
        self._rest = rest
        new = set(_NAME.findall(lines)) - self.names if found else set()
        if new:
            self.names |= new
            self.first = now if self.first is None else self.first
            self.last = now
        return new


def measure(case: Case, told: Callable[[str], None]) -> Run:
    """Measures once; everything it started has ended afterwards, whatever happens.

    Args:
        case: what to measure.
        told: called with a word on what is being done, a few times a second.

    Raises:
        ControlPlaneError: the control plane did not come up, or its API server has ended.
    """
    told("starting a control plane")
    with (
        tempfile.TemporaryDirectory(prefix="stowplan-bench-") as directory,
        ControlPlane(Path(directory), OPTIONS) as plane,
    ):
        asyncio.run(
            populate(
                plane,
                workload=case.workload,
                pods=case.pods,
                layout=case.layout,
                scheduler=case.system.scheduler_name,
                bound=case.bound,
                told=told,
            )
        )
        told("starting the scheduler")
        process = Process(
            case.system.name,
            case.system.prepare(plane),
            log=plane.directory / "logs" / f"{case.system.name}.log",
            directory=plane.directory,
            environment={**plane.environment(), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"},
        )
        try:
            return asyncio.run(_observe(case, plane, process, told))
        finally:
            process.stop(grace=case.grace)
            if case.logs is not None:
                shutil.copytree(plane.directory / "logs", case.logs / case.label, dirs_exist_ok=True)


async def _observe(case: Case, plane: ControlPlane, process: Process, told: Callable[[str], None]) -> Run:
    binds = Binds()
    async with connected(plane) as http:
        requests = await meter.requests(http)
        used = meter.Meter(process, plane)
        if await placements_of(http, case.workload):  # which also opens the connection that the watch goes through
            raise ControlPlaneError("there are bound pods before the scheduler has been started")
        watching = asyncio.create_task(_follow(http, binds, case, used))
        start = time.perf_counter()
        process.start()
        remark = ""
        while not remark and not watching.done():
            await asyncio.wait({watching}, timeout=POLL)
            used.read()
            told(f"{len(binds.names)} of {case.pods} pods are bound")
            if not process.alive:
                remark = f"ended too early: {process.tail(1).splitlines()[-1].strip()}"
            elif time.perf_counter() - start > case.timeout and not watching.done():
                remark = f"stopped after {case.timeout:.0f} s"
        if watching.done():
            watching.result()
        watching.cancel()
        await used.settle()
        requests = await meter.requests(http) - requests
        placements = await placements_of(http, case.workload)
    first, end, bound = used.first, used.latest, len(binds.names)
    return Run(
        workload=case.workload.name,
        system=case.system.name,
        round=case.number,
        nodes=case.layout.count or 0,
        pods=case.pods,
        bound=bound,
        seconds=binds.last - (binds.first or binds.last),
        first_bind=binds.first - start if binds.first else 0.0,
        cpu=end.scheduler.cpu_seconds,
        cpu_per_pod=1000 * (end.scheduler.cpu_seconds - first.scheduler.cpu_seconds) / max(1, bound),
        peak_rss=end.scheduler.peak_rss,
        api_cpu=end.api.cpu_seconds - used.begin.api.cpu_seconds,
        api_cpu_per_pod=1000 * (end.api.cpu_seconds - first.api.cpu_seconds) / max(1, bound),
        requests=dict(requests.most_common()),
        own_cpu=end.own - used.begin.own,
        others=end.others_since(used.begin),
        balance=placement.judge(case.workload, case.pods, case.layout, placements),
        remark=remark,
    )


async def _follow(http: aiohttp.ClientSession, binds: Binds, case: Case, used: meter.Meter) -> None:
    """Watches until all pods are bound."""
    async for chunk in watched(http, case.workload, binds):
        before = binds.first
        binds.feed(chunk, time.perf_counter())
        if before is None and binds.first is not None:
            used.first = used.read()
        if len(binds.names) >= case.pods:
            return


async def watched(http: aiohttp.ClientSession, workload: Workload, binds: Binds) -> AsyncIterator[bytes]:
    """The bytes of a watch of the bound pods of a workload, for ever."""
    async for chunk in follow(http, PODS, _bound(workload), binds.cut):
        yield chunk


async def follow(
    http: aiohttp.ClientSession, path: str, selectors: Mapping[str, str], cut: Callable[[], None]
) -> AsyncIterator[bytes]:
    """The bytes of a watch of the metadata of some objects, for ever.

    Without a resource version a watch begins with what is there already, so that a new one misses nothing: the API
    server ends those for which it has no time while it is busy.

    Args:
        http: as administrator.
        path: of the collection.
        selectors: of the objects.
        cut: called when a watch is about to begin: that before it may have ended within a line.
    """
    while True:
        cut()
        async with http.get(path, params={**selectors, **WATCH}, headers={"Accept": METADATA}) as stream:
            async for chunk in stream.content.iter_any():
                yield chunk


@contextlib.asynccontextmanager
async def connected(plane: ControlPlane) -> AsyncIterator[aiohttp.ClientSession]:
    """A connection as administrator."""
    cluster = await config.load(kubeconfig=str(plane.kubeconfig), context=None)
    headers = {"Authorization": cluster.credentials.header() or "", "Accept-Encoding": "identity"}
    tls: ssl.SSLContext | bool = cluster.tls or True
    sockets = Sockets()
    connector = aiohttp.TCPConnector(ssl=tls, socket_factory=sockets.make)
    timeout = aiohttp.ClientTimeout(total=None, connect=10)
    try:
        async with aiohttp.ClientSession(
            plane.server, connector=connector, headers=headers, timeout=timeout, raise_for_status=True
        ) as http:
            yield http
    except aiohttp.ClientError as error:
        raise ControlPlaneError(f"the API server gave no answer to the benchmark: {error}") from error
    finally:
        await sockets.gone()


async def placements_of(http: aiohttp.ClientSession, workload: Workload) -> dict[str, str]:
    """Pod name to node name of all pods of a workload that are bound."""
    async with http.get(PODS, params=_bound(workload)) as answer:
        pods = msgspec.json.decode(await answer.read(), type=_List).items
    return {pod.metadata.name: pod.spec.node_name for pod in pods}


def _bound(workload: Workload) -> dict[str, str]:
    """Selects the pods of a workload that have a node, and none that were there before."""
    return {"fieldSelector": "spec.nodeName!=", "labelSelector": f"app={workload.name}"}


class _Pod(objects.Struct):
    metadata: objects.ObjectMeta
    spec: objects.PodSpec


class _List(objects.Struct):
    metadata: objects.ObjectMeta
    items: list[_Pod]
