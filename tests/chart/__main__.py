"""`python -m tests.chart`: lint the chart with each of the values files; quick enough for `make check`."""

from __future__ import annotations

import sys

from tests.chart import rendering
from tests.controlplane.errors import ControlPlaneError


def main() -> int:
    """Lint; print only what is wrong."""
    try:
        for file in ("", *map(str, rendering.FILES)):
            values = ["--values", file] if file else []
            rendering.helm("lint", "--strict", "--quiet", str(rendering.CHART), *values)
    except ControlPlaneError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
