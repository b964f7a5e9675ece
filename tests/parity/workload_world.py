"""Services and controllers of a generated state, and which pods say that they are owned by one.

What belongs together is said by names and labels that often miss each other: a Service that chooses nobody, an owner
that is gone, that is of another kind, or whose selector does not match the pods that it owns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.parity.draw import Draw, Object
from tests.parity.words import NAMESPACES, POD_LABELS, requirement

_SETS = ("w0", "w1", "w2")
_SERVICES = ("s0", "s1")
_KINDS = {"ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "ReplicationController": "v1"}
_OTHERS = (("Job", "batch/v1"), ("StatefulSet", "apps.example.com/v1"), ("ReplicaSet", "apps/v1beta2"))


def workloads(draw: Draw, pods: Sequence[Object]) -> list[Object]:
    """Services and controllers in every namespace; makes some of them own pods."""
    found: list[Object] = []
    for namespace in NAMESPACES:
        found += [_service(draw, name, namespace) for name in _SERVICES if draw.chance(0.6)]
        found += [_controller(draw, kind, name, namespace) for kind in _KINDS for name in _SETS if draw.chance(0.5)]
    for pod in pods:
        if draw.chance(0.65):
            _own(draw, pod)
    return found


def alone(draw: Draw, pods: Sequence[Object]) -> None:
    """Takes most pods their own constraints, as those by default are for pods that have none."""
    for pod in pods:
        spec = pod["spec"]
        assert isinstance(spec, dict)
        if draw.chance(0.9):
            spec.pop("topologySpreadConstraints", None)


def _own(draw: Draw, pod: Object) -> None:
    kind, version = draw.one(list(_KINDS.items())) if draw.chance(0.9) else draw.one(_OTHERS)
    owner = {"apiVersion": version, "kind": kind, "name": draw.one(_SETS), "uid": "uid-owner", "controller": True}
    others = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "uid-c"}] if draw.chance(0.2) else []
    if draw.chance(0.05):
        del owner["controller"]
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    metadata["ownerReferences"] = [*others, owner]


def _service(draw: Draw, name: str, namespace: str) -> Object:
    spec: Object = {"clusterIP": "None", "clusterIPs": ["None"]}
    if draw.chance(0.2):
        spec = {"type": "ExternalName", "externalName": "example.com"}
    if draw.chance(0.9):
        spec["selector"] = _labels(draw, 2)
    return _object("v1", "Service", name, namespace, spec)


def _controller(draw: Draw, kind: str, name: str, namespace: str) -> Object:
    labels = {key: draw.one(values) for key, values in POD_LABELS.items()}
    chosen = {key: labels[key] for key in draw.some(list(labels), 1, 2)}
    container = {"name": "c", "image": "app:1", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}
    spec: Object = {"template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}
    if kind == "ReplicationController":
        spec["selector"] = chosen
    else:
        spec["selector"] = _selector(draw, labels, chosen)
    if kind == "StatefulSet":
        spec["serviceName"] = draw.one(_SERVICES)
    return _object(_KINDS[kind], kind, name, namespace, spec)


def _selector(draw: Draw, labels: Mapping[str, str], chosen: Mapping[str, str]) -> Object:
    """A selector that the labels of the template match, as the API server asks for."""
    expressions = [each for each in (requirement(draw, POD_LABELS) for _ in range(2)) if _allows(each, labels)]
    if not expressions or draw.chance(0.6):
        return {"matchLabels": dict(chosen)}
    return {"matchExpressions": expressions} | ({"matchLabels": dict(chosen)} if draw.chance(0.5) else {})


def _allows(wanted: Object, labels: Mapping[str, str]) -> bool:
    have, values = labels.get(str(wanted["key"])), wanted.get("values", [])
    assert isinstance(values, list)
    match wanted["operator"]:
        case "In":
            return have in values
        case "NotIn":
            return have not in values
        case "Exists":
            return have is not None
        case _:
            return have is None


def _labels(draw: Draw, most: int) -> Object:
    return {key: draw.one(POD_LABELS[key]) for key in draw.some(list(POD_LABELS), 1, most)}


def _object(version: str, kind: str, name: str, namespace: str, spec: Object) -> Object:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{kind}-{namespace}-{name}"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
