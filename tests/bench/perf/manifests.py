"""Makes API objects of scheduler_perf's templates.

A template is YAML for Go's text/template. Of its language only ``{{.Index}}`` and ``{{.Count}}`` are known; anything
else is refused when the template is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from tests.bench.perf import ops
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.nodes import HOSTNAME, Manifest

_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FREE = frozenset({"labels", "annotations", "matchLabels", "nodeSelector", "capacity", "requests", "limits"})
"""Maps whose keys are the user's own words."""
_CLUSTER = frozenset({"Node", "Namespace", "PersistentVolume"})
_NAMESPACED = frozenset({"Pod", "Service", "PersistentVolumeClaim"})
_RESOURCES = {"cpu": "100m", "memory": "500Mi"}

BASE_POD: Manifest = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "pod-"},
    "spec": {"containers": [{"name": "pause", "image": "registry.k8s.io/pause:3.10.2", "ports": [{"containerPort": 80}],
                             "resources": {"limits": _RESOURCES, "requests": _RESOURCES}}]},
}  # fmt: skip
"""A pod without a template: ``MakePodSpec`` of test/utils/runners.go."""

BASE_NODE: Manifest = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"generateName": "node-"},
    "status": {
        "capacity": {"pods": "110", "cpu": "4", "memory": "32Gi"},
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}
"""A node without a template: ``makeBaseNode`` of test/integration/scheduler_perf/util.go."""


class Template:
    """One template file; what it makes is shared by its callers and must not be changed.

    Raises:
        ControlPlaneError: there is no such file, or it has an action that is not known.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._text = path.read_text()
        except OSError as error:
            raise ControlPlaneError(f"{path} cannot be read: {error.strerror}") from error
        self._path = path
        actions = {action.strip() for action in _ACTION.findall(self._text)}
        if unknown := actions - {".Index", ".Count"}:
            raise ControlPlaneError(
                f"{path}: {{{{{min(unknown)}}}}} is not known, only {{{{.Index}}}} and {{{{.Count}}}}"
            )
        self._fixed = None if actions else self._parse(self._text)

    def render(self, index: int, count: int) -> Manifest:
        """The object number ``index`` of ``count``."""
        if self._fixed is not None:
            return self._fixed
        values = {".Index": str(index), ".Count": str(count)}
        return self._parse(_ACTION.sub(lambda found: values[found[1].strip()], self._text))

    def _parse(self, text: str) -> Manifest:
        try:
            parsed = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ControlPlaneError(f"{self._path} is no YAML: {' '.join(str(error).split())}") from error
        if not isinstance(parsed, dict):
            raise ControlPlaneError(f"{self._path} is not one object")
        manifest: Manifest = {key: _as_go(value) for key, value in parsed.items()}
        return {**manifest, "metadata": manifest.get("metadata", {})}


def _as_go(value: object) -> object:
    """Field names as the API spells them: Go, which reads the templates upstream, does not look at their case."""
    if isinstance(value, list):
        return [_as_go(each) for each in value]
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: each if key in _FREE else _as_go(each) for key, each in value.items()}
    return value


def placed(manifest: Manifest, namespace: str, scheduler: str) -> Manifest:
    """An object in its namespace, a pod with its scheduler.

    Raises:
        ControlPlaneError: objects of this kind may or may not have a namespace; here nobody knows.
    """
    kind = manifest["kind"]
    if kind in _CLUSTER:
        return manifest
    if kind not in _NAMESPACED:
        raise ControlPlaneError(f"objects of kind {kind} are not known (tests/bench/perf/manifests.py)")
    manifest = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
    if kind == "Pod":
        manifest["spec"] = {**manifest["spec"], "schedulerName": scheduler}
    return manifest


def with_claim(pod: Manifest, claim: str) -> Manifest:
    """The pod with a claim for its only volume."""
    volume = {"name": "vol", "persistentVolumeClaim": {"claimName": claim}}
    return {**pod, "spec": {**pod["spec"], "volumes": [volume]}}


def volume(claim: Manifest, template: Manifest, namespace: str, index: int) -> tuple[Manifest, Manifest]:
    """A claim and its volume, bound to each other (``CreatePodWithPersistentVolume`` of test/utils/runners.go)."""
    name, volume_name = f"pvc-{index}", f"{namespace}-vol-{index}"
    spec = dict(template["spec"])
    for source, field in (("csi", "volumeHandle"), ("awsElasticBlockStore", "volumeID")):
        if source in spec:
            spec[source] = {**spec[source], field: volume_name}
    spec["claimRef"] = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name}
    return (
        {
            **claim,
            "metadata": {**claim["metadata"], "name": name, "namespace": namespace},
            "spec": {**claim["spec"], "volumeName": volume_name},
            "status": {"phase": "Bound"},
        },
        {
            **template,
            "metadata": {**template["metadata"], "name": volume_name},
            "spec": spec,
            "status": {"phase": "Bound"},
        },
    )


def nodes(op: ops.CreateNodes, template: Template | None, first: int) -> Iterator[tuple[Manifest, Manifest | None]]:
    """The nodes of a step, each with its CSINode where it has one.

    What upstream patches into a node that is there already (labels, allocatable) is in it from the start.

    Args:
        op: the step.
        template: of the nodes; None for ``BASE_NODE``.
        first: number of the first of them among all nodes of the workload.
    """
    for index in range(op.count):
        base = template.render(index, op.count) if template else BASE_NODE
        metadata, status = base["metadata"], base["status"]
        name = metadata.get("name") or f"{metadata['generateName']}{first + index:05d}"
        labels = {**metadata.get("labels", {}), HOSTNAME: name}
        csi_node = None
        if strategy := op.label_node_prepare_strategy:
            labels[strategy.label_key] = strategy.label_values[index % len(strategy.label_values)]
        if extra := op.node_allocatable_strategy:
            status = {**status, "allocatable": {**status["capacity"], **extra.node_allocatable}}
            csi_node = _csi_node(name, extra)
        yield {**base, "metadata": {**metadata, "name": name, "labels": labels}, "status": status}, csi_node


def _csi_node(node: str, extra: ops.NodeAllocatable) -> Manifest:
    migrated = {"storage.alpha.kubernetes.io/migrated-plugins": ",".join(extra.migrated_plugins)}
    drivers = [
        {"name": driver, "nodeID": node, "allocatable": {"count": limit.count}}
        for driver, limit in extra.csi_node_allocatable.items()
    ]
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {"name": node, "annotations": migrated},
        "spec": {"drivers": drivers},
    }
