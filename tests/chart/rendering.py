"""Renders the chart with the real helm, for the tests and for `python -m tests.chart`."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml
from tests.controlplane import binaries
from tests.controlplane.errors import ControlPlaneError

CHART: Final = Path(__file__).parents[2] / "charts" / "stowplan"
VALUES: Final = Path(__file__).parent / "values"
FILES: Final = tuple(sorted(VALUES.glob("*.yaml")))
"""Values files that the chart must accept."""
NAMESPACE: Final = "placement"
RELEASE: Final = "stowplan"

Manifest = dict[str, Any]


def helm(*arguments: str) -> str:
    """Run helm, which needs no cluster for this, and return what it prints.

    Raises:
        ControlPlaneError: it failed; with what it said.
    """
    (tool,) = (tool for tool in binaries.TOOLS if tool.name == "helm")
    path = binaries.ensure(tools=(tool,))["helm"]
    done = subprocess.run([path, *arguments], text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ControlPlaneError(f"helm {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


@functools.cache
def render(*arguments: str) -> tuple[Manifest, ...]:
    """The objects that `helm template` makes with these arguments (not the CRDs)."""
    text = helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *arguments)
    return tuple(manifest for manifest in yaml.safe_load_all(text) if manifest)


def of(manifests: tuple[Manifest, ...], kind: str, suffix: str = "") -> Manifest:
    """The one object of a kind whose name ends so."""
    found = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    (one,) = found
    return one


def configuration(manifests: tuple[Manifest, ...]) -> str:
    """The configuration file in the ConfigMap."""
    text: str = of(manifests, "ConfigMap")["data"]["config.yaml"]
    return text
