from __future__ import annotations

import pytest
from tests.api import objects
from tests.api.objects import Object
from tests.api.test_models import read

from stowplan.api import checks
from stowplan.api.checks import Problem
from stowplan.api.cluster import StatefulCluster


def problems(object_: Object) -> tuple[Problem, ...]:
    found = read(object_)
    assert isinstance(found, StatefulCluster)
    return checks.validate(found.metadata.name, found.spec)


def claim(name: str) -> Object:
    return objects.changed(objects.node_set("x")["volumeClaimTemplates"][0], {"metadata.name": name})


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="node sets"),
        pytest.param({"spec.updateStrategy.order": ["replica", "master"]}, id="a role"),
        pytest.param({"spec.updateStrategy.order": []}, id="nothing"),
    ],
)
def test_an_order_may_name(changes: dict[str, object]) -> None:
    assert problems(objects.changed(objects.cluster(), changes)) == ()


def test_an_order_that_names_nothing_is_told_and_blocks_nothing() -> None:
    found = problems(objects.changed(objects.cluster(), {"spec.updateStrategy.order": ["data", "mster"]}))
    assert [str(problem) for problem in found] == [
        "spec.updateStrategy.order[1]: mster is neither a node set nor a role of one"
    ]
    assert not found[0].blocks


def test_a_template_without_pods_blocks() -> None:
    found = problems(objects.changed(objects.cluster(), {"spec.nodeSets[1].template": {}}))
    assert [(problem.field, problem.blocks) for problem in found] == [("spec.nodeSets[1].template.spec", True)]


def test_claims_that_two_sets_would_share_block() -> None:
    sets = [
        objects.node_set("orders-a", volumeClaimTemplates=[claim("store")]),
        objects.node_set("a", volumeClaimTemplates=[claim("store-orders")]),
    ]
    found = problems(objects.changed(objects.cluster(), {"spec.nodeSets": sets, "spec.updateStrategy.order": []}))
    assert [problem.field for problem in found] == ["spec.nodeSets[1].volumeClaimTemplates[0].metadata.name"]
    assert found[0].message == (
        "claims store-orders-orders-a-<n> belong to the members of node set orders-a already: choose another name"
    )
    assert found[0].blocks


def test_the_same_template_name_in_two_sets_is_no_problem() -> None:
    assert problems(objects.cluster()) == ()
