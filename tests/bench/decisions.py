"""`python -m tests.bench decisions`: the scheduler's decisions alone, in this process, without an API server.

What remains of a pod's cost when nobody has to be asked: pop, filter, score, choose, assume, reserve. For finding out
what a change has brought, where the time goes (`--profile`, `--plugins`), and what a SchedulingPolicy in mode DryRun
costs that is tried on every pod (`--dry-run-policy`).
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import io
import pstats
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec
from tests.bench import profiled, workloads
from tests.bench.workloads import Workload
from tests.controlplane.nodes import DRIVER, HOSTNAME, ZONE, Layout

from stowplan import profiles
from stowplan.api import base
from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.plugin import Probe
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.model.pods import PodClass
from stowplan.scheduler.cache import ClusterCache
from stowplan.scheduler.cycle import Placed, Scheduler
from stowplan.scheduler.groups import Roster
from stowplan.scheduler.queue import SchedulingQueue

SCHEDULER = "stowplan"


class Stopwatch(Probe):
    """Adds up what each plugin takes at each extension point.

    Attributes:
        spent: CPU seconds by (plugin, extension point).
    """

    __slots__ = ("spent",)
    each = True

    def __init__(self) -> None:
        self.spent: dict[tuple[str, str], float] = {}

    def start(self) -> float:
        return time.process_time()

    def plugin(self, name: str, point: str, start: float) -> None:
        key = (name, point)
        self.spent[key] = self.spent.get(key, 0.0) + time.process_time() - start


@dataclasses.dataclass(frozen=True)
class Result:
    """One run over all pods.

    Attributes:
        placements: pod name to node name.
        seconds: of wall clock.
        cpu: seconds of this process.
    """

    pods: int
    placements: dict[str, str]
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Decisions per second."""
        return self.pods / self.seconds


def tried(mode: str) -> SchedulingPolicy:
    """A policy for all pods of the benchmark: each group even over the zones, one of it on a host."""
    groups = [workloads.GROUP]
    raw = {
        "metadata": {"name": "tried", "namespace": workloads.NAMESPACE},
        "spec": {
            "mode": mode,
            "selector": {},
            "failureDomains": [{"name": "zone", "topologyKey": ZONE}, {"name": "host", "topologyKey": HOSTNAME}],
            "spread": [
                {"name": "zones", "domain": "zone", "groupBy": groups},
                {"name": "hosts", "domain": "host", "groupBy": groups, "maxPerDomain": 1},
            ],
        },
    }
    return base.parse(SchedulingPolicy, raw, what="policy tried")


def scheduler_of(
    workload: Workload, pods: int, layout: Layout, bound: int = 0, *, policies: Sequence[SchedulingPolicy] = ()
) -> Scheduler:
    """A scheduler that knows the nodes and the volumes and has the pods in its queue.

    Args:
        workload: what to place.
        pods: how many.
        layout: the nodes.
        bound: pods of the same rules, but of other groups, that are on the nodes already.
        policies: the SchedulingPolicies.
    """
    cache = ClusterCache()
    queue = SchedulingQueue(cache.snapshot)
    for name in ("default", workloads.NAMESPACE):
        meta = objects.ObjectMeta(name=name, labels={"kubernetes.io/metadata.name": name})
        cache.put_namespace(objects.Namespace(metadata=meta))
    for manifest in layout.nodes():
        cache.put_node(msgspec.convert(manifest, objects.Node))
    for item in _storage(workload, pods, layout):
        cache.put_storage(item)
    for manifest in workloads.bound(workload, bound, layout):
        cache.put_pod(cache.interner.pod(msgspec.convert(manifest, objects.Pod)))
    for manifest in workload.manifests(pods, layout, SCHEDULER):
        queue.put(cache.interner.pod(msgspec.convert(manifest, objects.Pod)), 0.0)
    made = profiles.Policies(policies, (), profiles.PluginArgs(), profiles.Backlog())
    made.govern(cache.snapshot)
    gc.collect()
    gc.freeze()  # as `stowplan run` does once its caches are filled; `drain` takes it back
    return Scheduler(cache, queue, made.framework_for, Roster(made.group_for, _uncounted), made.shadow_for)


def _uncounted(cls: PodClass, delta: int) -> None:
    """Nothing here depends on how many pods wait."""


def drain(scheduler: Scheduler, probe: Probe, seed: int = 0) -> Result:
    """Decides about every pod in the queue once."""
    chance = random.Random(seed)
    placements: dict[str, str] = {}
    pods = len(scheduler.queue)
    start, cpu = time.perf_counter(), time.process_time()
    while (outcome := scheduler.attempt(0.0, chance.getrandbits(32), lambda _: probe)) is not None:
        if isinstance(outcome, Placed):
            placements[outcome.pod.name] = outcome.decision.node
    result = Result(pods, placements, time.perf_counter() - start, time.process_time() - cpu)
    gc.unfreeze()
    return result


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; 1 where a pod found no node."""
    options = _parser().parse_args(arguments)
    layout = workloads.layout_of(options.nodes)
    complete = True
    for name in options.workload or list(workloads.BY_NAME):
        workload = workloads.BY_NAME[name]
        pods = options.pods or workload.pods
        workload.check(pods, layout)
        complete &= _measure(workload, pods, layout, options)
    return 0 if complete else 1


def _measure(workload: Workload, pods: int, layout: Layout, options: argparse.Namespace) -> bool:
    results = []
    for _ in range(options.repeat):
        scheduler = scheduler_of(workload, pods, layout, options.bound)
        results.append(drain(scheduler, Probe()))
    rate = statistics.median(each.rate for each in results)
    cpu = statistics.median(each.cpu for each in results)
    placed = len(results[-1].placements)
    print(
        f"{workload.name:<14}{layout.count} nodes, {options.bound} pods on them; {placed} of {pods} placed: "
        f"{rate:,.0f} decisions/s, {1000 * cpu / pods:.3f} ms CPU each (median of {len(results)})"
    )
    if options.dry_run_policy:
        _compare(workload, pods, layout, options)
    if options.plugins:
        stopwatch = Stopwatch()
        whole = drain(scheduler_of(workload, pods, layout, options.bound), stopwatch).cpu
        for (plugin, point), seconds in sorted(stopwatch.spent.items(), key=lambda item: -item[1]):
            print(f"  {1e6 * seconds / pods:8.1f} µs  {point:<10}{plugin}")
        print(f"  {1e6 * (whole - sum(stopwatch.spent.values())) / pods:8.1f} µs  all the rest, the measuring included")
    if options.profile:
        profiler = profiled.profile()
        scheduler = scheduler_of(workload, pods, layout, options.bound)
        profiler.runcall(drain, scheduler, Probe())
        text = io.StringIO()
        pstats.Stats(profiler, stream=text).sort_stats(options.sort).print_stats(options.lines)
        print(text.getvalue().strip())
        if options.output:
            profiler.dump_stats(options.output)
    sys.stdout.flush()
    return placed == pods


def _compare(workload: Workload, pods: int, layout: Layout, options: argparse.Namespace) -> None:
    """Runs in turn without a policy, with one in force, and with the same one in mode DryRun."""
    spent: dict[str, list[float]] = {"": [], "Enforce": [], "DryRun": []}
    for _ in range(options.repeat):
        for mode, seconds in spent.items():
            policies = [tried(mode)] if mode else []
            scheduler = scheduler_of(workload, pods, layout, options.bound, policies=policies)
            seconds.append(drain(scheduler, Probe()).cpu)
    alone, in_force, beside = (1000 * statistics.median(seconds) / pods for seconds in spent.values())
    print(
        f"  ms CPU a decision: {alone:.3f} without the policy, {in_force:.3f} with it, {beside:.3f} with it in mode "
        f"DryRun: {beside / (alone + in_force):.2f} times as much as the other two together"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench decisions", description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000, metavar="N", help="default %(default)s")
    parser.add_argument("--pods", type=int, metavar="N", help="default: as the workload says")
    parser.add_argument("--bound", type=int, default=0, metavar="N", help="pods that are on the nodes before")
    parser.add_argument("--workload", action="append", choices=list(workloads.BY_NAME), help="repeatable; default: all")
    parser.add_argument("--repeat", type=int, default=3, metavar="K", help="runs, of which the median counts")
    parser.add_argument(
        "--dry-run-policy", action="store_true", help="compare with a policy for all pods, in force and in mode DryRun"
    )
    parser.add_argument("--plugins", action="store_true", help="show what each plugin takes")
    parser.add_argument("--profile", action="store_true", help="one more run under cProfile")
    parser.add_argument("--sort", default="tottime", help="of the profile: tottime, cumulative, ncalls")
    parser.add_argument("--lines", type=int, default=25, help="of the profile")
    parser.add_argument("--output", metavar="FILE", help="write the profile there too (for snakeviz, pstats)")
    return parser


def _storage(workload: Workload, pods: int, layout: Layout) -> Iterator[StorageObject]:
    if not workload.volume:
        return
    yield objects.StorageClass(
        metadata=objects.ObjectMeta(name=workloads.STORAGE_CLASS),
        provisioner=DRIVER,
        volume_binding_mode="WaitForFirstConsumer",
    )
    yield objects.CSIDriver(metadata=objects.ObjectMeta(name=DRIVER))
    for manifest in workloads.csi_nodes(layout):
        yield msgspec.convert(manifest, objects.CSINode)
    for claim, volume in workload.volumes(pods, layout):
        uid = f"uid-{claim['metadata']['name']}"
        claim["metadata"]["uid"] = volume["spec"]["claimRef"]["uid"] = uid
        yield msgspec.convert(claim, objects.PersistentVolumeClaim)
        yield msgspec.convert(volume, objects.PersistentVolume)
