"""Policies over pods that kube-controller-manager makes: Deployments, Jobs and StatefulSets with our schedulerName."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from tests.controlplane.api import Api, wait_until
from tests.controlplane.nodes import HOSTNAME, RACK, ZONE, Manifest
from tests.controlplane.plane import ControlPlane
from tests.live import objects
from tests.live.test_policies import governing, policy, policy_path

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("stowplan")]

KINDS = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "Job": "batch/v1"}
NAMES = (ZONE, RACK, HOSTNAME)


def workload(kind: str, namespace: str, app: str, replicas: int) -> Manifest:
    """So many pods labelled `app`, all made at once."""
    labels = {"app": app}
    pod = objects.pod(namespace, app, labels=labels)
    template = {"metadata": {"labels": labels}, "spec": pod["spec"]}
    spec: Manifest = {"template": template}
    match kind:
        case "Job":
            pod["spec"]["restartPolicy"] = "Never"
            spec |= {"parallelism": replicas, "completions": replicas}
        case "StatefulSet":
            spec |= {"replicas": replicas, "selector": {"matchLabels": labels}, "podManagementPolicy": "Parallel"}
        case _:
            spec |= {"replicas": replicas, "selector": {"matchLabels": labels}}
    del pod["spec"]["terminationGracePeriodSeconds"]
    return {"apiVersion": KINDS[kind], "kind": kind, "metadata": {"name": app, "namespace": namespace}, "spec": spec}


async def placed(api: Api, namespace: str, app: str, count: int) -> list[dict[str, str]]:
    """Zone, rack and host of each pod of an app, once so many are bound."""

    async def look() -> list[Manifest] | None:
        pods = await api.list(objects.pods_path(namespace), labelSelector=f"app={app}")
        bound = [each for each in pods if "nodeName" in each["spec"]]
        return bound if len(bound) == count else None

    pods = await wait_until(look, what=f"{count} bound pods of {app}", within=objects.PATIENCE)
    labels: Mapping[str, Mapping[str, str]] = {
        each["metadata"]["name"]: each["metadata"]["labels"] for each in await api.list("/api/v1/nodes")
    }
    return [{key: labels[pod["spec"]["nodeName"]][key] for key in NAMES} for pod in pods]


def apps(*names: str) -> Manifest:
    return {"matchExpressions": [{"key": "app", "operator": "In", "values": list(names)}]}


async def test_sets_of_pods_of_all_kinds_are_spread_kept_apart_and_brought_together(api: Api, namespace: str) -> None:
    """The web tier is even over zones, as is the database; they never share a rack; each job sits beside a database."""
    web, db = {"matchLabels": {"app": "web"}}, {"matchLabels": {"app": "db"}}
    await governing(api, policy(
        namespace, "tiers", selector=apps("web", "db"),
        spread=[{"name": "zones", "domain": "zone", "groupBy": ["app"], "maxPerDomain": "40%"}],
        separate=[{"name": "tiers-apart", "domain": "rack", "pods": web, "from": db},
                  {"name": "one-db-a-host", "domain": "host", "pods": db}],
    ))  # fmt: skip
    await governing(api, policy(
        namespace, "jobs", selector=apps("report"),
        colocate=[{"name": "beside-db", "domain": "host", "with": db}],
    ))  # fmt: skip
    await api.create(workload("Job", namespace, "report", 3))
    await api.create(workload("Deployment", namespace, "web", 6))
    await api.create(workload("StatefulSet", namespace, "db", 3))

    databases = await placed(api, namespace, "db", 3)
    fronts = await placed(api, namespace, "web", 6)
    jobs = await placed(api, namespace, "report", 3)
    assert sorted(Counter(each[ZONE] for each in databases).values()) == [1, 1, 1]
    assert sorted(Counter(each[ZONE] for each in fronts).values()) == [2, 2, 2]
    racks = [{(each[ZONE], each[RACK]) for each in some} for some in (databases, fronts)]
    assert not racks[0] & racks[1]
    assert {each[HOSTNAME] for each in jobs} <= {each[HOSTNAME] for each in databases}

    def counts(each: Manifest) -> bool:
        return bool(each.get("status", {}).get("pods") == {"governed": 9, "bound": 9, "pending": 0})

    found = await api.wait(policy_path(namespace, "tiers"), counts, within=objects.PATIENCE)
    assert found["status"]["violations"] == 0
    assert {row["group"] for row in found["status"]["domains"]} == {"web", "db"}


async def test_pods_of_another_namespace_are_never_touched(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    """Neither governed nor counted, although their labels are the same; only colocate and separate could reach them."""
    other = f"{namespace[:40]}-beside"
    await control_plane.create_namespace(other)
    try:
        rules = {
            "separate": [{"name": "one-a-zone", "domain": "zone"}],
            "colocate": [{"name": "near-cache", "domain": "zone", "with": {"matchLabels": {"app": "cache"}}}],
        }
        await api.create(workload("Deployment", other, "web", 5))
        await api.create(workload("Deployment", other, "cache", 3))
        await governing(api, policy(namespace, "strict", selector=apps("web"), **rules))
        await placed(api, other, "web", 5)
        assert (await api.get(policy_path(namespace, "strict")))["status"]["pods"]["governed"] == 0

        await api.create(objects.pod(namespace, "web-0", labels={"app": "web"}))
        assert "near-cache" in await objects.unschedulable(api, namespace, "web-0")
        await api.create(workload("Deployment", namespace, "cache", 1))
        await objects.bound(api, namespace, "web-0")
    finally:
        await api.delete(f"/api/v1/namespaces/{other}")
