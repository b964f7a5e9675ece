"""What status.survives says, and what is left when each failure domain has really failed, on a real API server."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest
from tests.controlplane.api import wait_until
from tests.controlplane.nodes import HOSTNAME, RACK, ZONE
from tests.handlers.bench import PATIENCE, Bench, node_set
from tests.handlers.serving import serves

pytestmark = pytest.mark.e2e

FEED = "example.com/feed"
"""A power feed for the racks of the same number, in all zones: failure domains need not lie inside each other."""
DOMAINS = {"zone": ZONE, "feed": FEED, "rack": RACK, "host": HOSTNAME}


@pytest.fixture
async def fed(bench: Bench) -> AsyncIterator[Bench]:
    """The nodes are labelled with their feed, and a policy names all kinds of failure domain."""
    for name, view in bench.world.nodes.items():
        feed = view.labels[RACK].rpartition("-")[2]
        await bench.api.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {FEED: feed}}})
        bench.world.nodes[name] = dataclasses.replace(view, labels={**view.labels, FEED: feed})
    domains = [{"name": name, "topologyKey": key} for name, key in DOMAINS.items()]
    await bench.api.create({
        "apiVersion": "stowplan.dev/v1alpha1", "kind": "SchedulingPolicy",
        "metadata": {"name": "ha", "namespace": bench.namespace}, "spec": {"failureDomains": domains},
    })  # fmt: skip
    yield bench
    for name in bench.world.nodes:
        await bench.api.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {FEED: None}}})


@contextlib.asynccontextmanager
async def failed(bench: Bench, key: str, value: str) -> AsyncIterator[int]:
    """All nodes with this value of a label have failed: how many members still serve, before anything is repaired."""
    lost = {name for name, view in bench.world.nodes.items() if view.labels[key] == value}

    async def look() -> int | None:
        pods = await bench.api.list(f"/api/v1/namespaces/{bench.namespace}/pods")
        return None if any(pod["spec"]["nodeName"] in lost for pod in pods) else sum(map(serves, pods))

    async with bench.tainted(key, [value], "NoExecute"):
        yield await wait_until(look, what=f"the pods in {value} to be gone", within=PATIENCE)


@pytest.mark.parametrize(
    ("hosts", "survives"),
    [
        pytest.param(
            ("a-1-r1-h1", "b-1-r2-h1", "c-1-r1-h1"), ["zone", "rack", "host"], id="a zone each, and two on one feed"
        ),
        pytest.param(("a-1-r1-h1", "a-1-r1-h2", "b-1-r2-h1"), ["host"], id="two in one rack"),
    ],
)
async def test_what_a_cluster_is_said_to_survive_it_survives_and_nothing_else(
    fed: Bench, hosts: tuple[str, ...], survives: list[str]
) -> None:
    """Every domain that a member is in fails in turn; disks of the hosts keep the members where they are."""
    bench = fed
    every = bench.world.nodes.keys()
    await bench.create(node_set("master", 0, quorum=True, claim="local"), schedulingPolicyRef={"name": "ha"})
    for count, host in enumerate(hosts, 1):
        async with bench.tainted(HOSTNAME, every - {host}, "NoSchedule"):
            await bench.change(nodeSets=[node_set("master", count, quorum=True, claim="local")])
            found = await bench.settle()
    assert found["status"]["survives"] == survives
    rows = {each["domain"]: each["counts"] for each in found["status"]["placement"]}
    assert {host for host, count in rows["host"].items() if count} == set(hosts)
    for domain, key in DOMAINS.items():
        left = {}
        for value in [value for value, count in rows[domain].items() if count]:
            async with failed(bench, key, value) as serving:
                left[value] = serving
            await bench.settle()
        assert (min(left.values()) >= 2) is (domain in survives), (domain, left)
