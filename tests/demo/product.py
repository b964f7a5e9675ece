"""Stowplan itself, as a process on this machine.

There is no container runtime where the demo runs, so the chart's Deployment runs nothing: this process stands for its
pods, with the same configuration file and the same rights.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.controlplane.plane import free_port
from tests.controlplane.process import Process
from tests.demo.errors import DemoError

OPERATOR: Final = Path(__file__).parents[2] / "operator"
READY_WITHIN: Final = 60.0


class Stowplan:
    """`stowplan run`, from `start` to `stop`."""

    def __init__(
        self, directory: Path, *, config: Path, kubeconfig: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Nothing runs yet.

        Args:
            directory: for its log.
            config: the configuration file; only the address of the metrics is another one.
            kubeconfig: whose rights it has.
            environment: more variables, such as what a credential plugin needs.
        """
        self._port = free_port()
        self.log = directory / "stowplan.log"
        self._process = Process(
            "stowplan",
            [
                *(sys.executable, "-m", "stowplan", "run"),
                *("--config", str(config), "--kubeconfig", str(kubeconfig)),
                *("--metrics-address", f"127.0.0.1:{self._port}"),
            ],
            log=self.log,
            directory=directory,
            environment=_environment(environment),
        )

    def start(self) -> None:
        """Start it and return when /readyz answers 200.

        Raises:
            ControlPlaneError: it ended before, or took too long; with the end of its log.
        """
        self._process.start()
        self._process.wait_ready(self._ready, timeout=READY_WITHIN)

    def stop(self) -> None:
        """End it; it gives the lease back."""
        self._process.stop(grace=5)

    def check(self) -> None:
        """Raise DemoError with the end of its log if it has ended."""
        if not self._process.alive:
            raise DemoError(f"stowplan has ended\n{self._process.tail()}")

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def command(*arguments: str, kubeconfig: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command of the command line and return what it prints.

    Raises:
        DemoError: it failed; with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "stowplan", *arguments], text=True, capture_output=True, check=False,
        stdin=subprocess.DEVNULL, env={**_environment(environment), "KUBECONFIG": str(kubeconfig)},
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise DemoError(f"stowplan {' '.join(arguments)} ended with status {done.returncode}: {said}")
    return done.stdout.rstrip()


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), **(more or {}), "PYTHONPATH": str(OPERATOR)}
