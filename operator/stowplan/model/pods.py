"""PodInfo and PodClass: a pod as the scheduler sees it.

Pods with the same scheduling-relevant spec share one interned :class:`PodClass`, parsed once. Everything that
plugins compute from the class alone (a mask over the nodes, which selectors match) is computed once per class, and
thousands of members of a service cost as much memory as their names.

Volumes are not part of the class (each member has its own claims); they stay on the :class:`PodInfo`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping

import msgspec

from stowplan.api import common
from stowplan.model import objects, requests, selectors

Ask = tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]

_BIND = frozenset({common.ANNOTATION_WHY, common.ANNOTATION_FENCE})
_NONE: Mapping[str, str] = {}
FINISHED = frozenset({"Succeeded", "Failed"})
NOBODY = ("", "", "")


@dataclasses.dataclass(frozen=True, slots=True)
class AffinityTerm:
    """A required pod (anti-)affinity term with its namespaces resolved.

    ``namespaces`` are names; ``namespace_selector`` adds namespaces by their labels (nothing, if none was given).
    ``matchLabelKeys`` and ``mismatchLabelKeys`` (KEP-3633) are part of ``selector`` already.
    """

    topology_key: str
    selector: selectors.Selector
    namespaces: frozenset[str]
    namespace_selector: selectors.Selector


@dataclasses.dataclass(frozen=True, slots=True)
class WeightedTerm:
    """A preferred pod (anti-)affinity term; ``weight`` is 1 to 100."""

    weight: int
    term: AffinityTerm


@dataclasses.dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """A topology spread constraint; ``matchLabelKeys`` (KEP-3243) are part of ``selector`` already."""

    topology_key: str
    max_skew: int
    required: bool
    selector: selectors.Selector
    min_domains: int
    honor_affinity: bool
    honor_taints: bool


@dataclasses.dataclass(frozen=True, slots=True)
class HostPort:
    """A port on the node itself."""

    ip: str
    protocol: str
    port: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PodClass:
    """What all pods of one spec have in common. Compared by identity: equal specs are interned to one object.

    Attributes:
        scheduler: their ``schedulerName``: which profile places them.
        terminating: the pods are being deleted; they keep their resources but are not counted for spread.
        requests: resource to amount (milli-CPU, bytes, units), without the pod itself.
        nonzero: (milli-CPU, bytes) for scores, once the pod is on a node, see ``model.requests.nonzero``.
        scored: what the pod counts for in scores while it looks for a node, see ``model.requests.scored``.
        ask: ``requests`` and ``scored`` as one hashable value, for what depends on nothing else of the class: members
            of a StatefulCluster have labels, and so classes, of their own and ask for the same.
        node_selector: ``spec.nodeSelector`` as requirements on labels.
        node_affinity: required node affinity, or ``None``.
        preferred_nodes: (weight, term) of the preferred node affinity.
        images: of its init containers and containers, as written; ``volume_images`` of its image volumes.
        policy: value of the annotation that picks a policy by name, or "".
        cluster: name of the StatefulCluster that the pods are members of, or "".
        resource_claims: whether the pods ask for dynamic resources.
        features: what a node must have declared to be able to do to run them, see ``_features``.
    """

    namespace: str
    scheduler: str
    labels: Mapping[str, str]
    terminating: bool
    requests: Mapping[str, int]
    nonzero: tuple[int, int]
    scored: Mapping[str, int]
    ask: Ask
    node_selector: frozenset[selectors.Requirement]
    node_affinity: selectors.NodeSelector | None
    preferred_nodes: tuple[tuple[int, selectors.NodeTerm], ...]
    tolerations: tuple[objects.Toleration, ...]
    spread: tuple[SpreadConstraint, ...]
    affinity: tuple[AffinityTerm, ...]
    anti_affinity: tuple[AffinityTerm, ...]
    preferred_affinity: tuple[WeightedTerm, ...]
    preferred_anti_affinity: tuple[WeightedTerm, ...]
    ports: tuple[HostPort, ...]
    images: tuple[str, ...]
    volume_images: tuple[str, ...]
    policy: str
    cluster: str
    resource_claims: bool
    features: frozenset[str]


class PodInfo:
    """One pod. Everything but ``node_name`` and ``nominated`` stays as it was built.

    Attributes:
        key: ``namespace/name``.
        cls: the class it shares with its like.
        node_name: where it is bound or assumed, or "".
        annotations: without those that were written with the bind.
        created: RFC 3339 time, sorts as text.
        generation: of its spec, as last seen.
        claims: names of its PersistentVolumeClaims, those of ephemeral volumes too, each once.
        ephemeral: those of ``claims`` that must be owned by the pod.
        owner: apiVersion, kind and name of the controller that owns it, or ``NOBODY``.
        volumes: its volumes, where a plugin needs more than the claims.
        preempted: whether it is being deleted because a scheduler made room for another pod.
        scheduled_message: message of a PodScheduled condition that is False, or "".
    """

    __slots__ = (
        "annotations", "claims", "cls", "created", "ephemeral", "finished", "gates", "generation", "key", "name",
        "namespace", "node_name", "nominated", "owner", "preempted", "preemption_policy", "priority",
        "resource_version", "scheduled_message", "scheduler_name", "start_time", "uid", "volumes",
    )  # fmt: skip

    def __init__(self, raw: objects.Pod, cls: PodClass) -> None:
        meta, spec, status = raw.metadata, raw.spec, raw.status
        self.uid = meta.uid or raw.key
        self.key = raw.key
        self.namespace = sys.intern(meta.namespace)
        self.name = meta.name
        self.resource_version = meta.resource_version
        self.generation = meta.generation
        self.cls = cls
        self.node_name = sys.intern(spec.node_name)
        self.scheduler_name = sys.intern(spec.scheduler_name)
        self.priority = spec.priority
        self.preemption_policy = spec.preemption_policy
        self.created = meta.creation_timestamp
        self.start_time = status.start_time
        self.finished = status.phase in FINISHED
        self.nominated = status.nominated_node_name
        self.preempted = cls.terminating and any(
            each.type == "DisruptionTarget" and each.status == "True" and each.reason == "PreemptionByScheduler"
            for each in status.conditions
        )
        self.annotations = _of_others(meta.annotations)
        self.gates = tuple(gate.name for gate in spec.scheduling_gates)
        self.owner = next((_owner(each) for each in meta.owner_references if each.controller), NOBODY)
        self.scheduled_message = next(
            (each.message for each in status.conditions if each.type == "PodScheduled" and each.status == "False"), ""
        )
        self.claims: tuple[str, ...] = ()
        self.ephemeral: frozenset[str] = frozenset()
        self.volumes: tuple[objects.Volume, ...] = ()
        if spec.volumes:
            self._take_volumes(meta.name, spec.volumes)

    def _take_volumes(self, name: str, volumes: list[objects.Volume]) -> None:
        claims: dict[str, None] = {}
        ephemeral: set[str] = set()
        for volume in volumes:
            if volume.persistent_volume_claim is not None:
                claims[volume.persistent_volume_claim.claim_name] = None
            elif volume.ephemeral is not None:
                claim = f"{name}-{volume.name}"
                claims[claim] = None
                ephemeral.add(claim)
        self.claims = tuple(claims)
        self.ephemeral = frozenset(ephemeral)
        self.volumes = tuple(each for each in volumes if _is_disk(each))

    @property
    def terminating(self) -> bool:
        """Whether it is being deleted."""
        return self.cls.terminating

    def __repr__(self) -> str:
        return f"PodInfo({self.key}, node={self.node_name!r})"


def _of_others(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """The annotations that are not written with a bind: nobody reads those here, and every running pod has them."""
    if not annotations:
        return _NONE
    return {key: value for key, value in annotations.items() if key not in _BIND} or _NONE


def _is_disk(volume: objects.Volume) -> bool:
    return any((volume.gce_persistent_disk, volume.aws_elastic_block_store, volume.iscsi, volume.rbd, volume.csi))


def _with_label_keys(
    selector: selectors.Selector, labels: Mapping[str, str], match: list[str], mismatch: list[str]
) -> selectors.Selector:
    """Adds ``matchLabelKeys`` and ``mismatchLabelKeys``: the pod's own values of these labels, where it has them."""
    wanted = [selectors.equals(key, labels[key]) for key in match if key in labels]
    unwanted = [selectors.Requirement(key, "NotIn", frozenset((labels[key],))) for key in mismatch if key in labels]
    return selector.also(*wanted, *unwanted)


def _term(raw: objects.PodAffinityTerm, namespace: str, labels: Mapping[str, str]) -> AffinityTerm:
    # pkg/scheduler/framework/types.go newAffinityTerm, getNamespacesFromPodAffinityTerm
    names = frozenset(raw.namespaces)
    if not names and raw.namespace_selector is None:
        names = frozenset((namespace,))
    selector = selectors.compile_selector(raw.label_selector)
    return AffinityTerm(
        topology_key=raw.topology_key,
        selector=_with_label_keys(selector, labels, raw.match_label_keys, raw.mismatch_label_keys),
        namespaces=names,
        namespace_selector=selectors.compile_selector(raw.namespace_selector),
    )


def _spread(raw: objects.TopologySpreadConstraint, labels: Mapping[str, str]) -> SpreadConstraint:
    selector = selectors.compile_selector(raw.label_selector)
    return SpreadConstraint(
        topology_key=raw.topology_key,
        max_skew=raw.max_skew,
        required=raw.when_unsatisfiable == "DoNotSchedule",
        selector=_with_label_keys(selector, labels, raw.match_label_keys, []),
        min_domains=raw.min_domains or 1,
        honor_affinity=raw.node_affinity_policy != "Ignore",
        honor_taints=raw.node_taints_policy == "Honor",
    )


class Interner:
    """Makes PodInfos and keeps the classes that they share."""

    def __init__(self) -> None:
        self._classes: dict[bytes, PodClass] = {}
        self._encode = msgspec.msgpack.Encoder().encode

    def pod(self, raw: objects.Pod) -> PodInfo:
        """The pod with its interned class.

        Raises:
            InvalidObject: a quantity or a selector cannot be understood.
        """
        key = self._key(raw)
        cls = self._classes.get(key)
        if cls is None:
            cls = self._classes[key] = build_class(raw)
        return PodInfo(raw, cls)

    def keep(self, used: set[PodClass]) -> None:
        """Forgets every class that is not in use."""
        self._classes = {key: cls for key, cls in self._classes.items() if cls in used}

    def _key(self, raw: objects.Pod) -> bytes:
        meta, spec = raw.metadata, raw.spec
        live = _resizing(raw)
        return self._encode(
            (
                meta.namespace,
                spec.scheduler_name,
                meta.labels,
                meta.annotations.get(common.ANNOTATION_POLICY, ""),
                meta.deletion_timestamp is not None,
                [(each.name, each.image, each.ports, each.resources) for each in spec.containers],
                [
                    (each.name, each.image, each.ports, each.resources, each.restart_policy)
                    for each in spec.init_containers
                ],
                spec.overhead,
                spec.resources,
                spec.node_selector,
                spec.affinity,
                spec.tolerations,
                spec.topology_spread_constraints,
                bool(spec.resource_claims),
                _features(spec),
                _volume_images(spec),
                live,
                [each.reason for each in raw.status.conditions if each.type == "PodResizePending"] if live else None,
            )
        )


def _volume_images(spec: objects.PodSpec) -> tuple[str, ...]:
    return tuple(each.image.reference for each in spec.volumes if each.image is not None)


def _features(spec: objects.PodSpec) -> list[str]:
    """The features that a node must declare, by what the pod uses.

    Source: component-helpers v0.36.3 ``nodedeclaredfeatures/features`` (``InferForScheduling``). What is switched off
    in the API server no pod can use.
    """
    found = []
    if any(
        rule.action == "RestartAllContainers"
        for container in (*spec.containers, *spec.init_containers)
        for rule in container.restart_policy_rules
    ):
        found.append("RestartAllContainersOnContainerExits")
    if spec.host_network and spec.host_users is False:
        found.append("UserNamespacesHostNetworkSupport")
    return found


def _owner(raw: objects.OwnerReference) -> tuple[str, str, str]:
    return sys.intern(raw.api_version), sys.intern(raw.kind), sys.intern(raw.name)


def _resizing(raw: objects.Pod) -> list[tuple[str, objects.Quantities, objects.Quantities]]:
    """What the status says beside the spec about what the pod uses; nothing unless a resize is under way.

    Every running container reports its resources. Leaving out what says the same as the spec keeps the running
    pods in the class of the pending ones.
    """
    spec, status = raw.spec, raw.status
    asked = {each.name: each.resources.requests for each in (*spec.containers, *spec.init_containers)}
    reports: list[tuple[str, objects.ContainerStatus | objects.PodStatus]] = [
        (each.name, each) for each in (*status.container_statuses, *status.init_container_statuses)
    ]
    if spec.resources is not None:
        asked[""] = spec.resources.requests
        reports.append(("", status))
    return [
        (name, each.resources.requests, each.allocated_resources)
        for name, each in reports
        if each.resources is not None
        and not (each.resources.requests == asked.get(name) and each.allocated_resources in ({}, asked.get(name)))
    ]


def build_class(raw: objects.Pod) -> PodClass:
    """Parses the scheduling-relevant part of a pod. Raises InvalidObject."""
    meta, spec = raw.metadata, raw.spec
    affinity = spec.affinity or objects.Affinity()
    node = affinity.node_affinity or objects.NodeAffinity()
    attract = affinity.pod_affinity or objects.PodAffinity()
    repel = affinity.pod_anti_affinity or objects.PodAffinity()

    def required(terms: objects.PodAffinity) -> tuple[AffinityTerm, ...]:
        raws = terms.required_during_scheduling_ignored_during_execution
        return tuple(_term(each, meta.namespace, meta.labels) for each in raws)

    def preferred(terms: objects.PodAffinity) -> tuple[WeightedTerm, ...]:
        raws = terms.preferred_during_scheduling_ignored_during_execution
        return tuple(WeightedTerm(e.weight, _term(e.pod_affinity_term, meta.namespace, meta.labels)) for e in raws)

    required_nodes = node.required_during_scheduling_ignored_during_execution
    total = requests.pod_requests(raw)
    scored = requests.scored(raw)
    return PodClass(
        namespace=meta.namespace,
        scheduler=spec.scheduler_name,
        labels=meta.labels,
        terminating=meta.deletion_timestamp is not None,
        requests=total,
        nonzero=requests.nonzero(raw, total),
        scored=scored,
        ask=(tuple(sorted(total.items())), tuple(sorted(scored.items()))),
        node_selector=frozenset(selectors.equals(key, value) for key, value in spec.node_selector.items()),
        node_affinity=selectors.compile_node_selector(required_nodes) if required_nodes else None,
        preferred_nodes=tuple(
            (each.weight, selectors.compile_node_term(each.preference))
            for each in node.preferred_during_scheduling_ignored_during_execution
        ),
        tolerations=tuple(spec.tolerations),
        spread=tuple(_spread(each, meta.labels) for each in spec.topology_spread_constraints),
        affinity=required(attract),
        anti_affinity=required(repel),
        preferred_affinity=preferred(attract),
        preferred_anti_affinity=preferred(repel),
        ports=tuple(
            HostPort(port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)  # noqa: S104 - the API's default
            for container in (*spec.containers, *(c for c in spec.init_containers if c.restart_policy == "Always"))
            for port in container.ports
            if port.host_port > 0
        ),
        images=tuple(container.image for container in (*spec.init_containers, *spec.containers)),
        volume_images=_volume_images(spec),
        policy=meta.annotations.get(common.ANNOTATION_POLICY, ""),
        cluster=meta.labels.get(common.LABEL_CLUSTER, ""),
        resource_claims=bool(spec.resource_claims),
        features=frozenset(_features(spec)),
    )
