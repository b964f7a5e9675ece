from __future__ import annotations

import pytest
from scripts import crd_schema, crds
from tests.api import objects
from tests.api.objects import ABSENT, Object
from tests.api.test_generated import nodes
from tests.api.test_models import read

from stowplan.api import support
from stowplan.api.cluster import StatefulCluster
from stowplan.api.policy import SchedulingPolicy

FIELDS = {kind.kind: {path for path, _ in nodes(crd_schema.structural(kind.model))} for kind in crds.KINDS}


def unsupported(object_: Object) -> list[str]:
    found = read(object_)
    assert isinstance(found, SchedulingPolicy | StatefulCluster)
    return support.unsupported(found.spec)


def test_every_gap_is_of_a_field_that_is_there_and_named_once() -> None:
    for kind, gaps in (("SchedulingPolicy", support.POLICY_GAPS), ("StatefulCluster", support.CLUSTER_GAPS)):
        named = [gap.field for gap in gaps]
        assert set(named) <= FIELDS[kind]
        assert len(named) == len(set(named))


def test_the_simplest_objects_ask_for_nothing_that_is_not_there() -> None:
    simple = objects.changed(objects.policy(), {"spec": {}})
    assert unsupported(simple) == []
    small = objects.changed(objects.small_cluster(), {"spec.updateStrategy": ABSENT, "spec.nodeFailure": ABSENT})
    assert unsupported(small) == []


@pytest.mark.parametrize(
    ("object_", "gaps"),
    [
        pytest.param(
            objects.changed(objects.policy(), {"spec.mode": "DryRun"}),
            [f"{gap.field}: {gap.instead}" for gap in support.POLICY_GAPS],
            id="SchedulingPolicy",
        ),
        pytest.param(
            objects.changed(
                objects.cluster(), {"spec.nodeFailure.volumes": "ReplaceIfNodeGone", "spec.updateStrategy.partition": 1}
            ),
            [f"{gap.field}: {gap.instead}" for gap in support.CLUSTER_GAPS],
            id="StatefulCluster",
        ),
    ],
)
def test_a_spec_that_asks_for_everything_is_told_every_gap(object_: Object, gaps: list[str]) -> None:
    assert unsupported(object_) == gaps
