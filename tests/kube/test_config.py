"""Where the API server is found, how we prove who we are, and how mistakes read."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

import pytest
import yaml
from tests.controlplane.plane import ControlPlane

from stowplan.errors import UsageError
from stowplan.kube import config, session


def kubeconfig(folder: Path, *, name: str = "config", context: str = "here", **user: object) -> Path:
    server = f"https://{context}.example.com:6443/"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": {"server": server, "tls-server-name": "kubernetes"}}],
        "users": [{"name": context, "user": user or {"token": f"token-of-{context}"}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    path = folder / name
    path.write_text(yaml.safe_dump(document))
    return path


def _written(
    *, current: str = "x", contexts: object = None, clusters: object = None, users: object = None,
    server: str = "https://c:6443", **user: object,
) -> dict[str, object]:  # fmt: skip
    """A kubeconfig, but for what is given."""
    return {
        "current-context": current,
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}] if contexts is None else contexts,
        "clusters": [{"name": "c", "cluster": {"server": server}}] if clusters is None else clusters,
        "users": [{"name": "u", "user": user or {"token": "t"}}] if users is None else users,
    }


async def test_kubeconfig_names_server_and_credential(tmp_path: Path) -> None:
    cluster = await config.load(kubeconfig=str(kubeconfig(tmp_path)))

    assert (cluster.server, cluster.server_name) == ("https://here.example.com:6443", "kubernetes")
    assert cluster.credentials.header() == "Bearer token-of-here"
    assert not await cluster.credentials.refused()


async def test_kubeconfigs_are_merged_and_the_context_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [kubeconfig(tmp_path, name=name, context=name) for name in ("one", "two")]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(["/no/such/file", *map(str, paths)]))

    assert (await config.load(context="two")).server == "https://two.example.com:6443"
    assert (await config.load(context="one")).server == "https://one.example.com:6443"


async def test_token_file_of_a_kubeconfig_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    cluster = await config.load(kubeconfig=str(kubeconfig(tmp_path, tokenFile="token")))
    assert cluster.credentials.header() == "Bearer first"
    (tmp_path / "token").write_text("second\n")

    assert await cluster.credentials.refused()
    assert cluster.credentials.header() == "Bearer second"


async def test_plugin_is_run_and_run_again_when_its_token_is_refused(tmp_path: Path) -> None:
    counter = tmp_path / "runs"
    counter.write_text("")
    version = "client.authentication.k8s.io/v1"
    script = f"""
import json, pathlib
runs = pathlib.Path({str(counter)!r})
runs.write_text(runs.read_text() + "x")
status = {{"token": "token-" + str(len(runs.read_text()))}}
print(json.dumps({{"apiVersion": {version!r}, "kind": "ExecCredential", "status": status}}))
"""
    plugin = {"apiVersion": version, "command": sys.executable, "args": ["-c", script], "interactiveMode": "Never"}
    cluster = await config.load(kubeconfig=str(kubeconfig(tmp_path, exec=plugin)))
    assert cluster.credentials.header() == "Bearer token-1"

    assert await cluster.credentials.refused()
    assert cluster.credentials.header() == "Bearer token-2"
    assert not await cluster.credentials.refused(), "asked again at once"
    assert counter.read_text() == "xx"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("just text", "it must be a mapping with clusters, users and contexts", id="no mapping"),
        pytest.param("{a: [", "cannot be used", id="no YAML"),
        pytest.param("{}", "choose one with --context; there is none at all", id="empty"),
        pytest.param(json.dumps(_written(contexts=[])), "it has no context 'x'; there is none", id="no such context"),
        pytest.param(json.dumps(_written(current="")), "choose one with --context; there are: x", id="none chosen"),
        pytest.param(json.dumps(_written(current="y")), "it has no context 'y'; there are: x", id="another one chosen"),
        pytest.param(
            json.dumps(_written(clusters=[])), "the cluster 'c', which it does not have", id="no such cluster"
        ),
        pytest.param(json.dumps(_written(users=[])), "names the user 'u', which it does not have", id="no such user"),
        pytest.param(json.dumps(_written(users="u")), "names the user 'u', which it does not have", id="no list"),
        pytest.param(
            json.dumps(_written(exec={"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"})),
            "its user gets credentials from no-such-plugin, which cannot be found",
            id="no such plugin",
        ),
        pytest.param(json.dumps(_written(server="")), "the cluster has no server", id="no server"),
    ],
)
async def test_unusable_kubeconfig_is_one_clear_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, problem: str
) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(UsageError) as caught:
        await config.load(kubeconfig=str(path))

    assert str(path) in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not caplog.records


async def test_missing_kubeconfig_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --kubeconfig, or set KUBECONFIG"):
        await config.load(kubeconfig=str(tmp_path / "nowhere"))


async def test_unknown_context_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="elsewhere"):
        await config.load(kubeconfig=str(kubeconfig(tmp_path)), context="elsewhere")


async def test_projected_token_is_read_again_once_a_minute(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "token"
    path.write_text("first")
    token = config.TokenFile(path=path, clock=lambda: now)
    path.write_text("second")
    assert token.header() == "Bearer first"

    now = config.TOKEN_PERIOD
    assert token.header() == "Bearer second"

    path.unlink()
    now *= 2
    assert token.header() == "Bearer second", "a file that is being replaced is no reason to stop"


async def test_missing_token_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the service account token"):
        config.TokenFile(path=tmp_path / "token")


async def test_missing_authority_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="certificate authority"):
        config.service_account(tmp_path, host="10.0.0.1", port="443")


@pytest.mark.e2e
async def test_service_account_of_a_pod_is_found_where_kubelet_puts_it(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    host, _, port = control_plane.server.removeprefix("https://").partition(":")
    token = control_plane.kubectl("create", "token", "default", "-n", namespace)
    (tmp_path / "token").write_text(token)
    clusters = yaml.safe_load(control_plane.kubeconfig.read_text())["clusters"]
    (tmp_path / "ca.crt").write_bytes(base64.b64decode(clusters[0]["cluster"]["certificate-authority-data"]))

    async with session.Api(config.service_account(tmp_path, host=host, port=port)) as api:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", review, dict[str, object])

    status = answer["status"]
    assert isinstance(status, dict)
    assert status["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"
