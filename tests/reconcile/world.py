"""A cluster in memory: it takes the actions of ``decide`` as an API server would, and lives on by itself.

Every write is checked against what must never happen, whoever asked for it: two pods of one name, a claim deleted
against the retention policy, a majority given up.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec
from pydantic import JsonValue

from stowplan.api.cluster import StatefulCluster, StatefulClusterStatus
from stowplan.api.common import LABEL_NODE_SET, LABEL_REVISION
from stowplan.api.policy import SchedulingPolicySpec
from stowplan.model import objects
from stowplan.reconcile import specs
from stowplan.reconcile.actions import Action, AskToDrain, CheckTemplate, Create, Delete, Evict, Patch
from stowplan.reconcile.classify import Group, fleet, majority
from stowplan.reconcile.decide import decide
from stowplan.reconcile.observed import (
    Budget,
    Claim,
    NodeView,
    Observed,
    Pod,
    Revision,
    Service,
    TimedCondition,
    condition,
)
from stowplan.reconcile.plan import Plan
from stowplan.reconcile.status import status

ZONE, RACK, HOST = "topology.kubernetes.io/zone", "example.com/rack", "kubernetes.io/hostname"
BAD_IMAGE = "bad"

_DOMAINS: tuple[tuple[str, str], ...] = (("zone", ZONE), ("rack", RACK), ("host", HOST))
POLICY = SchedulingPolicySpec.model_validate(
    {"failureDomains": [{"name": name, "topologyKey": key} for name, key in _DOMAINS]}
)


class Refused(Exception):  # noqa: N818
    """The API server said no."""


def node(name: str, zone: str, rack: str) -> NodeView:
    return NodeView(name=name, labels={ZONE: zone, RACK: rack, HOST: name})


def nodes(zones: int = 3, racks: int = 2, hosts: int = 2) -> dict[str, NodeView]:
    letters = "abcdef"[:zones]
    every = itertools.product(letters, range(racks), range(hosts))
    return {f"{z}{r}{h}": node(f"{z}{r}{h}", z, f"{z}-{r}") for z, r, h in every}


def node_set(
    name: str = "data", replicas: int | None = 3, *, image: str = "v1", claims: int = 0, **more: JsonValue
) -> dict[str, JsonValue]:
    templates: list[JsonValue] = [
        {"metadata": {"name": f"vol{index}"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
        for index in range(claims)
    ]
    made: dict[str, JsonValue] = {
        "name": name,
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "main", "image": image}]}},
        "volumeClaimTemplates": templates,
        **more,
    }
    if replicas is not None:
        made["replicas"] = replicas
    return made


class World:
    """The state, and what has been done to it."""

    def __init__(self, *sets: dict[str, JsonValue], **spec: JsonValue) -> None:
        self.spec: dict[str, JsonValue] = {"nodeSets": list(sets), **spec}
        self.generation = 1
        self.uid = "cluster-1"
        self.status = StatefulClusterStatus()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.policy: SchedulingPolicySpec | None = POLICY
        self.service: Service | None = None
        self.pods: dict[str, Pod] = {}
        self.claims: dict[str, Claim] = {}
        self.budgets: dict[str, Budget] = {}
        self.revisions: dict[str, Revision] = {}
        self.nodes = nodes()
        self.stranded: set[str] = set()
        self.misplaced: set[str] = set()
        self.templates: dict[str, str] = {}
        self.refused_images: set[str] = set()
        self.uses: dict[str, list[str]] = {}
        self.drained: set[str] = set()
        self.drains = False
        self.offline = False
        self.full = False
        self.asked: list[str] = []
        self.writes = 0
        self._uids = itertools.count(1)
        self._parsed = StatefulCluster.model_validate({"metadata": {"name": "db"}, "spec": self.spec})

    # --- reading ------------------------------------------------------------------------------------------------

    @property
    def cluster(self) -> StatefulCluster:
        if self._parsed.metadata.generation != self.generation:
            metadata = {"name": "db", "namespace": "ns", "uid": self.uid, "generation": self.generation}
            self._parsed = StatefulCluster.model_validate({"metadata": metadata, "spec": self.spec})
        return self._parsed.model_copy(update={"status": self.status})

    def set(self, **spec: JsonValue) -> None:
        self.spec = {**self.spec, **spec}
        self.generation += 1

    def observe(self) -> Observed:
        used = {pod.spec.node_name for pod in self.pods.values()}
        return Observed(
            cluster=self.cluster,
            service=self.service,
            pods=tuple(copy.deepcopy(list(self.pods.values()))),
            claims=tuple(copy.deepcopy(list(self.claims.values()))),
            budgets=tuple(copy.deepcopy(list(self.budgets.values()))),
            revisions=tuple(copy.deepcopy(list(self.revisions.values()))),
            nodes={name: view for name, view in self.nodes.items() if name in used},
            policy=self.policy,
            domains={key: self.domains(key) for key in (ZONE, RACK, HOST)},
            misplaced=frozenset(pod.metadata.uid for name, pod in self.pods.items() if name in self.misplaced),
            stranded=frozenset(self.stranded),
            templates=dict(self.templates),
        )  # fmt: skip

    def domains(self, key: str) -> frozenset[str]:
        return frozenset(view.labels[key] for view in self.nodes.values() if key in view.labels)

    def groups(self) -> dict[str, Group]:
        return {group.name: group for group in fleet(self.observe())}

    def plan(self) -> Plan:
        observed = self.observe()
        return decide(observed, fleet(observed), self.now)

    # --- reconciling --------------------------------------------------------------------------------------------

    def reconcile(self, *, crash_after: int | None = None) -> bool:
        """Decide and do until there is nothing to do; False when it was killed on the way."""
        done = 0
        for _ in range(200):
            plan = self.plan()
            progress = False
            for action in plan.actions:
                if crash_after is not None and done >= crash_after:
                    return False
                try:
                    self.apply(action)
                except Refused:
                    continue
                done += 1
                progress = True
            if not progress:
                self.write_status()
                return True
        raise AssertionError(f"no fixed point: {self.plan()}")

    def write_status(self) -> None:
        observed = self.observe()
        groups = fleet(observed)
        new = status(observed, groups, decide(observed, groups, self.now), (), self.now)
        if new != self.status:
            self.status = new
            self.writes += 1

    def run(self, rounds: int = 60) -> None:
        """Reconcile while everything that is asked for comes to pass, until nothing changes any more."""
        for _ in range(rounds):
            before = self.writes
            self.reconcile()
            if not self.live() and self.writes == before:
                return
            self.now += timedelta(seconds=20)
        raise AssertionError(f"it does not come to rest: {self.plan()}")

    # --- the API server -----------------------------------------------------------------------------------------

    def apply(self, action: Action) -> None:
        match action:
            case Create():
                self._create(action)
            case CheckTemplate():
                self.templates[action.revision] = "no such field" if self._refuses(action.manifest) else ""
            case Patch():
                self._patch(action)
            case AskToDrain():
                self.asked.append(action.url)
                if action.name not in self.drained and not self.drains:
                    raise Refused
                assert self.pods[action.name].metadata.uid == action.uid
                self.pods[action.name].metadata.annotations |= action.done
            case Delete(kind="Pod") | Evict():
                self._remove_pod(action)
            case Delete(kind="PersistentVolumeClaim"):
                self._remove_claim(action)
            case Delete(kind="ControllerRevision"):
                assert self.revisions.pop(action.name).metadata.uid == action.uid
            case Delete(kind="PodDisruptionBudget"):
                assert self.budgets.pop(action.name).metadata.uid == action.uid
            case _:
                raise AssertionError(action)
        self.writes += 1

    def _uid(self) -> str:
        return f"uid-{next(self._uids)}"

    def _stamp(self, obj: objects.KubeObject) -> None:
        obj.metadata.uid = self._uid()
        obj.metadata.creation_timestamp = self.now.isoformat()

    def _refuses(self, manifest: specs.Manifest) -> bool:
        image = msgspec.convert(manifest, objects.Pod).spec.containers[0].image
        return image in self.refused_images

    def _create(self, action: Create) -> None:
        match action.kind:
            case "Pod":
                assert action.name not in self.pods, f"two pods of one identity: {action.name}"
                assert self.policy is not None or "schedulingPolicyRef" not in self.spec
                if self._refuses(action.manifest):
                    raise Refused
                pod = msgspec.convert(action.manifest, Pod)
                claims = [
                    each.persistent_volume_claim for each in msgspec.convert(action.manifest, objects.Pod).spec.volumes
                ]
                assert all(each is None or each.claim_name in self.claims for each in claims), "a pod before its claims"
                self._stamp(pod)
                self.pods[action.name] = pod
                self.uses[action.name] = [each.claim_name for each in claims if each is not None]
            case "PersistentVolumeClaim":
                assert action.name not in self.claims
                claim = msgspec.convert(action.manifest, Claim)
                self._stamp(claim)
                self.claims[action.name] = claim
            case "PodDisruptionBudget":
                assert action.name not in self.budgets
                budget = msgspec.convert(action.manifest, Budget)
                self._stamp(budget)
                self.budgets[action.name] = budget
            case "ControllerRevision":
                assert action.name not in self.revisions
                revision = msgspec.convert(action.manifest, Revision)
                self._stamp(revision)
                self.revisions[action.name] = revision
            case "Service":
                assert self.service is None
                self.service = msgspec.convert(action.manifest, Service)
                self._stamp(self.service)

    def _patch(self, action: Patch) -> None:
        shelves: dict[str, Mapping[str, objects.KubeObject]] = {
            "Pod": self.pods, "PersistentVolumeClaim": self.claims, "PodDisruptionBudget": self.budgets,
            "ControllerRevision": self.revisions,
        }  # fmt: skip
        obj = self.service if action.kind == "Service" else shelves[action.kind][action.name]
        assert obj is not None
        assert obj.metadata.uid == action.uid
        metadata = action.body.get("metadata")
        if isinstance(metadata, dict):
            annotations = metadata.get("annotations")
            if isinstance(annotations, dict):
                for key, value in annotations.items():
                    if value is None:
                        obj.metadata.annotations.pop(key, None)
                    else:
                        obj.metadata.annotations[key] = str(value)
            references = metadata.get("ownerReferences")
            if isinstance(references, list):
                for each in references:
                    assert isinstance(each, dict)
                    obj.metadata.owner_references = [
                        ref for ref in obj.metadata.owner_references if ref.uid != each["uid"]
                    ]
                    if "$patch" not in each:
                        obj.metadata.owner_references.append(msgspec.convert(each, objects.OwnerReference))
        spec = action.body.get("spec")
        if isinstance(spec, dict) and isinstance(obj, Budget):
            obj.spec = msgspec.convert(spec, type(obj.spec))
        if isinstance(spec, dict) and isinstance(obj, Service):
            selector = spec["selector"]
            assert isinstance(selector, dict)
            kept = {key: value for key, value in selector.items() if value is not None}
            obj.spec = msgspec.convert({**spec, "selector": kept}, type(obj.spec))
        if isinstance(spec, dict) and isinstance(obj, Claim):
            changed = msgspec.convert(spec, objects.PersistentVolumeClaimSpec)
            obj.spec.resources = changed.resources

    def _remove_pod(self, action: Delete | Evict) -> None:
        pod = self.pods[action.name]
        assert pod.metadata.uid == action.uid
        if isinstance(action, Evict) and not self._may_evict(pod):
            raise Refused
        self._check_quorum(action)
        if isinstance(action, Delete) and action.force:
            assert self._off(pod), "forced where it may still run"
            self._gone(action.name)
        elif not pod.spec.node_name or pod.status.phase in {"Failed", "Succeeded"}:
            self._gone(action.name)
        else:
            pod.metadata.deletion_timestamp = self.now.isoformat()

    def _check_quorum(self, action: Delete | Evict) -> None:
        group = self.groups()[self.pods[action.name].metadata.labels[LABEL_NODE_SET]]
        member = next(each for each in group.every if each.name == action.name)
        if not group.quorum or not member.ready:
            return
        size = group.size if isinstance(action, Evict) else len(group.members) - 1
        assert group.ready - 1 >= majority(size), f"our own doing breaks the quorum: {action}"

    def _off(self, pod: Pod) -> bool:
        view = self.nodes.get(pod.spec.node_name)
        return view is None or (view.out_of_service and not view.ready)

    def _may_evict(self, pod: Pod) -> bool:
        name = specs.budget_name("db", pod.metadata.labels[LABEL_NODE_SET])
        budget = self.budgets.get(name)
        if budget is None or not ready(pod):
            return True
        healthy = sum(
            ready(each) and each.metadata.deletion_timestamp is None
            for each in self.pods.values()
            if each.metadata.labels[LABEL_NODE_SET] == pod.metadata.labels[LABEL_NODE_SET]
        )
        assert isinstance(budget.spec.min_available, int)
        return healthy - 1 >= budget.spec.min_available

    def _remove_claim(self, action: Delete) -> None:
        claim = self.claims[action.name]
        assert claim.metadata.uid == action.uid
        policy = self.cluster.spec.persistent_volume_claim_retention_policy
        scaled = (
            policy.when_scaled == "Delete" and claim.metadata.annotations.get(specs.ANNOTATION_RELEASED) == "Delete"
        )
        given_up = action.name in self.stranded and self.cluster.spec.node_failure.volumes == "ReplaceIfNodeGone"
        assert scaled or given_up, f"a claim deleted against the retention policy: {action}"
        self.stranded.discard(action.name)
        del self.claims[action.name]

    def _gone(self, name: str) -> None:
        del self.pods[name]

    # --- life ---------------------------------------------------------------------------------------------------

    def live(self) -> bool:
        """Whatever can happen by itself happens; False when nothing could."""
        changed = self.collect()
        for name in list(self.pods):
            changed = self.step(name) or changed
        for name in list(self.claims):
            changed = self.bind_claim(name) or changed
        return changed

    def step(self, name: str) -> bool:
        """One pod gets on: it is placed, gets ready, or is gone."""
        pod = self.pods[name]
        if pod.metadata.deletion_timestamp is not None:
            view = self.nodes.get(pod.spec.node_name)
            if view is None or not view.ready:
                return False
            self._gone(name)
            return True
        if not pod.spec.node_name:
            return self.place(name)
        if pod.status.phase == "Failed" or ready(pod):
            return False
        view = self.nodes.get(pod.spec.node_name)
        if view is None or not view.ready or not self.good(pod):
            return False
        self.set_ready(name, now=True)
        return True

    def good(self, pod: Pod) -> bool:
        """Whether the pod's revision is one that starts."""
        wanted = {specs.revision(each): each for each in self.cluster.spec.node_sets}
        found = wanted.get(pod.metadata.labels[LABEL_REVISION])
        return found is None or found.template.spec is None or found.template.spec.containers[0]["image"] != BAD_IMAGE

    def place(self, name: str, where: str | None = None) -> bool:
        usable = [view for view in self.nodes.values() if view.ready]
        if not usable or any(each not in self.claims or each in self.stranded for each in self.uses[name]):
            return False
        taken = [pod.spec.node_name for pod in self.pods.values() if pod.spec.node_name in self.nodes]
        zones = [self.nodes[each].labels[ZONE] for each in taken]
        best = min(usable, key=lambda view: (zones.count(view.labels[ZONE]), taken.count(view.name), view.name))
        pod = self.pods[name]
        pod.spec.node_name = where or best.name
        pod.status.start_time = self.now.isoformat()
        pod.status.phase = "Running"
        pod.status.pod_ip = "10.0.0.1"
        return True

    def set_ready(self, name: str, *, now: bool) -> None:
        turned = (self.now + timedelta(seconds=5)).isoformat()
        self.pods[name].status.conditions = [TimedCondition(type="Ready", status=str(now), last_transition_time=turned)]

    def bind_claim(self, name: str) -> bool:
        claim = self.claims[name]
        asked = claim.spec.resources.requests
        if claim.status.phase == "Bound" and claim.status.capacity == asked:
            return False
        if claim.status.phase == "Bound" and self.offline and (self.full or self.used(name)):
            return self.refuse(claim)
        claim.status.conditions = []
        claim.status.phase = "Bound"
        claim.status.capacity = dict(asked)
        return True

    def used(self, claim: str) -> bool:
        return any(claim in claims for pod, claims in self.uses.items() if pod in self.pods)

    def refuse(self, claim: Claim) -> bool:
        """As external-resizer notes it where the driver grows no volume that is in use."""
        changed = not claim.status.conditions
        said = "failed to expand pvc with rpc error: code = FailedPrecondition desc = volume is in use"
        claim.status.conditions = [
            TimedCondition(type="ControllerResizeError", status="True", message=said),
            TimedCondition(type="Resizing", status="True"),
        ]
        return changed

    def fail(self, name: str) -> None:
        pod = self.pods[name]
        if pod.spec.node_name and pod.metadata.deletion_timestamp is None:
            pod.status.phase = "Failed"
            pod.status.conditions = []

    def drain(self, name: str) -> None:
        """Somebody evicts a pod, as far as the budget allows."""
        pod = self.pods[name]
        if pod.metadata.deletion_timestamp is None and pod.spec.node_name and self._may_evict(pod):
            pod.metadata.deletion_timestamp = self.now.isoformat()

    def node_down(self, name: str) -> None:
        if name in self.nodes:
            view = self.nodes[name]
            self.nodes[name] = NodeView(name=name, labels=view.labels, ready=False, since=self.now)
            for pod in self.pods.values():
                if pod.spec.node_name == name:
                    self.set_ready(pod.metadata.name, now=False)

    def node_gone(self, name: str) -> None:
        self.nodes.pop(name, None)

    def recreate(self, *, orphan: bool = False) -> None:
        """The cluster is deleted and made again at once; what it owned goes little by little, or is left to itself."""
        self.generation += 1
        self.uid = f"cluster-{self.generation}"
        self.status = StatefulClusterStatus()
        if orphan:
            for each in self.owned():
                each.metadata.owner_references = []

    def owned(self) -> list[objects.KubeObject]:
        services = [self.service] if self.service is not None else []
        return [
            *self.pods.values(), *self.claims.values(), *self.budgets.values(), *self.revisions.values(), *services,
        ]  # fmt: skip

    def collect(self) -> bool:
        """The garbage collector takes what belongs to a cluster that is gone."""
        gone = [
            each.metadata.name
            for each in self.owned()
            if each.metadata.owner_references and self.uid not in {ref.uid for ref in each.metadata.owner_references}
        ]
        shelves: tuple[dict[str, Pod] | dict[str, Claim] | dict[str, Budget] | dict[str, Revision], ...] = (
            self.pods, self.claims, self.budgets, self.revisions,
        )  # fmt: skip
        for shelf in shelves:
            for name in gone:
                found = shelf.get(name)
                if found is not None and self.uid not in {ref.uid for ref in found.metadata.owner_references}:
                    del shelf[name]
        if self.service is not None and self.service.metadata.name in gone:
            self.service = None
        return bool(gone)

    def strand(self, name: str) -> None:
        """The only node of a member's volumes is gone, and the member with it."""
        host = self.pods[name].spec.node_name
        if host and self.uses[name]:
            self.node_gone(host)
            del self.pods[name]
            self.stranded.update(self.uses[name])

    def heal_nodes(self) -> None:
        """All nodes are back; kubelets report, and pods of nodes that were deleted are found gone."""
        self.nodes = nodes()


def ready(pod: Pod) -> bool:
    found = condition(pod.status.conditions, "Ready")
    return found is not None and found.status == "True"
