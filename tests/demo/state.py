"""What the demo shows and checks, made of API objects: hosts, members and their volumes. No I/O.

`watching` reads the objects and calls this; `table`, `picture` and `checks` work on what comes out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from tests.controlplane.api import condition
from tests.controlplane.nodes import Manifest

CLUSTER, NODE_SET = "stowplan.dev/cluster", "stowplan.dev/node-set"
WHY = "stowplan.dev/why"
READY, RUNNING, BOUND, TERMINATING, MISSING = "Ready", "Running", "Bound", "Terminating", "Missing"


@dataclasses.dataclass(frozen=True)
class Host:
    """A node: `usable` where a pod without tolerations may run."""

    name: str
    labels: Mapping[str, str]
    usable: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Volume:
    """A claim of a member; `name` is that of its PersistentVolume, empty before there is one."""

    claim: str
    storage_class: str
    size: str
    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """A member that the StatefulCluster asks for or has, in whatever state.

    Attributes:
        short: its name without that of the cluster: `data-3`.
        node: empty where it has none.
        phase: Missing, Pending, Bound, Running, Ready, Terminating, Succeeded or Failed.
        waits: why it is not Ready, in the words of the API; empty where nobody has said so.
    """

    name: str
    short: str
    node_set: str
    labels: Mapping[str, str]
    node: str
    phase: str
    waits: str
    explained: bool
    volumes: tuple[Volume, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """The two CRs and the members, at one moment."""

    policy: Manifest
    cluster: Manifest
    members: tuple[Member, ...]

    @property
    def placed(self) -> int:
        """How many members have a node."""
        return sum(bool(member.node) for member in self.members)

    @property
    def ready(self) -> int:
        """How many members are Ready."""
        return sum(member.phase == READY for member in self.members)

    @property
    def counted(self) -> bool:
        """Whether the policy's status has all members as bound."""
        pods: Mapping[str, int] = self.policy.get("status", {}).get("pods", {})
        return pods.get("bound") == pods.get("governed") == len(self.members)

    @property
    def settled(self) -> bool:
        """Whether both CRs are Ready in the generation that was applied, and so is every member."""
        return self.ready == len(self.members) and all(map(is_ready, (self.policy, self.cluster))) and self.counted


def is_ready(resource: Manifest) -> bool:
    """Whether the condition Ready is True for the object as it is now."""
    return any(
        each["type"] == "Ready"
        and each["status"] == "True"
        and each.get("observedGeneration") == resource["metadata"]["generation"]
        for each in conditions(resource)
    )


def conditions(resource: Manifest) -> list[Manifest]:
    """The conditions of an object."""
    found: list[Manifest] = resource.get("status", {}).get("conditions", [])
    return found


def hosts(nodes: Iterable[Manifest]) -> tuple[Host, ...]:
    """The nodes, by name."""
    found = []
    for node in nodes:
        spec = node["spec"]
        shut = any(taint["effect"] in ("NoSchedule", "NoExecute") for taint in spec.get("taints", []))
        usable = condition(node, "Ready") == "True" and not spec.get("unschedulable") and not shut
        found.append(Host(node["metadata"]["name"], node["metadata"].get("labels", {}), usable))
    return tuple(sorted(found, key=lambda host: host.name))


def state(*, policy: Manifest, cluster: Manifest, pods: Iterable[Manifest], claims: Iterable[Manifest]) -> State:
    """The members in the order of the node sets: those wanted, whether or not they have a pod, and those that are left.

    Args:
        policy: the SchedulingPolicy.
        cluster: the StatefulCluster.
        pods: of the namespace; those of other owners are left out.
        claims: of the namespace.
    """
    prefix = f"{cluster['metadata']['name']}-"
    mine = {
        pod["metadata"]["name"]: pod
        for pod in pods
        if pod["metadata"].get("labels", {}).get(CLUSTER) == cluster["metadata"]["name"]
    }
    volumes = {claim["metadata"]["name"]: _volume(claim) for claim in claims}
    members = []
    for node_set in cluster["spec"]["nodeSets"]:
        for ordinal in range(node_set.get("replicas", 1)):
            name = f"{prefix}{node_set['name']}-{ordinal}"
            wanted = [f"{claim['metadata']['name']}-{name}" for claim in node_set.get("volumeClaimTemplates", [])]
            found = [volumes[claim] for claim in wanted if claim in volumes]
            members.append(_member(name, prefix, node_set["name"], mine.pop(name, None), found))
    for name, pod in sorted(mine.items()):
        members.append(_member(name, prefix, pod["metadata"]["labels"].get(NODE_SET, ""), pod, []))
    return State(policy=policy, cluster=cluster, members=tuple(members))


def _volume(claim: Manifest) -> Volume:
    spec = claim["spec"]
    return Volume(
        claim=claim["metadata"]["name"],
        storage_class=spec.get("storageClassName", ""),
        size=spec["resources"]["requests"]["storage"],
        name=spec.get("volumeName", ""),
    )


def _member(name: str, prefix: str, node_set: str, pod: Manifest | None, volumes: list[Volume]) -> Member:
    metadata = {} if pod is None else pod["metadata"]
    return Member(
        name=name,
        short=name.removeprefix(prefix),
        node_set=node_set,
        labels=metadata.get("labels", {}),
        node="" if pod is None else pod["spec"].get("nodeName", ""),
        phase=MISSING if pod is None else _phase(pod),
        waits="it has no pod yet" if pod is None else _waits(pod),
        explained=WHY in metadata.get("annotations", {}),
        volumes=tuple(volumes),
    )


def _phase(pod: Manifest) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        return TERMINATING
    phase: str = pod.get("status", {}).get("phase", "Pending")
    if phase == RUNNING and condition(pod, "Ready") == "True":
        return READY
    return BOUND if phase == "Pending" and "nodeName" in pod["spec"] else phase


def _waits(pod: Manifest) -> str:
    """The first condition that is not True and says why; a scheduler's verdict above all."""
    said = [each for each in conditions(pod) if each["status"] != "True" and each.get("message")]
    said.sort(key=lambda each: each["type"] != "PodScheduled")
    return str(said[0]["message"]) if said else ""
