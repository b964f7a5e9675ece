"""Reads scheduler_perf's workloads from the Kubernetes module that the control plane is built from.

The files are not part of this project: they come with the module (`binaries.module_source`), so that what is run is
what Kubernetes measures itself with, in the version that is compared with.
"""

from __future__ import annotations

import dataclasses
import functools
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import yaml
from tests.bench.perf import ops
from tests.bench.perf.manifests import Template
from tests.controlplane import binaries
from tests.controlplane.errors import ControlPlaneError

FOLDERS = ("topology_spreading", "affinity", "volumes", "misc")
"""Of those under test/integration/scheduler_perf, the ones that are about scheduling rules, preemption and churn. The
others are about dynamic resources, declared features of nodes, and single cluster events."""
_ROOT = Path("test/integration/scheduler_perf")
_FILE = "performance-config.yaml"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """One test case in one size.

    Attributes:
        case: name of the test case.
        size: name of the workload within it.
        ops: what to do, with all counts filled in; the last one is the only one that is measured.
        folder: what the paths of templates are relative to.
        default_pod: path of the template of pods whose step names none; "" for ``manifests.BASE_POD``.
        gates: feature gates that it wants set.
    """

    case: str
    size: str
    ops: tuple[ops.AnyOp, ...]
    folder: Path
    default_pod: str
    gates: Mapping[str, bool]

    @property
    def name(self) -> str:
        """As scheduler_perf names it."""
        return f"{self.case}/{self.size}"

    @property
    def nodes(self) -> int:
        """How many nodes it creates, those that come and go left out."""
        return sum(op.count for op in self.ops if isinstance(op, ops.CreateNodes))

    @property
    def before(self) -> int:
        """How many pods it creates before those that are measured."""
        return sum(op.count for op in self.ops[:-1] if isinstance(op, ops.CreatePods))

    @property
    def measured(self) -> int:
        """How many pods are measured."""
        op = self.ops[-1]
        assert isinstance(op, ops.CreatePods)
        return op.count

    def limited(self, pods: int) -> Workload:
        """The same with so many measured pods at most."""
        op = self.ops[-1]
        assert isinstance(op, ops.CreatePods)
        last = msgspec.structs.replace(op, count=min(op.count, pods))
        return dataclasses.replace(self, ops=(*self.ops[:-1], last))

    def template(self, path: str) -> Template:
        """The template at a path as a step names it.

        Raises:
            ControlPlaneError: it is not there, or has something in it that is not known.
        """
        return Template((self.folder / path).resolve())

    def check(self) -> None:
        """Reads every template once.

        Raises:
            ControlPlaneError: as ``template``.
        """
        for path in filter(None, (self.default_pod, *(path for op in self.ops for path in _paths(op)))):
            self.template(path).render(0, 1)


def _paths(op: ops.AnyOp) -> Iterator[str]:
    if isinstance(op, ops.Churn):
        yield from op.template_paths
    for field in msgspec.structs.fields(op):
        if field.name.endswith("template_path"):
            yield getattr(op, field.name)


def load() -> dict[str, Workload]:
    """All workloads by name.

    Raises:
        ControlPlaneError: the module could not be brought, or has something in it that is not known here.
    """
    root = binaries.module_source("kubernetes", "k8s.io/kubernetes") / _ROOT
    return {each.name: each for folder in FOLDERS for each in read(root / folder / _FILE)}


def read(path: Path) -> Iterator[Workload]:
    """The workloads of one file.

    Raises:
        ControlPlaneError: the file is not there, or has something in it that is not known here.
    """
    try:
        cases = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ControlPlaneError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    for item in cases:
        where = f"{path.parent.name}/{path.name}: {item.get('name')}"
        try:
            case = msgspec.convert(item, ops.Case)
            for size in case.workloads:
                yield Workload(
                    case=case.name,
                    size=size.name,
                    ops=_steps(case, size),
                    folder=path.parent,
                    default_pod=case.default_pod_template_path,
                    gates=case.feature_gates | size.feature_gates,
                )
        except (msgspec.ValidationError, ControlPlaneError) as error:
            raise ControlPlaneError(f"{where}: {error} (tests/bench/perf/ops.py has all that is known)") from error


def _steps(case: ops.Case, size: ops.Size) -> tuple[ops.AnyOp, ...]:
    """The steps with their counts; a step for many namespaces becomes one for each of them."""
    steps: list[ops.AnyOp] = []
    for op in case.workload_template:
        match op:
            case ops.CreatePodSets():
                pods = ops.counted(op.create_pods_op, size.params)
                sets = range(ops.counted(op, size.params).count)
                steps += [msgspec.structs.replace(pods, namespace=f"{op.namespace_prefix}-{i}") for i in sets]
            case ops.Counted():
                steps.append(ops.counted(op, size.params))
            case _:
                steps.append(op)
    measured = [op for op in steps if isinstance(op, ops.CreatePods) and op.collect_metrics]
    if not measured or measured != steps[-1:]:
        raise ControlPlaneError(f"{size.name}: only workloads whose last step alone is measured are known")
    return tuple(steps)


def refusal(gates: Mapping[str, bool]) -> str:
    """Why kube-apiserver or kube-scheduler does not take these feature gates; "" where they do.

    They are asked themselves: which gates can still be set is theirs to say.
    """
    return _refusal(flag(gates)) if gates else ""


@functools.cache
def _refusal(argument: str) -> str:
    programs = binaries.ensure()
    for name in ("kube-apiserver", "kube-scheduler"):
        done = subprocess.run([programs[name], argument, "--version"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return done.stderr.strip().rpartition("err=")[2].strip('"') or f"{name} does not take {argument}"
    return ""


def flag(gates: Mapping[str, bool]) -> str:
    """The command line argument that sets feature gates."""
    return "--feature-gates=" + ",".join(f"{name}={str(value).lower()}" for name, value in sorted(gates.items()))
