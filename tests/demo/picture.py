"""A picture of the failure domains with the members in them, drawn with box characters. No I/O.

::

    ╭ zone a ────────────────╮
    │╭ power a-1 ───────────╮│
    ││ r1 │master-0│·       ││
    ││ r2 │·       │data-3  ││
    │╰──────────────────────╯│
    ╰────────────────────────╯

Broad domains are boxes, the narrowest is a row, each cell of a row a host. The default layout fits into 80 columns; of
large clusters only the hosts with members are drawn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from rich.text import Text
from tests.demo.state import Host, Member

CELLS = 4
"""Hosts beside each other at most."""
MANY = 8
"""Domains with more hosts, or more rows, are drawn without the empty ones."""
EMPTY, SHUT = "·", "-"
FRAME = "bright_black"

Block = list[Text]
"""Lines of the same width."""


@dataclasses.dataclass(frozen=True)
class Domain:
    """A failure domain: either narrower ones, or, if it is of the narrowest kind, the hosts."""

    kind: str
    name: str
    inside: tuple[Domain, ...]
    hosts: tuple[Host, ...]


def tree(hosts: Sequence[Host], levels: Sequence[tuple[str, str]]) -> tuple[Domain, ...]:
    """The hosts by domain.

    Args:
        hosts: all of them.
        levels: name and node label of each kind of domain from broad to narrow, the host left out. Hosts without the
            label of a level are in a domain called "-" there.
    """
    if not levels:
        return (Domain("cluster", "", (), tuple(hosts)),)
    (kind, key), *narrower = levels
    groups: dict[str, list[Host]] = {}
    for host in sorted(hosts, key=lambda each: each.name):
        groups.setdefault(host.labels.get(key, "-"), []).append(host)
    return tuple(
        Domain(kind, name, tree(groups[name], narrower) if narrower else (), tuple(groups[name]))
        for name in sorted(groups)
    )


def draw(
    hosts: Sequence[Host],
    members: Sequence[Member],
    levels: Sequence[tuple[str, str]],
    *,
    colours: Mapping[str, str],
    width: int,
) -> list[Text]:
    """The picture, in lines of at most `width` columns wherever one box fits into that.

    Args:
        hosts: all nodes.
        members: who is on them; those without a node are not drawn.
        levels: as for `tree`.
        colours: node set to a style.
        width: of the terminal.
    """
    guests: dict[str, list[Member]] = {}
    for member in members:
        if member.node:
            guests.setdefault(member.node, []).append(member)
    pen = _Pen(guests, colours)
    domains = tree(hosts, levels)
    if len(levels) < 2:
        return _boxed("cluster", pen.rows(domains))
    blocks = [pen.box(domain) for domain in domains]
    return _beside(blocks, width)


class _Pen:
    """Draws domains, all cells equally wide."""

    def __init__(self, guests: Mapping[str, Sequence[Member]], colours: Mapping[str, str]) -> None:
        self._guests = guests
        self._colours = colours
        self._cell = max((len(self._names(guest).plain) for guest in guests.values()), default=1)

    def box(self, domain: Domain) -> Block:
        """A broad domain as a box of what is inside."""
        if domain.inside[0].inside:
            lines = [line for each in domain.inside for line in self.box(each)]
        else:
            lines = self.rows(domain.inside, within=domain.name)
        return _boxed(f"{domain.kind} {domain.name}", lines)

    def rows(self, domains: Sequence[Domain], *, within: str = "") -> Block:
        """The narrowest domains as rows of hosts."""
        shown = [each for each in domains if len(domains) <= MANY or self._inhabited(each)]
        labels = [_short(each.name, within) for each in shown]
        head = max(map(len, labels), default=0)
        lines = []
        for label, domain in zip(labels, shown, strict=True):
            hosts = [each for each in domain.hosts if len(domain.hosts) <= MANY or each.name in self._guests]
            chunks = [hosts[at : at + CELLS] for at in range(0, len(hosts), CELLS)] or [[]]
            for number, chunk in enumerate(chunks):
                line = Text(f" {label if number == 0 else '':{head}} ")
                for host in chunk:
                    line.append("│", FRAME).append_text(self._inside(host))
                lines.append(line)
            if len(hosts) < len(domain.hosts):
                lines.append(Text(f" {'':{head}} … {len(domain.hosts) - len(hosts)} without members", "dim"))
        if len(shown) < len(domains):
            lines.append(Text(f" … {len(domains) - len(shown)} more without members", "dim"))
        return _padded(lines)

    def _inhabited(self, domain: Domain) -> bool:
        return any(host.name in self._guests for host in domain.hosts)

    def _inside(self, host: Host) -> Text:
        guests = self._guests.get(host.name)
        text = self._names(guests) if guests else Text(EMPTY if host.usable else SHUT, "dim")
        text.pad_right(self._cell - len(text))
        return text

    def _names(self, guests: Sequence[Member]) -> Text:
        return Text(" ").join(Text(each.short, self._colours.get(each.node_set, "")) for each in guests)


def _short(name: str, within: str) -> str:
    """`a-1-r3` in `a-1` is r3: the rest is on the box already."""
    return name.removeprefix(f"{within}-") if within else name


def _padded(lines: Block) -> Block:
    width = max((len(line) for line in lines), default=0)
    for line in lines:
        line.pad_right(width - len(line))
    return lines


def _boxed(title: str, lines: Block) -> Block:
    """The lines with a frame around them, and the title in it."""
    lines = _padded([*lines, Text(" " * (len(title) + 3))])[:-1]
    width = len(lines[0]) if lines else len(title) + 3
    top = Text().append("╭ ", FRAME).append(title, "bold").append(f" {'─' * (width - len(title) - 2)}╮", FRAME)
    body = [Text().append("│", FRAME).append_text(line).append("│", FRAME) for line in lines]
    return [top, *body, Text(f"╰{'─' * width}╯", FRAME)]


def _beside(blocks: Sequence[Block], width: int) -> Block:
    """As many blocks beside each other as there is room for, the others below."""
    bands: list[list[Block]] = []
    for block in blocks:
        if bands and sum(len(each[0]) + 1 for each in bands[-1]) + len(block[0]) <= width:
            bands[-1].append(block)
        else:
            bands.append([block])
    lines = []
    for band in bands:
        for at in range(max(map(len, band))):
            blank = [Text(" " * len(block[0])) for block in band]
            lines.append(Text(" ").join(block[at] if at < len(block) else blank[n] for n, block in enumerate(band)))
    return lines
