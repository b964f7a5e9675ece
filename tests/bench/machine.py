"""On what it was measured: a figure without its machine says nothing."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
from pathlib import Path

from tests.controlplane import binaries

import stowplan


@dataclasses.dataclass(frozen=True)
class Machine:
    """The machine and the versions, and how busy others kept it when the measurement began.

    Attributes:
        memory: bytes.
        load: 1 and 5 minute load average.
    """

    cpu: str
    cores: int
    memory: int
    kernel: str
    python: str
    kubernetes: str
    stowplan: str
    load: tuple[float, float]

    def __str__(self) -> str:
        return (
            f"{self.cores} cores ({self.cpu}), {self.memory / 2**30:.0f} GiB, Linux {self.kernel}; "
            f"Python {self.python}, Kubernetes {self.kubernetes}, Stowplan {self.stowplan}; "
            f"load average before {self.load[0]:.1f} (1 min), {self.load[1]:.1f} (5 min)"
        )


def describe() -> Machine:
    """This machine, now."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    minute, five, _ = os.getloadavg()
    return Machine(
        cpu=model[1] if model else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release().partition("-")[0],
        python=platform.python_version(),
        kubernetes=binaries.KUBERNETES_VERSION,
        stowplan=stowplan.__version__,
        load=(minute, five),
    )
