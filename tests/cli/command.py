"""Runs the command line as a user does: in a process of its own, with what it prints and its exit status."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests import process

ROOT: Final = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Done:
    """What came of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed with `-o json`."""
        return json.loads(self.out)

    @property
    def errors(self) -> list[str]:
        """The lines of standard error that are no log records."""
        return [line for line in self.err.splitlines() if not line.startswith("{")]


def run(
    *arguments: str, stdin: str = "", program: tuple[str, ...] = (sys.executable, "-m", "stowplan"),
    environment: Mapping[str, str] | None = None, directory: Path | None = None,
) -> Done:  # fmt: skip
    """Run the command to its end; it knows of no cluster unless it is told."""
    done = subprocess.run(
        [*program, *arguments],
        input=stdin, text=True, capture_output=True, check=False, timeout=120, cwd=directory,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "KUBECONFIG": os.devnull,
            "HOME": os.devnull,
            **(environment or {}),
            "PYTHONPATH": process.python_path(environment),
        },
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)
