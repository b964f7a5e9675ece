"""A Stowplan beside another one of the cluster places its own pods and leaves all else to the first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.controlplane.api import Api, condition
from tests.controlplane.nodes import HOSTNAME, Manifest
from tests.process import Release, Replica
from tests.process_fixtures import NewReplica

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

EXAMPLE = Path(__file__).parents[2] / "examples"
PATIENCE = 60.0
APART = {
    "failureDomains": [{"name": "host", "topologyKey": HOSTNAME}],
    "selector": {"matchLabels": {"app": "own"}},
    "separate": [{"name": "one-per-host", "domain": "host"}],
}


def resource(kind: str, namespace: str, name: str, spec: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "stowplan.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def own_pod(namespace: str, name: str, scheduler: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "own"}},
        "spec": {
            "schedulerName": scheduler,
            "containers": [{"name": "main", "image": "example.com/none"}],
            "nodeSelector": {HOSTNAME: "a-1-r1-h1"},
        },
    }


def controllers(replica: Replica) -> set[str]:
    """Those that have worked."""
    return {name for name, runs in replica.values("stowplan_reconcile_total", "controller") if runs}


async def test_it_goes_by_the_policies_and_looks_after_nothing(
    api: Api, namespace: str, stowplan: Replica, new_release: Callable[[], Release], new_replica: NewReplica
) -> None:
    release = new_release()
    second = new_replica(release)
    second.wait_leads()
    assert stowplan.leads(), "each has a lease of its own"

    cluster = yaml.safe_load((EXAMPLE / "cluster.yaml").read_text())["spec"]
    policy = yaml.safe_load((EXAMPLE / "policy.yaml").read_text())["spec"]
    await api.create(resource("SchedulingPolicy", namespace, "search-ha", policy))
    await api.create(resource("SchedulingPolicy", namespace, "apart", APART))
    await api.create(resource("StatefulCluster", namespace, "search", cluster))
    base = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}"
    for path in (f"{base}/schedulingpolicies/apart", f"{base}/statefulclusters/search"):
        await api.wait(path, lambda it: condition(it, "Ready") == "True", within=PATIENCE)

    pods = f"/api/v1/namespaces/{namespace}/pods"
    await api.create(own_pod(namespace, "one", release.name))
    await api.wait(f"{pods}/one", lambda it: condition(it, "PodScheduled") == "True", within=PATIENCE)
    await api.create(own_pod(namespace, "two", release.name))
    refused = await api.wait(f"{pods}/two", lambda it: condition(it, "PodScheduled") == "False", within=PATIENCE)
    assert "one-per-host" in refused["status"]["conditions"][0]["message"]

    assert controllers(second) == {"policies"}
    assert controllers(stowplan) == {"policies", "policy status", "clusters"}
