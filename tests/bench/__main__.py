"""`make bench ARGS=…`: Stowplan beside kube-scheduler and beside bare binding."""

from __future__ import annotations

import sys

from tests.bench import decisions
from tests.controlplane.errors import ControlPlaneError


def main(arguments: list[str]) -> int:
    """Runs the command line; 2 for bad usage."""
    try:
        return decisions.main(arguments[1:])
    except ControlPlaneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
