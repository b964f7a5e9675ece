"""Two gangs, room for one: all or nothing.

Two jobs of three workers each, and four nodes with room for one worker. The pods arrive in turns. Users expect one gang
to run whole and the other one to wait without holding anything; when the first is done, the second runs. kube-scheduler
places pod by pod: each gang gets two nodes and waits for the other's (GangScheduling is alpha in 1.36, off by default).
"""

from __future__ import annotations

import collections

from tests.controlplane.nodes import Layout, Manifest
from tests.scenarios import history
from tests.scenarios.manifests import LABELS, NAME, NAMESPACE, policy
from tests.scenarios.scenario import Failed, Scenario, Setup
from tests.scenarios.stage import Stage

GANG = "example.com/gang"
NAMES = ("one", "two")


def worker(gang: str, number: int, setup: Setup) -> Manifest:
    container = {"name": "main", "image": "example.com/worker:1", "resources": {"requests": {"cpu": "9"}}}
    spec: Manifest = {"containers": [container]}
    if setup is Setup.OURS:
        spec["schedulerName"] = "stowplan"
    metadata: Manifest = {"name": f"{gang}-{number}", "namespace": NAMESPACE, "labels": {**LABELS, GANG: gang}}
    if setup is Setup.OURS:  # a pod that names its policy waits for it, where a selected one may come before it
        metadata["annotations"] = {"stowplan.dev/policy": NAME}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def objects(setup: Setup) -> list[Manifest]:
    workers = [worker(gang, number, setup) for number in range(3) for gang in NAMES]
    if setup is not Setup.OURS:
        return workers
    gang = {"minMember": 3, "groupBy": [GANG], "timeout": "30s"}
    return [policy(gang=gang), *workers]


async def running(stage: Stage) -> dict[str, int]:
    """Pods that run, by gang."""
    found = collections.Counter(history.label(each, GANG) for each in await stage.pods() if history.healthy(each))
    return {gang: found[gang] for gang in NAMES}


async def whole(stage: Stage, what: str) -> str:
    """The gang that runs, once one does."""

    async def look() -> str | None:
        return next((gang for gang, count in (await running(stage)).items() if count == 3), None)

    try:
        return await stage.until(look, "")
    except Failed:
        counts = await running(stage)
        raise Failed(f"{what}: {' and '.join(map(str, counts.values()))} of 3 workers run, each gang waits") from None


async def happens(stage: Stage) -> None:
    first = await whole(stage, "two gangs")
    held = {gang: count for gang, count in (await running(stage)).items() if gang != first and count}
    if held:
        raise Failed("the gang that waits holds a node")
    await stage.delete_pods(f"{first}-{number}" for number in range(3))


async def check(stage: Stage) -> None:
    await whole(stage, "when one is done")


SCENARIO = Scenario(
    name="gangs",
    issue="",
    title="two gangs, room for one",
    layout=Layout(zones=1, power_domains=1, racks=1, hosts=4),
    objects=objects,
    happens=happens,
    check=check,
)
