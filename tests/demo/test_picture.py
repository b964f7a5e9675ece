from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text
from tests.demo import picture, table, worlds
from tests.demo.state import Host, Member

HOSTS = worlds.hosts()
LEVELS = table.domains(worlds.policy()["spec"])


def drawn(hosts: tuple[Host, ...], members: tuple[Member, ...], levels: list[tuple[str, str]], width: int) -> list[str]:
    return [line.plain.rstrip() for line in picture.draw(hosts, members, levels, colours={}, width=width)]


def test_each_member_stands_in_its_zone_power_domain_rack_and_host() -> None:
    lines = drawn(HOSTS, worlds.world().members, LEVELS, 80)
    assert lines[:5] == [
        "╭ zone a ────────────────╮ ╭ zone b ────────────────╮ ╭ zone c ────────────────╮",
        "│╭ power a-1 ───────────╮│ │╭ power b-1 ───────────╮│ │╭ power c-1 ───────────╮│",
        "││ r1 │master-0│·       ││ ││ r1 │master-1│·       ││ ││ r1 │master-2│·       ││",
        "││ r2 │data-0  │·       ││ ││ r2 │data-2  │·       ││ ││ r2 │data-4  │·       ││",
        "││ r3 │·       │·       ││ ││ r3 │·       │·       ││ ││ r3 │·       │·       ││",
    ]
    assert len(lines) == 16


def test_boxes_go_below_each_other_where_the_terminal_is_narrow() -> None:
    lines = drawn(HOSTS, worlds.world().members, LEVELS, 60)
    assert [re.findall(r"zone .", line) for line in lines if "zone" in line] == [["zone a", "zone b"], ["zone c"]]


def test_a_host_that_takes_no_pods_looks_different() -> None:
    shut = tuple(Host(host.name, host.labels, usable=host.name != "a-1-r1-h2") for host in HOSTS)
    assert "│ r1 │master-0│-       │" in drawn(shut, worlds.world().members, LEVELS, 80)[2]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param(LEVELS[:1], [
            "╭ cluster ────────────────────────────╮",
            "│ a │master-0│data-0  │data-1  │ingest-0│",
            "│   … 16 without members                │",
        ], id="zones only"),
        pytest.param([], [
            "╭ cluster ─────────────────────────────╮",
            "│  │master-0│data-0  │data-1  │ingest-0│",
            "│  │master-1│data-2  │data-3  │ingest-1│",
            "│  │master-2│data-4  │data-5           │",
            "│  … 49 without members                │",
        ], id="hosts only"),
    ],
)  # fmt: skip
def test_of_domains_with_many_hosts_only_those_with_members_are_drawn(
    levels: list[tuple[str, str]], expected: list[str]
) -> None:
    lines = drawn(HOSTS, worlds.world().members, levels, 80)
    assert [line.replace("─", "") for line in lines[: len(expected)]] == [line.replace("─", "") for line in expected]


def test_hosts_without_a_label_are_in_a_domain_without_a_name() -> None:
    bare = (*HOSTS, Host("stray", {}, usable=True))
    assert any("zone - " in line for line in drawn(bare, worlds.world().members, LEVELS, 80))


def test_every_node_set_has_its_colour() -> None:
    found = worlds.world()
    colours = table.colours(found)
    assert len(set(colours.values())) == 3
    styled = Text("\n").join(picture.draw(HOSTS, found.members, LEVELS, colours=colours, width=80))
    assert {span.style for span in styled.spans} >= set(colours.values())


@settings(deadline=None)
@given(
    nodes=st.lists(st.sampled_from([host.name for host in HOSTS]), min_size=11, max_size=11),
    levels=st.integers(0, 3),
    width=st.integers(40, 200),
)
def test_every_member_is_drawn_once_and_all_frames_are_closed(nodes: list[str], levels: int, width: int) -> None:
    members = worlds.world(dict(zip(worlds.PLACES, nodes, strict=True))).members
    text = "\n".join(drawn(HOSTS, members, LEVELS[:levels], width))
    assert {name: len(re.findall(rf"\b{name}\b", text)) for name in worlds.PLACES} == dict.fromkeys(worlds.PLACES, 1)
    assert text.count("╭") == text.count("╮") == text.count("╰") == text.count("╯")
