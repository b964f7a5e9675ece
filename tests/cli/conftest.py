"""The command line in this process: quick, and otherwise as in one of its own (`command.run`)."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
import yaml
from tests.cli.command import Done
from tests.controlplane.nodes import Manifest

from stowplan import cli


class Invoke(Protocol):
    """Type of the fixture `invoke`."""

    def __call__(self, *arguments: str, stdin: str = "") -> Done:
        """Run the command to its end."""


Write = Callable[..., str]
"""`write("a.yaml", *manifests)` writes them as YAML documents (or as a JSON List) and returns the path."""


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs `stowplan`, without a cluster unless one is named."""

    def run(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        status: object = 0
        try:
            cli.main(arguments)
        except SystemExit as end:
            status = end.code
        assert isinstance(status, int)
        said = capsys.readouterr()
        return Done(status, said.out, said.err)

    return run


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes manifests to a file."""

    def to(name: str, *manifests: Manifest) -> str:
        path = tmp_path / name
        if name.endswith(".json"):
            path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))
        else:
            path.write_text(yaml.safe_dump_all(manifests))
        return str(path)

    return to
