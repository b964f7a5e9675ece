"""Pods that can never fit beside pods that can: what the flood costs the others, in one process and without I/O.

`python -m tests.bench flood`; `python -m tests.bench stream --flood 10000` measures the same on a control plane. The
fitting pods are those of a workload of `decisions`; between them come pods that ask for more CPU than any node has, or
with `--claims` for a volume each that no storage has room for.
Then, with the flood asleep, all that goes on in a busy cluster is played back: binds are confirmed, node statuses come
in, pods are deleted. All times are of the CPU: other processes do not count.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from tests.bench import decisions, workloads
from tests.controlplane.nodes import Manifest

from stowplan.framework.plugin import SILENT
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.scheduler.cache import Events
from stowplan.scheduler.cycle import Placed, Scheduler
from stowplan.scheduler.queued import Place

STORAGE = "full.example.com"
"""Driver and StorageClass that pods with claims wait for."""
NEVER = "1000"
"""CPUs that a pod of the flood asks for."""


def main(arguments: Sequence[str]) -> int:
    """Runs the command line."""
    options = _parser().parse_args(arguments)
    workload = workloads.BY_NAME[options.workload]
    layout = workloads.layout_of(options.nodes)
    alone = decisions.scheduler_of(workload, options.pods, layout)
    _, before = _drain(alone)
    rate = options.pods / before
    print(f"{options.nodes:,} nodes; {options.pods:,} pods of {workload.name} alone: {rate:,.0f} decisions/s")
    for classes in options.classes:
        crowded = decisions.scheduler_of(workload, options.pods, layout)
        for pod in flood(crowded, options.flood, classes, claims=options.claims):
            crowded.queue.put(pod, 0.0)
        placed, seconds = _drain(crowded)
        fitting = [each for each in placed if not each.pod.name.startswith("never-")]
        assert len(fitting) == options.pods
        share = (seconds - before) / options.flood * 1e6
        print(f"with {options.flood:,} that never fit, of {classes:,} kinds: {options.pods / seconds:,.0f} fitting "
              f"pods/s, {share:,.1f} µs for each that does not")  # fmt: skip
        for what, microseconds, woken in _events(crowded, placed):
            print(f"    {what}: {microseconds:,.1f} µs each, {woken:,} woken")
        print(f"    vain retries: {dict(crowded.queue.vain)}")
    return 0


def flood(scheduler: Scheduler, number: int, classes: int, *, claims: bool) -> Iterable[PodInfo]:
    """Those of ``hopeless``, as the scheduler sees them; with ``claims`` they wait for storage instead of for CPU."""
    if claims:
        for item in _storage():
            scheduler.cache.put_storage(item)
    for manifest in hopeless(number, classes, "stowplan"):
        name = manifest["metadata"]["uid"] = manifest["metadata"]["name"]
        if claims:
            del manifest["spec"]["containers"][0]["resources"]
            manifest["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
            scheduler.cache.put_storage(_claim(name))
        yield scheduler.cache.interner.pod(msgspec.convert(manifest, objects.Pod))


def _storage() -> Iterable[StorageObject]:
    """A driver with one byte left."""
    name = objects.ObjectMeta(name=STORAGE)
    yield objects.StorageClass(name, provisioner=STORAGE, volume_binding_mode="WaitForFirstConsumer")
    yield objects.CSIDriver(name, objects.CSIDriverSpec(storage_capacity=True))
    yield _capacity("1")


def _capacity(free: str) -> objects.CSIStorageCapacity:
    everywhere = objects.LabelSelector()
    return objects.CSIStorageCapacity(objects.ObjectMeta(name=STORAGE), STORAGE, everywhere, free)


def _claim(name: str, size: str = "10Gi") -> objects.PersistentVolumeClaim:
    spec = objects.PersistentVolumeClaimSpec(
        access_modes=["ReadWriteOnce"], storage_class_name=STORAGE,
        resources=objects.VolumeResources(requests={"storage": size}),
    )  # fmt: skip
    return objects.PersistentVolumeClaim(objects.ObjectMeta(namespace=workloads.NAMESPACE, name=name, uid=name), spec)


def hopeless(number: int, classes: int, scheduler: str) -> Iterator[Manifest]:
    """Pods that ask for too much, half of them with a spread; those of one kind differ in their names only."""
    for at in range(number):
        kind = at % classes
        spread = {
            "topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"kind": str(kind)}},
        }  # fmt: skip
        container = {"name": "main", "image": "app:1", "resources": {"requests": {"cpu": NEVER}}}
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"never-{at}", "namespace": workloads.NAMESPACE, "labels": {"kind": str(kind)}},
            "spec": {
                "schedulerName": scheduler,
                "containers": [container],
                "topologySpreadConstraints": [spread] if kind % 2 else [],
            },
        }


def _drain(scheduler: Scheduler) -> tuple[list[Placed], float]:
    """Decides about everybody, in turns as they came; those that fit, and the seconds of CPU."""
    placed = []
    start = time.process_time()
    while (outcome := scheduler.attempt(0.0, 0, lambda _: SILENT)) is not None:
        if isinstance(outcome, Placed):
            placed.append(outcome)
    return placed, time.process_time() - start


def _events(scheduler: Scheduler, placed: Sequence[Placed]) -> Iterable[tuple[str, float, int]]:
    """What each kind of news costs while the flood sleeps: its name, µs, and the pods that it woke."""
    cache = scheduler.cache
    nodes = list(cache.snapshot.nodes[: len(placed)])
    news: list[tuple[str, list[Callable[[], Events]]]] = [
        ("a bind is confirmed", [functools.partial(cache.put_pod, each.pod) for each in placed]),
        ("a node reports its status", [functools.partial(cache.put_node, _copy(each)) for each in nodes]),
        ("a pod is deleted", [functools.partial(cache.remove_pod, each.pod.uid) for each in placed]),
        ("a claim comes", [functools.partial(cache.put_storage, _claim(f"other-{number}")) for number in range(50)]),
        (
            "a claim of one of them grows",
            [functools.partial(cache.put_storage, _claim(f"never-{number}", "11Gi")) for number in range(50)],
        ),
        ("space gets less", [functools.partial(cache.put_storage, _capacity(str(50 - n))) for n in range(50)]),
    ]
    for what, changes in news:
        woken = 0
        start = time.process_time()
        for change in changes:
            woken += scheduler.happened(change(), 1000.0)
        seconds = time.process_time() - start
        while scheduler.queue.size(Place.ACTIVE):
            scheduler.attempt(1000.0, 0, lambda _: SILENT)
        yield what, seconds / len(changes) * 1e6, woken


def _copy(node: objects.Node) -> objects.Node:
    return msgspec.convert(msgspec.to_builtins(node), objects.Node)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench flood", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--workload", default="spread", choices=list(workloads.BY_NAME))
    parser.add_argument("--pods", type=int, default=2000, help="that fit")
    parser.add_argument("--flood", type=int, default=10_000, help="that do not")
    parser.add_argument("--claims", action="store_true", help="they wait for a volume each")
    parser.add_argument("--classes", type=int, nargs="*", default=[1, 100, 10_000], help="kinds of those")
    return parser
