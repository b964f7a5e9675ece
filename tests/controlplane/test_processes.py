from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.process import Process

PROJECT = Path(__file__).parent.parent.parent


def sleeper(tmp_path: Path, script: str = "import time; print('up', flush=True); time.sleep(60)") -> Process:
    return Process(
        "sleeper",
        [sys.executable, "-c", script],
        log=tmp_path / "sleeper.log",
        directory=tmp_path,
        environment={},
    )


def is_alive(pid: int) -> bool:
    """False too for one that is dead and not yet waited for by whoever inherited it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(") ")[2].split()[0] != "Z"


def test_a_process_is_started_measured_stopped_and_started_again(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    process.start()
    first = process.pid
    process.wait_ready(lambda: "up" in process.log.read_text(), timeout=20)
    usage = process.usage()
    assert 0 < usage.rss <= usage.peak_rss
    assert 0 <= usage.cpu_seconds < 20
    process.stop(grace=10)
    assert not process.alive
    assert not is_alive(first)
    process.start()
    assert process.pid != first
    process.stop(grace=0)
    process.stop(grace=0)


def test_a_process_that_ends_early_is_named_with_its_last_words(tmp_path: Path) -> None:
    process = sleeper(tmp_path, "raise SystemExit('no such flag')")
    process.start()
    with pytest.raises(ControlPlaneError, match=r"(?s)sleeper ended with status 1.*no such flag"):
        process.wait_ready(lambda: False, timeout=20)


def test_a_process_that_is_never_ready_is_named(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    process.start()
    with pytest.raises(ControlPlaneError, match="sleeper was not ready after 0 s"):
        process.wait_ready(lambda: False, timeout=0.1)
    process.stop(grace=0)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGKILL, id="SIGKILL"), pytest.param(signal.SIGTERM, id="SIGTERM")]
)
def test_a_child_dies_with_its_killed_parent(tmp_path: Path, number: signal.Signals) -> None:
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from tests.controlplane.test_processes import sleeper
        process = sleeper(Path(sys.argv[1]))
        process.start()
        process.wait_ready(lambda: "up" in process.log.read_text(), timeout=20)
        print(process.pid, flush=True)
        time.sleep(60)
    """)
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(number)
        parent.wait(20)
    deadline = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < deadline, "the child has outlived its parent"
        time.sleep(0.02)


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join()
    process.wait_ready(lambda: "up" in process.log.read_text(), timeout=20)
    assert process.alive
    process.stop(grace=0)
