"""Installs a package of one module as pip would, without a build and without a network."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path


def install(project: Path, target: Path) -> None:
    """Puts the modules of a project, and what its pyproject.toml says of it, into a folder for PYTHONPATH."""
    document = tomllib.loads((project / "pyproject.toml").read_text())
    about = document["project"]
    target.mkdir(parents=True, exist_ok=True)
    for name in document["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]:
        shutil.copy(project / name, target)
    info = target / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    lines: list[str] = []
    for group, entries in about["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
