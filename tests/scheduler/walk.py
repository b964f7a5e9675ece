"""A walk at random through clusters, one change at a time, with pods that wait; what becomes of whom a change wakes.

Used by ``test_waking``. ``python -m tests.scheduler.walk`` says how many of the pods that an event has woken were tried
in vain, and how many would have been without a look before the try, that is by kube-scheduler's rule: the hint of any
plugin that rejected a pod wakes it (kubernetes v1.36.3 ``pkg/scheduler/backend/queue/scheduling_queue.go``,
``isPodWorthRequeuing``), here with our own hints, which look closer than kube-scheduler's.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from tests import builders
from tests.builders import HOST, ZONE
from tests.profiles.world import policy, spread

from stowplan import profiles
from stowplan.framework.events import ClusterEvent, Happening
from stowplan.framework.plugin import SILENT, CycleState
from stowplan.framework.postfilter import Nomination
from stowplan.framework.rescue import Rescue
from stowplan.framework.volumes import StorageObject
from stowplan.live.board import PolicyBoard
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.plugins.volume_args import LocalCapacity, VolumeBindingArgs
from stowplan.scheduler.cache import ClusterCache, Events
from stowplan.scheduler.outcomes import Looked, Placed, Unplaced
from stowplan.scheduler.promises import Promise
from stowplan.scheduler.queue import SchedulingQueue
from stowplan.scheduler.queued import Place

LOCAL = LocalCapacity("lvm", "capacity.example.com/ssd")
DRIVER = "csi.example.com"
SELECTED = "volume.kubernetes.io/selected-node"

EVENTS = frozenset(kind.value for kind in ClusterEvent if kind is not ClusterEvent.POLICY)
"""Those that hints are asked about."""

Spec = dict[str, Any]
GOVERNED = {"app": "db"}
LABELS: list[Spec] = [{}, {"app": "web"}, {"app": "cache"}, GOVERNED, {**GOVERNED, "role": "a"},
                      {**GOVERNED, "role": "b"}]  # fmt: skip
EVEN = policy(
    selector={"matchLabels": GOVERNED},
    spread=[spread(maxSkew=1), spread("host", "few", maxPerDomain="Minority", maxSkew=5)],
)
FEW = policy(selector={"matchLabels": GOVERNED}, nodes={"limits": {"podsPerNode": 2, "utilization": {"cpu": "0.7"}}})
APART = policy(
    selector={"matchLabels": GOVERNED},
    separate=[{"name": "apart", "domain": "zone", "pods": {"matchLabels": {"role": "a"}},
               "from": {"matchLabels": {"role": "b"}}}],
)  # fmt: skip
NEAR = policy(
    selector={"matchLabels": GOVERNED},
    colocate=[{"name": "near", "domain": "zone", "with": {"matchLabels": {"app": "cache"}}}],
)


PLACED, PROMISED, IN_VAIN, SPARED = "node", "promise", "in vain", "spared"
"""What becomes of a pod that is woken: its try gives it a node, or a promise (or ends one), or nothing; or a look has
shown that it need not be tried."""


class Walk:
    """A cluster, and pods that wait; each step changes one thing.

    Args:
        seed: of all that happens.
        nodes: how many there are at the most.
        crowd: how many pods there are at the beginning.

    Attributes:
        ends: what has become of the pods that events have woken: by event, the plugins that still reject them, and end.
    """

    def __init__(self, seed: int, nodes: int = 4, crowd: int = 0) -> None:
        self.nodes = tuple(f"n{number}" for number in range(nodes))
        self.rng = random.Random(seed)
        self.now = 0.0
        cache = ClusterCache()
        queue = SchedulingQueue(cache.snapshot, initial_backoff=0.001, max_backoff=0.001)
        args = profiles.PluginArgs(volume_binding=VolumeBindingArgs(local_capacity=(LOCAL,)))
        self.board = PolicyBoard(cache, queue, args, clock=lambda: self.now)
        self.cache, self.queue, self.scheduler = cache, queue, self.board.scheduler
        self.waiting: dict[str, Spec] = {}
        self.bound: dict[str, Spec] = {}
        self.names = 0
        self.placed = self.woken = 0
        self.ends: Counter[tuple[str, tuple[str, ...], str]] = Counter()
        for name in ("default", "other"):
            cache.put_namespace(objects.Namespace(objects.ObjectMeta(name=name)))
        for name in self.nodes[:-1]:
            cache.put_node(builders.node(name, zone="a" if name < "n2" else "b", cpu="4"))
        for item in (
            builders.storage_class("fast"),
            builders.storage_class("lvm", provisioner="lvm.example.com"),
            builders.storage_class("static", provisioner="kubernetes.io/no-provisioner"),
            builders.csi_driver(DRIVER),
            builders.csi_driver("lvm.example.com", storage_capacity=False),
        ):
            cache.put_storage(item)
        for _ in range(crowd):
            self.happened(self.foreign_pod())

    # ------------------------------------------------------------ steps

    def step(self) -> None:
        change = self.rng.choices(
            [self.node, self.node_gone, self.foreign_pod, self.pod_changes, self.pod_goes, self.new_pod,
             self.pending_pod_goes, self.storage, self.storage_goes, self.namespace, self.policies],
            [6, 1, 4, 3, 6, 8, 1 if len(self.waiting) < 12 else 12, 8, 2, 1, 0.3],
        )[0]  # fmt: skip
        self.said = change.__name__
        self.happened(change() or ())

    def node(self) -> Events:
        """Mostly for the better, and mostly one thing at a time."""
        rng = self.rng
        name = rng.choice(self.nodes)
        row = self.cache.snapshot.row_of.get(name)
        old = self.cache.snapshot.nodes[row] if row is not None else None
        said: Spec = {"zone": "a" if name < "n2" else "b", "cpu": "4", "annotations": {LOCAL.annotation: "2Gi"}}
        if old is not None:
            meta = old.metadata
            said = {"zone": meta.labels.get(ZONE), "cpu": old.status.allocatable["cpu"],
                    "labels": {key: value for key, value in meta.labels.items() if key == "disk"},
                    "annotations": meta.annotations, "unschedulable": old.spec.unschedulable,
                    "taints": [f"{each.key}:{each.effect}" for each in old.spec.taints]}  # fmt: skip
        changes: list[Spec] = (
            [{"zone": rng.choice(["a", "b", "b", None])}, {"cpu": rng.choice(["2", "4", "6", "8"])},
             {"labels": rng.choice([{}, {"disk": "ssd"}])}, {"unschedulable": rng.random() < 0.4},
             {"taints": rng.choice([[], ["dedicated:NoSchedule"]])},
             {"annotations": {LOCAL.annotation: rng.choice(["0", "1Gi", "3Gi", "8Gi"])}}]
        )  # fmt: skip
        said |= rng.choice(changes)
        return self.cache.put_node(builders.node(name, **said))

    def node_gone(self) -> Events:
        return self.cache.remove_node(self.rng.choice(self.nodes))

    def foreign_pod(self) -> Events:
        """Bound by somebody else."""
        name, spec = self.name("f"), self.spec(self.rng.choice([0, 0, 1]))
        spec["on"] = self.rng.choice(self.nodes)
        self.bound[name] = spec
        return self.cache.put_pod(builders.pod(name, **spec))

    def pod_changes(self) -> Events:
        """What may change of a pod that runs: its labels, its requests, and that it is told to go."""
        if not self.bound:
            return ()
        name = self.rng.choice(sorted(self.bound))
        changes: list[Spec] = [{"labels": self.rng.choice(LABELS)}, {"cpu": self.rng.choice(["500m", "2"])},
                               {"terminating": True}]  # fmt: skip
        self.bound[name] |= self.rng.choice(changes)
        return self.cache.put_pod(builders.pod(name, **self.bound[name]))

    def pod_goes(self) -> Events:
        if not self.bound:
            return ()
        name = self.rng.choice(sorted(self.bound))
        del self.bound[name]
        return self.cache.remove_pod(f"uid-default/{name}")

    def new_pod(self) -> Events:
        name, spec = self.name("w"), self.spec(self.rng.choice([1, 1, 2]))
        self.waiting[name] = spec
        pod = builders.pod(name, **spec)
        self.board.waits(pod)
        self.queue.put(pod, self.now)
        return (Happening(ClusterEvent.POD_PENDING, new=pod),)

    def pending_pod_goes(self) -> Events:
        if self.waiting:
            name = self.rng.choice(sorted(self.waiting))
            del self.waiting[name]
            self.board.settled(f"uid-default/{name}")
            self.queue.remove(f"uid-default/{name}", self.now)
            return self.cache.remove_waiting(f"uid-default/{name}")
        return ()

    def storage(self) -> Events:
        rng = self.rng
        claim, volume, node = f"c{rng.randrange(4)}", f"v{rng.randrange(4)}", rng.choice(self.nodes)
        if rng.random() < 0.1:
            self.cache.snapshot.volumes.refuse(f"default/{claim}", node, self.now)
            return ()
        kind = rng.choice(["fast", "fast", "lvm", "static"])
        size = rng.choice(["1Gi", "2Gi", "3Gi"])
        modes = rng.choice([["ReadWriteOnce"], ["ReadWriteOnce"], ["ReadWriteOncePod"]])
        here = [builders.node_term((ZONE, "In", [rng.choice("ab")]))]
        builds: list[Callable[[], StorageObject]] = [
                lambda: builders.claim(claim, storage_class=kind, size=size, modes=modes),
                lambda: builders.claim(claim, storage_class=kind, size=size, modes=modes, volume=volume),
                lambda: builders.claim(claim, storage_class=kind, size=size, annotations={SELECTED: node}),
                lambda: builders.volume(volume, storage_class=kind, size=size, modes=modes, node_affinity=here,
                                        driver=DRIVER, labels=rng.choice([{}, {ZONE: "a"}, {ZONE: "b"}])),
                lambda: builders.volume(volume, storage_class=kind, size=size, claimed_by=f"default/{claim}",
                                        driver=DRIVER),
                lambda: builders.capacity(f"p{rng.randrange(3)}", free=rng.choice(["0", "2Gi", "4Gi"]),
                                          topology=builders.selector({ZONE: rng.choice("ab")})),
                lambda: builders.csi_node(node, {DRIVER: rng.choice([0, 1, 2, None])}),
                lambda: objects.VolumeAttachment(
                    objects.ObjectMeta(name=f"a{rng.randrange(2)}{node}"),
                    objects.VolumeAttachmentSpec(DRIVER, node, objects.VolumeAttachmentSource(volume)),
                ),
                lambda: builders.csi_driver(DRIVER, storage_capacity=rng.random() < 0.5),
                lambda: builders.storage_class(kind, wait=rng.random() < 0.7, provisioner=rng.choice(
                    [DRIVER, "kubernetes.io/no-provisioner"])),
        ]  # fmt: skip
        return self.cache.put_storage(rng.choice(builds)())

    def storage_goes(self) -> Events:
        catalog = self.cache.snapshot.volumes
        shelves: tuple[Mapping[str, StorageObject], ...] = (
            catalog.claims, catalog.volumes, catalog.classes, catalog.capacities, catalog.csi_nodes,
            catalog.volume_attachments,
        )  # fmt: skip
        there = [item for shelf in shelves for _, item in sorted(shelf.items())]
        return self.cache.remove_storage(self.rng.choice(there)) if there else ()

    def namespace(self) -> Events:
        labels = self.rng.choice([{}, {"team": "x"}])
        return self.cache.put_namespace(objects.Namespace(objects.ObjectMeta(name="default", labels=labels)))

    def policies(self) -> None:
        self.board.apply(self.rng.choice([[], [EVEN], [FEW], [APART], [NEAR]]), [])

    # ------------------------------------------------------------ pods

    def name(self, letter: str) -> str:
        self.names += 1
        return f"{letter}{self.names}"

    def spec(self, wants: int) -> Spec:
        """A pod that asks for so many things that are hard to find."""
        rng = self.rng
        found: Spec = {
            "labels": rng.choice(LABELS), "cpu": rng.choice(["500m", "1", "2"]), "priority": rng.choice([0, 0, 0, 5]),
            "tolerations": rng.choice([[], [], [builders.toleration("dedicated", "Exists")]]),
        }  # fmt: skip
        for _ in range(wants):
            found |= rng.choice(
                [{"cpu": rng.choice(["3", "4", "5"])}, {"ports": [builders.port(80)]},
                 {"node_selector": {"disk": "ssd"}}, {"spreads": [self.spread()]}, {"affinity": [self.term()]},
                 {"anti_affinity": [self.term()]}, {"spreads": [self.spread(), self.spread()]},
                 {"claims": rng.sample(["c0", "c1", "c2", "c3"], rng.choice([1, 1, 2]))},
                 {"claims": [rng.choice(["c0", "c1"])]}]
            )  # fmt: skip
        return found

    def selector(self) -> objects.LabelSelector:
        return builders.selector(self.rng.choice([GOVERNED, {"app": "web"}, {"app": "cache"}]))

    def term(self) -> objects.PodAffinityTerm:
        among = self.rng.choice([None, None, builders.selector({"team": "x"})])
        return builders.term(self.rng.choice([ZONE, HOST]), self.selector(), namespace_selector=among)

    def spread(self) -> objects.TopologySpreadConstraint:
        return builders.spread(
            self.rng.choice([ZONE, HOST]), self.selector(), min_domains=self.rng.choice([None, 2, 3]),
            node_taints=self.rng.choice([None, "Honor"]),
        )  # fmt: skip

    # ------------------------------------------------------------ what must hold

    def happened(self, events: Events) -> None:
        """Wakes whom that helps, and tries everybody who is awake; then nobody who sleeps fits anywhere."""
        self.woken += self.scheduler.happened(events, self.now)
        while True:
            self.now += 0.01
            self.queue.flush(self.now)
            woken = {each.pod.uid: each.woken_by for each in self.queue.pods()}
            outcome = self.scheduler.attempt(self.now, 0, lambda _: SILENT)
            match outcome:
                case Placed():
                    self.count(woken, outcome, (), PLACED)
                    self.conclude(outcome)
                case Unplaced(promise=promise, diagnosis=diagnosis):
                    self.count(woken, outcome, tuple(diagnosis.plugins), IN_VAIN if promise is None else PROMISED)
                    if promise is not None:
                        self.evict(outcome.pod.uid, promise)
                case Looked(diagnosis=diagnosis):
                    self.count(woken, outcome, tuple(diagnosis.plugins), SPARED)
                case None if not self.queue.size(Place.BACKOFF):
                    break
        for queued in self.queue.pods():
            assert not self.fits(queued.pod), f"{queued.pod.key} sleeps, rejected by {queued.rejected_by}"
            assert not self.could_preempt(queued.pod), f"{queued.pod.key} sleeps, and could preempt"

    def count(
        self, woken: Mapping[str, str], outcome: Placed | Unplaced | Looked, plugins: tuple[str, ...], end: str
    ) -> None:
        event = woken[outcome.pod.uid]
        if event in EVENTS:
            self.ends[event, plugins, end] += 1

    def fits(self, pod: PodInfo) -> bool:
        framework = self.scheduler.framework_for(pod.cls)
        return bool(framework.feasible(pod, self.cache.snapshot, CycleState()).any())

    def could_preempt(self, pod: PodInfo) -> bool:
        """Whether there are victims for a pod that no node is promised to."""
        nodes, framework = self.cache.snapshot, self.scheduler.framework_for(pod.cls)
        if nodes.nominations.node_of(pod.uid):
            return False
        failure = framework.diagnose(pod, nodes, CycleState())
        return isinstance(Rescue(framework).post_filter(pod, nodes, failure, 0), Nomination)

    def conclude(self, placed: Placed) -> None:
        """The bind succeeds, or else the pod goes away."""
        name, node = placed.pod.name, placed.decision.node
        spec = self.waiting.pop(name)
        self.placed += 1
        self.board.settled(placed.pod.uid)
        if self.rng.random() < 0.2:
            self.scheduler.undo(placed, self.now, retry=False)
            self.scheduler.happened(self.cache.remove_waiting(placed.pod.uid), self.now)
            return
        placed.framework.unreserve(placed.pod, self.cache.snapshot, placed.state)
        if placed.writes:
            self.scheduler.happened([Happening(ClusterEvent.VOLUMES_RELEASED, old=placed.pod)], self.now)
        self.bound[name] = {**spec, "on": node}
        bound = self.cache.put_pod(builders.pod(name, **self.bound[name]))
        self.scheduler.happened((*bound, *self.cache.remove_waiting(placed.pod.uid)), self.now)

    def evict(self, uid: str, promise: Promise) -> None:
        """The victims go, at once or later by themselves."""
        self.scheduler.carried_out(uid, self.now, done=True)
        for victim in promise.victims:
            if self.rng.random() < 0.5:
                del self.bound[victim.name]
                self.scheduler.happened(self.cache.remove_pod(victim.uid), self.now)
            else:
                self.bound[victim.name]["terminating"] = True
                pod = builders.pod(victim.name, **self.bound[victim.name])
                self.scheduler.happened(self.cache.put_pod(pod), self.now)


def shares(ends: Counter[str]) -> tuple[float, float]:
    """Of the tries of woken pods, the share in vain; and what it were if all were tried who are woken."""
    woken = ends.total()
    return ends[IN_VAIN] / (woken - ends[SPARED]), (ends[IN_VAIN] + ends[SPARED]) / woken


def main(seeds: int, steps: int) -> None:
    """Walks, and prints what became of the pods that were woken."""
    ends: Counter[tuple[str, tuple[str, ...], str]] = Counter()
    for seed in range(seeds):
        walk = Walk(seed)
        for _ in range(steps):
            walk.step()
        ends += walk.ends
    by_event: dict[str, Counter[str]] = {}
    by_plugins: dict[str, Counter[str]] = {}
    for (event, plugins, end), count in ends.items():
        by_event.setdefault(event, Counter())[end] += count
        by_plugins.setdefault(", ".join(sorted(plugins)) or "(nobody)", Counter())[end] += count
    for title, table in (("woken by", by_event), ("rejected by", by_plugins)):
        print(f"{title:80}{PLACED:>9}{PROMISED:>9}{IN_VAIN:>9}{SPARED:>9}")
        for said, row in sorted(table.items(), key=lambda each: -each[1].total()):
            print(f"{said:80}{row[PLACED]:9}{row[PROMISED]:9}{row[IN_VAIN]:9}{row[SPARED]:9}")
    tried, without = shares(sum_of(ends))
    print(f"tried in vain: {tried:.1%} of the tries; {without:.1%} if all were tried who are woken")


def sum_of(ends: Counter[tuple[str, tuple[str, ...], str]]) -> Counter[str]:
    """By end alone."""
    found: Counter[str] = Counter()
    for (_, _, end), count in ends.items():
        found[end] += count
    return found


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:3] or ("4", "800")))
