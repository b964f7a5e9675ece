"""What a pod asks of a node.

Source of the rules: component-helpers v0.36.3 ``resource/helpers.go`` (``PodRequests``: containers, init and
sidecar containers of KEP-753, overhead, pod-level resources of KEP-2837, in-place resize of KEP-1287 and KEP-5419) and
kubernetes v1.36.3 ``pkg/scheduler/framework/types.go`` (``CalculateResource``).
"""

from __future__ import annotations

from collections.abc import Mapping

from stowplan.model import objects, quantity

Amounts = dict[str, int]
"""Resource to integer amount: milli-CPU for ``cpu``, bytes or whole units for the others."""

DEFAULT_MILLI_CPU = 100
"""What a container without a CPU request counts as in scores. Source: ``pkg/scheduler/util/pod_resources.go``."""
DEFAULT_MEMORY = 200 * 1024 * 1024
"""What a container without a memory request counts as in scores, in bytes."""
_DEFAULTS: Mapping[str, int] = {"cpu": DEFAULT_MILLI_CPU, "memory": 1000 * DEFAULT_MEMORY}
"""The same in thousandths of the API's units, as everything is until it has been added up."""


def amounts(quantities: objects.Quantities) -> Amounts:
    """Quantities as integers. Raises InvalidObject."""
    return {name: quantity.of(name, each) for name, each in quantities.items()}


def _exact(quantities: objects.Quantities) -> Amounts:
    """Quantities in thousandths: kube-scheduler rounds the sum of a pod to whole bytes, not each container."""
    return {name: quantity.thousandths(each) for name, each in quantities.items()}


def _rounded(exact: Mapping[str, int]) -> Amounts:
    return {name: quantity.rounded(name, amount) for name, amount in exact.items()}


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _max(total: Amounts, other: Mapping[str, int]) -> None:
    for name, amount in other.items():
        if amount > total.get(name, -1):
            total[name] = amount


def _pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def _has_pod_level(pod: objects.Pod) -> bool:
    return pod.spec.resources is not None and any(map(_pod_level, pod.spec.resources.requests))


def _resize_infeasible(pod: objects.Pod) -> bool:
    for condition in pod.status.conditions:
        if condition.type == "PodResizePending":
            return condition.reason == "Infeasible"
    return False


def _effective(pod: objects.Pod, asked: Amounts, status: objects.ContainerStatus | objects.PodStatus | None) -> Amounts:
    """The larger of what is asked, allocated and in use, while a resize is under way."""
    if status is None or status.resources is None:
        return asked
    result = _exact(status.resources.requests)
    _max(result, _exact(status.allocated_resources))
    if not _resize_infeasible(pod):
        _max(result, asked)
    return result


def pod_requests(pod: objects.Pod) -> Amounts:
    """The requests of a pod.

    Raises:
        InvalidObject: a quantity cannot be read.
    """
    return _rounded(_pod_requests(pod, {}))


def _pod_requests(pod: objects.Pod, missing: Mapping[str, int]) -> Amounts:
    """In thousandths; ``missing`` stands in where a container asks for none of a resource."""
    statuses = {each.name: each for each in (*pod.status.container_statuses, *pod.status.init_container_statuses)}
    total = _container_requests(pod, missing, statuses)
    if pod.spec.resources is not None:
        asked = _exact(pod.spec.resources.requests)
        effective = _effective(pod, asked, pod.status)
        total.update({name: effective.get(name, 0) for name in asked if _pod_level(name)})
    _add(total, _exact(pod.spec.overhead))
    return total


def _container_requests(
    pod: objects.Pod, missing: Mapping[str, int], statuses: Mapping[str, objects.ContainerStatus]
) -> Amounts:
    """In thousandths."""

    def requests(container: objects.Container, *, live: bool) -> Amounts:
        status = statuses.get(container.name) if live else None
        return {**missing, **_effective(pod, _exact(container.resources.requests), status)}

    total: Amounts = {}
    for container in pod.spec.containers:
        _add(total, requests(container, live=True))
    sidecars: Amounts = {}
    init: Amounts = {}
    for container in pod.spec.init_containers:
        sidecar = container.restart_policy == "Always"
        need = requests(container, live=sidecar)
        if sidecar:
            _add(total, need)
            _add(sidecars, need)
            _max(init, sidecars)
        else:
            _add(need, sidecars)
            _max(init, need)
    _max(total, init)
    return total


def nonzero(pod: objects.Pod, requests: Mapping[str, int]) -> tuple[int, int]:
    """(milli-CPU, bytes of memory) with defaults for containers that ask for none: what a pod on a node counts for.

    Raises:
        InvalidObject: a quantity cannot be read.
    """
    missing = dict(_DEFAULTS)
    if _has_pod_level(pod):
        missing = {name: amount for name, amount in missing.items() if name not in requests}
    full = _rounded(_pod_requests(pod, missing)) if missing else requests
    return full.get("cpu", 0), full.get("memory", 0)


def scored(pod: objects.Pod) -> Amounts:
    """What the pod that is to be placed counts for in the score of NodeResourcesFit.

    With defaults for containers that ask for none, and without the requests of the pod as a whole: kube-scheduler
    does not switch them on for this score (kubernetes v1.36.3 ``plugins/noderesources/fit.go``, ``getScorer``).

    Raises:
        InvalidObject: a quantity cannot be read.
    """
    total = _container_requests(pod, _DEFAULTS, {})
    _add(total, _exact(pod.spec.overhead))
    return _rounded(total)


def is_extended(resource: str) -> bool:
    """Whether it is a resource of somebody's own, such as ``example.com/gpu``.

    Source: kubernetes v1.36.3 ``pkg/apis/core/v1/helper/helpers.go`` (``IsExtendedResourceName``).
    """
    return "/" in resource and "kubernetes.io/" not in resource and not resource.startswith("requests.")


def is_scalar(resource: str) -> bool:
    """Whether nodes offer it in whole units beside CPU, memory, ephemeral storage and pods; others are not looked at.

    Source: kubernetes v1.36.3 ``pkg/scheduler/util/utils.go`` (``IsScalarResourceName``).
    """
    return (
        is_extended(resource)
        or resource.startswith(("hugepages-", "attachable-volumes-"))
        or "kubernetes.io/" in resource
    )
