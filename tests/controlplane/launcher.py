"""Becomes another program that the kernel kills as soon as the process that started it is gone.

Run by `process.Process` as a script (it imports nothing of the project, so that it costs 20 ms):
`python launcher.py <pid of the parent> <program> <arguments>`. The "parent death signal" is kept across exec, so the
program that takes this process over needs to know nothing, and its pid is the one that was started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent was gone before the start")
    os.execv(program[0], program)  # it does not return


if __name__ == "__main__":
    main()
