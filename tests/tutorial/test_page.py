"""Whoever does what docs/plugins.md says gets what it says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from tests.cli import command
from tests.tutorial import package, page

from stowplan.profiles import in_tree

EXAMPLE = page.ROOT / "examples" / "plugin"


@pytest.mark.parametrize("name", ["disk_type.py", "pyproject.toml", "config.yaml", "cluster.yaml", "Dockerfile"])
def test_the_page_shows_the_files_of_the_example(name: str) -> None:
    assert page.files()[name] == (EXAMPLE / name).read_text()


def test_the_page_shows_no_other_files_but_the_values_of_the_chart() -> None:
    assert set(page.files()) == {each.name for each in EXAMPLE.iterdir() if each.is_file()} | {"values.yaml"}


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """A folder with the page's files, and one with a configuration that is wrong."""
    for name, text in page.files().items():
        (tmp_path / name).write_text(text)
    wrong = page.files()["config.yaml"].replace("ranking", "rankings")
    (tmp_path / "bad.yaml").write_text(wrong)
    return tmp_path


def test_its_commands_print_what_it_says(workshop: Path) -> None:
    package.install(workshop, workshop / "installed")
    path = os.pathsep.join([str(page.ROOT / "operator"), str(workshop / "installed")])
    told = list(page.commands())
    assert len(told) == 3
    for one in told:
        assert one.arguments[0] == "stowplan"
        done = command.run(*one.arguments[1:], directory=workshop, environment={"PYTHONPATH": path})
        assert (done.out + done.err).splitlines() == one.output.splitlines()


def test_without_the_package_the_plugin_is_named_as_missing(workshop: Path) -> None:
    done = command.run("plan", "-f", "cluster.yaml", "--config", "config.yaml", directory=workshop)
    assert done.status == 2
    (line,) = done.errors
    assert line.startswith(
        "error: profile stowplan: plugins.multiPoint.enabled: there is no plugin DiskType; there are "
    )


def test_the_values_for_the_chart_are_the_profiles_of_the_configuration() -> None:
    values, config = (yaml.safe_load(page.files()[name]) for name in ("values.yaml", "config.yaml"))
    assert values["config"]["profiles"] == config["profiles"]


def test_the_weights_on_the_page_are_those_of_the_plugins() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (\d+) \| ", page.PAGE, re.MULTILINE)
    assert {name: int(weight) for names, weight in rows for name in re.findall(r"\w+", names)} == in_tree.WEIGHTS
