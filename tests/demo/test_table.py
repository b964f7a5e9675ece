from __future__ import annotations

import dataclasses
import io

from rich.console import Console
from tests.demo import table, worlds
from tests.demo.state import State

HOSTS = {host.name: host for host in worlds.hosts()}


def test_a_row_tells_where_a_member_is() -> None:
    found = {row.member: row for row in table.rows(worlds.world({"data-1": ""}), HOSTS)}
    assert found["search-data-0"] == table.Row(
        "search-data-0", "a-1-r2-h1", ("a", "a-1", "a-1-r2"), "10Gi local", "Ready"
    )
    assert found["search-data-1"] == table.Row("search-data-1", "", ("", "", ""), "10Gi local (waits)", "Pending")


def test_the_table_is_headed_by_the_policys_failure_domains() -> None:
    console = Console(width=120, file=io.StringIO())
    with console.capture() as captured:
        console.print(table.render(worlds.world(), HOSTS))
    head, first, *_ = captured.get().splitlines()
    assert head.split() == ["MEMBER", "NODE", "ZONE", "POWER", "RACK", "VOLUME", "PHASE"]
    assert first.split() == ["search-master-0", "a-1-r1-h1", "a", "a-1", "a-1-r1", "10Gi", "local", "Ready"]


def test_a_node_that_nobody_knows_leaves_its_domains_blank() -> None:
    (row,) = (row for row in table.rows(worlds.world({"data-0": "gone"}), HOSTS) if row.member == "search-data-0")
    assert (row.node, row.domains) == ("gone", ("", "", ""))


def resources(policy: dict[str, object], cluster: dict[str, object]) -> State:
    good = worlds.world({"data-0": ""})
    return dataclasses.replace(good, policy={**good.policy, **policy}, cluster={**good.cluster, **cluster})


def test_the_summary_says_how_far_it_is() -> None:
    refused = {"type": "Ready", "status": "False", "reason": "Refused"}
    bad = resources({"status": {}}, {"status": {"conditions": [refused]}})
    assert table.summary(bad) == (
        "10 of 11 placed, 10 ready; SchedulingPolicy not looked at yet, StatefulCluster not Ready (Refused)"
    )
    assert table.summary(worlds.world()) == ("11 of 11 placed, 11 ready; SchedulingPolicy Ready, StatefulCluster Ready")


def test_what_is_pending_is_told_with_its_reason() -> None:
    change = {"change": "replace", "target": "search-data-0", "heldBy": "disruption budget"}
    refused = {"type": "Ready", "status": "False", "reason": "Refused", "message": "quota", "observedGeneration": 1}
    found = resources({"status": {}}, {"status": {"conditions": [refused], "pendingChanges": [change]}})
    assert table.pending(found) == [
        "search-data-0: Pending: 0/60 nodes are available",
        "SchedulingPolicy search-ha: no condition Ready: no controller has looked at it",
        "StatefulCluster search: Ready=False Refused: quota",
        "StatefulCluster search: pending: replace search-data-0, held by disruption budget",
    ]


def test_nothing_is_pending_where_all_is_well() -> None:
    assert table.pending(worlds.world()) == []
