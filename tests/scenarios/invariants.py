"""What must hold at every moment, whoever places the pods: judged from a watch of every revision.

Of use to any test with a real control plane::

    async with Recorder(api) as recorder:
        ...
        await recorder.caught_up()
    assert judge(recorder.seen, [OneIdentity(), NotOverbooked(), ClaimsKept()]) == []

A scheduler decides by what it has been told a moment ago. Where a rule is broken only because something changed within
that moment (`GRACE`), nobody is to blame, and nothing is said.
"""

from __future__ import annotations

import collections
import dataclasses
import decimal
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, Protocol

from tests.controlplane import storage
from tests.controlplane.nodes import Manifest
from tests.scenarios import history
from tests.scenarios.history import Change, Cluster, Seen

GRACE: Final = 2.0
"""Seconds after which whoever decides must know of a change."""


class Invariant(Protocol):
    """Something that holds at every revision. It may remember what it has seen; one instance is for one history."""

    def see(self, cluster: Cluster, change: Change) -> Iterator[str]:
        """What this change breaks, each in one phrase; `cluster` is as it is after it."""

    def end(self) -> Iterator[str]:
        """What is broken still when nothing more comes."""
        return iter(())


def judge(seen: Iterable[Seen], invariants: Sequence[Invariant]) -> list[str]:
    """What is broken, in the order of events; each phrase once."""
    found: dict[str, None] = {}
    for cluster, change in history.replay(seen):
        for invariant in invariants:
            found.update(dict.fromkeys(invariant.see(cluster, change)))
    for invariant in invariants:
        found.update(dict.fromkeys(invariant.end()))
    return list(found)


class OneIdentity(Invariant):
    """At most one pod of a name runs.

    The API server holds one object of a name at a time. What can go wrong is that the object is deleted by force while
    the node of the pod is silent: nobody has said that its containers stopped, and a second pod of the name starts.
    Whoever deletes the node or taints it out-of-service has said so.
    """

    def __init__(self) -> None:
        self._ghosts: dict[str, tuple[str, str]] = {}  # pod key to node and uid

    def see(self, cluster: Cluster, change: Change) -> Iterator[str]:
        seen = change.seen
        if seen.kind == "Node" and (seen.gone or history.ready(seen.obj) or history.out_of_service(seen.obj)):
            self._ghosts = {key: ghost for key, ghost in self._ghosts.items() if ghost[0] != seen.key}
        elif seen.kind == "Pod" and seen.gone:
            node = cluster.nodes.get(history.node_of(seen.obj))
            silent = node is not None and not history.ready(node) and not history.out_of_service(node)
            if silent and not history.ended(seen.obj):
                self._ghosts[seen.key] = (history.node_of(seen.obj), seen.obj["metadata"]["uid"])
        elif (pod := change.bound) is not None and seen.key in self._ghosts:
            old, _ = self._ghosts[seen.key]
            yield f"{seen.key} was started on {history.node_of(pod)} while it may still run on {old}"


class NotOverbooked(Invariant):
    """No pod is bound to a node that has not enough left: of CPU, memory, ephemeral storage and pods.

    Counts the requests of ordinary containers; pods of scenarios have no others.
    """

    def see(self, cluster: Cluster, change: Change) -> Iterator[str]:
        pod = change.bound
        node = cluster.nodes.get(history.node_of(pod)) if pod is not None else None
        if pod is None or node is None:
            return
        asked: collections.Counter[str] = collections.Counter()
        for each in cluster.pods.values():
            if history.node_of(each) == history.key_of(node) and not history.ended(each):
                asked.update(_requests(each))
        allocatable = node["status"]["allocatable"]
        for resource in sorted(_requests(pod)):
            if asked[resource] > _amount(allocatable.get(resource, "0")):
                yield f"{history.key_of(node)} is over its allocatable {resource} by {change.seen.key}"


class ClaimsKept(Invariant):
    """No claim goes, but for those that shall.

    Args:
        given_up: names of claims that may go; the caller may add to it while things happen.
    """

    def __init__(self, given_up: Collection[str] = ()) -> None:
        self._given_up = given_up

    def see(self, cluster: Cluster, change: Change) -> Iterator[str]:
        seen = change.seen
        lost = seen.kind == "PersistentVolumeClaim" and seen.gone
        if lost and seen.obj["metadata"]["name"] not in self._given_up:
            yield f"the claim {seen.obj['metadata']['name']} was deleted"


@dataclasses.dataclass(frozen=True)
class Quorum(Invariant):
    """So many pods with these labels serve at every revision after one."""

    labels: dict[str, str]
    size: int
    since: int

    def see(self, cluster: Cluster, change: Change) -> Iterator[str]:
        if change.seen.revision <= self.since or change.seen.kind != "Pod":
            return
        serving = sum(history.healthy(each) for each in cluster.pods.values() if history.matches(each, self.labels))
        if serving < self.size:
            yield f"only {serving} member{'' if serving == 1 else 's'} served, {self.size} are a majority"


class Rule(Protocol):
    """A Required rule of placement, in nobody's words."""

    @property
    def key(self) -> str:
        """Label of the nodes that tells their domain."""

    @property
    def settles(self) -> float:
        """Seconds after a placement in which others that were decided before it may still show up and mend it."""

    def broken(self, cluster: Cluster, pod: Manifest, others: Sequence[Manifest]) -> str | None:
        """What is wrong with the pod's node, in one phrase.

        Args:
            cluster: as it is now, the pod included.
            pod: has a node.
            others: the other pods of the rule, those that have no node among them.
        """


class Kept(Invariant):
    """A rule holds for the pods with these labels whenever one of them is placed.

    A pod that goes back to a volume that it had has no choice of a domain where the volume has none, and the rule is
    not asked. Several pods may be on their way at once, and their binds are stored in any order: a rule that compares
    domains is broken only where it stays so.
    """

    def __init__(self, rule: Rule, labels: dict[str, str]) -> None:
        self._rule = rule
        self._labels = labels
        self._suspects: dict[str, tuple[float, str]] = {}  # pod key to the time it was bound, and what is wrong

    def see(self, cluster: Cluster, change: Change) -> Iterator[str]:
        for key, (bound, suspicion) in list(self._suspects.items()):
            if cluster.now - bound > self._rule.settles:
                del self._suspects[key]
                yield suspicion
            elif key not in cluster.pods or self._broken(cluster, cluster.pods[key]) is None:
                del self._suspects[key]
        pod = change.bound
        if pod is None or not history.matches(pod, self._labels) or _returns(cluster, pod, self._rule.key):
            return
        problem = self._broken(cluster, pod)
        if problem:
            self._suspects[change.seen.key] = (cluster.now, f"{pod['metadata']['name']} was placed so that {problem}")

    def end(self) -> Iterator[str]:
        for _, problem in self._suspects.values():
            yield problem

    def _broken(self, cluster: Cluster, pod: Manifest) -> str | None:
        others = [each for each in cluster.pods.values() if each["metadata"]["uid"] != pod["metadata"]["uid"]]
        return self._rule.broken(cluster, pod, [each for each in others if history.matches(each, self._labels)])


@dataclasses.dataclass(frozen=True)
class Apart:
    """No two pods in one domain; one that is being deleted counts until it is gone."""

    key: str
    settles: float = 0.0

    def broken(self, cluster: Cluster, pod: Manifest, others: Sequence[Manifest]) -> str | None:
        here = domain(cluster, pod, self.key)
        for each in others:
            if history.node_of(each) and not history.ended(each) and domain(cluster, each, self.key) == here:
                return f"it shares {here} with {each['metadata']['name']}"
        return None


@dataclasses.dataclass(frozen=True)
class AtMost:
    """No domain holds more than so many pods."""

    key: str
    count: int
    settles: float = 0.0

    def broken(self, cluster: Cluster, pod: Manifest, others: Sequence[Manifest]) -> str | None:
        here = domain(cluster, pod, self.key)
        held = 1 + sum(history.live(each) and domain(cluster, each, self.key) == here for each in others)
        return f"{here} holds {held} where {self.count} are allowed" if held > self.count else None


@dataclasses.dataclass(frozen=True)
class Even:
    """Domains differ by so many pods at most, over those with usable nodes; with `within`, inside each broader one."""

    key: str
    skew: int = 1
    within: str = ""
    settles: float = GRACE

    def broken(self, cluster: Cluster, pod: Manifest, others: Sequence[Manifest]) -> str | None:
        here = self._place(cluster.nodes.get(history.node_of(pod)))
        counts = collections.Counter(
            self._place(cluster.nodes.get(history.node_of(each))) for each in others if history.live(each)
        )
        held = counts[here] + 1
        counts.update(self._place(cluster.nodes.get(history.node_of(each))) for each in cluster.lately_left(GRACE))
        compared = {
            self._place(node)
            for name, node in cluster.nodes.items()
            if history.usable(node) and cluster.now - cluster.turned.get(name, 0.0) > GRACE
        }
        lowest = min((counts[each] for each in compared if each[0] == here[0]), default=held)
        return f"{here[1]} holds {held}, the emptiest domain {lowest}" if held - lowest > self.skew else None

    def _place(self, node: Manifest | None) -> tuple[str, str]:
        if node is None:
            return "", ""
        return history.label(node, self.within) if self.within else "", history.label(node, self.key)


def domain(cluster: Cluster, pod: Manifest, key: str) -> str:
    """Value of a label of the pod's node, or ""."""
    node = cluster.nodes.get(history.node_of(pod))
    return "" if node is None else history.label(node, key)


def _returns(cluster: Cluster, pod: Manifest, key: str) -> bool:
    """Whether one of its claims had its volume before the pod was there, where all nodes are of one domain."""
    came = cluster.came.get(pod["metadata"]["uid"], 0.0)
    for each in pod["spec"].get("volumes", []):
        name = f"{pod['metadata']['namespace']}/{each.get('persistentVolumeClaim', {}).get('claimName')}"
        if cluster.filled.get(name, came) >= came:
            continue
        volume = cluster.volumes.get(cluster.claims[name]["spec"]["volumeName"]) if name in cluster.claims else None
        segment = storage.segment_of(volume) if volume is not None else None
        if segment is None:
            continue
        near = (node for node in cluster.nodes.values() if history.label(node, segment.key) == segment.value)
        if len({history.label(node, key) for node in near}) <= 1:
            return True
    return False


def _requests(pod: Manifest) -> dict[str, decimal.Decimal]:
    total = {"pods": decimal.Decimal(1)}
    for container in pod["spec"]["containers"]:
        for resource, quantity in container.get("resources", {}).get("requests", {}).items():
            total[resource] = total.get(resource, decimal.Decimal(0)) + _amount(quantity)
    return total


def _amount(quantity: str) -> decimal.Decimal:
    if quantity.endswith("m"):
        return decimal.Decimal(quantity[:-1]) / 1000
    return decimal.Decimal(storage.parse(quantity)) if not quantity[-1].isdigit() else decimal.Decimal(quantity)
