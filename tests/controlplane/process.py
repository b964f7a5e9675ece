"""One child process of a control plane: started, watched, measured and stopped.

No child outlives its parent, however that one ends (SIGKILL, a crash, a killed pytest-xdist worker): `launcher` asks
the kernel for it before it becomes the program. The kernel means the parent *thread* (prctl(2), PR_SET_PDEATHSIG), and
a thread of asyncio.to_thread or of a test runner may end early; therefore one thread, which lives as long as this
process, starts all children.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.controlplane.errors import ControlPlaneError

_LAUNCHER = Path(__file__).with_name("launcher.py")
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="start-children")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a process has used so far: CPU seconds, and resident memory in bytes now and at its peak."""

    cpu_seconds: float
    rss: int
    peak_rss: int


def tied(*command: str) -> list[str]:
    """The command line that makes a child of this process end with the thread that starts it; see `launcher`."""
    return [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *command]


class Process:
    """A program with its arguments; it can be started again after it has ended.

    It runs in `directory`; its output goes to `log`, appended over restarts.
    """

    def __init__(
        self, name: str, command: list[str], *, log: Path, directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.directory = directory
        self.environment = environment
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running program."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """True from start until the process has ended."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it; nothing is known yet about whether it will stay."""
        if self.alive:
            raise ControlPlaneError(f"{self.name} runs already (pid {self.pid})")
        spawning = _STARTER.submit(self._spawn)
        try:
            self._child = spawning.result()
        except KeyboardInterrupt:  # it is started all the same, and whoever stops us has to know of it
            self._child = spawning.result()
            raise

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                tied(*self.command),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                cwd=self.directory, env=dict(self.environment),
                start_new_session=True,  # Ctrl-C on the terminal is for the parent, which then stops all in order
            )  # fmt: skip

    def wait_ready(self, ready: Callable[[], bool], *, timeout: float) -> None:
        """Return once `ready()` holds.

        Raises:
            ControlPlaneError: the process has ended before, or `timeout` seconds have passed; with the end of its log.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.alive:
                raise ControlPlaneError(f"{self.name} ended with status {self._status()}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"{self.name} was not ready after {timeout:.0f} s\n{self.tail()}")
            time.sleep(0.03)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP makes a hung process, SIGKILL a crashed one."""
        self._running().send_signal(number)

    def stop(self, *, grace: float) -> None:
        """End it: SIGTERM, then SIGKILL after `grace` seconds (0: at once). Without effect where it has ended."""
        if self._child is None:
            return
        if self.alive and grace > 0:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(grace)
        if self.alive:
            self._child.kill()
        self._child.wait()

    def wait(self, timeout: float) -> int:
        """The exit status of the program, negative for a signal, once it has ended by itself.

        Raises:
            ControlPlaneError: it has not within `timeout` seconds; with the end of its log.
        """
        if self._child is None:
            raise ControlPlaneError(f"{self.name} was never started")
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ControlPlaneError(f"{self.name} still ran after {timeout:g} s\n{self.tail()}") from None

    def usage(self) -> Usage:
        """CPU and memory of the running process, from /proc."""
        folder = Path("/proc") / str(self.pid)
        fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        user, system = int(fields[11]), int(fields[12])  # utime and stime of proc(5), counted after the name
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        rss, peak = (int(status[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
        return Usage(cpu_seconds=(user + system) / _TICKS, rss=rss, peak_rss=peak)

    def tail(self, lines: int = 12) -> str:
        """The end of its log, for an error message."""
        if not self.log.exists():
            return f"(no log at {self.log})"
        last = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"last lines of {self.log}:", *(f"  {line[:400]}" for line in last)])

    def _status(self) -> int | None:
        return None if self._child is None else self._child.returncode

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            raise ControlPlaneError(f"{self.name} is not running (status {self._status()})")
        return self._child
