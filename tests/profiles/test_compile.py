"""One policy that cannot be compiled would keep all others from being put in force, so there must be none."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from tests.api import strategies
from tests.api.objects import Object
from tests.profiles.world import policy

from stowplan.api import core
from stowplan.api.policy import SchedulingPolicy
from stowplan.profiles.compile import compile_policy

MANY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@MANY
@given(strategies.objects(SchedulingPolicy))
def test_every_policy_that_is_accepted_can_be_compiled(drawn: Object) -> None:
    assert compile_policy(SchedulingPolicy.model_validate(drawn)).key == "prod/orders"


@MANY
@given(strategies.objects(core.NodeAffinity))
def test_every_node_affinity_that_is_accepted_can_be_compiled(drawn: Object) -> None:
    assert compile_policy(policy("ha", nodes={"affinity": drawn})).key == "default/ha"
