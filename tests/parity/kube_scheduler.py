"""Kubernetes' own scheduler plugins as a function: a state in, what they say of every pending pod out.

The program behind it is oracle/main.go, built on first use and kept in the cache of the control plane's programs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import msgspec
from tests.controlplane import binaries
from tests.controlplane.progress import Progress, print_progress
from tests.parity.draw import Object
from tests.parity.verdict import Verdict

SOURCE = Path(__file__).parent / "oracle"


class OracleError(Exception):
    """The oracle stopped, or was given what no API server would take."""


class Answer(msgspec.Struct):
    """What the oracle says of a state.

    Attributes:
        objects: those of the state, with the API server's defaults.
        invalid: kind and name of what the API server would not take, and why; left out of all else.
        verdicts: by ``namespace/name`` of the pending pods.
    """

    objects: list[msgspec.Raw]
    verdicts: dict[str, Verdict]
    invalid: dict[str, str] = {}


class Oracle:
    """A running oracle; close it, or use it as a context manager.

    Args:
        program: see ``program``.
        configuration: file with the KubeSchedulerConfiguration that it goes by; None for the default one.
    """

    def __init__(self, program: Path, configuration: Path | None = None) -> None:
        command = [program] if configuration is None else [program, configuration]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._decoder = msgspec.json.Decoder(Answer)

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the program."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def ask(self, items: Sequence[Object]) -> Answer:
        """Puts one state before it.

        Raises:
            OracleError: the program ended; it has said why on stderr.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = msgspec.json.encode({"kind": "List", "apiVersion": "v1", "items": items})
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline()
        except BrokenPipeError:
            said = b""
        if not said:
            raise OracleError("the oracle ended without an answer; what it says is above")
        return self._decoder.decode(said)


def program(progress: Progress = print_progress) -> Path:
    """The oracle, built if it is not in the cache. Raises ControlPlaneError."""
    return binaries.ensure_own("oracle", SOURCE, progress=progress)
