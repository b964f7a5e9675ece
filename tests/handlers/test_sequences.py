"""Changes of a StatefulCluster in any order, on a real API server: they end as the last spec would from nothing."""

from __future__ import annotations

import secrets
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.controlplane.api import Api
from tests.controlplane.nodes import Manifest
from tests.controlplane.plane import ControlPlane
from tests.handlers.bench import PATIENCE, Bench, FixedWorld, node_set, template

from stowplan.kube import config

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CHANGES = ("scale", "roll", "break", "pause", "resume", "delete pod", "recreate", "drop set", "templates", "partition")
steps = st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 5), st.integers(0, 6)), min_size=4, max_size=8)


class Spec:
    """What the user last asked for."""

    def __init__(self) -> None:
        self.replicas = 3
        self.image = "v0"
        self.ready = True
        self.log = False
        self.two = True
        self.paused = False
        self.partition = 0

    @property
    def manifest(self) -> Manifest:
        broken = {} if self.ready else {"example.com/ready": "false"}
        pods = template(self.image, annotations=broken, schedulerName="default-scheduler")
        data = {**node_set("data", self.replicas, claim="zonal"), "template": pods}
        if self.log:
            data["volumeClaimTemplates"] = [*data["volumeClaimTemplates"], _claim("log")]
        sets = [data, node_set("master", 3, quorum=True)] if self.two else [data]
        strategy = {"maxUnavailable": 1, "partition": self.partition}
        return {"nodeSets": sets, "paused": self.paused, "updateStrategy": strategy}


def _claim(name: str) -> Manifest:
    spec = {"storageClassName": "zonal", "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name}, "spec": spec}


async def create(bench: Bench, spec: Spec) -> None:
    manifest = spec.manifest
    await bench.create(*manifest.pop("nodeSets"), **manifest)


async def perform(bench: Bench, spec: Spec, what: str, which: int) -> None:
    match what:
        case "scale":
            spec.replicas = which
        case "roll":
            spec.image, spec.ready = f"v{which % 3}", True
        case "break":
            spec.image, spec.ready = f"v{which % 3}", False
        case "pause" | "resume":
            spec.paused = what == "pause"
        case "delete pod":
            names = await bench.names("pods")
            if names:
                await bench.api.delete(bench.pod(names[which % len(names)]))
            return
        case "recreate":
            await bench.api.delete(bench.path)
            await bench.api.wait_gone(bench.path, within=PATIENCE)
            await create(bench, spec)
            return
        case "drop set":
            spec.two = not spec.two
        case "templates":
            spec.log = not spec.log
        case "partition":
            spec.partition = which % 3
    await bench.change(**spec.manifest)


async def outcome(bench: Bench, manifest: Manifest) -> dict[str, object]:
    """What is there, but for the ordinals of the members and volumes that were kept."""
    pods = await bench.api.list(f"/api/v1/namespaces/{bench.namespace}/pods")
    budgets = await bench.api.list(f"/apis/policy/v1/namespaces/{bench.namespace}/poddisruptionbudgets")
    status = manifest["status"]
    return {
        "members": Counter(
            (each["metadata"]["labels"]["stowplan.dev/node-set"], each["metadata"]["labels"]["stowplan.dev/revision"],
             len(each["spec"]["volumes"]))
            for each in pods
        ),
        "budgets": {each["metadata"]["name"]: each["spec"]["minAvailable"] for each in budgets},
        "services": await bench.names("services"),
        "templates": await bench.names("controllerrevisions"),
        "sets": status["nodeSets"],
        "summary": status["summary"]["ready"],
        "pending": status["pendingChanges"],
        "conditions": {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]},
    }  # fmt: skip


@settings(
    max_examples=3, deadline=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(steps=steps)
async def test_any_sequence_of_changes_ends_as_a_fresh_apply_of_the_last_spec(
    quiet_plane: ControlPlane,
    quiet_api: Api,
    target: config.Cluster,
    world: FixedWorld,
    steps: list[tuple[str, int, int]],
) -> None:
    made = [Bench(target, world, quiet_api, f"sequence-{secrets.token_hex(4)}") for _ in range(2)]
    for each in made:
        await quiet_plane.create_namespace(each.namespace)
    bench, other = made
    spec = Spec()
    await create(bench, spec)
    for what, which, allowed in steps:
        await perform(bench, spec, what, which)
        await bench.reconcile(allowed=allowed)  # and the operator dies
    spec.paused, spec.ready, spec.partition = False, True, 0
    await bench.change(**spec.manifest)
    await create(other, spec)
    assert await outcome(bench, await bench.settle()) == await outcome(other, await other.settle())
    for each in made:
        await quiet_api.delete(f"/api/v1/namespaces/{each.namespace}")
