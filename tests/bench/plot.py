"""A plot of lines on two logarithmic axes, as SVG. Pure; used by ``curve``."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterator, Sequence

WIDTH, HEIGHT = 434, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 26, 34, 44
COLOURS = ("#1f6feb", "#d29922", "#2da44e", "#cf222e", "#8250df")
INK, GRID, PAPER = "#57606a", "#d8dee4", "#ffffff"


@dataclasses.dataclass(frozen=True)
class Line:
    """Points (x, y), both above 0, and what they are."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One coordinate system."""

    title: str
    lines: tuple[Line, ...]


def svg(panels: Sequence[Panel], *, x: str, y: str, legend: str) -> str:
    """The panels beside each other on equal axes.

    Args:
        panels: with at least one point between them.
        x: what the x axis shows.
        y: what the y axis shows.
        legend: what the names of the lines are.
    """
    points = [point for panel in panels for line in panel.lines for point in line.points]
    scale = _Scale(_decades([at for at, _ in points]), _decades([value for _, value in points]))
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    colour = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    size = f'width="{WIDTH * len(panels)}" height="{HEIGHT + 24}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11" fill="{INK}">',
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
    ]
    for index, panel in enumerate(panels):
        parts.append(f'<g transform="translate({WIDTH * index} 0)">')
        parts += [*_frame(panel.title, scale, x, y), *_lines(panel, scale, colour), "</g>"]
    parts += [*_legend(legend, colour), "</svg>"]
    return "\n".join(parts) + "\n"


@dataclasses.dataclass(frozen=True)
class _Scale:
    """From values to pixels; each axis from one power of ten to another."""

    across: tuple[int, int]
    up: tuple[int, int]

    def x(self, value: float) -> float:
        share = (math.log10(value) - self.across[0]) / (self.across[1] - self.across[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (math.log10(value) - self.up[0]) / (self.up[1] - self.up[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _frame(title: str, scale: _Scale, x: str, y: str) -> Iterator[str]:
    top, bottom, right = TOP, HEIGHT - BOTTOM, WIDTH - RIGHT
    yield _text(LEFT, 20, title, bold=True)
    for power in range(scale.across[0], scale.across[1] + 1):
        at = scale.x(10**power)
        yield f'<path d="M{at:.1f} {top}V{bottom}" stroke="{GRID}"/>'
        yield _text(at, bottom + 15, f"{10**power:,}", anchor="middle")
    for power in range(scale.up[0], scale.up[1] + 1):
        at = scale.y(10**power)
        yield f'<path d="M{LEFT} {at:.1f}H{right}" stroke="{GRID}"/>'
        yield _text(LEFT - 5, at + 4, f"{10**power:,}", anchor="end")
    yield _text((LEFT + right) / 2, bottom + 32, x, anchor="middle")
    middle = (top + bottom) / 2
    yield f'<g transform="rotate(-90 14 {middle})">{_text(14, middle, y, anchor="middle")}</g>'


def _lines(panel: Panel, scale: _Scale, colour: dict[str, str]) -> Iterator[str]:
    for line in panel.lines:
        pixels = [(scale.x(at), scale.y(value)) for at, value in line.points]
        path = "L".join(f"{at:.1f} {value:.1f}" for at, value in pixels)
        yield f'<path d="M{path}" fill="none" stroke="{colour[line.name]}" stroke-width="1.6"/>'
        for at, value in pixels:
            yield f'<circle cx="{at:.1f}" cy="{value:.1f}" r="2.6" fill="{colour[line.name]}"/>'


def _legend(legend: str, colour: dict[str, str]) -> Iterator[str]:
    at = LEFT
    yield _text(at, HEIGHT + 10, legend)
    at += 7 * len(legend)
    for name, shade in colour.items():
        yield f'<circle cx="{at + 4}" cy="{HEIGHT + 6}" r="4" fill="{shade}"/>'
        yield _text(at + 12, HEIGHT + 10, name)
        at += 28 + 7 * len(name)


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold" font-size="13"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{html.escape(text)}</text>'
