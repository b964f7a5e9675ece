"""Gangs without an API server: who waits for whom, and what is placed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from tests.builders import (
    HOST,
    capacity,
    claim,
    csi_driver,
    node,
    node_term,
    pod,
    selector,
    storage_class,
    term,
    volume,
)
from tests.gangs.world import World
from tests.profiles.world import EVERYTHING, Spec, policy
from tests.profiles.world import spread as rule

from stowplan.api.policy import SchedulingPolicy
from stowplan.framework.events import Happening
from stowplan.framework.plugin import SILENT
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.volumes import StorageObject
from stowplan.model import objects
from stowplan.model.pods import PodInfo
from stowplan.plugins.node_resources_fit import NodeResourcesFit
from stowplan.profiles import Cluster
from stowplan.scheduler import solver
from stowplan.scheduler.cycle import Batch, Question
from stowplan.scheduler.group_cycle import MOST_AT_ONCE

JOB = "batch.kubernetes.io/job-name"
CLUSTER = "stowplan.dev/cluster"
ONE_PER_HOST = {"name": "one-per-host", "domain": "host"}


def gang(least: int = 3, *, separate: Sequence[Spec] = (), spread: Sequence[Spec] = ()) -> SchedulingPolicy:
    together = {"minMember": least, "groupBy": [JOB]}
    return policy(selector=EVERYTHING, gang=together, separate=[*separate], spread=[*spread])


def member(
    name: str,
    job: str = "train",
    *,
    cpu: int = 1,
    on: str = "",
    priority: int = 0,
    gates: tuple[str, ...] = (),
    labels: Mapping[str, str] | None = None,
) -> PodInfo:
    return pod(name, labels={JOB: job, **(labels or {})}, cpu=cpu, on=on, priority=priority, gates=gates)


def members(count: int, job: str = "train", *, cpu: int = 1) -> list[PodInfo]:
    return [member(f"{job}-{at}", job, cpu=cpu) for at in range(count)]


# ---------------------------------------------------------------- all or nothing


def test_a_gang_is_placed_when_its_last_member_comes() -> None:
    world = World([node("n1")], [gang()])
    first, second, third = members(3)
    world.create(first, second)
    assert world.run() == {}
    assert world.message(first) == "0/1 nodes are available: gang default/train: 2 of minMember 3 members exist."
    assert world.message(second) == world.message(first)
    world.create(third)
    assert world.run() == {"train-0": "n1", "train-1": "n1", "train-2": "n1"}


def test_the_status_of_the_policy_names_the_gangs_that_wait_and_what_for() -> None:
    world = World([node("n1", cpu=4)], [gang()])
    world.create(*members(2, "short"), *members(3, "placed"), *members(3, "large", cpu=2), member("alone", "alone"))
    world.run()
    key = world.cache.snapshot.policy_of(member("any").cls)
    said = {each.name: (each.min_member, each.waiting, each.bound) for each in world.board.facts(key).gangs}
    assert said == {"short": (3, 2, 0), "large": (3, 3, 0), "alone": (3, 1, 0)}
    messages = {each.name: each.message for each in world.board.facts(key).gangs}
    assert "2 of minMember 3 members exist" in messages["short"]
    assert "no room for 3 members at once" in messages["large"]
    world.create(member("short-9", "short"))
    world.delete(*members(3, "placed"))
    world.later(60)
    world.run()
    assert {each.name for each in world.board.facts(key).gangs} == {"large", "alone"}


def test_a_gang_that_does_not_fit_holds_nothing_and_blocks_nobody() -> None:
    world = World([node("n1", cpu=2)], [gang()])
    big = members(3)
    world.create(*big)
    assert world.run() == {}
    assert world.message(big[0]) == (
        "0/1 nodes are available: gang default/train: no room for 3 members at once;"
        " these rules cannot be kept together: Insufficient cpu."
    )
    single = pod("single", cpu=2)
    world.create(single)
    assert world.run() == {"single": "n1"}


def test_members_beyond_the_least_that_do_not_fit_wait_alone() -> None:
    world = World([node("n1", cpu=4)], [gang()])
    world.create(*members(5))
    assert len(world.run()) == 4
    world.put_node(node("n2", cpu=4))
    world.later(60)
    assert len(world.run()) == 5


def test_of_two_gangs_with_room_for_one_exactly_one_runs_and_the_other_after_it() -> None:
    world = World([node("n1", cpu=2), node("n2", cpu=2)], [gang(4)])
    red, blue = members(4, "red"), members(4, "blue")
    for one, other in zip(red, blue, strict=True):  # they come interleaved
        world.create(one, other)
    placed = world.run()
    assert {name.partition("-")[0] for name in placed} == {"red"}
    assert len(placed) == 4
    for each in red:
        world.delete(each)
    world.later(60)
    placed = world.run()
    assert {name.partition("-")[0] for name in placed} == {"blue"}
    assert len(placed) == 4


@pytest.mark.parametrize(
    ("running", "waiting", "placed"),
    [
        pytest.param(2, 1, 1, id="one that was lost comes back"),
        pytest.param(3, 2, 2, id="more than needed come later"),
        pytest.param(1, 2, 2, id="two that were lost come back together"),
        pytest.param(1, 1, 1, id="the others may have finished, so nobody waits for them"),
        pytest.param(0, 2, 0, id="a gang that has not begun waits for all"),
    ],
)
def test_members_on_nodes_count(running: int, waiting: int, placed: int) -> None:
    world = World([node("n1")], [gang()], running=[member(f"old-{at}", on="n1") for at in range(running)])
    world.create(*(member(f"new-{at}") for at in range(waiting)))
    assert len(world.run()) == running + placed


def test_those_that_come_back_are_again_all_or_nothing() -> None:
    world = World([node("n1", cpu=2)], [gang()], running=[member("old", on="n1")])
    world.create(member("a"), member("b"))
    assert world.run() == {"old": "n1"}


def test_nothing_that_happens_to_others_wakes_a_gang_that_waits_for_members() -> None:
    world = World([node("n1")], [gang()], running=[pod("stranger", on="n1", cpu=1)])
    world.create(*members(2))
    assert world.run().keys() == {"stranger"}
    tried = len(world.batches)
    world.later(60)
    world.put_node(node("n2"))
    world.delete(next(iter(world.cache.snapshot.pods.values())))
    assert world.run() == {}
    assert len(world.batches) == tried
    world.create(member("last"))
    assert len(world.run()) == 3


def test_a_member_that_somebody_else_has_placed_is_one_of_them() -> None:
    """And then nobody waits for those that are not there."""
    world = World([node("n1")], [gang()])
    world.create(*members(2))
    assert world.run() == {}
    world.later(60)
    world.board.scheduler.happened(world.cache.put_pod(member("theirs", on="n1")), world.now)
    assert len(world.run()) == 3


def test_a_pod_without_the_label_is_in_no_gang() -> None:
    world = World([node("n1")], [gang()])
    world.create(pod("stray"))
    assert world.run() == {"stray": "n1"}


def test_gated_members_do_not_count_until_they_are_let_go() -> None:
    world = World([node("n1")], [gang(2)])
    gated = member("b", gates=("wait",))
    world.create(member("a"), gated)
    assert world.run() == {}
    world.create(member("b"))
    assert world.run() == {"a": "n1", "b": "n1"}


def test_a_gang_goes_by_its_most_important_member() -> None:
    world = World([node("n1", cpu=2)], [gang(2)])
    world.create(pod("single", cpu=1, priority=5), member("a"), member("b", priority=9))
    assert world.run() == {"a": "n1", "b": "n1"}


def test_another_policy_lets_the_members_go() -> None:
    world = World([node("n1")], [gang()])
    world.create(*members(2))
    assert world.run() == {}
    world.apply([policy(selector=EVERYTHING)])
    world.later(60)
    assert len(world.run()) == 2


def test_gangs_of_two_clusters_are_two_gangs() -> None:
    world = World([node("n1")], [gang(2)], clusters=[Cluster("default/x", "", ()), Cluster("default/y", "", ())])
    world.create(member("a", labels={CLUSTER: "x"}), member("b", labels={CLUSTER: "y"}))
    assert world.run() == {}


# ---------------------------------------------------------------- joint placement


def needs_ssd(name: str, **labels: str) -> PodInfo:
    return pod(name, labels={JOB: "train", **labels}, cpu=1, node_selector={"disk": "ssd"})


def ssd(name: str, *, cpu: int = 1) -> objects.Node:
    return node(name, cpu=cpu, labels={"disk": "ssd"})


def test_who_came_first_gives_way_to_one_that_has_no_other_node() -> None:
    world = World([ssd("n1"), node("n2", cpu=1)], [gang(2)])
    world.create(member("a"), needs_ssd("b"))
    assert world.run() == {"a": "n2", "b": "n1"}
    assert len(world.asked) == 1


def test_a_volume_and_an_anti_affinity_rule_that_pull_apart_are_reconciled() -> None:
    here = [node_term((HOST, "In", ["n1"]))]
    storage: list[StorageObject] = [
        storage_class(),
        claim("data-b", volume="pv"),
        volume("pv", claimed_by="default/data-b", node_affinity=here),
    ]
    world = World([node("n1"), node("n2", cpu=1)], [gang(2, separate=[ONE_PER_HOST])], storage=storage)
    world.create(member("a"), pod("b", labels={JOB: "train"}, cpu=1, claims=["data-b"]))
    assert world.run() == {"a": "n2", "b": "n1"}


def test_local_volumes_are_given_to_those_that_have_no_other() -> None:
    storage: list[StorageObject] = [
        storage_class(provisioner="kubernetes.io/no-provisioner"),
        volume("small", size="1Gi", node_affinity=[node_term((HOST, "In", ["n1"]))]),
        volume("large", size="9Gi", node_affinity=[node_term((HOST, "In", ["n2"]))]),
        claim("data-a", size="1Gi"),
        claim("data-b", size="9Gi"),
    ]
    world = World([node("n1", cpu=2), node("n2")], [gang(2)], storage=storage)
    for name in ("a", "b"):
        world.create(pod(name, labels={JOB: "train"}, cpu=1, claims=[f"data-{name}"]))
    assert world.run() == {"a": "n1", "b": "n2"}


def test_space_for_volumes_is_shared_out() -> None:
    """Room for two volumes on n1 and one on n2: the one that can use n1 alone must not find it full."""
    storage: list[StorageObject] = [
        storage_class(),
        csi_driver(),
        capacity("p1", free="2Gi", topology=selector({HOST: "n1"})),
        capacity("p2", free="1Gi", topology=selector({HOST: "n2"})),
        *(claim(f"data-{name}", size="1Gi") for name in "abc"),
    ]
    world = World([ssd("n1", cpu=64), node("n2")], [gang(3)], storage=storage)
    for name in "ab":
        world.create(pod(name, labels={JOB: "train"}, cpu=1, claims=[f"data-{name}"]))
    world.create(pod("c", labels={JOB: "train"}, cpu=1, claims=["data-c"], node_selector={"disk": "ssd"}))
    placed = world.run()
    assert placed["c"] == "n1"
    assert sorted(placed.values()) == ["n1", "n1", "n2"]


def test_members_of_a_cluster_that_wait_together_are_placed_jointly_without_a_gang() -> None:
    world = World(
        [node("n1", cpu=1, labels={"disk": "ssd"}), node("n2", cpu=1)], clusters=[Cluster("default/db", "", ())]
    )
    world.create(
        pod("db-0", labels={CLUSTER: "db"}, cpu=1),
        pod("db-1", labels={CLUSTER: "db"}, cpu=1, node_selector={"disk": "ssd"}),
    )
    assert world.run() == {"db-0": "n2", "db-1": "n1"}


def test_members_of_a_cluster_that_fit_do_not_wait_for_those_that_do_not() -> None:
    world = World([node("n1", cpu=2)], clusters=[Cluster("default/db", "", ())])
    pods = [pod(f"db-{at}", labels={CLUSTER: "db"}, cpu=1) for at in range(3)]
    world.create(*pods)
    assert len(world.run()) == 2
    assert world.message(pods[2]).startswith("0/1 nodes are available: 1 Insufficient cpu.")


def test_a_large_cluster_is_placed_in_portions() -> None:
    world = World([node("n1", pods=200)], clusters=[Cluster("default/db", "", ())])
    world.create(*(pod(f"db-{at}", labels={CLUSTER: "db"}) for at in range(MOST_AT_ONCE + 5)))
    assert len(world.run()) == MOST_AT_ONCE + 5
    assert [len(batch.placed) for batch in world.batches] == [MOST_AT_ONCE, 5]


def test_a_spread_rule_that_only_all_members_together_can_keep() -> None:
    """minDomains 3: the first member alone fits anywhere, and three per zone only once every zone has some."""
    nodes = [node(f"{zone}{at}", zone=zone, cpu=1) for zone in "abc" for at in range(2)]
    world = World(nodes, [gang(6, spread=[rule(minDomains=3)])])
    world.create(*members(6))
    assert len(world.run()) == 6


def test_affinity_to_a_member_that_is_placed_later_is_no_trap() -> None:
    near = term(HOST, selector({"role": "server"}))
    world = World([node("n1"), node("n2")], [gang(2)])
    world.create(
        pod("client", labels={JOB: "train"}, affinity=[near]),
        pod("server", labels={JOB: "train", "role": "server"}),
    )
    placed = world.run()
    assert placed["client"] == placed["server"]
    assert world.asked == []


def test_the_rules_that_conflict_are_named() -> None:
    world = World([node("n1"), node("n2")], [gang(3, separate=[ONE_PER_HOST])])
    pods = members(3)
    world.create(*pods)
    assert world.run() == {}
    assert world.message(pods[0]) == (
        "0/2 nodes are available: gang default/train: no room for 3 members at once; these rules cannot be kept"
        " together: node(s) would break separate rule one-per-host of policy ha (host)."
    )


def test_two_rules_that_conflict_only_together_are_both_named() -> None:
    world = World([ssd("n1", cpu=9), node("n2")], [gang(2, separate=[ONE_PER_HOST])])
    pods = [needs_ssd("a"), needs_ssd("b")]
    world.create(*pods)
    assert world.run() == {}
    assert world.message(pods[0]) == (
        "0/2 nodes are available: gang default/train: no room for 2 members at once; these rules cannot be kept"
        " together: node(s) didn't match Pod's node affinity/selector;"
        " node(s) would break separate rule one-per-host of policy ha (host)."
    )


def test_the_solver_is_not_asked_where_a_member_fits_nowhere_by_itself() -> None:
    world = World([node("n1", cpu=2), node("n2", cpu=2)], [gang(2)])
    pods = members(2, cpu=3)
    world.create(*pods)
    assert world.run() == {}
    assert world.asked == []
    assert world.message(pods[1]) == (
        "0/2 nodes are available: gang default/train: no room for 2 members at once;"
        " train-0 fits on no node: 2 Insufficient cpu."
    )


def test_an_event_is_judged_once_for_all_gangs_that_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    hint = NodeResourcesFit.may_help

    def counted(plugin: NodeResourcesFit, waiting: PodInfo, event: Happening, nodes: Snapshot) -> bool:
        judged.append(waiting.key)
        return hint(plugin, waiting, event, nodes)

    monkeypatch.setattr(NodeResourcesFit, "may_help", counted)
    world = World([node("n1", cpu=2)], [gang(2)])
    for number in range(5):
        world.create(*members(2, f"job{number}", cpu=3))
    assert world.run() == {}
    world.later(60)
    world.put_node(node("n1", cpu=1))
    assert len(judged) == 1
    world.put_node(node("n2", cpu=30))
    assert len(world.run()) == 10


# ---------------------------------------------------------------- while the solver is being asked


class Asking(World):
    """The solver has not answered yet."""

    def _carry_out(self, outcome: object) -> None:
        if isinstance(outcome, Batch) and outcome.question is not None:
            self.asked.append(outcome.question)
        else:
            super()._carry_out(outcome)

    def answer(self) -> None:
        question = self.asked.pop()
        self.late(question, solver.solve(question.problem))

    def late(self, question: Question, answer: solver.Answer) -> None:
        super()._carry_out(
            self.board.scheduler.answered(
                question, answer, seconds=0.01, now=self.now, chance=0, probe_for=lambda _: SILENT
            )
        )


def asking(*more: PodInfo) -> Asking:
    world = Asking([ssd("n1"), node("n2", cpu=1)], [gang(2)])
    world.create(member("a"), needs_ssd("b"), *more)
    assert world.run() == {}
    return world


def test_nothing_is_held_while_the_solver_is_asked() -> None:
    world = asking()
    world.create(pod("single", cpu=1))
    assert world.run() == {"single": "n1"}
    world.answer()
    assert world.placed() == {"single": "n1"}


def unloved(name: str) -> objects.Node:
    return node(name, cpu=1, taints=["old:PreferNoSchedule"])


def test_a_node_that_was_lost_to_another_pod_is_replaced() -> None:
    world = asking()
    world.put_node(unloved("n3"))
    world.create(pod("single", cpu=1, node_selector={HOST: "n2"}))
    world.run()
    world.answer()
    assert world.placed() == {"single": "n2", "a": "n3", "b": "n1"}


def test_an_answer_that_the_cluster_has_outrun_is_asked_for_once_more() -> None:
    world = asking()
    world.create(pod("single", cpu=1, node_selector={HOST: "n2"}))
    world.run()
    world.answer()
    assert [question.again for question in world.asked] == [True]
    world.answer()
    assert world.placed() == {"single": "n2"}
    assert world.asked == []
    assert "Insufficient cpu" in world.message(member("a"))


def test_an_answer_for_members_that_are_gone_changes_nothing() -> None:
    world = asking()
    world.delete(member("a"), needs_ssd("b"))
    world.answer()
    assert world.placed() == {}


def test_a_member_that_went_while_the_solver_was_asked_is_missed() -> None:
    world = asking()
    world.delete(member("a"))
    world.answer()
    assert world.placed() == {}
    assert "1 of minMember 2 members exist" in world.message(needs_ssd("b"))


def test_where_no_answer_comes_in_time_the_members_wait_and_are_told() -> None:
    world = asking()
    world.late(world.asked.pop(), solver.Unknown())
    assert "no joint placement was found within 2 s" in world.message(member("a"))
    world.later(60)
    world.run()
    assert len(world.asked) == 0  # nothing has happened that could help


def test_an_event_that_may_help_makes_the_solver_be_asked_again() -> None:
    world = asking()
    world.late(world.asked.pop(), solver.Unknown())
    world.later(60)
    world.put_node(unloved("n3"))
    world.run()
    assert len(world.asked) == 1
