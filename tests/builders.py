"""Short ways to write nodes, pods and storage objects in tests.

``node`` and ``raw_pod`` give API objects, ``pod`` what the scheduler makes of one, ``snapshot`` a cluster of them::

    nodes = snapshot(
        [node("n1", zone="a", cpu="4"), node("n2", zone="b", taints=["dedicated=db:NoSchedule"])],
        [pod("p", on="n1", cpu="500m", labels={"app": "db"}, anti_affinity=[term(HOST, selector({"app": "db"}))])],
    )

Everything is a keyword argument with the API's default; what a test does not say does not matter to it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ParamSpec

from stowplan.framework.snapshot import Snapshot
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.model.pods import Interner, PodInfo

P = ParamSpec("P")

HOST = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
RACK = "example.com/rack"
POWER = "example.com/power-domain"

INTERNER = Interner()
"""Shared, so that equal specs share a class in all tests, as they do in the scheduler."""

Expression = tuple[str, str, Sequence[str]] | tuple[str, str]
"""(key, operator, values) or (key, operator)."""


# ---------------------------------------------------------------- selectors, taints


def requirement(expression: Expression) -> objects.LabelSelectorRequirement:
    """``("disk", "In", ["ssd"])`` or ``("disk", "Exists")``."""
    key, operator, *values = expression
    return objects.LabelSelectorRequirement(key, operator, list(values[0]) if values else [])


def selector(labels: Mapping[str, str] | None = None, *expressions: Expression) -> objects.LabelSelector:
    """``selector({"app": "db"}, ("tier", "NotIn", ["web"]))``."""
    return objects.LabelSelector(dict(labels or {}), [requirement(each) for each in expressions])


def node_term(*expressions: Expression, names: Sequence[Expression] = ()) -> objects.NodeSelectorTerm:
    """One term of a node selector; ``names`` are its matchFields, e.g. ``[("metadata.name", "In", ["n1"])]``."""
    return objects.NodeSelectorTerm([requirement(each) for each in expressions], [requirement(each) for each in names])


def taint(text: str) -> objects.Taint:
    """``key=value:Effect`` or ``key:Effect``, as kubectl writes it."""
    left, effect = text.rsplit(":", 1)
    key, _, value = left.partition("=")
    return objects.Taint(key, value, effect)


def toleration(key: str = "", operator: str = "Equal", value: str = "", effect: str = "") -> objects.Toleration:
    """A toleration in the order in which one says it: ``toleration("dedicated", "Equal", "db", "NoSchedule")``."""
    return objects.Toleration(key=key, operator=operator, value=value, effect=effect)


# ---------------------------------------------------------------- nodes


def node(
    name: str,
    *,
    zone: str | None = None,
    power: str | None = None,
    rack: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    cpu: str | float = "32",
    memory: str | float = "256Gi",
    pods: int = 110,
    allocatable: Mapping[str, str | int | float] | None = None,
    taints: Iterable[str] = (),
    unschedulable: bool = False,
    images: Mapping[str, int] | None = None,
    features: Iterable[str] = (),
) -> objects.Node:
    """A node that has its hostname label and, where given, a zone, power domain and rack.

    Args:
        allocatable: more resources, or others than ``cpu``, ``memory`` and ``pods`` say.
        taints: as ``taint`` reads them.
        images: image name to bytes.
        features: what its kubelet declares.
    """
    domains = {ZONE: zone, POWER: power, RACK: rack}
    return objects.Node(
        metadata=objects.ObjectMeta(
            name=name,
            uid=f"uid-{name}",
            labels={HOST: name} | {key: value for key, value in domains.items() if value} | dict(labels or {}),
            annotations=dict(annotations or {}),
        ),
        spec=objects.NodeSpec(unschedulable=unschedulable, taints=[taint(each) for each in taints]),
        status=objects.NodeStatus(
            allocatable={"cpu": cpu, "memory": memory, "pods": pods, **(allocatable or {})},
            images=[objects.ContainerImage([image], size) for image, size in (images or {}).items()],
            declared_features=list(features),
        ),
    )


# ---------------------------------------------------------------- parts of pods


def container(
    name: str = "main",
    *,
    image: str = "app:1",
    ports: Iterable[objects.ContainerPort] = (),
    restart: str | None = None,
    restart_rules: Iterable[str] = (),
    cpu: str | float | None = None,
    memory: str | float | None = None,
    requests: Mapping[str, str | int | float] | None = None,
) -> objects.Container:
    """A container; ``requests`` beside ``cpu`` and ``memory``, e.g. ``{"example.com/gpu": 1}``."""
    asked = dict(requests or {}) | {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v is not None}
    return objects.Container(
        name=name,
        image=image,
        ports=list(ports),
        restart_policy=restart,
        restart_policy_rules=[objects.ContainerRestartRule(action) for action in restart_rules],
        resources=objects.ResourceRequirements(requests=asked),
    )


def port(number: int, protocol: str = "TCP", ip: str = "") -> objects.ContainerPort:
    """A port on the host."""
    return objects.ContainerPort(container_port=number, host_port=number, host_ip=ip, protocol=protocol)


def term(
    key: str,
    select: objects.LabelSelector | None,
    *,
    namespaces: Iterable[str] = (),
    namespace_selector: objects.LabelSelector | None = None,
    match_label_keys: Iterable[str] = (),
    mismatch_label_keys: Iterable[str] = (),
) -> objects.PodAffinityTerm:
    """A pod affinity or anti-affinity term."""
    return objects.PodAffinityTerm(
        topology_key=key,
        label_selector=select,
        namespaces=list(namespaces),
        namespace_selector=namespace_selector,
        match_label_keys=list(match_label_keys),
        mismatch_label_keys=list(mismatch_label_keys),
    )


def spread(
    key: str,
    select: objects.LabelSelector | None,
    *,
    skew: int = 1,
    required: bool = True,
    min_domains: int | None = None,
    node_affinity: str | None = None,
    node_taints: str | None = None,
    match_label_keys: Iterable[str] = (),
) -> objects.TopologySpreadConstraint:
    """A topology spread constraint; ``node_affinity`` and ``node_taints`` are Honor or Ignore."""
    return objects.TopologySpreadConstraint(
        topology_key=key,
        max_skew=skew,
        when_unsatisfiable="DoNotSchedule" if required else "ScheduleAnyway",
        label_selector=select,
        min_domains=min_domains,
        node_affinity_policy=node_affinity,
        node_taints_policy=node_taints,
        match_label_keys=list(match_label_keys),
    )


def claim_volume(claim: str, *, read_only: bool = False) -> objects.Volume:
    """A volume of a pod that is a PersistentVolumeClaim."""
    source = objects.PersistentVolumeClaimVolumeSource(claim, read_only)
    return objects.Volume(name=claim, persistent_volume_claim=source)


def _weighted(
    terms: Iterable[tuple[int, objects.PodAffinityTerm]],
) -> list[objects.WeightedPodAffinityTerm]:
    return [objects.WeightedPodAffinityTerm(weight, each) for weight, each in terms]


# ---------------------------------------------------------------- pods


def raw_pod(
    name: str,
    *,
    namespace: str = "default",
    on: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    cpu: str | float | None = None,
    memory: str | float | None = None,
    requests: Mapping[str, str | int | float] | None = None,
    containers: Iterable[objects.Container] | None = None,
    init_containers: Iterable[objects.Container] = (),
    overhead: Mapping[str, str | int | float] | None = None,
    pod_resources: Mapping[str, str | int | float] | None = None,
    ports: Iterable[objects.ContainerPort] = (),
    image: str = "app:1",
    node_selector: Mapping[str, str] | None = None,
    node_affinity: Sequence[objects.NodeSelectorTerm] | None = None,
    preferred_nodes: Sequence[tuple[int, objects.NodeSelectorTerm]] = (),
    tolerations: Iterable[objects.Toleration] = (),
    affinity: Iterable[objects.PodAffinityTerm] = (),
    anti_affinity: Iterable[objects.PodAffinityTerm] = (),
    preferred_affinity: Iterable[tuple[int, objects.PodAffinityTerm]] = (),
    preferred_anti_affinity: Iterable[tuple[int, objects.PodAffinityTerm]] = (),
    spreads: Iterable[objects.TopologySpreadConstraint] = (),
    volumes: Iterable[objects.Volume] = (),
    claims: Iterable[str] = (),
    gates: Iterable[str] = (),
    resource_claims: Iterable[str] = (),
    host_network: bool = False,
    host_users: bool | None = None,
    priority: int = 0,
    preemption_policy: str | None = None,
    scheduler_name: str = "stowplan",
    nominated: str = "",
    phase: str = "Pending",
    terminating: bool = False,
    preempted: bool = False,
    started: str = "",
    created: str = "2026-01-01T00:00:00Z",
    owner: tuple[str, str, str] | None = None,
    uid: str = "",
) -> objects.Pod:
    """A pod as the API shows it, with one container unless ``containers`` says otherwise.

    Args:
        on: the node that it is bound to.
        requests: of the one container, beside ``cpu`` and ``memory``.
        pod_resources: requests of the pod as a whole (``spec.resources``).
        node_affinity: terms of the required node affinity; ``[]`` is an affinity without terms.
        claims: names of PersistentVolumeClaims, beside ``volumes``.
        preempted: it has the condition that says so, and is terminating.
        owner: apiVersion, kind and name of the controller.
        uid: ``uid-<namespace>/<name>`` unless given.
    """
    if containers is None:
        containers = [container(image=image, ports=ports, cpu=cpu, memory=memory, requests=requests)]
    nodes = objects.NodeAffinity(
        objects.NodeSelector(list(node_affinity)) if node_affinity is not None else None,
        [objects.PreferredSchedulingTerm(weight, each) for weight, each in preferred_nodes],
    )
    return objects.Pod(
        metadata=objects.ObjectMeta(
            name=name,
            namespace=namespace,
            uid=uid or f"uid-{namespace}/{name}",
            labels=dict(labels or {}),
            annotations=dict(annotations or {}),
            creation_timestamp=created,
            deletion_timestamp="2026-01-02T00:00:00Z" if terminating or preempted else None,
            owner_references=[objects.OwnerReference(*owner, controller=True)] if owner else [],
        ),
        spec=objects.PodSpec(
            node_name=on,
            scheduler_name=scheduler_name,
            priority=priority,
            preemption_policy=preemption_policy,
            containers=list(containers),
            init_containers=list(init_containers),
            overhead=dict(overhead or {}),
            resources=objects.ResourceRequirements(requests=dict(pod_resources)) if pod_resources else None,
            node_selector=dict(node_selector or {}),
            affinity=objects.Affinity(
                nodes,
                objects.PodAffinity(list(affinity), _weighted(preferred_affinity)),
                objects.PodAffinity(list(anti_affinity), _weighted(preferred_anti_affinity)),
            ),
            tolerations=list(tolerations),
            topology_spread_constraints=list(spreads),
            volumes=[*volumes, *map(claim_volume, claims)],
            scheduling_gates=[objects.PodSchedulingGate(each) for each in gates],
            resource_claims=[objects.PodResourceClaim(each) for each in resource_claims],
            host_network=host_network,
            host_users=host_users,
        ),
        status=objects.PodStatus(
            phase=phase,
            nominated_node_name=nominated,
            start_time=started,
            conditions=[objects.PodCondition("DisruptionTarget", "True", "PreemptionByScheduler")] if preempted else [],
        ),
    )


def budget(
    name: str, select: objects.LabelSelector | None, *, allowed: int, namespace: str = "default",
    disrupted: Iterable[str] = (),
) -> objects.PodDisruptionBudget:  # fmt: skip
    """A PodDisruptionBudget that allows so many disruptions; the pods ``disrupted`` are among those allowed before."""
    return objects.PodDisruptionBudget(
        metadata=objects.ObjectMeta(name=name, namespace=namespace),
        spec=objects.PodDisruptionBudgetSpec(selector=select),
        status=objects.PodDisruptionBudgetStatus(
            disruptions_allowed=allowed, disrupted_pods=dict.fromkeys(disrupted, "2026-01-01T00:00:00Z")
        ),
    )


def info(raw: objects.Pod) -> PodInfo:
    """What the scheduler makes of a pod."""
    return INTERNER.pod(raw)


def _scheduled(build: Callable[P, objects.Pod]) -> Callable[P, PodInfo]:
    @functools.wraps(build)
    def built(*args: P.args, **kwargs: P.kwargs) -> PodInfo:
        return info(build(*args, **kwargs))

    return built


pod = _scheduled(raw_pod)
"""``raw_pod`` as a PodInfo."""


def snapshot(
    nodes: Iterable[objects.Node],
    pods: Iterable[PodInfo] = (),
    *,
    namespaces: Mapping[str, Mapping[str, str]] | None = None,
    storage: Iterable[StorageObject] = (),
) -> Snapshot:
    """A cluster of these nodes and of those pods that are on a node.

    Args:
        namespaces: labels by name; those that the pods are in exist anyway, with the label the API server gives.
        storage: claims, volumes, classes, CSI objects.
    """
    cluster = Snapshot()
    pods = list(pods)
    for name in ["default", *(each.namespace for each in pods)]:
        cluster.put_namespace(name, {"kubernetes.io/metadata.name": name})
    for name, labels in (namespaces or {}).items():
        cluster.put_namespace(name, {"kubernetes.io/metadata.name": name, **labels})
    for each in nodes:
        cluster.put_node(each)
    for item in storage:
        cluster.volumes.put(item)
    for pod_info in pods:
        cluster.add_pod(pod_info)
    return cluster


# ---------------------------------------------------------------- storage


def claim(
    name: str,
    *,
    namespace: str = "default",
    storage_class: str | None = "fast",
    size: str = "1Gi",
    modes: Iterable[str] = ("ReadWriteOnce",),
    volume: str = "",
    phase: str | None = None,
    select: objects.LabelSelector | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: tuple[str, str, str] | None = None,
) -> objects.PersistentVolumeClaim:
    """A PersistentVolumeClaim; with a ``volume`` it is bound, completely unless ``annotations`` are given.

    Args:
        owner: kind, name and uid of the controller, for claims of ephemeral volumes.
    """
    if annotations is None:
        annotations = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    owners = [objects.OwnerReference(kind=owner[0], name=owner[1], uid=owner[2], controller=True)] if owner else []
    return objects.PersistentVolumeClaim(
        metadata=objects.ObjectMeta(
            name=name,
            namespace=namespace,
            uid=f"uid-{namespace}/{name}",
            annotations=dict(annotations),
            owner_references=owners,
        ),
        spec=objects.PersistentVolumeClaimSpec(
            access_modes=list(modes),
            storage_class_name=storage_class,
            volume_name=volume,
            selector=select,
            resources=objects.VolumeResources({"storage": size}),
        ),
        status=objects.PersistentVolumeClaimStatus(phase=phase or ("Bound" if volume else "Pending")),
    )


def volume(
    name: str,
    *,
    storage_class: str = "fast",
    size: str = "1Gi",
    modes: Iterable[str] = ("ReadWriteOnce",),
    labels: Mapping[str, str] | None = None,
    claimed_by: str = "",
    node_affinity: Sequence[objects.NodeSelectorTerm] | None = None,
    driver: str = "",
    handle: str = "",
    phase: str = "Available",
) -> objects.PersistentVolume:
    """A PersistentVolume; ``claimed_by`` is the ``namespace/name`` of a claim, ``driver`` its CSI driver."""
    namespace, _, claim_name = claimed_by.partition("/")
    reference = objects.ObjectReference("PersistentVolumeClaim", namespace, claim_name, f"uid-{claimed_by}")
    required = objects.NodeSelector(list(node_affinity)) if node_affinity is not None else None
    return objects.PersistentVolume(
        metadata=objects.ObjectMeta(name=name, uid=f"uid-{name}", labels=dict(labels or {})),
        spec=objects.PersistentVolumeSpec(
            capacity={"storage": size},
            access_modes=list(modes),
            storage_class_name=storage_class,
            claim_ref=reference if claimed_by else None,
            node_affinity=objects.VolumeNodeAffinity(required) if required else None,
            csi=objects.CSIPersistentVolumeSource(driver, handle or name) if driver else None,
        ),
        status=objects.PersistentVolumeStatus(phase="Bound" if claimed_by else phase),
    )


def storage_class(
    name: str = "fast",
    *,
    provisioner: str = "csi.example.com",
    wait: bool = True,
    topologies: Sequence[Mapping[str, Sequence[str]]] = (),
) -> objects.StorageClass:
    """A StorageClass; ``wait`` for the first consumer, ``topologies`` are its allowedTopologies."""
    return objects.StorageClass(
        metadata=objects.ObjectMeta(name=name),
        provisioner=provisioner,
        volume_binding_mode="WaitForFirstConsumer" if wait else "Immediate",
        allowed_topologies=[
            objects.TopologySelectorTerm(
                [objects.TopologySelectorLabelRequirement(key, list(values)) for key, values in each.items()]
            )
            for each in topologies
        ],
    )


def csi_node(name: str, limits: Mapping[str, int | None]) -> objects.CSINode:
    """The CSINode of a node: driver to the number of volumes it may attach (``None``: no limit)."""
    return objects.CSINode(
        metadata=objects.ObjectMeta(name=name),
        spec=objects.CSINodeSpec(
            [
                objects.CSINodeDriver(driver, node_id=name, allocatable=objects.VolumeNodeResources(limit))
                for driver, limit in limits.items()
            ]
        ),
    )


def csi_driver(name: str = "csi.example.com", *, storage_capacity: bool = True) -> objects.CSIDriver:
    """A CSIDriver."""
    return objects.CSIDriver(
        metadata=objects.ObjectMeta(name=name), spec=objects.CSIDriverSpec(storage_capacity=storage_capacity)
    )


def capacity(
    name: str,
    *,
    storage_class: str = "fast",
    topology: objects.LabelSelector | None,
    free: str | None,
    largest: str | None = None,
) -> objects.CSIStorageCapacity:
    """A CSIStorageCapacity: ``free`` space, and the ``largest`` volume, on nodes with these labels."""
    return objects.CSIStorageCapacity(
        metadata=objects.ObjectMeta(name=name, namespace="kube-system"),
        storage_class_name=storage_class,
        node_topology=topology,
        capacity=free,
        maximum_volume_size=largest,
    )
