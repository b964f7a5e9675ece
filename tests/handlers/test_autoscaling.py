"""A HorizontalPodAutoscaler, with the controller of kube-controller-manager, scales StatefulClusters."""

from __future__ import annotations

import pytest
from tests.controlplane.api import condition
from tests.controlplane.nodes import Manifest
from tests.controlplane.plane import ControlPlane
from tests.handlers.bench import PATIENCE, Bench, node_set
from tests.handlers.load import measured

pytestmark = pytest.mark.e2e


def autoscaler(namespace: str) -> Manifest:
    """One member for each 100Mi of memory that they use together."""
    target = {"type": "AverageValue", "averageValue": "100Mi"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "db", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "stowplan.dev/v1alpha1", "kind": "StatefulCluster", "name": "db"},
            "minReplicas": 1,
            "maxReplicas": 4,
            "metrics": [{"type": "Resource", "resource": {"name": "memory", "target": target}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    }


def ready(count: int) -> str:
    return f"{count}/{count}"


async def test_an_autoscaler_follows_the_load_up_and_down(quiet_plane: ControlPlane, bench: Bench) -> None:
    one = {key: value for key, value in node_set("data", claim="zonal").items() if key != "replicas"}
    await bench.create(one, replicas=1)
    await bench.settle()
    async with measured(quiet_plane, bench.api) as load:
        load.mebibytes = 300
        await bench.api.create(autoscaler(bench.namespace))
        await bench.until(lambda it: it["status"]["summary"]["ready"] == ready(3))
        load.mebibytes = 90
        await bench.until(lambda it: it["status"]["summary"]["ready"] == ready(1))
        assert await bench.names("pods") == ["db-data-0"]
        assert (await bench.api.get(bench.path))["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    "sets",
    [
        pytest.param([node_set("data", 1)], id="one set whose own replicas is set"),
        pytest.param([node_set("data", 1), node_set("ingest", 1)], id="several sets"),
    ],
)
async def test_an_autoscaler_says_so_where_there_is_nothing_for_it_to_write(bench: Bench, sets: list[Manifest]) -> None:
    await bench.create(*sets)
    await bench.settle()
    await bench.api.create(autoscaler(bench.namespace))
    path = f"/apis/autoscaling/v2/namespaces/{bench.namespace}/horizontalpodautoscalers/db"
    found = await bench.api.wait(path, lambda it: condition(it, "AbleToScale") == "False", within=PATIENCE)
    (said,) = [each["message"] for each in found["status"]["conditions"] if each["type"] == "AbleToScale"]
    assert 'the spec replicas field ".spec.replicas" does not exist' in said
