"""What one search for victims costs, by what keeps the pod off its nodes, in one process and without I/O.

`python -m tests.bench preemption`. Every node is full; the pod is more important than most of what runs there. The
first search also counts the pods by priority, which is kept up to date from then on. With ``--pods`` so many pods come
in a row instead (``preemptors``). All times are of the CPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.bench import preemptors
from tests.builders import HOST, ZONE, node, pod, port, selector, spread, term
from tests.preemption.cluster import Crowd

from stowplan.framework.plugin import CycleState
from stowplan.framework.postfilter import Nomination
from stowplan.framework.rescue import Rescue
from stowplan.framework.status import Diagnosis
from stowplan.model import objects
from stowplan.model.pods import PodInfo

PODS = 8
"""On each node, of one CPU each; its CPUs."""
PRIORITY = 100
AGAIN = 5
"""Searches after the first one; the quickest counts."""
DB = selector({"app": "db"})
ZONES = "abc"


@dataclasses.dataclass(frozen=True)
class Case:
    """A crowd: who is on node number n as its last pod, and what the pod that comes is like."""

    name: str
    last: Callable[[int], PodInfo]
    more: Mapping[str, object]


def main(arguments: Sequence[str]) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench preemption", description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000, help="how many (default: %(default)s)")
    parser.add_argument("--pods", type=int, metavar="N", help="so many pods in a row, each of which gets a promise")
    options = parser.parse_args(arguments)
    if options.pods:
        preemptors.show(options.nodes, options.pods)
        return 0
    print(f"{options.nodes:,} nodes, {PODS * options.nodes:,} pods; one search, CPU ms")
    for case in cases():
        first, again, answer = _measure(case, options.nodes)
        print(f"{case.name:44}  first {first:6.1f}  then {again:6.1f}  {answer}")
    return 0


def cases() -> Iterator[Case]:
    """What a pod may want, and what is in its way."""
    alone = {"anti_affinity": [term(HOST, DB)]}
    taken = [port(80)]
    yield Case("room", _job, {})
    yield Case("alone on its host, nobody is near", _job, alone)
    yield Case("alone on its host, equals on all", _db, alone)
    yield Case("alone on its host, equals on all but 1%", lambda n: _db(n) if n % 100 else _job(n), alone)
    yield Case("alone on its host, less important ones on all", lambda n: _db(n, priority=5), alone)
    yield Case("alone on its host, each victim has own terms", _shy, alone)
    yield Case("alone in its zone, an equal in each", _one_in_each_zone, {"anti_affinity": [term(ZONE, DB)]})
    yield Case("spread over zones", _one_in_each_zone, {"spreads": [spread(ZONE, DB)]})
    yield Case(
        "a port, taken by equals on all but 1%", lambda n: _db(n, ports=taken) if n % 100 else _job(n), {"ports": taken}
    )
    near = {"affinity": [term(ZONE, DB)]}
    yield Case("near another one (node by node)", _one_in_each_zone, near)
    yield Case("the same, each victim has own terms", lambda n: _db(n) if n < len(ZONES) else _shy(n), near)


def _job(number: int) -> PodInfo:
    return pod(f"job{number}", on=f"n{number}", cpu="1")


def _db(number: int, *, priority: int = PRIORITY, ports: Sequence[objects.ContainerPort] = ()) -> PodInfo:
    return pod(f"db{number}", on=f"n{number}", cpu="1", priority=priority, labels={"app": "db"}, ports=ports)


def _one_in_each_zone(number: int) -> PodInfo:
    return _db(number) if number < len(ZONES) else _job(number)


def _shy(number: int) -> PodInfo:
    own = {"app": f"shy{number}"}
    away = [term(HOST, selector(own))]
    return pod(f"shy{number}", on=f"n{number}", cpu="1", labels=own, anti_affinity=away)


def _measure(case: Case, size: int) -> tuple[float, float, str]:
    """Milliseconds of the first search and of the quickest one after it, and what it found."""
    running = [
        pod(f"w{number}-{other}", on=f"n{number}", cpu="1", priority=other % 3, labels={"app": "job"})
        for number in range(size)
        for other in range(PODS - 1)
    ]
    crowd = Crowd(
        [node(f"n{number}", zone=ZONES[number % 3], cpu=PODS) for number in range(size)],
        [*running, *map(case.last, range(size))],
    )
    urgent = pod("urgent", cpu="1", priority=PRIORITY, labels={"app": "db"}, **case.more)  # type: ignore[arg-type]
    framework = crowd.world.policies.framework_for(urgent.cls)
    times, said = [], ""
    for chance in range(1 + AGAIN):
        failure = framework.schedule(urgent, crowd.nodes, CycleState(), 0)
        assert isinstance(failure, Diagnosis)
        start = time.process_time()
        answer = Rescue(framework).post_filter(urgent, crowd.nodes, failure, chance)
        times.append((time.process_time() - start) * 1000)
        said = f"{len(answer.victims)} on {answer.node}" if isinstance(answer, Nomination) else answer.reason
    return times[0], min(times[1:]), said
