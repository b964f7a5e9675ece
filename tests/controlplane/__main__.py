"""`python -m tests.controlplane build|up|down|status`: what `make tools`, `cluster` and `cluster-down` run.

A control plane lives as long as its `up`, in the foreground, in `.cluster/<name>/` of the work tree. `up` holds a lock
on a file there, so that `down` and `status` can tell a living one from what a crash has left, whatever its pid.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.controlplane import binaries
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import Layout
from tests.controlplane.plane import ControlPlane, Options

ROOT = Path(__file__).parent.parent.parent / ".cluster"


def main(arguments: list[str]) -> int:
    """Run one command; the exit code is 2 where something is in the way."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.controlplane",
        description="A Kubernetes control plane of real processes on this machine, with fake nodes.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="build | up | down | status")
    commands.add_parser("build", help="build the programs, once per version")
    up = commands.add_parser("up", help="start a control plane and keep it until Ctrl-C")
    down = commands.add_parser("down", help="stop what `up` has started from this work tree")
    commands.add_parser("status", help="list what runs")
    for command in (up, down):
        command.add_argument("--name", default=None if command is down else "default",
                             help="several can run side by side" if command is up else "only this one")  # fmt: skip
    up.add_argument("--nodes", type=int, default=60, metavar="N", help="0 for none; default %(default)s")
    up.add_argument("--scheduler", action="store_true", help="run kube-scheduler too")
    up.add_argument("--no-provisioner", action="store_true", help="without the fake CSI driver")
    options = parser.parse_args(arguments)
    try:
        if options.command == "build":
            return _build()
        if options.command == "up":
            return _up(options)
        if options.command == "down":
            return _down(options.name)
        return _status()
    except ControlPlaneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _build() -> int:
    paths = binaries.ensure()
    print(f"control plane {binaries.KUBERNETES_VERSION}: {paths['kube-apiserver'].parent}")
    return 0


def _up(options: argparse.Namespace) -> int:
    if options.nodes < 0:
        raise ControlPlaneError("--nodes must be 0 or more")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", options.name):
        raise ControlPlaneError("--name must be letters, digits and dashes")
    directory = ROOT / options.name
    directory.mkdir(parents=True, exist_ok=True)
    with _hold(directory):
        plane = ControlPlane(
            directory,
            Options(
                layout=Layout.of(options.nodes) if options.nodes else None,
                scheduler=options.scheduler,
                provisioner=not options.no_provisioner,
            ),
        )
        started = time.monotonic()
        previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
        try:
            plane.start(told=lambda step: print(f"==> {time.monotonic() - started:4.1f} s  {step}", flush=True))
            print(f"ready after {time.monotonic() - started:.1f} s; logs in {directory / 'logs'}; Ctrl-C stops it\n")
            print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
            while True:
                time.sleep(1)
                ended = [process for process in plane.processes.values() if not process.alive]
                if ended:
                    raise ControlPlaneError(f"{ended[0].name} has ended\n{ended[0].tail()}")
        except KeyboardInterrupt:
            print("\nstopping", flush=True)
        finally:
            plane.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _down(name: str | None) -> int:
    running = {each: pid for each, pid in _running().items() if name in (None, each)}
    for each, pid in running.items():
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while each in _running():
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"{each} (pid {pid}) does not end: kill -9 {pid} ends it and its children")
            time.sleep(0.05)
        print(f"stopped {each}")
    if not running:
        print("nothing runs")
    return 0


def _status() -> int:
    running = _running()
    for name, pid in running.items():
        print(f"{name}: pid {pid}, KUBECONFIG={ROOT / name / 'admin.kubeconfig'}")
    if not running:
        print("nothing runs")
    return 0


@contextlib.contextmanager
def _hold(directory: Path) -> Iterator[None]:
    """Hold the lock of a control plane, on a directory emptied of what an earlier one has left."""
    path = directory / "pid"
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ControlPlaneError(
                f"a control plane named {directory.name} runs already: `make cluster-down`, or another --name"
            ) from None
        for left in directory.iterdir():
            if left == path:
                continue
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _running() -> dict[str, int]:
    """Pid of every control plane of this work tree whose lock is held."""
    found = {}
    for path in sorted(ROOT.glob("*/pid")):
        with path.open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found[path.parent.name] = int(handle.read() or 0)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
