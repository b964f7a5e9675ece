"""The example in docs/gangs.md does what is said there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from tests.builders import node, pod
from tests.gangs.world import World

from stowplan.api import base
from stowplan.api.policy import SchedulingPolicy
from stowplan.model.pods import PodInfo

PAGE = (Path(__file__).parents[2] / "docs" / "gangs.md").read_text()
JOB = "batch.kubernetes.io/job-name"


def example() -> tuple[SchedulingPolicy, dict[str, Any]]:
    found = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    policy, job = yaml.safe_load_all(found.group(1))
    return base.parse(SchedulingPolicy, policy, what="docs/gangs.md"), job


def workers(job: dict[str, Any]) -> list[PodInfo]:
    """The pods that the Job controller makes."""
    name, template = job["metadata"]["name"], job["spec"]["template"]
    (container,) = template["spec"]["containers"]
    return [
        pod(
            f"{name}-{at}",
            namespace=job["metadata"]["namespace"],
            labels={**template["metadata"]["labels"], JOB: name},
            cpu=container["resources"]["requests"]["cpu"],
            scheduler_name=template["spec"]["schedulerName"],
        )
        for at in range(job["spec"]["parallelism"])
    ]


def test_the_job_of_the_example_is_placed_whole() -> None:
    policy, job = example()
    world = World([node(f"n{at}") for at in range(3)], [policy])
    first, *others = workers(job)
    world.create(first)
    assert world.run() == {}
    assert "gang ml/resnet: 1 of minMember 3 members exist" in world.message(first)
    world.create(*others)
    assert sorted(world.run().values()) == ["n0", "n1", "n2"]


def test_the_message_of_the_example_is_the_one_that_users_see() -> None:
    policy, job = example()
    world = World([node("n0"), node("n1")], [policy])
    pods = workers(job)
    world.create(*pods)
    assert world.run() == {}
    assert world.message(pods[0]) in " ".join(PAGE.split())
