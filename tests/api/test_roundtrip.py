from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api import cases, strategies
from tests.api.objects import Object
from tests.api.test_models import MODELS, read

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def assert_round_trips(object_: Object) -> None:
    first = read(object_)
    written = first.to_json()
    assert read(json.loads(json.dumps(written))) == first
    assert read(json.loads(json.dumps(written))).to_json() == written


@pytest.mark.parametrize("kind", MODELS)
@SETTINGS
@given(data=st.data())
def test_what_is_written_reads_back_as_the_same(kind: str, data: st.DataObject) -> None:
    drawn = data.draw(strategies.objects(MODELS[kind]))
    assert_round_trips({**drawn, "kind": kind})


@pytest.mark.parametrize("object_", cases.ACCEPTED)
def test_examples_read_back_as_the_same(object_: Object) -> None:
    assert_round_trips(object_)
