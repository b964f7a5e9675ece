from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api import cases, objects
from tests.api.cases import Refusal
from tests.api.objects import ABSENT, Object
from tests.api.test_models import read
from tests.controlplane.api import Api, ApiFailure, path_of
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.plane import ControlPlane

from stowplan import errors

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crds")]

CRDS = Path(__file__).parent.parent.parent / "crds"
NAMES = ("schedulingpolicies.stowplan.dev", "statefulclusters.stowplan.dev")
DRY_RUN = {"dryRun": "All", "fieldValidation": "Strict"}


@pytest.fixture(scope="module")
def crds(control_plane: ControlPlane) -> None:
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in NAMES))


async def judge(api: Api, manifest: Object) -> Object:
    """What the API server would store, by a dry run in a namespace that is always there."""
    placed = objects.changed(manifest, {"metadata.namespace": "default"})
    return await api.request("POST", path_of(placed, collection=True), placed, query=DRY_RUN)


def placed_in(namespace: str, manifest: Object) -> Object:
    return objects.changed(manifest, {"metadata.namespace": namespace})


@pytest.mark.parametrize("name", NAMES)
async def test_a_crd_is_established_and_structural(api: Api, name: str) -> None:
    crd = await api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    said = {each["type"]: each["status"] for each in crd["status"]["conditions"]}
    assert said == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize("object_", cases.ACCEPTED)
async def test_is_accepted_and_means_the_same_with_the_defaults_filled_in(api: Api, object_: Object) -> None:
    stored = await judge(api, object_)
    assert read(stored).to_json()["spec"] == read(object_).to_json()["spec"]


@pytest.mark.parametrize("refusal", cases.REFUSED)
async def test_is_refused_with_the_field_named(api: Api, refusal: Refusal) -> None:
    with pytest.raises(ApiFailure) as refused:
        await judge(api, refusal.object)
    assert refused.value.status == 422
    assert any(f"{refusal.field}{mark}" in refused.value.message for mark in (": ", "[", "."))
    assert refusal.says in refused.value.message


async def test_an_unknown_field_is_refused_and_named(api: Api) -> None:
    with pytest.raises(ApiFailure, match=r'unknown field "spec.spread\[0\].surprise"'):
        await judge(api, objects.changed(objects.policy(), {"spec.spread[0].surprise": 1}))


STRANGE: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    7,
    1.5,
    10**12,
    "",
    "x",
    "A b",
    "5m",
    "50%",
    [],
    ["x"],
    {},
    {"x": "y"},
    ABSENT,
)


def paths(value: object, path: str) -> Iterator[str]:
    """The paths of every field and item below `path`."""
    below = (
        [(f"{path}.{name}", field) for name, field in value.items() if "." not in name]
        if isinstance(value, dict)
        else [(f"{path}[{number}]", item) for number, item in enumerate(value)]
        if isinstance(value, list)
        else []
    )
    for step, inner in below:
        yield step
        yield from paths(inner, step)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(objects.policy(), id="policy"),
        pytest.param(objects.cluster(), id="cluster"),
    ],
)
async def test_models_and_api_server_agree_on_every_field_with_every_strange_value(api: Api, source: Object) -> None:
    limit = asyncio.Semaphore(8)

    async def differs(path: str, value: object) -> str | None:
        changed = objects.changed(source, {path: value})
        try:
            read(changed)
            ours = "accepted"
        except errors.InvalidObject as refused:
            ours = str(refused)
        try:
            async with limit:
                await judge(api, changed)
            theirs = "accepted"
        except ApiFailure as failed:
            theirs = failed.message
        if (ours == "accepted") == (theirs == "accepted"):
            return None
        return f"{path}={json.dumps(value, default=repr)}\n  models: {ours}\n  API server: {theirs}"

    judged = await asyncio.gather(
        *(differs(path, value) for path in paths(source["spec"], "spec") for value in STRANGE)
    )
    differences = [difference for difference in judged if difference]
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param(
            {"spec.nodeSets[0].roles": ["data"]}, "the roles of a node set cannot be changed", id="fewer roles"
        ),
        pytest.param({"spec.nodeSets[0].roles": ABSENT}, "the roles of a node set cannot be changed", id="no roles"),
        pytest.param(
            {"spec.nodeSets[1].volumeClaimTemplates[0].spec.resources.requests.storage": "9Gi"},
            "the storage of a volume claim template cannot shrink",
            id="less storage",
        ),
        pytest.param(
            {"spec.nodeSets[1].volumeClaimTemplates[0].spec.resources.requests.storage": 1024},
            "the storage of a volume claim template cannot shrink",
            id="less storage, as a number",
        ),
    ],
)
async def test_a_change_is_refused(api: Api, namespace: str, changes: dict[str, object], says: str) -> None:
    manifest = placed_in(namespace, objects.cluster())
    stored = await api.create(manifest)
    with pytest.raises(ApiFailure, match=says) as refused:
        await api.request("PUT", path_of(manifest), objects.changed(stored, changes))
    assert refused.value.status == 422
    assert "spec.nodeSets[" in refused.value.message


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"spec.nodeSets[0].roles": ["replica", "data"]}, id="roles in another order"),
        pytest.param(
            {"spec.nodeSets[0].volumeClaimTemplates[0].spec.resources.requests.storage": "20Gi"}, id="more storage"
        ),
        pytest.param(
            {"spec.nodeSets[0].volumeClaimTemplates[0].spec.resources.requests.storage": "10240Mi"},
            id="the same storage, said otherwise",
        ),
        pytest.param(
            {
                "spec.nodeSets[0].volumeClaimTemplates[1]": {
                    "metadata": {"name": "log"},
                    "spec": {"resources": {"requests": {"storage": "1Gi"}}},
                }
            },
            id="another claim template",
        ),
        pytest.param({"spec.nodeSets[2]": objects.node_set("ingest", roles=["other"])}, id="another node set"),
        pytest.param({"spec.nodeSets": [objects.node_set("master")]}, id="one node set less"),
    ],
)
async def test_a_change_is_accepted(api: Api, namespace: str, changes: dict[str, object]) -> None:
    manifest = placed_in(namespace, objects.cluster())
    stored = await api.create(manifest)
    found = await api.request("PUT", path_of(manifest), objects.changed(stored, changes))
    assert found["metadata"]["generation"] == 2


async def test_a_policy_is_refused_a_rule_over_a_domain_that_is_taken_away(api: Api, namespace: str) -> None:
    manifest = placed_in(namespace, objects.policy())
    stored = await api.create(manifest)
    fewer = [domain for domain in stored["spec"]["failureDomains"] if domain["name"] != "host"]
    with pytest.raises(ApiFailure, match="the domain of a separate rule must be one of failureDomains"):
        await api.patch(path_of(manifest), {"spec": {"failureDomains": fewer}})


async def test_kubectl_scales_a_cluster_with_one_node_set(
    api: Api, namespace: str, control_plane: ControlPlane
) -> None:
    manifest = placed_in(namespace, objects.small_cluster())
    await api.create(manifest)
    status = {"status": {"replicas": 3, "selector": "stowplan.dev/cluster=orders"}}
    await api.patch(f"{path_of(manifest)}/status", status)
    await asyncio.to_thread(control_plane.kubectl, "-n", namespace, "scale", "stc", "orders", "--replicas=5")
    scale = await api.get(f"{path_of(manifest)}/scale")
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 3, "selector": "stowplan.dev/cluster=orders"}


async def test_kubectl_scale_is_refused_for_a_cluster_with_several_node_sets(
    api: Api, namespace: str, control_plane: ControlPlane
) -> None:
    await api.create(placed_in(namespace, objects.cluster()))
    with pytest.raises(ControlPlaneError, match="this one has several"):
        await asyncio.to_thread(control_plane.kubectl, "-n", namespace, "scale", "stc", "orders", "--replicas=5")


async def test_kubectl_get_shows_the_columns(api: Api, namespace: str, control_plane: ControlPlane) -> None:
    policy, cluster = placed_in(namespace, objects.policy()), placed_in(namespace, objects.cluster())
    ready = {"type": "Ready", "status": "False", "reason": "Conflicted", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    told = {"summary": {"pods": "8/9", "reason": "Conflicted"}, "violations": 2, "conditions": [ready]}
    counted = {"summary": {"ready": "5/6", "survives": "zone,rack,host"}, "updatedReplicas": 4}
    for manifest, status in ((policy, told), (cluster, counted)):
        await api.create(manifest)
        await api.patch(f"{path_of(manifest)}/status", {"status": status})

    async def table(*arguments: str) -> list[list[str]]:
        text = await asyncio.to_thread(control_plane.kubectl, "-n", namespace, "get", *arguments)
        return [line.split() for line in text.splitlines() if line]

    head, row = await table("schpol", "-o", "wide")
    assert head == ["NAME", "MODE", "READY", "PODS", "VIOLATIONS", "AGE", "REASON"]
    assert row[:5] + row[6:] == ["database-ha", "Enforce", "False", "8/9", "2", "Conflicted"]
    head, row = await table("stc")
    assert head == ["NAME", "READY", "UPDATED", "SURVIVES", "POLICY", "AGE"]
    assert row[:5] == ["orders", "5/6", "4", "zone,rack,host", "database-ha"]
    named = {line[0] for line in await table("stowplan")}
    assert {"schedulingpolicy.stowplan.dev/database-ha", "statefulcluster.stowplan.dev/orders"} <= named


async def test_what_a_controller_writes_is_stored_whole(api: Api, namespace: str) -> None:
    for kind in ("SchedulingPolicy", "StatefulCluster"):
        manifest = placed_in(namespace, objects.contract(kind))
        await api.create(objects.changed(manifest, {"status": ABSENT}))
        status = read(manifest).to_json()["status"]
        stored = await api.patch(f"{path_of(manifest)}/status", {"status": status})
        assert stored["status"] == status
        assert stored["metadata"]["generation"] == 1
