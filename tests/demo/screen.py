"""What the demo prints: steps with the time, a live table on a terminal and lines elsewhere, and an SVG of the whole.

Everything of the demo that is for people goes through one `Screen`, standard output.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.terminal_theme import TerminalTheme
from rich.text import Text

EVERY: Final = 2.0
"""Seconds between two lines about the progress where there is no terminal."""
SVG_WIDTH: Final = 104

SVG_FORMAT: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" xml:space="preserve">
<style>
.{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  font-size: 20.26px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
<rect fill="#16191f" width="{width}" height="{height}" rx="8"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""  # noqa: E501
"""rich's own, less the window's buttons and the fonts that it loads from elsewhere, which no image in a page may."""

THEME: Final = TerminalTheme(
    (22, 25, 31), (222, 226, 230),
    [(22, 25, 31), (240, 98, 98), (126, 211, 113), (236, 194, 95), (98, 165, 245), (218, 128, 232), (94, 214, 222),
     (222, 226, 230)],
    [(118, 126, 140), (255, 130, 130), (150, 232, 138), (248, 214, 120), (130, 188, 255), (240, 150, 250),
     (120, 230, 238), (255, 255, 255)],
)  # fmt: skip
"""Colours of the SVG: background, text, and the eight of a terminal, plain and bright."""


class Screen:
    """Prints, and remembers what belongs into the SVG."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._record = Console(record=True, file=io.StringIO(), width=SVG_WIDTH, force_terminal=True,
                               color_system="truecolor", highlight=False, legacy_windows=False)  # fmt: skip
        self._start = time.monotonic()

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._console.width

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def step(self, doing: str) -> None:
        """Say what comes next: on a terminal in lines of its width, elsewhere in one."""
        when = Text(f"==> {self.seconds:4.1f} s  ", "dim")
        line = Text.assemble(when, (doing, "not dim"))
        if self._console.is_terminal:
            lines = Table.grid()
            lines.add_column(no_wrap=True)
            lines.add_row(when, doing)
            self._console.print(lines)
        else:
            self._console.print(line, soft_wrap=True)
        self._record.print(line, soft_wrap=True)

    def title(self, text: str, *, record: bool = True) -> None:
        """Begin a part of the report."""
        self.show(Text(), record=record)
        self.show(Rule(text, align="left", style="dim", characters="─"), record=record)

    def show(self, what: RenderableType, *, record: bool = True) -> None:
        """Print a renderable or a text, which is taken as it is."""
        if isinstance(what, str):
            what = Text(what)
        soft = isinstance(what, Text)  # a program's output is not cut to the width of the terminal
        self._console.print(what, soft_wrap=soft)
        if record:
            self._record.print(what, soft_wrap=soft)

    @contextlib.contextmanager
    def live(self) -> Iterator[Callable[[RenderableType, str], None]]:
        """Give a function to show how far it is: with a table, which stays in place, or with a line at times."""
        if not self._console.is_terminal:
            yield self._lines()
            return
        with Live(console=self._console, refresh_per_second=10, transient=True) as live:
            yield lambda table, line: live.update(Group(Text(), table, Text(), Text(f"{self.seconds:.1f} s  {line}")))

    def _lines(self) -> Callable[[RenderableType, str], None]:
        said, when = "", float("-inf")

        def tell(table: RenderableType, line: str) -> None:
            nonlocal said, when
            if line != said or self.seconds - when > EVERY * 5:
                if self.seconds - when < EVERY and said:
                    return
                said, when = line, self.seconds
                self._console.print(Text(f"    {self.seconds:4.1f} s  {line}"), soft_wrap=True)

        return tell

    def save(self, path: Path) -> None:
        """Write the SVG.

        Raises:
            OSError: it cannot be written there.
        """
        text = self._record.export_svg(title="make demo", theme=THEME, code_format=SVG_FORMAT, unique_id="demo")
        path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")
