from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.controlplane import binaries
from tests.controlplane.errors import ControlPlaneError

PROJECT = Path(__file__).parent.parent.parent

# Stands in for the compiler, which would take ten minutes: it writes down what it is asked for.
GO = """#!/bin/sh
case "$1" in
env) echo go1.26.0 ;;
build)
  while [ "$1" != -o ]; do shift; done
  echo "$(basename "$2")" >> "$GO_LOG"
  echo "go: compiling something" >&2
  [ -z "$GO_FAILS" ] || { echo "go: no such host" >&2; echo half > "$2"; exit 1; }
  while [ -n "$GO_WAITS_FOR" ] && [ ! -e "$GO_WAITS_FOR" ]; do sleep 0.02; done
  echo "#!/bin/sh" > "$2" && chmod +x "$2" ;;
esac
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache and the compiler above; returns its log."""
    command = tmp_path / "bin" / "go"
    command.parent.mkdir()
    command.write_text(GO)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    monkeypatch.setenv("GO_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("STOWPLAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path / "log"


def quiet(doing: str, seconds: float) -> None: ...


def test_everything_is_built_once_and_then_found(go: Path) -> None:
    paths = binaries.ensure(progress=quiet)
    assert set(paths) == {tool.name for tool in binaries.TOOLS}
    assert all(path.exists() for path in paths.values())
    assert binaries.ensure(progress=quiet) == paths
    assert len(go.read_text().splitlines()) == len(binaries.TOOLS)


def test_two_processes_that_start_together_build_everything_once(go: Path) -> None:
    command = [sys.executable, "-m", "tests.controlplane", "build"]
    both = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in "ab"]
    assert [each.wait(50) for each in both] == [0, 0]
    assert len(go.read_text().splitlines()) == len(binaries.TOOLS)


def test_a_build_that_fails_is_one_line_and_leaves_nothing_half_made(go: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GO_FAILS", "yes")
    with pytest.raises(ControlPlaneError, match="building etcd failed: go: no such host") as failed:
        binaries.ensure(progress=quiet)
    assert "\n" not in str(failed.value)
    monkeypatch.delenv("GO_FAILS")
    assert binaries.ensure(progress=quiet)["etcd"].read_text() == "#!/bin/sh\n"


def test_progress_says_which_of_how_many_and_what_is_compiled(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setenv("GO_WAITS_FOR", str(tmp_path / "seen"))

    def progress(doing: str, seconds: float) -> None:
        said.append(doing)
        if "compiling" in doing:
            (tmp_path / "seen").touch()

    binaries.ensure(progress=progress)
    assert "[1/7] etcd: go: compiling something" in said
    assert said[-1] == "[7/7] helm: built"


def test_programs_in_kubebuilder_assets_are_taken_from_there(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (assets / name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    paths = binaries.ensure(progress=quiet)
    assert paths["kube-apiserver"] == assets / "kube-apiserver"
    assert sorted(go.read_text().split()) == sorted(
        f".{name}.unfinished" for name in ("helm", "kube-controller-manager", "kube-scheduler", "kwok")
    )


def test_kubebuilder_assets_that_lack_a_program_are_refused(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(ControlPlaneError, match=r"KUBEBUILDER_ASSETS is set but .*/etcd is missing"):
        binaries.ensure(progress=quiet)


def test_a_program_of_our_own_is_built_again_when_its_source_changes(go: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "main.go").write_text("package main")
    path = binaries.ensure_own("ours", source, progress=quiet)
    assert path.name == "ours"
    assert binaries.ensure_own("ours", source, progress=quiet) == path
    assert len(go.read_text().splitlines()) == 1
    (source / "main.go").write_text("package main // changed")
    assert binaries.ensure_own("ours", source, progress=quiet) != path
    assert path.exists()


def test_the_version_that_is_stamped_is_the_one_that_is_pinned() -> None:
    pinned = (Path(binaries.__file__).parent / "gotools" / "kubernetes" / "go.mod").read_text()
    assert f"k8s.io/kubernetes {binaries.KUBERNETES_VERSION}" in pinned
