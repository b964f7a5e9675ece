"""What everybody uses while a scheduler is measured: read from /proc and from the API server's own metrics."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import os
import re
import resource
import time
from pathlib import Path

import aiohttp
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import Process, Usage

SETTLE = 60.0
"""Seconds after the last bind in which a system may still write events and the like."""
_LOOK = 1.0
_IDLE = 0.03
"""Share of a core that a scheduler without work may use."""
_REQUESTS = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Sample:
    """What everybody has used up to a moment.

    Attributes:
        at: when, by ``time.perf_counter``.
        machine: CPU seconds of all processes of the machine.
    """

    at: float
    scheduler: Usage
    api: Usage
    etcd: Usage
    own: float
    machine: float

    def others_since(self, before: Sample) -> float:
        """The share of the machine that went to others."""
        mine = sum(
            now - then
            for now, then in (
                (self.scheduler.cpu_seconds, before.scheduler.cpu_seconds),
                (self.api.cpu_seconds, before.api.cpu_seconds),
                (self.etcd.cpu_seconds, before.etcd.cpu_seconds),
                (self.own, before.own),
            )
        )
        capacity = (self.at - before.at) * (os.cpu_count() or 1)
        return max(0.0, (self.machine - before.machine - mine) / capacity) if capacity > 0 else 0.0


class Meter:
    """Reads what the scheduler, the API server and this process have used.

    Attributes:
        begin: when the scheduler was about to start.
        first: at the first bind; ``begin`` before.
        latest: at the last reading at which the scheduler was alive.
    """

    def __init__(self, process: Process, plane: ControlPlane) -> None:
        self._process = process
        self._api = plane.processes["kube-apiserver"]
        self._etcd = plane.processes["etcd"]
        self.begin = self.first = self.latest = self._sample(Usage(0.0, 0, 0))

    def _sample(self, scheduler: Usage) -> Sample:
        return Sample(
            at=time.perf_counter(),
            scheduler=scheduler,
            api=self._api.usage(),
            etcd=self._etcd.usage(),
            own=_own_cpu(),
            machine=_machine_cpu(),
        )

    def read(self) -> Sample:
        """Now; or as it was last, where the scheduler has ended."""
        with contextlib.suppress(ControlPlaneError, FileNotFoundError):
            self.latest = self._sample(self._process.usage())
        return self.latest

    async def settle(self, within: float = SETTLE) -> None:
        """Waits until the scheduler has nothing more to do, ``within`` seconds at most."""
        deadline = time.perf_counter() + within
        while time.perf_counter() < deadline:
            before = self.read().scheduler.cpu_seconds
            await asyncio.sleep(_LOOK)
            if self.read().scheduler.cpu_seconds - before <= _IDLE * _LOOK:
                return


async def requests(http: aiohttp.ClientSession) -> collections.Counter[str]:
    """How many requests the API server has answered so far, by verb and resource; its own and failed ones too."""
    async with http.get("/metrics") as answer:
        text = await answer.text()
    found: collections.Counter[str] = collections.Counter()
    for labels, count in _REQUESTS.findall(text):
        label = dict(_LABEL.findall(labels))
        resource_ = "/".join(filter(None, (label["resource"], label["subresource"])))
        found[f"{label['verb']} {resource_}".rstrip()] += int(float(count))
    return found


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _machine_cpu() -> float:
    """CPU seconds of everybody since the machine has started: proc_stat(5), all but idle and waiting."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
