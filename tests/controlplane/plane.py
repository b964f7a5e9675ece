"""A Kubernetes control plane of real processes on this machine, without containers, with fake nodes.

Used by the end-to-end tests (through the pytest plugin in `fixtures`), by `make cluster`, the demo and the benchmark::

    with ControlPlane(directory, Options(layout=Layout(zones=2))) as plane:
        plane.kubectl("get", "nodes")
        async with plane.api() as api:
            await api.create({...})

Starting and stopping is synchronous, so it can be used from anywhere (`asyncio.to_thread` where a loop must go on);
talking to the API is asynchronous. Several control planes run side by side, each on free ports of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import os
import random
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import yaml
from tests.controlplane import binaries, components, stages, storage
from tests.controlplane.access import Access
from tests.controlplane.api import STRATEGIC, Api
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import MANAGED, NOT_READY_TAINT, Layout
from tests.controlplane.process import Process

T = TypeVar("T")

HERE = Path(__file__).parent
_ATTEMPTS = 3
_IN_USE = "address already in use"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a control plane consists of; etcd and kube-apiserver always."""

    layout: Layout | None = dataclasses.field(default_factory=Layout)
    """The nodes to create at the start; None for none."""
    controllers: bool = True
    """kube-controller-manager."""
    kwok: bool = True
    """Kubelets of the nodes. Without, pods that are bound stay Pending: a benchmark wants nobody else at work."""
    provisioner: bool = True
    """The fake CSI driver; without, its StorageClasses are there and nobody makes volumes."""
    scheduler: bool = False
    """kube-scheduler, for pods that name no other."""
    arguments: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    """More command line arguments by process name: `{"kube-apiserver": ["--max-requests-inflight=0"]}`."""


class ControlPlane:
    """One control plane, from `start` to `stop`; also a context manager.

    Attributes:
        directory: everything it writes: logs/, kubeconfig files, certificates, etcd's data (until `stop`).
        options: what it consists of.
        processes: the programs by name, such as `processes["kube-apiserver"].usage()`.
    """

    def __init__(self, directory: Path, options: Options | None = None) -> None:
        self.directory = directory.resolve()
        self.options = options or Options()
        self.processes: dict[str, Process] = {}
        self._binaries: dict[str, Path] = {}
        self._port = 0
        self._access: Access | None = None

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self, *, told: Callable[[str], None] = lambda _: None) -> None:
        """Start everything and return when all nodes are ready. Whatever was started is stopped if that fails.

        Args:
            told: called with a word on each step, for somebody who waits.

        Raises:
            ControlPlaneError: a program could not be built or did not come up; with the end of its log.
        """
        self._binaries = binaries.ensure()
        (self.directory / "logs").mkdir(parents=True, exist_ok=True)
        try:
            self._start_api(told)
            self._start_others(told)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all processes at once and drop etcd's data; the logs stay."""
        for process in reversed(self.processes.values()):
            process.stop(grace=0)
        shutil.rmtree(self.directory / "etcd", ignore_errors=True)

    def kill(self, name: str) -> None:
        """Crash one process (SIGKILL)."""
        self.processes[name].stop(grace=0)

    def restart(self, name: str, *, grace: float = 0) -> None:
        """Stop one process (SIGTERM first if `grace` seconds are given) and start it again, with the same data."""
        self.processes[name].stop(grace=grace)
        self.processes[name].start()
        if name == "kube-apiserver":
            self.processes[name].wait_ready(self._api_ready, timeout=60)

    # --- access -------------------------------------------------------------------------------------------------

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig file."""
        return self.directory / "admin.kubeconfig"

    def api(self, user: str = "admin", *, token: str | None = None, connections: int = 32) -> Api:
        """A REST client as one of `access.USERS`, or with the given token ("" for anonymous)."""
        access = self._started()
        return Api(
            self.server, ca=access.certificate.read_text(), connections=connections,
            token=access.token(user) if token is None else token,
        )  # fmt: skip

    def service_account(self, namespace: str, name: str) -> Path:
        """Kubeconfig file of a service account that exists: what a pod of it may do, no more."""
        token = self.kubectl("create", "token", name, "-n", namespace, "--duration=24h").strip()
        return self._started().write_kubeconfig(f"{namespace}.{name}", server=self.server, token=token)

    def kubectl(self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl, by default as the administrator, and return what it prints.

        Raises:
            ControlPlaneError: it failed; with what it said.
        """
        return self._run("kubectl", arguments, stdin, kubeconfig)

    def helm(self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run helm, by default as the administrator, and return what it prints; it raises as `kubectl` does."""
        return self._run("helm", arguments, stdin, kubeconfig)

    def environment(self) -> dict[str, str]:
        """Variables for a program that shall use this control plane and nothing of the user's own settings."""
        return {
            "PATH": f"{self._binaries['kubectl'].parent}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.directory),
            "KUBECONFIG": str(self.kubeconfig),
        }

    def _run(self, tool: str, arguments: Sequence[str], stdin: str | None, kubeconfig: Path | None) -> str:
        environment = self.environment() | {"KUBECONFIG": str(kubeconfig or self.kubeconfig)}
        done = subprocess.run([self._binaries[tool], *arguments], env=environment, input=stdin or "", text=True,
                              capture_output=True, check=False)  # fmt: skip
        if done.returncode != 0:
            raise ControlPlaneError(f"{tool} {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    # --- nodes --------------------------------------------------------------------------------------------------

    async def create_nodes(self, layout: Layout) -> list[str]:
        """Create the nodes of a layout and their CSINodes, many at a time, and return their names.

        Every node is ready and without the taint that the API server gives to a new one: kube-controller-manager takes
        it away; where there is none, this does.
        """
        names: list[str] = []
        pending = iter(layout.nodes())

        async def worker(api: Api) -> None:
            for manifest in pending:
                node = await api.create(manifest)
                name: str = node["metadata"]["name"]
                await api.create(layout.csi_node(node))
                if not self.options.controllers:
                    await api.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})
                names.append(name)

        async with self.api() as api:
            async with asyncio.TaskGroup() as group:
                for _ in range(16):
                    group.create_task(worker(api))
            await api.wait_each(
                "/api/v1/nodes", names, within=30 + len(names) / 100,
                until=lambda node: not any(each["key"] == NOT_READY_TAINT for each in node["spec"].get("taints", [])),
            )  # fmt: skip
        return sorted(names)

    async def silence_node(self, name: str) -> None:
        """The node's kubelet dies: it reports NotReady at once, its pods stay as they are, a deleted one Terminating.

        (A real kubelet falls silent and is found Unknown after the grace period of 40 s; so is this one, then.)
        """
        async with self.api() as api:
            path = f"/api/v1/nodes/{name}"
            await api.patch(path, {"metadata": {"labels": {MANAGED: None}}})
            not_ready = {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "silenced"}
            await api.patch(f"{path}/status", {"status": {"conditions": [not_ready]}},
                            content_type=STRATEGIC)  # fmt: skip

    async def wake_node(self, name: str) -> None:
        """The kubelet of a silenced node comes back; pods deleted meanwhile go."""
        async with self.api() as api:
            await api.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {MANAGED: "fake"}}})

    async def create_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Create a namespace and wait for what pods in it need (its default service account)."""
        metadata = {"name": name, "labels": dict(labels or {})}
        async with self.api() as api:
            await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            if self.options.controllers:
                await api.wait(f"/api/v1/namespaces/{name}/serviceaccounts/default", lambda _: True)

    # --- start --------------------------------------------------------------------------------------------------

    def _start_api(self, told: Callable[[str], None]) -> None:
        """Start etcd and kube-apiserver. A port that somebody took between our look and its bind: try another."""
        self._access = access = Access(self.directory)
        shutil.rmtree(self.directory / "etcd", ignore_errors=True)
        told("etcd")
        self._start("etcd", components.etcd(self._binaries["etcd"]))
        self.processes["etcd"].wait_ready((self.directory / components.ETCD_SOCKET).exists, timeout=30)
        told("kube-apiserver")
        for attempt in range(1, _ATTEMPTS + 1):
            self._port = free_port()
            binary = self._binaries["kube-apiserver"]
            self._start("kube-apiserver", components.kube_apiserver(binary, access=access, port=self._port))
            try:
                self.processes["kube-apiserver"].wait_ready(self._api_ready, timeout=90)
            except ControlPlaneError as error:
                if attempt == _ATTEMPTS or _IN_USE not in str(error):
                    raise
            else:
                return

    def _start_others(self, told: Callable[[str], None]) -> None:
        access, options = self._started(), self.options
        kubeconfigs = {
            user: access.write_kubeconfig(user, server=self.server, token=access.token(user))
            for user in ("admin", "kube-controller-manager", "kube-scheduler", "kwok", "provisioner")
        }
        if options.controllers:
            told("kube-controller-manager")
            self._start("kube-controller-manager", components.kube_controller_manager(
                self._binaries["kube-controller-manager"], access=access,
                kubeconfig=kubeconfigs["kube-controller-manager"]))  # fmt: skip
        run(self._write_basics())
        if options.scheduler:
            told("kube-scheduler")
            configuration = self.directory / "kube-scheduler.yaml"
            configuration.write_text(components.scheduler_configuration(kubeconfigs["kube-scheduler"]))
            self._start("kube-scheduler", components.kube_scheduler(
                self._binaries["kube-scheduler"], configuration=configuration))  # fmt: skip
        if options.kwok:
            told("kwok")
            configuration = self.directory / "kwok.yaml"
            configuration.write_text(stages.configuration())
            self._start("kwok", components.kwok(
                self._binaries["kwok"], kubeconfig=kubeconfigs["kwok"], configuration=configuration))  # fmt: skip
        if options.provisioner:
            self._start("provisioner", components.provisioner(kubeconfig=kubeconfigs["provisioner"]))
        if options.layout is not None:
            told("nodes")
            run(self.create_nodes(options.layout))
        if options.provisioner:
            run(self._wait_storage())
        self._check_alive()

    async def _write_basics(self) -> None:
        async with self.api() as api:
            for manifest in yaml.safe_load_all((HERE / "cluster.yaml").read_text()):
                await api.create(manifest)
            if self.options.controllers:
                await api.wait("/api/v1/namespaces/default/serviceaccounts/default", lambda _: True, within=60)

    async def _wait_storage(self) -> None:
        """Return when the driver has told how much space each node has: a scheduler refuses pods before that."""
        async with self.api() as api:
            names = [f"local.{node['metadata']['name']}" for node in await api.list("/api/v1/nodes")]
            path = f"/apis/storage.k8s.io/v1/namespaces/{storage.NAMESPACE}/csistoragecapacities"
            await api.wait_each(path, names, lambda _: True, within=30 + len(names) / 100)

    def _check_alive(self) -> None:
        for process in self.processes.values():
            if not process.alive:
                raise ControlPlaneError(f"{process.name} ended right after its start\n{process.tail()}")

    def _start(self, name: str, command: list[str]) -> None:
        path = os.pathsep.join([str(HERE.parent.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        process = Process(
            name,
            [*command, *self.options.arguments.get(name, ())],
            log=self.directory / "logs" / f"{name}.log",
            directory=self.directory,
            environment={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory), "PYTHONPATH": path},
        )
        self.processes[name] = process
        process.start()

    def _api_ready(self) -> bool:
        access = self._started()
        if not self.processes["etcd"].alive:
            raise ControlPlaneError(f"etcd has ended\n{self.processes['etcd'].tail()}")
        try:
            context = ssl.create_default_context(cafile=str(access.certificate))
        except OSError:
            return False  # it has not written its certificate yet
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=5, context=context)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {access.token('admin')}"})
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def _started(self) -> Access:
        if self._access is None:
            raise ControlPlaneError("the control plane has not been started")
        return self._access


def run(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end from synchronous code, also where an event loop runs in this thread."""
    executor = ThreadPoolExecutor(1)
    try:
        return executor.submit(asyncio.run, work).result()
    finally:
        executor.shutdown(wait=False)  # after Ctrl-C nobody waits for it: it ends with the connections


def free_port() -> int:
    """A free port below the range from which the kernel takes those of outgoing connections."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
