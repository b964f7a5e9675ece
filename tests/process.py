"""`stowplan run` as a process of its own, with the rights and the configuration that the chart gives it.

Used by the end-to-end tests (through the fixtures in `process_fixtures`) and by the demo::

    release = install(plane, namespace="placement")            # the real chart, by the real helm
    with release.replica() as replica:                         # python -m stowplan run --config <the chart's>
        replica.wait_ready()
        ...

The process is the chart's service account and nobody else: a verb that its roles lack fails the test that needs it.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml
from prometheus_client import parser, samples
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import Process

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "charts" / "stowplan"
CHECKED: Final = {"cache checked: all counts are right": True, "cache differs from its pods": False}
"""What the process says after SIGUSR2, and whether that is well."""

Settings = Mapping[str, object]
"""A part of the configuration file, with the names that it has there."""


def python_path(environment: Mapping[str, str] | None) -> str:
    """PYTHONPATH of a process of the product: this checkout, and what the environment adds, such as plugins."""
    return os.pathsep.join([str(ROOT / "operator"), *filter(None, [(environment or {}).get("PYTHONPATH")])])


def install(plane: ControlPlane, *, namespace: str, name: str = "stowplan", values: Settings | None = None) -> Release:
    """Install the chart with helm; the namespace is made where there is none.

    The pods of its Deployment stay pending, as there is nobody to run them: `Release.replica` starts them here.

    Args:
        plane: where to.
        namespace: of the release.
        name: of the release, and so of its service account, its lease and its cluster role.
        values: the chart's values.

    Raises:
        ControlPlaneError: helm has refused.
    """
    plane.helm(
        "install", name, str(CHART), "--namespace", namespace, "--create-namespace", "--values", "-",
        stdin=json.dumps(dict(values or {})),
    )  # fmt: skip
    return Release(plane, name, namespace)


@dataclasses.dataclass(frozen=True)
class Release:
    """An installed chart."""

    plane: ControlPlane
    name: str
    namespace: str

    @functools.cached_property
    def kubeconfig(self) -> Path:
        """What a pod of the release may do, no more."""
        return self.plane.service_account(self.namespace, self.name)

    @functools.cached_property
    def configuration(self) -> dict[str, Any]:
        """The configuration file of the release's ConfigMap."""
        found = json.loads(self.plane.kubectl("get", "configmap", self.name, "-n", self.namespace, "-o", "json"))
        document: dict[str, Any] = yaml.safe_load(found["data"]["config.yaml"])
        return document

    @property
    def lease(self) -> str:
        """API path of the lease that its replicas compete for."""
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{self.name}"

    def replica(
        self, name: str = "stowplan", settings: Settings | None = None, *, server: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Replica:  # fmt: skip
        """A process of the release; not started yet.

        Args:
            name: of the process, for its files; unlike that of another one of the same control plane.
            settings: what to change in the configuration; sections are merged.
            server: URL of the API server, where it is to be reached by another one.
            environment: more variables.
        """
        directory = self.plane.directory
        config = directory / f"{name}.config.yaml"
        config.write_text(yaml.safe_dump(_merged(self.configuration, settings or {})))
        kubeconfig = _moved(self.kubeconfig, server, name) if server else self.kubeconfig
        return Replica(
            name, directory=directory, log=directory / "logs" / f"{name}.log", config=config, kubeconfig=kubeconfig,
            environment=environment,
        )  # fmt: skip

    def uninstall(self) -> None:
        """Take the release away; CRDs stay, as they do with helm."""
        self.plane.helm("uninstall", self.name, "--namespace", self.namespace)


class Replica:
    """One process, from `start` to `stop`; also a context manager. It may be started again after it has ended.

    Args:
        name: for people.
        directory: where it runs.
        log: file of everything that it writes, over all its starts.
        config: the configuration file; it must ask for JSON logs, and only the address of the metrics is another one.
        kubeconfig: whose rights it has.
        environment: more variables, such as what a credential plugin needs.
    """

    def __init__(
        self, name: str, *, directory: Path, log: Path, config: Path, kubeconfig: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.log = log
        self._process = Process(
            name,
            [
                sys.executable, "-m", "stowplan", "run", f"--config={config}", "--metrics-address=127.0.0.1:0",
                f"--kubeconfig={kubeconfig}",
            ],
            log=log,
            directory=directory,
            environment={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(directory),
                **(environment or {}),
                "PYTHONPATH": python_path(environment),
                "PYTHONUNBUFFERED": "1",
            },
        )  # fmt: skip
        self._start = 0  # where the output of this start begins

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop(grace=10)

    # --- life ---------------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.alive

    def start(self) -> None:
        """Start it and return at once."""
        self._start = self.log.stat().st_size if self.log.exists() else 0
        self._process.start()

    def wait_ready(self, *, within: float = 60) -> None:
        """Return when `/readyz` says yes.

        Raises:
            ControlPlaneError: it has ended instead, or too much time has passed; with the end of its log.
        """
        self._process.wait_ready(lambda: self.ask("/readyz")[0] == 200, timeout=within)

    def stop(self, *, within: float = 30) -> int:
        """Ask it to end by SIGTERM and return its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(within=within)

    def kill(self) -> None:
        """Crash it: SIGKILL. Fine where it has ended."""
        self._process.stop(grace=0)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.signal(number)

    def wait(self, *, within: float = 30) -> int:
        """The exit status once it has ended by itself, negative for a signal."""
        return self._process.wait(within)

    # --- what it says -------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[dict[str, Any]]:
        """The records that it has logged since it was started last."""
        if not self.log.exists():
            return
        with self.log.open("rb") as file:
            file.seek(self._start)
            for line in file:
                with contextlib.suppress(json.JSONDecodeError):
                    yield json.loads(line)

    def output(self) -> str:
        """Everything that it has written since it was started last."""
        with self.log.open("rb") as file:
            file.seek(self._start)
            return file.read().decode(errors="replace")

    def said(self, message: str, **facts: object) -> list[dict[str, Any]]:
        """The records with this message and these facts."""
        wanted = {"msg": message, **facts}.items()
        return [record for record in self.lines() if wanted <= record.items()]

    def wait_said(self, message: str, *, within: float = 30, **facts: object) -> dict[str, Any]:
        """The first record with this message and these facts, once it is there."""
        self._process.wait_ready(lambda: bool(self.said(message, **facts)), timeout=within)
        return self.said(message, **facts)[0]

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        return self._process.tail(lines)

    def check(self, *, within: float = 30) -> None:
        """Let it recount its cache from the pods (SIGUSR2).

        Raises:
            AssertionError: something differs; with what.
        """
        before = len(self._checks())
        self.signal(signal.SIGUSR2)
        self._process.wait_ready(lambda: len(self._checks()) > before, timeout=within)
        record = self._checks()[-1]
        assert CHECKED[record["msg"]], record["wrong"]

    def _checks(self) -> list[dict[str, Any]]:
        return [record for record in self.lines() if record.get("msg") in CHECKED]

    # --- what it answers ----------------------------------------------------------------------------------------

    def ask(self, path: str, *, accept: str = "text/plain") -> tuple[int, str]:
        """Status and body of its health and metrics server; status 0 where nobody answers."""
        serving = self.said("serving")
        if not serving:
            return 0, ""
        host, _, port = serving[0]["address"].rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path, headers={"Accept": accept})
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            except (OSError, http.client.HTTPException):
                return 0, ""

    def leads(self) -> bool:
        """Whether it is the leader."""
        status, body = self.ask("/healthz", accept="application/json")
        return status != 0 and bool(json.loads(body)["leader"])

    def wait_leads(self, *, within: float = 60) -> float:
        """Return when it is the leader, with the seconds that took."""
        started = time.monotonic()
        self._process.wait_ready(self.leads, timeout=within)
        return time.monotonic() - started

    def counted(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric with these labels; 0 where nothing was counted yet."""
        return sum(each.value for each in self._samples(name) if labels.items() <= each.labels.items())

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric with these labels.

        Raises:
            ControlPlaneError: there is no such sample.
        """
        values = [each.value for each in self._samples(name) if labels.items() <= each.labels.items()]
        if not values:
            raise ControlPlaneError(f"{self.name} has no metric {name} {labels or ''}")
        return sum(values)

    def values(self, name: str, label: str) -> list[tuple[str, float]]:
        """The samples of a metric as pairs of one of their labels and the value."""
        return [(each.labels[label], each.value) for each in self._samples(name)]

    def _samples(self, name: str) -> list[samples.Sample]:
        families = parser.text_string_to_metric_families(self.ask("/metrics")[1])
        return [sample for family in families for sample in family.samples if sample.name == name]


def _merged(document: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    result = copy.deepcopy(dict(document))
    for key, value in settings.items():
        section = result.get(key)
        result[key] = _merged(section, value) if isinstance(section, dict) and isinstance(value, Mapping) else value
    return result


def _moved(kubeconfig: Path, server: str, name: str) -> Path:
    """The same kubeconfig file with another address of the API server."""
    content = json.loads(kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = server
    path = kubeconfig.with_name(f"{name}.kubeconfig")
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))
    return path
