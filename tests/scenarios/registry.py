"""All scenarios, in the order of the table."""

from __future__ import annotations

from typing import Final

from tests.scenarios.cases import (
    bad_zone,
    claim_templates,
    gangs,
    greedy_trap,
    lost_disk,
    nested_racks,
    no_majority,
    rack_drain,
    rollback,
    rolling_update,
    scale_down,
    slow_provisioner,
    two_claims,
    two_schedulers,
    zone_outage,
)

SCENARIOS: Final = tuple(
    each.SCENARIO
    for each in (
        scale_down,
        zone_outage,
        bad_zone,
        two_claims,
        slow_provisioner,
        lost_disk,
        rollback,
        nested_racks,
        no_majority,
        rolling_update,
        two_schedulers,
        gangs,
        greedy_trap,
        claim_templates,
        rack_drain,
    )
)
BY_NAME: Final = {each.name: each for each in SCENARIOS}
