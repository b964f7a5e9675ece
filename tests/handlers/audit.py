"""What the API server itself says about who wrote what: its audit log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.controlplane.plane import ControlPlane

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]}],
}


def arguments(directory: Path) -> Sequence[str]:
    """Command line arguments of kube-apiserver: every write is noted in a file of this directory, at once."""
    policy = directory / "audit-policy.json"
    policy.write_text(json.dumps(POLICY))
    return (f"--audit-policy-file={policy}", f"--audit-log-path={directory / 'audit.log'}", "--audit-log-mode=blocking")


def writes(plane: ControlPlane, namespace: str) -> list[str]:
    """The writes in a namespace so far, by anybody, as verb and path; dry runs are none."""
    found = []
    for line in (plane.directory / "audit.log").read_text().splitlines():
        record = json.loads(line)
        path, _, query = record["requestURI"].partition("?")
        if f"/namespaces/{namespace}/" in path and "dryRun" not in query:
            found.append(f"{record['verb']} {path}")
    return found
