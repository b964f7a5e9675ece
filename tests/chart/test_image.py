"""The Dockerfile and what it says in other places (there is no Docker here to build it)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from tests.chart import rendering

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SOURCES = [
    source
    for line in DOCKERFILE.splitlines()
    if line.startswith("COPY ") and "--from" not in line
    for source in line.split()[1:-1]
]


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_copied_reaches_the_builder(source: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert f"!{source}" in lines


def test_both_stages_and_the_project_agree_on_python() -> None:
    build, final = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert build == final
    version = re.search(r"python:(\d+\.\d+)-", final)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version is not None
    assert project["requires-python"] == f">={version[1]}"


def test_the_image_runs_as_the_user_that_the_chart_names() -> None:
    values = yaml.safe_load((rendering.CHART / "values.yaml").read_text())
    context = values["podSecurityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in DOCKERFILE.splitlines()
    assert context["runAsUser"] > 0


def test_the_chart_and_the_project_have_one_version() -> None:
    chart = yaml.safe_load((rendering.CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]
