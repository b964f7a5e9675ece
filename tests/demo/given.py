"""A cluster that the user has chosen by KUBECONFIG or --context: used after asking, and left as it was.

No node is created or changed. Stowplan runs on this machine with the user's own rights; its CRDs are installed where
they are missing, and only those are removed at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import yaml
from tests.controlplane import binaries
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import Manifest
from tests.demo import fitting, state
from tests.demo.errors import DemoError, Refused
from tests.demo.screen import Screen
from tests.demo.stage import KINDS, NAMESPACE, ROOT, Stage

CRDS: Final = tuple(f"{plural}.stowplan.dev" for plural in KINDS.values())


@dataclasses.dataclass(frozen=True)
class Choice:
    """What the user has said: a kubeconfig file (None: that of the environment), a context (None: the current one)."""

    kubeconfig: str | None
    context: str | None
    yes: bool


class Kubectl:
    """kubectl with the kubeconfig of the chosen cluster."""

    def __init__(self, path: Path, *arguments: str) -> None:
        self.command = [str(path), *arguments]

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run([*self.command, *arguments], input=stdin or "", text=True, capture_output=True,
                              check=False)  # fmt: skip
        if done.returncode != 0:
            raise ControlPlaneError(f"kubectl {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout


class Reader:
    """Reads by kubectl, which knows every way to log in."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._command = kubectl.command

    async def __aenter__(self) -> Reader:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    async def get(self, path: str) -> Manifest:
        """Read an object or a collection."""
        process = await asyncio.create_subprocess_exec(
            *self._command, "get", "--raw", path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        out, said = await process.communicate()
        if process.returncode != 0:
            raise ControlPlaneError(f"kubectl get --raw {path}: {said.decode().strip()}")
        answer: Manifest = json.loads(out)
        return answer


@contextlib.contextmanager
def stage(choice: Choice, directory: Path, screen: Screen) -> Iterator[Stage]:
    """Ask, install what is missing; remove it at the end.

    Raises:
        Refused: the user says no, cannot be asked, or something there is in the way.
        ControlPlaneError: the cluster cannot be reached or does not let us.
    """
    kubeconfig = _flatten(choice, directory)
    kubectl = Kubectl(_program(), "--kubeconfig", str(kubeconfig))
    _ask(choice, kubectl)
    missing = _look_around(kubectl)
    with contextlib.ExitStack() as undo:
        for name in CRDS:
            if name in missing:
                screen.step(f"CustomResourceDefinition {name}")
                undo.callback(_undo, screen, kubectl, ("delete", "crd", name, "--ignore-not-found", "--timeout=60s"))
                kubectl("create", "-f", str(ROOT / "crds" / f"{name.partition('.')[0]}.yaml"))
        kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", *CRDS)
        screen.step(f"namespace {NAMESPACE}")
        undo.callback(_undo, screen, kubectl, (
            "delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s"))  # fmt: skip
        kubectl("create", "namespace", NAMESPACE)
        # Runs before the namespace goes, and after Stowplan has ended: nobody else takes its finalizers away.
        undo.callback(_release, kubectl)
        undo.callback(screen.step, "removing what the demo has made")
        hosts = state.hosts(_items(kubectl, "nodes"))
        classes = _items(kubectl, "storageclasses")
        yield Stage(
            kubeconfig=kubeconfig,
            kubectl=kubectl,
            reader=lambda: Reader(kubectl),
            pause=1.0,
            config=_config(directory / "config.yaml"),
            rights=kubeconfig,
            acting="your rights",
            environment=dict(os.environ),
            fit=lambda policy, cluster: fitting.fit(policy, cluster, hosts=hosts, classes=classes),
            check=lambda: None,
        )


def _program() -> Path:
    """The user's own kubectl, which finds its credential plugins; ours where there is none."""
    own = shutil.which("kubectl")
    if own:
        return Path(own)
    tools = tuple(tool for tool in binaries.TOOLS if tool.name == "kubectl")
    return binaries.ensure(tools=tools)["kubectl"]


def _flatten(choice: Choice, directory: Path) -> Path:
    """One file with the chosen context alone: KUBECONFIG may be several files, and name many contexts."""
    if choice.kubeconfig is not None and not Path(choice.kubeconfig).is_file():
        raise Refused(f"--kubeconfig {choice.kubeconfig}: there is no such file")
    arguments = [] if choice.kubeconfig is None else ["--kubeconfig", choice.kubeconfig]
    if choice.context is not None:
        arguments += ["--context", choice.context]
    try:
        text = Kubectl(_program(), *arguments)("config", "view", "--minify", "--flatten", "--raw")
    except ControlPlaneError as error:
        raise Refused(f"{error} (--local starts a cluster on this machine)") from None
    path = directory / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _ask(choice: Choice, kubectl: Kubectl) -> None:
    view = json.loads(kubectl("config", "view", "-o", "json"))
    print(
        f"The demo will use a cluster of yours:\n"
        f"  context  {view['current-context']}\n"
        f"  server   {view['clusters'][0]['cluster']['server']}\n"
        f"It adds Stowplan's CustomResourceDefinitions and the namespace {NAMESPACE} with eleven small pods, runs\n"
        f"Stowplan on this machine with your rights, and removes all of that at the end. No node is changed.",
        flush=True,
    )
    if choice.yes:
        return
    if not sys.stdin.isatty():
        raise Refused("nobody is there to ask: --yes uses this cluster, --local starts one on this machine")
    try:
        answer = input("Continue? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise Refused("nothing has been touched; `make demo ARGS=--local` starts a cluster on this machine")


def _look_around(kubectl: Kubectl) -> set[str]:
    """Refuse where somebody would be disturbed, and return the CRDs that are missing."""
    if kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name"):
        raise Refused(f"the namespace {NAMESPACE} exists already: kubectl delete namespace {NAMESPACE}")
    found = kubectl("get", "deployments", "-A", "-l", "app.kubernetes.io/name=stowplan", "-o", "name").split()
    if found:
        raise Refused(
            "Stowplan is installed there already, and two would be in each other's way;"
            " try the example with yours: kubectl apply -n <namespace> -f examples/"
        )
    there = set(
        kubectl("get", "crd", "-o", "name").replace("customresourcedefinition.apiextensions.k8s.io/", "").split()
    )
    present = [name for name in CRDS if name in there]
    if present and kubectl("get", ",".join(present), "-A", "-o", "name"):
        raise Refused("there are SchedulingPolicies or StatefulClusters, which Stowplan would begin to act on")
    return set(CRDS) - there


def _items(kubectl: Kubectl, kind: str) -> Sequence[Manifest]:
    items: list[Manifest] = json.loads(kubectl("get", kind, "-o", "json"))["items"]
    return items


def _config(path: Path) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "config.stowplan.dev/v1alpha1",
                "kind": "StowplanConfiguration",
                "leaderElection": {"resourceName": "stowplan", "resourceNamespace": NAMESPACE},
            }
        )
    )
    return path


def _release(kubectl: Kubectl) -> None:
    """Let the CRs of the demo go although Stowplan has ended."""
    for plural in CRDS:
        with contextlib.suppress(ControlPlaneError):  # what is left is told by the deletion of the namespace
            kubectl("delete", plural, "--all", "-n", NAMESPACE, "--wait=false")
            for name in kubectl("get", plural, "-n", NAMESPACE, "-o", "name").split():
                kubectl("patch", name, "-n", NAMESPACE, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def _undo(screen: Screen, kubectl: Kubectl, command: tuple[str, ...]) -> None:
    try:
        kubectl(*command)
    except ControlPlaneError as error:
        raise DemoError(f"not removed: {error}\nTry again: kubectl {' '.join(command)}") from None
