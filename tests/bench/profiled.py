"""`python -m tests.bench.profiled OUTPUT MODULE [ARGUMENT…]`: runs a module under cProfile by CPU time.

cProfile's own clock is that of the wall: on a machine that is shared it blames whoever is interrupted, above all what
wakes another process (a request to the API server).
"""

from __future__ import annotations

import cProfile
import runpy
import sys
import time


def profile() -> cProfile.Profile:
    """A profile that counts the CPU time of the process."""
    return cProfile.Profile(time.process_time)


def _main(output: str, module: str, arguments: list[str]) -> None:
    sys.argv[1:] = arguments
    profiler = profile()
    try:
        profiler.runcall(runpy.run_module, module, run_name="__main__", alter_sys=True)
    finally:
        profiler.dump_stats(output)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3:])
