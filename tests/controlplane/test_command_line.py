from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.controlplane import __main__ as command_line

PROJECT = Path(__file__).parent.parent.parent


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a control plane of this work tree that nobody else uses."""
    unique = f"test-{secrets.token_hex(4)}"
    yield unique
    shutil.rmtree(command_line.ROOT / unique, ignore_errors=True)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.controlplane", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=50)


@pytest.mark.e2e
@pytest.mark.parametrize("end", ["down", "Ctrl-C"])
def test_up_prints_its_kubeconfig_and_runs_until(end: str, name: str) -> None:
    command = [sys.executable, "-m", "tests.controlplane", "up", "--name", name, "--nodes", "1", "--no-provisioner"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        said = next(line for line in up.stdout if line.startswith("export "))
        kubeconfig = Path(said.strip().removeprefix("export KUBECONFIG="))
        assert kubeconfig.exists()
        assert f"{name}: pid {up.pid}, KUBECONFIG={kubeconfig}" in run("status").stdout

        again = run("up", "--name", name)
        assert again.returncode == 2
        assert again.stderr.startswith(f"error: a control plane named {name} runs already")
        assert len(again.stderr.splitlines()) == 1

        if end == "down":
            assert run("down", "--name", name).stdout == f"stopped {name}\n"
        else:
            up.send_signal(signal.SIGINT)
        assert up.wait(20) == 0
    assert name not in run("status").stdout
    assert not (command_line.ROOT / name / "etcd").exists()


def test_down_without_anything_running_says_so(name: str) -> None:
    done = run("down", "--name", name)
    assert (done.returncode, done.stdout) == (0, "nothing runs\n")


@pytest.mark.parametrize("bad", [["--name", "../elsewhere"], ["--nodes", "-1"]])
def test_up_refuses(bad: list[str]) -> None:
    done = run("up", *bad)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {bad[0]} must be")
