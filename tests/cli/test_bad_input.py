"""Input that cannot be used: one line on standard error that says what and where, nothing else, exit code 2 or 3."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from tests.cli.command import run
from tests.cli.conftest import Invoke, Write
from tests.cli.test_files import CLUSTER


def refused(invoke: Invoke, *arguments: str, stdin: str = "", status: int = 2) -> str:
    """The one line that is said."""
    done = invoke(*arguments, stdin=stdin)
    assert (done.status, done.out) == (status, "")
    (line,) = done.err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["explain"], "name the pods to explain, or give --all-pending", id="no pods"),
        pytest.param(["explain", "a", "--all-pending"], "not both", id="names and all"),
        pytest.param(["explain", "a", "-l", "b=c"], "names of pods or a selector, not both", id="names and selector"),
        pytest.param(["frobnicate"], "No such command 'frobnicate'; see stowplan --help", id="no such command"),
        pytest.param(["plan", "--frobnicate"], "No such option '--frobnicate'; see stowplan plan --help",
                     id="no such flag"),
        pytest.param(["plan", "-o", "xml"], "'xml' is not one of", id="no such format"),
        pytest.param(["plan", "-f", "/no/such/file"], "/no/such/file: No such file or directory", id="no such file"),
        pytest.param(["plan", "-f", "/"], "/: Is a directory", id="directory"),
        pytest.param(["run", "--qps", "many"], "'many' is not a valid float", id="qps"),
        pytest.param(["run", "--metrics-address", "here"], "--metrics-address: ", id="address"),
        pytest.param(["run", "--config", "/no/such"], "/no/such: No such file or directory", id="no configuration"),
        pytest.param(["plan", "--config", "/no/such", "-f", "-"], "/no/such: No such file", id="no configuration 2"),
        pytest.param(["plan", "--kubeconfig", "/no/such"], "no kubeconfig at /no/such: give", id="no kubeconfig"),
    ],
)  # fmt: skip
def test_flags(invoke: Invoke, arguments: list[str], said: str) -> None:
    assert said in refused(invoke, *arguments)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("kind: Pod\nmetadata: {name: a\n", "-: not YAML at line", id="not YAML"),
        pytest.param('{"kind": "Pod"', "-: not JSON: ", id="not JSON"),
        pytest.param('{"kind": "List", "items": []} and more', "-: not JSON: ", id="JSON and more"),
        pytest.param('{"kind": "Pod", "metadata": {"name": "\\ud800"}', "-: not JSON: ", id="half a character"),
        pytest.param("just a word", "-: expected Kubernetes objects with apiVersion and kind", id="a word"),
        pytest.param("a: b", "-: expected Kubernetes objects with apiVersion and kind", id="another mapping"),
        pytest.param("{kind: Pod, metadata: {name: p}}", "-: Pod: apiVersion: is required", id="no apiVersion"),
        pytest.param("{apiVersion: stowplan.dev/v9, kind: SchedulingPolicy, metadata: {name: p}}",
                     "-: SchedulingPolicy p: stowplan.dev/v9 is unknown here", id="another version of ours"),
        pytest.param("{apiVersion: stowplan.dev/v1alpha1, kind: StatefulClusters, metadata: {name: p}}",
                     "there are SchedulingPolicy and StatefulCluster of stowplan.dev/v1alpha1", id="no kind of ours"),
        pytest.param("{apiVersion: v1, kind: Pod, metadata: {namespace: x}}",
                     "-: Pod: metadata.name: is required", id="no name"),
        pytest.param("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: 5}}",
                     "-: Pod p: spec.containers: ", id="wrong type"),
        pytest.param("{apiVersion: v1, kind: Node, metadata: {name: n}, status: {allocatable: {cpu: lots}}}",
                     "lots", id="quantity"),
        pytest.param("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: "
                     "[{name: c, resources: {requests: {cpu: 1 core}}}]}}", "1 core", id="request"),
        pytest.param("{apiVersion: stowplan.dev/v1alpha1, kind: SchedulingPolicy, metadata: {name: p}, "
                     "spec: {mode: Sometimes}}", "spec.mode", id="policy"),
        pytest.param("{apiVersion: stowplan.dev/v1alpha1, kind: SchedulingPolicy, metadata: {name: p}, "
                     "spec: {sprad: []}}", "spec.sprad", id="unknown field of a policy"),
        pytest.param("\x00\x01\x02", "-: not YAML", id="binary"),
    ],
)  # fmt: skip
def test_files(invoke: Invoke, text: str, said: str) -> None:
    assert said in refused(invoke, "plan", "-f", "-", stdin=text)
    assert said in refused(invoke, "explain", "--all-pending", "-f", "-", stdin=text)


def test_without_arguments_there_is_help_and_no_error(invoke: Invoke) -> None:
    done = invoke()
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("Usage: stowplan")


def test_text_that_is_no_text(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes("kind: Päd".encode("latin-1"))
    assert f"{file}: not YAML" in refused(invoke, "plan", "-f", str(file))


def test_a_pod_that_is_not_there(invoke: Invoke, write: Write) -> None:
    file = write("c.yaml", *CLUSTER)
    assert refused(invoke, "explain", "nobody", "-f", file) == "no pod nobody"
    assert refused(invoke, "explain", "web", "-n", "elsewhere", "-f", file) == "no pod web in elsewhere"
    assert refused(invoke, "explain", "elsewhere/web", "-f", file) == "no pod elsewhere/web"


@pytest.mark.parametrize("selector", ["app in web", "=", "a=b,,", "a b"])
def test_a_selector_that_cannot_be_read(invoke: Invoke, write: Write, selector: str) -> None:
    assert "selector" in refused(invoke, "plan", "-l", selector, "-f", write("c.yaml", *CLUSTER))


@pytest.mark.parametrize("command", [["plan"], ["explain", "--all-pending"], ["run", "--metrics-address=127.0.0.1:0"]])
def test_an_api_server_that_is_not_there(invoke: Invoke, tmp_path: Path, command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    server = f"https://127.0.0.1:{port}"
    kubeconfig = {
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "x", "user": {"token": "x"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }  # fmt: skip
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(kubeconfig))
    if command[0] == "run":  # it sets up the logging of its process
        done = run(*command, "--kubeconfig", str(file))
    else:
        done = invoke(*command, "--kubeconfig", str(file))
    assert (done.status, done.out) == (3, "")
    assert done.errors == [f"error: the API server {server} cannot be reached: Connection refused"]


def test_run_without_a_kubeconfig() -> None:
    done = run("run", "--metrics-address=127.0.0.1:0", "--kubeconfig=/no/such")
    assert (done.status, done.out) == (2, "")
    assert done.errors == ["error: no kubeconfig at /no/such: give --kubeconfig, or set KUBECONFIG"]


def test_a_context_that_is_not_there(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text('{"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}')
    line = refused(invoke, "plan", "--kubeconfig", str(file), "--context", "production")
    assert "production" in line
    assert str(file) in line
