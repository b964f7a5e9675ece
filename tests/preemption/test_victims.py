"""Which node is made free, and who has to leave it: kube-scheduler's order, table by table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.builders import HOST, ZONE, budget, node, pod, port, selector, spread, term
from tests.preemption.cluster import Crowd

from stowplan.model import objects
from stowplan.model.pods import PodInfo

FULL = "2"
"""CPUs of a node on which two pods of one CPU run."""


def worker(
    name: str,
    on: str,
    priority: int = 0,
    *,
    cpu: str = "1",
    started: str = "",
    app: str = "job",
    preempted: bool = False,
) -> PodInfo:
    return pod(
        name, on=on, cpu=cpu, priority=priority, labels={"app": app}, phase="Running", preempted=preempted,
        started=f"2026-01-{started}T00:00:00Z" if started else "2026-01-01T00:00:00Z",
    )  # fmt: skip


def urgent(cpu: str = "1", priority: int = 100, **more: object) -> PodInfo:
    return pod("urgent", cpu=cpu, priority=priority, **more)  # type: ignore[arg-type]


TWO = (node("n1", cpu=FULL), node("n2", cpu=FULL))


@pytest.mark.parametrize(
    ("running", "wanted"),
    [
        pytest.param(
            [worker("a", "n1", 5), worker("b", "n1", 3), worker("c", "n2", 5), worker("d", "n2", 4)],
            ("n1", ["b"]),
            id="the lowest priority of the most important victim",
        ),
        pytest.param(
            [worker("a", "n1", 6, cpu="2"), worker("b", "n2", 5), worker("c", "n2", 100)],
            ("n2", ["b"]),
            id="nobody more important than the pod, however much room that would make",
        ),
        pytest.param(
            [worker("a", "n1", 3, started="01"), worker("b", "n1", 3, started="05"),
             worker("c", "n2", 3, started="02"), worker("d", "n2", 3, started="03")],
            ("n1", ["b"]),
            id="of two equal pods the one that runs longer stays, of two nodes the later start goes",
        ),
    ],
)  # fmt: skip
def test_one_pod_has_to_leave(running: Sequence[PodInfo], wanted: tuple[str, list[str]]) -> None:
    for chance in range(4):
        assert Crowd(TWO, running).victims(urgent(), chance=chance) == wanted


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param([("a", 5), ("b", 1)], [("c", 5), ("d", 2)], id="the lower sum of priorities"),
        pytest.param([("a", -1)], [("c", -1), ("d", -1)], id="one pod rather than two, negative as they are"),
    ],
)
def test_all_pods_have_to_leave(first: list[tuple[str, int]], second: list[tuple[str, int]]) -> None:
    """The pod needs the whole node; the first node is the better one."""
    running = [
        worker(name, on, priority, cpu=str(2 / len(pods)))
        for on, pods in (("n2", first), ("n1", second))
        for name, priority in pods
    ]
    for chance in range(2):
        assert Crowd(TWO, running).victims(urgent("2"), chance=chance) == ("n2", [name for name, _ in first])


def test_as_many_as_possible_stay_the_most_important_ones_first() -> None:
    running = [worker("big", "n1", 1, cpu="2"), worker("mid", "n1", 2), worker("small", "n1", 3, cpu="500m")]
    crowd = Crowd([node("n1", cpu="4")], running)
    assert crowd.victims(urgent("1500m")) == ("n1", ["big"])
    assert crowd.victims(urgent("3")) == ("n1", ["mid", "big"])


def test_victims_are_named_from_the_most_important_one_down() -> None:
    budgets = [budget("b", selector({"app": "db"}), allowed=0)]
    running = [worker("low", "n1", 1, app="db"), worker("high", "n1", 9)]
    assert Crowd([node("n1", cpu=FULL)], running, budgets=budgets).victims(urgent("2")) == ("n1", ["high", "low"])


@pytest.mark.parametrize(
    ("budgets", "wanted"),
    [
        pytest.param([budget("b", selector({"app": "db"}), allowed=0)], ("n2", ["web"]), id="a budget that is used up"),
        pytest.param([budget("b", selector({"app": "db"}), allowed=1)], ("n1", ["db"]), id="one that allows it"),
        pytest.param([budget("b", selector(), allowed=0)], ("n1", ["db"]), id="an empty selector protects nobody"),
        pytest.param([budget("b", None, allowed=0)], ("n1", ["db"]), id="nor does none"),
        pytest.param([budget("b", selector({}, ("x", "?", ["y"])), allowed=0)], ("n1", ["db"]), id="nor a bad one"),
        pytest.param(
            [budget("b", selector({"app": "db"}), allowed=0, namespace="other")], ("n1", ["db"]), id="of others"
        ),
        pytest.param(
            [budget("b", selector({"app": "db"}), allowed=0, disrupted=["db"])], ("n1", ["db"]), id="counted already"
        ),
    ],
)  # fmt: skip
def test_budgets_come_first(budgets: list[objects.PodDisruptionBudget], wanted: tuple[str, list[str]]) -> None:
    running = [worker("db", "n1", 1, cpu="2", app="db"), worker("web", "n2", 50, cpu="2")]
    assert Crowd(TWO, running, budgets=budgets).victims(urgent()) == wanted


def test_where_every_node_breaks_a_budget_the_fewest_are_broken() -> None:
    budgets = [budget("b", selector({"app": "db"}), allowed=1)]
    running = [worker(f"db{n}", "n1", 1, cpu="1", app="db") for n in range(2)]
    running += [worker("web", "n2", 60), worker("db", "n2", 60, app="db")]
    budgets.append(budget("w", selector({"app": "job"}), allowed=0))
    assert Crowd(TWO, running, budgets=budgets).victims(urgent("2")) in (
        ("n1", ["db0", "db1"]), ("n1", ["db1", "db0"]),
    )  # fmt: skip


def test_pods_protected_by_a_budget_stay_rather_than_more_important_ones() -> None:
    budgets = [budget("b", selector({"app": "db"}), allowed=0)]
    running = [worker("db", "n1", 1, app="db"), worker("web", "n1", 50)]
    assert Crowd([node("n1", cpu=FULL)], running, budgets=budgets).victims(urgent()) == ("n1", ["web"])


# ---------------------------------------------------------------- other rules than room


@pytest.mark.parametrize(
    ("running", "wanted"),
    [
        pytest.param([pod("a", on="n1", ports=[port(80)]), worker("b", "n1")], "a", id="a port"),
        pytest.param([worker("b", "n1"), pod("a", on="n1", labels={"app": "shy"})], "a", id="anti-affinity of the pod"),
        pytest.param(
            [worker("b", "n1"), pod("a", on="n1", anti_affinity=[term(HOST, selector({"app": "urgent"}))])],
            "a",
            id="anti-affinity of the victim",
        ),
    ],
)
def test_who_is_in_the_way_has_to_leave(running: Sequence[PodInfo], wanted: str) -> None:
    preemptor = urgent(
        "100m", labels={"app": "urgent"}, ports=[port(80)], anti_affinity=[term(HOST, selector({"app": "shy"}))]
    )
    assert Crowd([node("n1")], running).victims(preemptor) == ("n1", [wanted])


def test_a_pod_makes_room_for_its_spread() -> None:
    """Zone a has two of the app, b has one and is full: room is made in b, or by one of the app in a."""
    labels = {"app": "db"}
    running = [
        pod("a0", on="a", labels=labels, cpu="1", priority=50),
        pod("a1", on="a", labels=labels, cpu="1", priority=50),
        pod("b0", on="b", labels=labels, cpu="1", priority=100),
        worker("job", "b", 9),
    ]
    crowd = Crowd([node("a", zone="a", cpu="3"), node("b", zone="b", cpu="2")], running)
    preemptor = urgent(labels=labels, spreads=[spread(ZONE, selector(labels))])
    assert crowd.victims(preemptor) == ("b", ["job"])


def test_victims_of_one_node_do_not_count_as_gone_on_another() -> None:
    """Each zone has one of the app, of low priority: whichever leaves, the other keeps the skew as it is."""
    labels = {"app": "db"}
    running = [pod(f"{zone}0", on=zone, labels=labels, cpu="2", priority=1) for zone in "ab"]
    crowd = Crowd([node("a", zone="a", cpu="2"), node("b", zone="b", cpu="2")], running)
    preemptor = urgent("2", labels=labels, spreads=[spread(ZONE, selector(labels))])
    assert crowd.victims(preemptor) in (("a", ["a0"]), ("b", ["b0"]))


# ---------------------------------------------------------------- who may not, and where it does not help


@pytest.mark.parametrize(
    ("preemptor", "running", "said"),
    [
        pytest.param(
            urgent(preemption_policy="Never"), [worker("a", "n1", cpu="2")],
            "not eligible due to preemptionPolicy=Never.", id="its own policy",
        ),
        pytest.param(
            urgent(), [worker("a", "n1", 100, cpu="2")],
            "0/1 nodes are available: 1 No preemption victims found for incoming pod.", id="nobody is less important",
        ),
        pytest.param(
            urgent("2"), [worker("a", "n1", 100), worker("b", "n1")],
            "0/1 nodes are available: 1 Insufficient cpu.", id="not enough can leave",
        ),
        pytest.param(
            urgent("3"), [worker("a", "n1")],
            "0/1 nodes are available: 1 Preemption is not helpful for scheduling.", id="the node is too small",
        ),
        pytest.param(
            urgent(node_selector={"disk": "ssd"}), [worker("a", "n1")],
            "0/1 nodes are available: 1 Preemption is not helpful for scheduling.", id="the wrong node",
        ),
        pytest.param(
            urgent("100m", affinity=[term(HOST, selector({"app": "friend"}))]), [worker("a", "n1")],
            "0/1 nodes are available: 1 Preemption is not helpful for scheduling.", id="nobody to be near",
        ),
        pytest.param(
            urgent("1", anti_affinity=[term(HOST, selector({"app": "vip"}))]),
            [worker("a", "n1"), worker("vip", "n1", 200, app="vip")],
            "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.", id="somebody who stays",
        ),
        pytest.param(
            urgent("1", ports=[port(80)]), [worker("a", "n1", 100, cpu="2"), pod("b", on="n1", ports=[port(80)])],
            "0/1 nodes are available: 1 Insufficient cpu.", id="one of two reasons goes",
        ),
    ],
)  # fmt: skip
def test_where_preemption_does_not_help_it_says_why(preemptor: PodInfo, running: Sequence[PodInfo], said: str) -> None:
    assert Crowd([node("n1", cpu=FULL)], running).refused(preemptor) == f"preemption: {said}"


def test_each_node_says_why() -> None:
    nodes = [node("n1", cpu=FULL), node("n2", cpu=FULL), node("n3", cpu=FULL, unschedulable=True), node("n4", cpu="1")]
    running = [worker("a", "n1", 100, cpu="2"), worker("b", "n2", 100), worker("c", "n2")]
    said = (
        "0/4 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )
    assert Crowd(nodes, running).refused(urgent("2")) == f"preemption: {said}"


# ---------------------------------------------------------------- nodes that are promised to others


@pytest.mark.parametrize(
    ("rival", "wanted"),
    [
        pytest.param({"cpu": "2"}, "n2", id="its room is needed"),
        pytest.param({"ports": [port(80)]}, "n2", id="its port"),
        pytest.param({"anti_affinity": [term(HOST, selector({"app": "urgent"}))]}, "n2", id="it wants to be alone"),
        pytest.param({"labels": {"app": "loud"}}, "n2", id="the pod does not want to be near it"),
        pytest.param({"cpu": "2", "priority": 99}, "n1", id="a less important one must yield"),
    ],
)
def test_no_room_is_made_where_somebody_more_important_will_be(rival: dict[str, object], wanted: str) -> None:
    crowd = Crowd(TWO, [worker("a", "n1", 1, cpu="2"), worker("b", "n2", 50, cpu="2")])
    crowd.nodes.nominations.seen(pod("rival", nominated="n1", **{"priority": 100, **rival}))  # type: ignore[arg-type]
    preemptor = urgent(
        labels={"app": "urgent"}, ports=[port(80)], anti_affinity=[term(HOST, selector({"app": "loud"}))]
    )
    assert crowd.victims(preemptor)[0] == wanted


# ---------------------------------------------------------------- a promise from before


def test_a_pod_whose_victims_are_leaving_waits_for_them() -> None:
    crowd = Crowd(TWO, [worker("a", "n1", cpu="2", preempted=True), worker("b", "n2", cpu="2")])
    preemptor = urgent(nominated="n1")
    crowd.nodes.nominations.seen(preemptor)
    assert crowd.refused(preemptor) == "preemption: not eligible due to a terminating pod on the nominated node."


@pytest.mark.parametrize(
    "running",
    [
        pytest.param([worker("a", "n1", 100, cpu="2", preempted=True)], id="somebody more important is leaving"),
        pytest.param(
            [pod("a", on="n1", cpu="2", priority=0, terminating=True)], id="somebody leaves for another reason"
        ),
    ],
)
def test_a_promise_that_is_worth_nothing_holds_nobody_up(running: Sequence[PodInfo]) -> None:
    crowd = Crowd(TWO, [*running, worker("b", "n2", -5, cpu="2")])
    preemptor = urgent(nominated="n1")
    crowd.nodes.nominations.seen(preemptor)
    assert crowd.victims(preemptor) == ("n2", ["b"])


def test_a_promised_node_that_is_cordoned_holds_nobody_up() -> None:
    crowd = Crowd([node("n1", cpu=FULL, unschedulable=True), TWO[1]],
                  [worker("a", "n1", preempted=True), worker("b", "n2", cpu="2")])  # fmt: skip
    preemptor = urgent(nominated="n1")
    crowd.nodes.nominations.seen(preemptor)
    assert crowd.victims(preemptor) == ("n2", ["b"])
