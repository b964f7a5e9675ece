"""Generated pods, but for their volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.parity.draw import Draw, Object
from tests.parity.node_world import IMAGES
from tests.parity.words import (
    EXTENDED,
    HUGE,
    NAMESPACES,
    NODE_LABELS,
    POD_LABELS,
    TOPOLOGY,
    requirement,
    selector,
)

_CPU = ("100m", "250m", "1", "1500m", "0.1", "1m", "0")
_MEMORY = ("64Mi", "128974848", "512Mi", "1Gi", "1G", "0", "100500m")


def pod(draw: Draw, name: str, node_names: Sequence[str], features: frozenset[str]) -> Object:
    """A pod without a node and without volumes."""
    labels = {key: draw.one(values) for key, values in POD_LABELS.items() if draw.chance(0.75)}
    namespace = draw.one(("default", "default", "default", "blue", "green"))
    spec: Object = {"schedulerName": "stowplan", "priority": draw.one((0, 0, 0, 100)), **_containers(draw, features)}
    if draw.chance(0.35 if "nodeaffinity" in features else 0.04):
        spec["nodeSelector"] = _node_selector(draw)
    if draw.chance(0.5 if "taints" in features else 0.08):
        spec["tolerations"] = [_toleration(draw) for _ in range(draw.number(1, 3))]
    if draw.chance(0.75 if "spread" in features else 0.05):
        spec["topologySpreadConstraints"] = _spreads(draw, labels)
    affinity: Object = {}
    if draw.chance(0.55 if "nodeaffinity" in features else 0.05):
        affinity["nodeAffinity"] = _node_affinity(draw, node_names)
    if draw.chance(0.5 if "podaffinity" in features else 0.04):
        affinity["podAffinity"] = _pod_affinity(draw, labels, namespace)
    if draw.chance(0.5 if "podaffinity" in features else 0.04):
        affinity["podAntiAffinity"] = _pod_affinity(draw, labels, namespace)
    if affinity:
        spec["affinity"] = affinity
    if "images" in features and draw.chance(0.15):
        spec["volumes"] = [{"name": "image", "image": {"reference": draw.one(IMAGES)}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}", "labels": labels},
        "spec": spec,
        "status": {"phase": "Pending"},
    }


def bound(draw: Draw, raw: Object, node_names: Sequence[str], features: frozenset[str]) -> Object:
    """The pod on a node: running, finished or being deleted."""
    spec, metadata = raw["spec"], raw["metadata"]
    assert isinstance(spec, dict)
    assert isinstance(metadata, dict)
    gone = draw.chance(0.02)
    often = 0.2 if "lifecycle" in features else 0.05
    spec["nodeName"] = "no-such-node" if gone else draw.one(node_names)
    phase = draw.one(("Succeeded", "Failed")) if draw.chance(often) else draw.one(("Running", "Running", "Pending"))
    resizing = phase == "Running" and draw.chance(0.25 if "lifecycle" in features else 0.03)
    raw["status"] = {"phase": phase, **(_resizing(draw, spec) if resizing else {})}
    if draw.chance(often):
        metadata["deletionTimestamp"] = "2026-01-02T00:00:00Z"
        metadata["deletionGracePeriodSeconds"] = 30
    return raw


def _resizing(draw: Draw, spec: Object) -> Object:
    """A status that says what the pod and its containers have, while they are to have what the spec says."""
    found: Object = {"containerStatuses": _statuses(draw, spec["containers"])}
    if "initContainers" in spec:
        found["initContainerStatuses"] = _statuses(draw, spec["initContainers"])
    if "resources" in spec and draw.chance(0.7):
        found |= _given(draw)
    if draw.chance(0.5):
        reason = draw.one(("Infeasible", "Deferred"))
        found["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": reason}]
    return found


def _statuses(draw: Draw, containers: object) -> list[Object]:
    assert isinstance(containers, list)
    return [
        {"name": each["name"], "ready": True, "image": each["image"], "imageID": "", "restartCount": 0, **_given(draw)}
        for each in containers
    ]


def _given(draw: Draw) -> Object:
    requests = {"cpu": draw.one(_CPU), "memory": draw.one(_MEMORY)}
    found: Object = {}
    if draw.chance(0.8):
        found["resources"] = {"requests": requests}
    if draw.chance(0.7):
        found["allocatedResources"] = requests if draw.chance(0.7) else {"cpu": draw.one(_CPU)}
    return found


# ---------------------------------------------------------------- containers


def _containers(draw: Draw, features: frozenset[str]) -> Object:
    rich = "resources" in features
    usual = draw.number(1, 3 if rich else 2)
    ports = "ports" in features or draw.chance(0.05)
    found: Object = {"containers": [_container(draw, f"c{n}", features, ports=ports) for n in range(usual)]}
    if ports:
        _without_clashes(found["containers"])
        if draw.chance(0.05):
            _use_the_node_s_network(found)
    if draw.chance(0.4 if rich else 0.1):
        inits = []
        for number in range(draw.number(1, 3)):
            init = _container(draw, f"i{number}", features, ports=False)
            if draw.chance(0.5):
                init["restartPolicy"] = "Always"
                if ports and draw.chance(0.3):
                    init["ports"] = [{"containerPort": 9, "hostPort": 9000 + number}]
            inits.append(init)
        found["initContainers"] = inits
    if draw.chance(0.25 if rich else 0.02):
        found["overhead"] = {"cpu": "50m", "memory": draw.one(("16Mi", "300Mi"))}
        found["runtimeClassName"] = "sandboxed"
    if draw.chance(0.1 if rich else 0.02):
        found["resources"] = {"requests": _pod_level(draw, alone="initContainers" not in found)}
    return found


def _container(draw: Draw, name: str, features: frozenset[str], *, ports: bool) -> Object:
    found: Object = {"name": name, "image": draw.one(IMAGES)}
    amounts: Object = {}
    if draw.chance(0.7):
        amounts["cpu"] = draw.one(_CPU)
    if draw.chance(0.7):
        amounts["memory"] = draw.one(_MEMORY)
    whole: Object = {}
    if "resources" in features:
        if draw.chance(0.1):
            amounts["ephemeral-storage"] = draw.one(("100Mi", "2Gi"))
        if draw.chance(0.1):
            whole[draw.one(EXTENDED)] = str(draw.number(0, 3))
        if draw.chance(0.06) and ("cpu" in amounts or "memory" in amounts):
            whole[draw.one(HUGE)] = draw.one(("1Gi", "2Gi"))
    resources: Object = {}
    if amounts or whole:
        kind = "limits" if draw.chance(0.15) else "requests"  # the API server takes requests from limits
        resources[kind] = {**amounts, **whole}
        if whole:
            resources["limits"] = {**amounts, **whole} if kind == "limits" else whole
    if resources:
        found["resources"] = resources
    if ports:
        found["ports"] = [_port(draw) for _ in range(draw.number(0, 2))]
    return found


def _use_the_node_s_network(found: Object) -> None:
    """Then every port is one of the node's."""
    containers = found["containers"]
    assert isinstance(containers, list)
    found["hostNetwork"] = True
    for number, each in enumerate(containers):
        each["ports"] = [{"containerPort": 80 + number}]


def _pod_level(draw: Draw, *, alone: bool) -> Object:
    """Requests of the whole pod: never less than its containers may ask for together."""
    found: Object = {}
    if draw.chance(0.8):
        found["cpu"] = draw.one(("4500m", "5")) if alone else "9"
    if draw.chance(0.8):
        found["memory"] = draw.one(("3Gi", "5G")) if alone else "6Gi"
    return found or {"cpu": "10"}


def _port(draw: Draw) -> Object:
    found: Object = {"containerPort": draw.one((80, 8080))}
    if draw.chance(0.8):
        found["hostPort"] = draw.one((80, 81, 8080))
        if draw.chance(0.4):
            found["hostIP"] = draw.one(("127.0.0.1", "10.0.0.1", "0.0.0.0", "::", "::1"))
    if draw.chance(0.3):
        found["protocol"] = draw.one(("UDP", "TCP", "SCTP"))
    return found


def _without_clashes(containers: object) -> None:
    """No host port twice in a pod: the API server would not take it."""
    assert isinstance(containers, list)
    seen = set()
    for each in containers:
        kept = []
        for port in each["ports"]:
            known = (port.get("hostPort"), port.get("protocol", "TCP"), port.get("hostIP", ""))
            if port.get("hostPort") is None or known not in seen:
                seen.add(known)
                kept.append(port)
        each["ports"] = kept


# ---------------------------------------------------------------- where to


def _node_selector(draw: Draw) -> Object:
    return {key: draw.one(NODE_LABELS[key]) for key in draw.some(list(NODE_LABELS), 1, 2)}


def _toleration(draw: Draw) -> Object:
    if draw.chance(0.1):
        return {"operator": "Exists", **({"effect": "NoSchedule"} if draw.chance(0.5) else {})}
    found: Object = {"key": draw.one(("dedicated", "gpu", "slow", "level", "node.kubernetes.io/unschedulable"))}
    if draw.chance(0.4):
        found["operator"] = "Exists"
    elif found["key"] in ("dedicated", "slow"):
        found |= {"operator": "Equal", "value": draw.one(("db", "web", "yes"))}
    else:
        found["value"] = draw.one(("", "5"))
    if draw.chance(0.6):
        found["effect"] = draw.one(("NoSchedule", "PreferNoSchedule", "NoExecute"))
        if found["effect"] == "NoExecute" and draw.chance(0.5):
            found["tolerationSeconds"] = 300
    return found


def _node_affinity(draw: Draw, node_names: Sequence[str]) -> Object:
    found: Object = {}
    if draw.chance(0.7):
        terms = [_node_term(draw, node_names) for _ in range(draw.number(1, 2))]
        found["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    if draw.chance(0.6) or not found:
        found["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": draw.number(1, 100), "preference": _node_term(draw, node_names)}
            for _ in range(draw.number(1, 3))
        ]
    return found


def _node_term(draw: Draw, node_names: Sequence[str]) -> Object:
    term: Object = {}
    if draw.chance(0.92):
        count = draw.number(1, 2)
        term["matchExpressions"] = [requirement(draw, NODE_LABELS, numbers=True) for _ in range(count)]
    if draw.chance(0.25):
        term["matchFields"] = [
            {
                "key": "metadata.name",
                "operator": draw.one(("In", "In", "NotIn")),
                "values": [draw.one([*node_names, "no-such-node"])],
            }
            for _ in range(draw.number(1, 2))
        ]
    return term


# ---------------------------------------------------------------- other pods


def _spreads(draw: Draw, labels: Mapping[str, str]) -> list[Object]:
    found: dict[tuple[str, str], Object] = {}
    for _ in range(draw.number(1, 3)):
        key, action = draw.one(TOPOLOGY), draw.one(("DoNotSchedule", "ScheduleAnyway"))
        each: Object = {"topologyKey": key, "maxSkew": draw.number(1, 3), "whenUnsatisfiable": action}
        chosen = selector(draw, POD_LABELS, labels)
        if chosen is not None:
            each["labelSelector"] = chosen
            keys = [name for name in (*POD_LABELS, "pod-template-hash") if name not in _keys_of(chosen)]
            if keys and draw.chance(0.2):
                each["matchLabelKeys"] = draw.some(keys, 1, 2)
        if action == "DoNotSchedule" and draw.chance(0.25):
            each["minDomains"] = draw.number(1, 5)
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if draw.chance(0.4):
                each[policy] = draw.one(("Honor", "Ignore"))
        found[key, action] = each
    return list(found.values())


def _keys_of(chosen: Object) -> set[str]:
    labels, expressions = chosen.get("matchLabels", {}), chosen.get("matchExpressions", [])
    assert isinstance(labels, dict)
    assert isinstance(expressions, list)
    return {*labels, *(each["key"] for each in expressions)}


def _pod_affinity(draw: Draw, labels: Mapping[str, str], namespace: str) -> Object:
    found: Object = {}
    if draw.chance(0.6):
        found["requiredDuringSchedulingIgnoredDuringExecution"] = [
            _term(draw, labels, namespace) for _ in range(draw.one((1, 1, 2)))
        ]
    if draw.chance(0.5) or not found:
        found["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": draw.number(1, 100), "podAffinityTerm": _term(draw, labels, namespace)}
            for _ in range(draw.one((1, 1, 2, 3)))
        ]
    return found


def _term(draw: Draw, labels: Mapping[str, str], namespace: str) -> Object:
    term: Object = {"topologyKey": draw.one(TOPOLOGY)}
    chosen = selector(draw, POD_LABELS, labels)
    if chosen is not None:
        term["labelSelector"] = chosen
        keys = draw.shuffled([name for name in (*POD_LABELS, "pod-template-hash") if name not in _keys_of(chosen)])
        if keys and draw.chance(0.15):
            term["matchLabelKeys"] = [keys.pop()]
        if keys and draw.chance(0.12):
            term["mismatchLabelKeys"] = [keys.pop()]
    if draw.chance(0.25):
        term["namespaces"] = draw.some([*NAMESPACES, "no-such-namespace", namespace], 1, 2)
    if draw.chance(0.25):
        term["namespaceSelector"] = draw.one(
            (
                {},
                {"matchLabels": {"team": "a"}},
                {"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]},
                {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]},
                {"matchLabels": {"kubernetes.io/metadata.name": draw.one(list(NAMESPACES))}},
            )
        )
    return term
