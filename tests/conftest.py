"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.controlplane.fixtures", "tests.process_fixtures"]

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("stowplan", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("stowplan")
