"""What all tests share."""

from __future__ import annotations

pytest_plugins = ["tests.controlplane.fixtures", "tests.process_fixtures"]
