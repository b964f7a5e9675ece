"""The scenarios themselves are run by `make scenarios`; here a few, with Stowplan, once."""

from __future__ import annotations

import pytest
from tests.scenarios import registry
from tests.scenarios.run import Case, run
from tests.scenarios.scenario import Setup

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.mark.parametrize("name", ["lost-disk", "rollback", "rack-drain"])
def test_stowplan_passes(name: str) -> None:
    outcome = run(Case(scenario=registry.BY_NAME[name], setup=Setup.OURS), lambda _: None)
    assert (outcome.reason, outcome.broken) == ("", ())
