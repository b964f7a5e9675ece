from __future__ import annotations

import pytest
from pydantic import JsonValue
from tests.reconcile.world import World, node_set

from stowplan.api.cluster import NodeSet
from stowplan.reconcile import specs


def parsed(**fields: JsonValue) -> NodeSet:
    return NodeSet.model_validate({**node_set(), **fields})


def template(**spec: JsonValue) -> dict[str, JsonValue]:
    return {"spec": {"containers": [{"name": "main", "image": "v1"}], **spec}}


def test_the_revision_of_a_template_never_changes_with_a_new_version() -> None:
    """A changed value here restarts every member of every user at the next upgrade."""
    assert specs.revision(parsed(volumeClaimTemplates=[])) == "d5a3f96272"
    assert specs.revision(NodeSet.model_validate(node_set(claims=2))) == "d9cd9eb347"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"replicas": 7}, id="the number of members"),
        pytest.param({"quorum": True}, id="quorum"),
        pytest.param({"template": {**template(), "metadata": {}}}, id="empty metadata"),
        pytest.param(
            {"template": {**template(), "metadata": {"labels": {}, "creationTimestamp": None}}}, id="kubectl's"
        ),
        pytest.param({"template": template(nodeName=None)}, id="a null"),
        pytest.param(
            {"template": {"spec": {"containers": [{"image": "v1", "name": "main"}]}}}, id="the order of the fields"
        ),
    ],
)
def test_no_member_is_restarted_for(fields: dict[str, JsonValue]) -> None:
    assert specs.revision(parsed(template=template())) == specs.revision(parsed(**{"template": template(), **fields}))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"template": template(hostNetwork=True)}, id="a field of the pod"),
        pytest.param({"template": template(volumes=[{"name": "x", "emptyDir": {}}])}, id="a volume"),
        pytest.param({"template": {**template(), "metadata": {"annotations": {"a": "b"}}}}, id="an annotation"),
        pytest.param(
            {"volumeClaimTemplates": node_set(claims=1)["volumeClaimTemplates"]}, id="a volume claim template"
        ),
    ],
)
def test_members_are_restarted_for(fields: dict[str, JsonValue]) -> None:
    assert specs.revision(parsed(template=template())) != specs.revision(parsed(**{"template": template(), **fields}))


def test_a_claim_that_grows_restarts_nobody() -> None:
    grown: JsonValue = [{"metadata": {"name": "vol0"}, "spec": {"resources": {"requests": {"storage": "9Gi"}}}}]
    assert specs.revision(NodeSet.model_validate(node_set(claims=1))) == specs.revision(
        parsed(volumeClaimTemplates=grown)
    )


def test_a_pod_has_the_labels_of_the_contract_its_owner_and_a_stable_name() -> None:
    world = World(node_set("data", roles=["data", "replica"], claims=1), schedulingPolicyRef={"name": "ha"})
    spec = world.cluster.spec.node_sets[0]
    pod = specs.pod(world.cluster, spec, 4)
    assert pod["metadata"] == {
        "name": "db-data-4",
        "namespace": "ns",
        "labels": {
            "app": "x",
            "stowplan.dev/cluster": "db",
            "stowplan.dev/node-set": "data",
            "stowplan.dev/member": "4",
            "stowplan.dev/revision": specs.revision(spec),
            "role.stowplan.dev/data": "true",
            "role.stowplan.dev/replica": "true",
        },
        "annotations": {"stowplan.dev/policy": "ha"},
        "ownerReferences": [{
            "apiVersion": "stowplan.dev/v1alpha1", "kind": "StatefulCluster", "name": "db", "uid": "cluster-1",
            "controller": True, "blockOwnerDeletion": True,
        }],
    }  # fmt: skip
    assert pod["spec"] == {
        "containers": [{"name": "main", "image": "v1"}],
        "hostname": "db-data-4",
        "subdomain": "db",
        "schedulerName": "stowplan",
        "volumes": [{"name": "vol0", "persistentVolumeClaim": {"claimName": "vol0-db-data-4"}}],
    }


def test_a_template_may_name_another_scheduler_and_volumes_of_its_own() -> None:
    world = World(
        node_set(
            template=template(
                schedulerName="other", volumes=[{"name": "vol0", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
            ),
            claims=1,
        )
    )
    spec = specs.pod(world.cluster, world.cluster.spec.node_sets[0], 0)["spec"]
    assert isinstance(spec, dict)
    assert spec["schedulerName"] == "other"
    assert spec["volumes"] == [
        {"name": "tmp", "emptyDir": {}},
        {"name": "vol0", "persistentVolumeClaim": {"claimName": "vol0-db-data-0"}},
    ]


@pytest.mark.parametrize(("when_deleted", "owned"), [("Retain", False), ("Delete", True)])
def test_claims_are_owned_by_the_cluster_only_where_they_go_with_it(when_deleted: str, owned: bool) -> None:
    world = World(node_set(claims=1), persistentVolumeClaimRetentionPolicy={"whenDeleted": when_deleted})
    (claim,) = specs.claims(world.cluster, world.cluster.spec.node_sets[0], 2)
    metadata = claim["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["name"] == "vol0-db-data-2"
    assert ("ownerReferences" in metadata) is owned


@pytest.mark.parametrize(
    ("size", "quorum", "limit", "least"),
    [
        pytest.param(3, False, 1, 2, id="three, one may go"),
        pytest.param(3, True, 1, 2, id="a quorum of three, one may go"),
        pytest.param(3, True, 3, 2, id="a quorum of three never loses its majority"),
        pytest.param(4, True, "100%", 3, id="nor does one of four"),
        pytest.param(2, True, 1, 2, id="two have none to spare"),
        pytest.param(1, True, 1, 1, id="nor has one"),
        pytest.param(1, False, 1, 0, id="one that is no quorum may go"),
        pytest.param(6, False, "40%", 3, id="a percentage, rounded up"),
        pytest.param(3, False, 0, 3, id="none may go"),
        pytest.param(0, False, 1, 0, id="nobody there"),
    ],
)
def test_a_disruption_budget_keeps_at_least(size: int, quorum: bool, limit: int | str, least: int) -> None:
    world = World(node_set(quorum=quorum), disruptionBudget={"maxUnavailable": limit})
    spec = specs.budget(world.cluster, world.cluster.spec.node_sets[0], size=size, hold=False)["spec"]
    assert spec == {
        "minAvailable": least,
        "selector": {"matchLabels": {"stowplan.dev/cluster": "db", "stowplan.dev/node-set": "data"}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
