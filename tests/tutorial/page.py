"""The tutorial's files and commands, read from the page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text()


class Command(NamedTuple):
    """A command of a console block, and what the page says that it prints."""

    arguments: list[str]
    output: str


def files() -> dict[str, str]:
    """What the page shows of each file, by name: blocks with the name in bold on the line before."""
    return dict(re.findall(r"^\*\*([\w.]+)\*\*\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def commands() -> Iterator[Command]:
    """The commands of console blocks that begin with a prompt."""
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for line, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            yield Command(shlex.split(line), output)
