"""The whole demo as a user runs it, without a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.controlplane import binaries
from tests.controlplane.fixtures import NewControlPlane
from tests.controlplane.plane import ControlPlane, Options
from tests.demo import local
from tests.demo.stage import NAMESPACE, ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@contextmanager
def started(tmp_path: Path, *arguments: str, kubeconfig: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """The demo; its temporary files are in `tmp_path`."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "120"}
    environment.pop("KUBECONFIG", None)
    if kubeconfig is not None:
        environment["KUBECONFIG"] = str(kubeconfig)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.demo", *arguments], cwd=ROOT, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as demo:  # fmt: skip
        try:
            yield demo
        finally:
            demo.terminate()


def run(tmp_path: Path, *arguments: str, kubeconfig: Path | None = None) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    with started(tmp_path, *arguments, kubeconfig=kubeconfig) as demo:
        out, error = demo.communicate(timeout=170)
    return demo.returncode, out, error


def until(text: str, lines: Iterable[str]) -> Iterator[str]:
    """The lines up to the one with the text, which must come."""
    for line in lines:
        yield line
        if text in line:
            return
    raise AssertionError(f"it never said {text}")


def children(directory: Path) -> list[str]:
    """Command lines of the processes that work in this directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(directory):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_the_demo_places_everything_can_be_tried_out_and_leaves_nothing(tmp_path: Path) -> None:
    with started(tmp_path, "--keep", "--svg", str(tmp_path / "demo.svg")) as demo:
        assert demo.stdout is not None
        lines = list(until("export KUBECONFIG=", demo.stdout))
        kubeconfig = lines[-1].strip().removeprefix("export KUBECONFIG=")
        (kubectl,) = (tool for tool in binaries.TOOLS if tool.name == "kubectl")
        command = [str(binaries.ensure(tools=(kubectl,))["kubectl"]), "--kubeconfig", kubeconfig, "get", "stc", "-A"]
        assert "11/11" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
        demo.send_signal(signal.SIGINT)
        rest, error = demo.communicate(timeout=30)
    out = "".join(lines) + rest

    assert (demo.returncode, error) == (0, ""), out
    words = " ".join(out.split())
    for expected in (
        "60 nodes: 3 zones, 2 power domains in each, 5 racks in each, 2 hosts in each",
        "helm install stowplan charts/stowplan",
        "schedulingpolicy.stowplan.dev/search-ha",
        "statefulcluster.stowplan.dev/search",
        "PlacementSatisfied",
        "NODE TOTAL NodeResourcesFit NodeResourcesBalancedAllocation StorageMedia",  # of stowplan explain
        "╭ zone a",
        "ok one-per-host no two share a host",
        "ok sets-over-zones master 1+1+1, data 2+2+2, ingest 1+1+0 per zone",
        "ok survives the loss of any one zone, power, rack, host",
        "done; everything has been stopped and removed",
    ):
        assert expected in words
    assert " NO " not in words

    image = ElementTree.parse(tmp_path / "demo.svg").getroot()
    texts = "".join(image.itertext())
    assert "zone" in texts
    assert "http" not in texts, "an image in a page may load nothing"
    (tmp_path / "demo.svg").unlink()
    assert not list(tmp_path.iterdir())
    assert not children(tmp_path)


@pytest.mark.parametrize(
    ("number", "after"),
    [
        pytest.param(signal.SIGINT, "kube-apiserver", id="Ctrl-C while the API server starts"),
        pytest.param(signal.SIGHUP, "kubectl apply", id="the terminal is closed while members are placed"),
    ],
)
def test_interrupted_at_any_time_it_leaves_nothing(tmp_path: Path, number: signal.Signals, after: str) -> None:
    with started(tmp_path) as demo:
        assert demo.stdout is not None
        list(until(after, demo.stdout))
        demo.send_signal(number)
        assert demo.wait(30) == 130
        assert demo.stderr is not None
        assert demo.stderr.read() == "\nstopped\n"
    assert not list(tmp_path.iterdir())
    assert not children(tmp_path)


def test_what_is_not_ready_in_time_is_told_with_its_reason(tmp_path: Path) -> None:
    status, out, error = run(tmp_path, "--timeout", "0")
    assert status == 1, out
    assert "error: not ready after 0 s" in error
    assert "search-data-5: " in error
    logs = next(line for line in error.splitlines() if line.startswith("logs: "))
    assert (Path(logs.removeprefix("logs: ")) / "stowplan.log").exists()
    assert not children(tmp_path)


def test_killed_it_takes_all_processes_along(tmp_path: Path) -> None:
    with started(tmp_path) as demo:
        assert demo.stdout is not None
        list(until("stowplan run", demo.stdout))
        demo.kill()
        demo.wait(30)
    deadline = time.monotonic() + 10
    while children(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not children(tmp_path)


class TestACluster:
    """A cluster of the user's."""

    @pytest.fixture
    def plane(self, new_control_plane: NewControlPlane) -> ControlPlane:
        return new_control_plane(Options(layout=local.LAYOUT))

    def test_that_was_chosen_is_used_and_left_as_it_was(self, tmp_path: Path, plane: ControlPlane) -> None:
        def things() -> str:
            return plane.kubectl("get", "crd,namespaces,nodes,pv,clusterroles,leases", "-A", "-o", "name")

        before = things()
        tmp_path.joinpath("tmp").mkdir()
        directory = tmp_path / "tmp"

        status, _, error = run(directory, kubeconfig=plane.kubeconfig)
        assert (status, error.splitlines()[-1]) == (
            2, "error: nobody is there to ask: --yes uses this cluster, --local starts one on this machine",
        )  # fmt: skip
        assert things() == before

        status, out, error = run(directory, "--yes", kubeconfig=plane.kubeconfig)
        assert (status, error) == (0, ""), out
        assert f"  server   {plane.server}\n" in out
        assert "ok  one-per-host" in out
        assert "changed to fit" not in out
        assert things() == before
        assert not list(directory.iterdir())

        plane.kubectl("create", "namespace", NAMESPACE)
        status, _, error = run(directory, "--yes", kubeconfig=plane.kubeconfig)
        assert (status, error) == (
            2, f"error: the namespace {NAMESPACE} exists already: kubectl delete namespace {NAMESPACE}\n",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--local", "--context", "x"], "--local is a cluster of its own", id="two wishes"),
        pytest.param(["--kubeconfig", "/nowhere"], "/nowhere", id="no such file"),
        pytest.param(["--context", "nobody"], "nobody", id="no such context"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    status, out, error = run(tmp_path, *arguments)
    assert (status, out) == (2, "")
    assert error.startswith("error: ")
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())
