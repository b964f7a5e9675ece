"""The members as a table: rows for a terminal (rich) and lines for a log. No I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text
from tests.controlplane.nodes import HOSTNAME
from tests.demo.state import BOUND, READY, RUNNING, Host, Member, State

STYLES: Mapping[str, str] = {READY: "green", RUNNING: "cyan", BOUND: "cyan", "Pending": "yellow", "Failed": "bold red"}
"""By phase; what is not here is dim."""
PALETTE = ("bright_magenta", "bright_cyan", "bright_yellow", "bright_green", "bright_blue", "bright_red")
"""Colours of the node sets, in their order."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One member; `domains` are its failure domains from broad to narrow, the host left out."""

    member: str
    node: str
    domains: tuple[str, ...]
    volume: str
    phase: str


def domains(policy: Mapping[str, object]) -> list[tuple[str, str]]:
    """Name and node label of the policy's failure domains, from broad to narrow, the host left out."""
    found = policy.get("failureDomains", [])
    assert isinstance(found, list)
    return [(each["name"], each["topologyKey"]) for each in found if each["topologyKey"] != HOSTNAME]


def rows(state: State, hosts: Mapping[str, Host]) -> list[Row]:
    """One row for each member."""
    keys = [key for _, key in domains(state.policy["spec"])]
    return [
        Row(
            member=member.name,
            node=member.node,
            domains=tuple(hosts[member.node].labels.get(key, "") if member.node in hosts else "" for key in keys),
            volume=", ".join(_volume(member)),
            phase=member.phase,
        )
        for member in state.members
    ]


def _volume(member: Member) -> list[str]:
    return [
        f"{volume.size} {volume.storage_class}{'' if volume.name else ' (waits)'}".replace("  ", " ")
        for volume in member.volumes
    ]


def colours(state: State) -> dict[str, str]:
    """Node set to its colour."""
    names = [each["name"] for each in state.cluster["spec"]["nodeSets"]]
    return {name: PALETTE[at % len(PALETTE)] for at, name in enumerate(names)}


def render(state: State, hosts: Mapping[str, Host]) -> Table:
    """The table for a terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    heads = ["MEMBER", "NODE", *(name.upper() for name, _ in domains(state.policy["spec"])), "VOLUME", "PHASE"]
    for head in heads:
        table.add_column(head, no_wrap=True, min_width=10 if head in ("NODE", "PHASE") else None)
    colour = colours(state)
    for member, row in zip(state.members, rows(state, hosts), strict=True):
        table.add_row(
            Text(row.member, style=colour.get(member.node_set, "")), row.node, *row.domains, row.volume,
            Text(row.phase, style=STYLES.get(row.phase, "dim")),
        )  # fmt: skip
    return table


def summary(state: State) -> str:
    """How far it is, in one line."""
    resources = ", ".join(f"{resource['kind']} {_verdict(resource)}" for resource in (state.policy, state.cluster))
    return f"{state.placed} of {len(state.members)} placed, {state.ready} ready; {resources}"


def _verdict(resource: Mapping[str, object]) -> str:
    status = resource.get("status", {})
    assert isinstance(status, Mapping)
    found: Sequence[Mapping[str, str]] = status.get("conditions", [])
    ready = next((each for each in found if each["type"] == "Ready"), None)
    if ready is None:
        return "not looked at yet"
    return "Ready" if ready["status"] == "True" else f"not Ready ({ready.get('reason', '')})"


def pending(state: State) -> list[str]:
    """Who is not ready and why, one line each, and what the CRs say about it: for the end of a vain wait."""
    lines = []
    for member in state.members:
        if member.phase != READY:
            where = f" on {member.node}" if member.node else ""
            lines.append(f"{member.name}: {member.phase}{where}: {member.waits or 'nobody says why'}")
    for resource in (state.policy, state.cluster):
        name = f"{resource['kind']} {resource['metadata']['name']}"
        found = resource.get("status", {}).get("conditions", [])
        ready = next((each for each in found if each["type"] == "Ready"), None)
        if ready is None:
            lines.append(f"{name}: no condition Ready: no controller has looked at it")
        elif ready["status"] != "True" or ready.get("observedGeneration") != resource["metadata"]["generation"]:
            lines.append(f"{name}: Ready={ready['status']} {ready.get('reason', '')}: {ready.get('message', '')}")
        elif resource is state.policy and not state.counted:
            lines.append(f"{name}: has counted {resource['status'].get('pods')}, not {len(state.members)} bound pods")
        for change in resource.get("status", {}).get("pendingChanges", []):
            held = f", held by {change['heldBy']}" if change.get("heldBy") else ""
            lines.append(f"{name}: pending: {change['change']} {change['target']}{held}")
    return lines
