"""Builds the programs of the control plane from the Go module proxy and keeps them in the cache.

Called by `ControlPlane.start`, by the pytest plugin and by `python -m tests.controlplane build`. What is built is
pinned by the go.mod and go.sum files under gotools/; the cache key is the hash of those and of the build flags, so a
new pin is a new folder and an old one is never overwritten. A build takes about ten minutes on two cores; afterwards
it is a look at the file system.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.controlplane import toolchain
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.progress import Progress, print_progress

KUBERNETES_VERSION: Final = "v1.36.3"
"""Pinned in gotools/kubernetes/go.mod; a test compares the two."""

HERE: Final = Path(__file__).parent
_VERSION_PACKAGE: Final = "k8s.io/component-base/version"


@dataclasses.dataclass(frozen=True)
class Tool:
    """One program: its file name, the folder under gotools/ that pins it, the Go package it is built from."""

    name: str
    module: str
    package: str


TOOLS: Final = (
    Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Tool("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Tool("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    Tool("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    Tool("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    Tool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    Tool("helm", "helm", "helm.sh/helm/v4/cmd/helm"),
)

PROVIDED: Final = frozenset({"etcd", "kube-apiserver", "kubectl"})
"""What a KUBEBUILDER_ASSETS folder holds (controller-runtime's envtest defines it)."""


def cache_directory() -> Path:
    """Where everything that is built or downloaded is kept: the same folder as the Makefile's CACHE."""
    own = os.environ.get("STOWPLAN_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stowplan"


def ensure(*, progress: Progress = print_progress, tools: tuple[Tool, ...] = TOOLS) -> dict[str, Path]:
    """Return the path of every program by its name, building those that are not in the cache.

    Args:
        progress: told what is going on, several times a second while something is built.
        tools: what is wanted; everything by default.

    Raises:
        ControlPlaneError: no Go, no network, a build that fails, or a KUBEBUILDER_ASSETS that lacks a program.
    """
    paths = _provided()
    target = cache_directory() / f"bin-{_key()}"
    built = {tool: target / tool.name for tool in tools if tool.name not in paths}
    missing = [tool for tool, path in built.items() if not path.exists()]
    if missing:
        with _lock(progress):
            _build([tool for tool in missing if not built[tool].exists()], target, progress)
    return paths | {tool.name: path for tool, path in built.items()}


def ensure_own(name: str, source: Path, *, progress: Progress = print_progress) -> Path:
    """Return the path of a program of this project, built from the Go module in the folder ``source``.

    It is kept in the cache by the hash of its files and built anew when one of them changes.

    Raises:
        ControlPlaneError: as ``ensure``.
    """
    digest = hashlib.sha256(_link_flags().encode())
    for path in sorted((*source.glob("*.go"), *source.glob("go.*"))):
        digest.update(path.name.encode() + path.read_bytes())
    target = cache_directory() / f"{name}-{digest.hexdigest()[:12]}" / name
    if not target.exists():
        with _lock(progress):
            if not target.exists():
                go = toolchain.find_go(cache_directory())
                target.parent.mkdir(parents=True, exist_ok=True)
                _build_one(go, source, ".", target, title=f"[1/1] {name}", progress=progress)
    return target


def module_source(module: str, path: str) -> Path:
    """Return the folder with the source of a Go module, in the version that gotools/``module`` pins and verifies.

    It is Go's own module cache, to which it is downloaded where it is not there.

    Raises:
        ControlPlaneError: no Go, or no network.
    """
    with _lock(print_progress):
        go = toolchain.find_go(cache_directory())
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    command = [str(go), "mod", "download", "-json", path]
    done = subprocess.run(command, cwd=HERE / "gotools" / module, env=environment, capture_output=True, text=True,
                          check=False)  # fmt: skip
    try:
        answer = json.loads(done.stdout)
    except json.JSONDecodeError:
        answer = {"Error": done.stderr.strip()}
    if "Dir" not in answer:
        raise ControlPlaneError(f"the source of {path} could not be downloaded: {answer.get('Error', '')}")
    return Path(answer["Dir"])


def _provided() -> dict[str, Path]:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return {}
    paths = {name: Path(folder) / name for name in sorted(PROVIDED)}
    for path in paths.values():
        if not os.access(path, os.X_OK):
            raise ControlPlaneError(f"KUBEBUILDER_ASSETS is set but {path} is missing: unset it or fill the folder")
    return paths


def _link_flags() -> str:
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    # Without stamps it calls itself v0.0.0, which clients compare with. (The module proxy does not tell the commit.)
    stamps = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean",
              "gitCommit": KUBERNETES_VERSION}  # fmt: skip
    return "-s -w " + " ".join(f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in stamps.items())


def _key() -> str:
    digest = hashlib.sha256(_link_flags().encode())
    for path in sorted((HERE / "gotools").glob("*/go.*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def _lock(progress: Progress) -> Iterator[None]:
    """Only one process builds; the others wait, then find everything there. The lock ends with its process."""
    path = cache_directory() / "build.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    except OSError as error:
        raise ControlPlaneError(
            f"cannot write the cache {path.parent} ({error.strerror}): set STOWPLAN_CACHE"
        ) from error
    with handle:
        started = time.monotonic()
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress("waiting for another process that builds the control plane", time.monotonic() - started)
                time.sleep(0.2)
        yield


def _build(tools: list[Tool], target: Path, progress: Progress) -> None:
    if not tools:
        return
    go = toolchain.find_go(cache_directory())
    target.mkdir(parents=True, exist_ok=True)
    for number, tool in enumerate(tools, start=1):
        title = f"[{number}/{len(tools)}] {tool.name}"
        source = HERE / "gotools" / tool.module
        _build_one(go, source, tool.package, target / tool.name, title=title, progress=progress)


def _build_one(go: Path, source: Path, package: str, path: Path, *, title: str, progress: Progress) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    command = [str(go), "build", "-v", "-trimpath", "-ldflags", _link_flags(), "-o", str(unfinished), package]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local",
                   "GOWORK": "off"}  # fmt: skip
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=source, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as go_build:  # fmt: skip
        lines: list[str] = []
        assert go_build.stderr is not None
        reader = threading.Thread(target=lines.extend, args=(go_build.stderr,), daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                doing = lines[-1].strip() if lines else "looking what has to be compiled"
                progress(f"{title}: {doing}", time.monotonic() - started)
                reader.join(0.25)
        except BaseException:
            go_build.terminate()
            raise
    if go_build.returncode != 0:
        reason = next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")
        raise ControlPlaneError(
            f"building {path.name} failed: {reason} (see it whole: cd {source} && go build {package})"
        )
    unfinished.rename(path)
    progress(f"{title}: built", time.monotonic() - started)
