"""Runs side by side: an orderly end, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.process import ROOT, python_path

COMMAND = "-m tests.scenarios --only two-claims,rollback --setups ours --runs 1 --jobs 2"

pytestmark = pytest.mark.e2e


def started(directory: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(directory), "PYTHONPATH": python_path({})}
    return subprocess.Popen(
        [sys.executable, *COMMAND.split()], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def running(directory: Path) -> list[str]:
    """Programs that have anything of the folder in their command line or environment."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "environ").read_bytes() + (each / "cmdline").read_bytes()
        except OSError:
            continue
        if bytes(directory) in words:
            found.append((each / "cmdline").read_text())
    return found


def both_started(directory: Path) -> None:
    deadline = time.monotonic() + 60
    while len(list(directory.glob("stowplan-scenario-*/etcd.sock*"))) < 2:
        assert time.monotonic() < deadline, "they do not run side by side"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_all_runs_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path) as scenarios:
        both_started(tmp_path)
        scenarios.send_signal(number)
        out, error = scenarios.communicate(timeout=30)
    assert (scenarios.returncode, out, error) == (130, "", "")
    assert running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_killed_it_takes_all_processes_along(tmp_path: Path) -> None:
    with started(tmp_path) as scenarios:
        both_started(tmp_path)
        scenarios.kill()
    deadline = time.monotonic() + 10
    while running(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(tmp_path) == []
