from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console
from rich.text import Text
from tests.demo.screen import Screen


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(out: io.StringIO) -> Screen:
    return Screen(Console(file=out, width=40, highlight=False))


def test_a_programs_output_is_neither_wrapped_nor_read_as_markup(screen: Screen, out: io.StringIO) -> None:
    line = "x" * 60 + " [bold]1 of 2[/bold]"
    screen.show(line)
    assert out.getvalue() == f"{line}\n"


def test_a_step_is_one_line_without_a_terminal(screen: Screen, out: io.StringIO) -> None:
    screen.step("helm install stowplan charts/stowplan --create-namespace")
    (line,) = out.getvalue().splitlines()
    assert line.endswith(" s  helm install stowplan charts/stowplan --create-namespace")


def test_on_a_terminal_a_long_step_goes_on_below_its_beginning(out: io.StringIO) -> None:
    screen = Screen(Console(file=out, width=40, force_terminal=True, color_system=None, highlight=False))
    screen.step("helm install stowplan charts/stowplan")
    first, second = (line.rstrip() for line in out.getvalue().splitlines())
    assert first.endswith(" s  helm install stowplan")
    assert second == " " * first.index("helm") + "charts/stowplan"


def test_without_a_terminal_progress_is_a_line_when_there_is_news(screen: Screen, out: io.StringIO) -> None:
    with screen.live() as show:
        for _ in range(5):
            show(Text("a table"), "1 of 2 placed")
    (line,) = out.getvalue().splitlines()
    assert line.endswith("s  1 of 2 placed")


def test_on_a_terminal_progress_is_a_table_that_goes_away(out: io.StringIO) -> None:
    screen = Screen(Console(file=out, width=40, force_terminal=True, highlight=False))
    with screen.live() as show:
        show(Text("a table"), "1 of 2 placed")
    assert "a table" in out.getvalue()
    assert "1 of 2 placed" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K"), "erased"


def test_the_image_shows_what_was_recorded_and_loads_nothing(screen: Screen, tmp_path: Path) -> None:
    screen.step("begin")
    screen.show("for the image & the terminal")
    screen.show("for the terminal", record=False)
    screen.save(tmp_path / "image.svg")

    text = (tmp_path / "image.svg").read_text()
    shown = "".join(ElementTree.fromstring(text).itertext()).replace("\xa0", " ")
    assert "begin" in shown
    assert "for the image & the terminal" in shown
    assert "for the terminal" not in shown
    assert text.count("http") == text.count("http://www.w3.org/2000/svg")
    assert not [word for word in ("@import", "@font-face", "<script", "href") if word in text]
