"""What the demo needs of a cluster, whichever it is: `local` and `given` make one of these, `story` plays on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Protocol

from tests.controlplane.nodes import Manifest
from tests.demo.fitting import Fitted

NAMESPACE: Final = "stowplan-demo"
"""Where the example lives, on every cluster."""
ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = (ROOT / "examples" / "policy.yaml", ROOT / "examples" / "cluster.yaml")
KINDS: Final = {"SchedulingPolicy": "schedulingpolicies", "StatefulCluster": "statefulclusters"}
GROUP: Final = "/apis/stowplan.dev/v1alpha1"


class Kubectl(Protocol):
    """Runs kubectl on the cluster and returns what it prints."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Raises ControlPlaneError with what it said if it fails."""


class Reader(Protocol):
    """Reads the API while other things go on."""

    async def get(self, path: str) -> Manifest:
        """Read an object or a collection."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """A cluster with Stowplan's CRDs, the namespace of the demo, and all that `stowplan run` needs.

    Attributes:
        kubeconfig: of the user, for kubectl and the command line.
        reader: makes a reader, to be entered.
        pause: seconds between two looks at the cluster.
        config: the configuration file for Stowplan.
        rights: the kubeconfig for Stowplan.
        acting: with whose configuration and rights Stowplan runs, for people.
        environment: variables for programs that talk to this cluster.
        fit: adapts the examples to the cluster.
        check: raises an error when a part of the cluster that the demo started has ended.
    """

    kubeconfig: Path
    kubectl: Kubectl
    reader: Callable[[], AbstractAsyncContextManager[Reader]]
    pause: float
    config: Path
    rights: Path
    acting: str
    environment: Mapping[str, str]
    fit: Callable[[Manifest, Manifest], Fitted]
    check: Callable[[], None]
