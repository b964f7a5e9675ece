from __future__ import annotations

import pytest
from tests.api import cases, objects
from tests.api.cases import Refusal
from tests.api.objects import Object

from stowplan import errors
from stowplan.api import base, cluster, policy
from stowplan.api.base import ApiModel

MODELS: dict[str, type[ApiModel]] = {
    policy.KIND: policy.SchedulingPolicy,
    cluster.KIND: cluster.StatefulCluster,
}


def read(object_: Object) -> ApiModel:
    return base.parse(MODELS[object_["kind"]], object_, what=f"{object_['kind']} {object_['metadata']['name']}")


@pytest.mark.parametrize("object_", cases.ACCEPTED)
def test_is_accepted(object_: Object) -> None:
    assert read(object_).to_json()["spec"] is not None


@pytest.mark.parametrize("refusal", cases.REFUSED)
def test_is_refused_with_the_field_named(refusal: Refusal) -> None:
    with pytest.raises(errors.InvalidObject) as refused:
        read(refusal.object)
    assert refused.value.field.startswith(refusal.field)
    assert refused.value.what.startswith(refusal.object["kind"])
    assert refusal.says in ("", refused.value.problem)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "path",
    [
        "surprise",
        "spec.surprise",
        "spec.selector.surprise",
        "spec.spread[0].surprise",
        "spec.spread[0].max_skew",
        "spec.nodes.limits.surprise",
    ],
)
def test_an_unknown_field_is_refused_and_named(path: str) -> None:
    with pytest.raises(errors.InvalidObject) as refused:
        read(objects.changed(objects.policy(), {path: 1}))
    assert (refused.value.field, refused.value.problem) == (path, "there is no such field")


def test_unknown_fields_of_metadata_and_status_are_passed_over_since_others_write_them() -> None:
    found = read(objects.changed(objects.policy(), {"metadata.managedFields": [], "status": {"later": 1}}))
    assert isinstance(found, policy.SchedulingPolicy)
    assert found.metadata.name == "database-ha"


def test_null_is_the_same_as_absent() -> None:
    with_null = read(objects.changed(objects.policy(), {"spec.spread[0].weight": None, "spec.mode": None}))
    assert with_null == read(objects.changed(objects.policy(), {"spec.mode": objects.ABSENT}))


def test_models_are_immutable() -> None:
    found = read(objects.policy())
    with pytest.raises(ValueError, match="frozen"):
        found.spec = None  # type: ignore[attr-defined]


def test_what_a_template_carries_is_handed_on_as_it_came() -> None:
    template: Object = {
        "metadata": {"labels": {"app": "x"}, "finalizers": ["example.com/x"]},
        "spec": {
            "containers": [{"name": "db", "image": "db:1", "env": [{"name": "A", "value": ""}], "stdin": False}],
            "securityContext": {"runAsUser": 0},
            "volumes": [],
        },
    }
    found = read(objects.changed(objects.cluster(), {"spec.nodeSets[0].template": template}))
    assert isinstance(found, cluster.StatefulCluster)
    handed_on = found.spec.node_sets[0].template.to_json()
    assert handed_on == {**template, "metadata": {**template["metadata"], "annotations": {}}}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        pytest.param({}, 3, id="the cluster's number"),
        pytest.param({"spec.replicas": objects.ABSENT}, 1, id="one by default"),
        pytest.param({"spec.replicas": objects.ABSENT, "spec.nodeSets[0].replicas": 0}, 0, id="the set's own"),
    ],
)
def test_the_size_of_a_node_set_is(changes: dict[str, object], wanted: int) -> None:
    found = read(objects.changed(objects.small_cluster(), changes))
    assert isinstance(found, cluster.StatefulCluster)
    assert found.spec.wanted(found.spec.node_sets[0]) == wanted


def test_a_domain_is_found_by_its_name() -> None:
    found = read(objects.policy())
    assert isinstance(found, policy.SchedulingPolicy)
    assert found.spec.domain("rack").topology_key == "example.com/rack"
    with pytest.raises(KeyError):
        found.spec.domain("shelf")


@pytest.mark.parametrize(
    ("down", "expected"),
    [
        pytest.param({"action": "Relax", "after": "90s"}, 90.0, id="as said"),
        pytest.param({"action": "Relax"}, 300.0, id="five minutes by default"),
    ],
)
def test_a_domain_that_is_down_stops_counting_after(down: dict[str, str], expected: float) -> None:
    assert policy.WhenDomainDown.model_validate(down).after_seconds == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5m", 300), ("1h30m", 5400), ("0s", 0), ("1.5h", 5400), ("250ms", 0.25), ("1h1m1s1ms", 3661.001)],
)
def test_a_duration_in_seconds_is(text: str, expected: float) -> None:
    assert base.seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "total", "up", "down"),
    [(2, 10, 2, 2), ("40%", 6, 3, 2), ("100%", 7, 7, 7), ("0%", 7, 0, 0), ("50%", 4, 2, 2), ("1%", 3, 1, 0)],
)
def test_a_share_of_a_total_is(value: int | str, total: int, up: int, down: int) -> None:
    assert base.share(value, total, round_up=True) == up
    assert base.share(value, total, round_up=False) == down
