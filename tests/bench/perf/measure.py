"""One measurement: one workload by one system, on a control plane of its own.

The scheduler runs first and has bound a pod before the workload begins, so that its start is in no figure. The rate
goes from the first bind of a measured pod to the last, as a watch shows them; pods are created meanwhile, so no
rate can be higher than that at which they come, which is told, too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
from tests.bench import measure, meter
from tests.bench.perf import manifests, source
from tests.bench.perf.bound import Bound
from tests.bench.perf.execute import Executor
from tests.bench.perf.source import Workload
from tests.bench.systems import ROOT, System
from tests.controlplane.api import Api, ApiFailure, path_of, wait_until
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import HOSTNAME, Manifest
from tests.controlplane.plane import ControlPlane, Options
from tests.controlplane.process import Process

START = 60.0
"""Seconds in which a scheduler must bind its first pod."""
QUIET = 15.0
"""Seconds at most in which it may finish what came before, events above all, before the measured pods come."""
_PLUGINS = "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition,Priority"
"""As ``mustSetupCluster`` of test/integration/scheduler_perf/util.go: no controllers, priorities without classes."""
_ALL_PODS = "/api/v1/pods"
_HAVE_NODE = {"fieldSelector": "spec.nodeName!="}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """What to measure.

    Attributes:
        timeout: seconds for the workload from its first node on; what is bound by then counts.
        logs: folder that gets a copy of the logs of all processes; None for no copy.
    """

    system: System
    workload: Workload
    timeout: float
    logs: Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured.

    Attributes:
        before: pods that were created before those that are measured.
        pods: measured pods.
        bound: those of them that got a node.
        seconds: from the first bind to the last.
        creating: seconds in which they were created; 0 where it did not come to an end.
        first_bind: seconds from the first create to the first bind.
        cpu_per_pod: CPU milliseconds of the scheduler from then on, its events included, for each bound pod;
            ``api_cpu_per_pod`` likewise that of the API server.
        peak_rss: bytes, of the scheduler.
        churned: objects that came beside the pods.
        gone: bound pods that were deleted: victims of preemption, where the workload itself deletes none.
        own_cpu: CPU seconds of the measuring process from then on.
        others: share of the machine (0 to 1) that went to processes which have no part in this.
        remark: why it is not complete, or "".
    """

    workload: str
    system: str
    nodes: int
    before: int
    pods: int
    bound: int
    seconds: float
    creating: float
    first_bind: float
    cpu_per_pod: float
    api_cpu_per_pod: float
    peak_rss: int
    churned: int
    gone: int
    own_cpu: float
    others: float
    remark: str

    @property
    def rate(self) -> float:
        """Pods per second from the first bind to the last; 0 where there were less than two."""
        return (self.bound - 1) / self.seconds if self.seconds > 0 else 0.0

    @property
    def create_rate(self) -> float:
        """Pods per second at which they came; 0 where they did not all come."""
        return self.pods / self.creating if self.creating > 0 else 0.0


def run(case: Case, told: Callable[[str], None]) -> Result:
    """Measures once; everything it started has ended afterwards, whatever happens.

    Args:
        case: what to measure.
        told: called with a word on what is being done, a few times a second.

    Raises:
        ControlPlaneError: the control plane or the scheduler did not come up, or the API server took something not.
    """
    told("starting a control plane")
    gates = [source.flag(case.workload.gates)] if case.workload.gates else []
    options = Options(
        layout=None, controllers=False, kwok=False, provisioner=False,
        arguments={"kube-apiserver": [_PLUGINS, *gates]},
    )  # fmt: skip
    name = case.system.name
    with (
        tempfile.TemporaryDirectory(prefix="stowplan-bench-") as directory,
        ControlPlane(Path(directory), options) as plane,
    ):
        command = case.system.prepare(plane)
        process = Process(
            name,
            [*command, *gates] if name == "kube-scheduler" else command,
            log=plane.directory / "logs" / f"{name}.log",
            directory=plane.directory,
            environment={**plane.environment(), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"},
        )
        try:
            return asyncio.run(_observe(case, plane, process, told))
        except* (ApiFailure, ControlPlaneError, aiohttp.ClientError) as failures:
            failure: BaseException = failures
            while isinstance(failure, BaseExceptionGroup):  # of several workers that failed, one is enough
                failure = failure.exceptions[0]
            raise ControlPlaneError(f"{case.workload.name} by {name}: {failure}") from failures
        finally:
            process.stop(grace=0)
            if case.logs is not None:
                label = f"{case.workload.name.replace('/', '-')}-{name}"
                shutil.copytree(plane.directory / "logs", case.logs / label, dirs_exist_ok=True)


async def _observe(case: Case, plane: ControlPlane, process: Process, told: Callable[[str], None]) -> Result:
    bound = Bound()
    async with measure.connected(plane) as http, plane.api(connections=32) as api, asyncio.TaskGroup() as group:
        used = meter.Meter(process, plane)
        watching = group.create_task(_watch(http, bound))
        told("starting the scheduler")
        process.start()
        await _started(api, process, case.system.scheduler_name)

        async def ready() -> None:
            await used.settle(QUIET)
            used.first = used.read()

        executor = Executor(
            api, bound, workload=case.workload, scheduler=case.system.scheduler_name, ready=ready
        )  # fmt: skip
        gone = bound.gone
        start = time.perf_counter()
        working = group.create_task(executor.run())
        remark = ""
        while not remark and not working.done():
            await asyncio.wait({working}, timeout=measure.POLL)
            used.read()
            told(executor.doing)
            if not process.alive:
                remark = f"ended too early: {process.tail(1).splitlines()[-1].strip()}"
            elif time.perf_counter() - start > case.timeout and not working.done():
                remark = f"stopped after {case.timeout:.0f} s: {executor.doing}"
        working.cancel()
        await used.settle()
        watching.cancel()
    binds, workload = executor.binds, case.workload
    first, end, pods = used.first, used.latest, max(1, len(binds))
    return Result(
        workload=workload.name,
        system=case.system.name,
        nodes=workload.nodes,
        before=workload.before,
        pods=workload.measured,
        bound=len(binds),
        seconds=binds[-1] - binds[0] if binds else 0.0,
        creating=executor.created - executor.begun if executor.created else 0.0,
        first_bind=binds[0] - executor.begun if binds else 0.0,
        cpu_per_pod=1000 * (end.scheduler.cpu_seconds - first.scheduler.cpu_seconds) / pods,
        api_cpu_per_pod=1000 * (end.api.cpu_seconds - first.api.cpu_seconds) / pods,
        peak_rss=end.scheduler.peak_rss,
        churned=executor.churned,
        gone=bound.gone - gone,
        own_cpu=end.own - first.own,
        others=end.others_since(first),
        remark=remark,
    )


async def _watch(http: aiohttp.ClientSession, bound: Bound) -> None:
    async for chunk in measure.follow(http, _ALL_PODS, _HAVE_NODE, bound.cut):
        bound.feed(chunk, time.perf_counter())


async def _started(api: Api, process: Process, scheduler: str) -> None:
    """Waits until the scheduler binds a pod; the pod and its node are gone afterwards.

    Raises:
        ControlPlaneError: it has ended, or bound nothing.
    """
    name = "scheduler-runs"
    namespace: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    node = {**manifests.BASE_NODE, "metadata": {"name": name, "labels": {HOSTNAME: name}}}
    pod = manifests.placed({**manifests.BASE_POD, "metadata": {"name": name}}, name, scheduler)
    for manifest in (namespace, node, pod):
        await api.create(manifest)

    async def look() -> bool | None:
        if not process.alive:
            raise ControlPlaneError(f"{process.name} has ended\n{process.tail()}")
        return "nodeName" in (await api.get(path_of(pod)))["spec"] or None

    await wait_until(look, what=f"the first pod that {process.name} binds", within=START)
    await api.delete(path_of(pod), gracePeriodSeconds=0)
    await api.delete(path_of(node))
