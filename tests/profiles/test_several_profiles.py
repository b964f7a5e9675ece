"""Several profiles: each pod is placed by that of its schedulerName, with the plugins that it has on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tests import builders
from tests.profiles.world import EVERYTHING, policy, spread

from stowplan.framework.choice import Decision
from stowplan.framework.plugin import CycleState, Rows, Scores
from stowplan.framework.runtime import Framework
from stowplan.framework.snapshot import Snapshot
from stowplan.framework.status import Reject
from stowplan.model.pods import PodInfo
from stowplan.profiles import Backlog, PluginArgs, Policies, in_tree
from stowplan.profiles.selection import Available, Enabled, PluginSet, points_of, select


class Favourite:
    """A plugin by somebody else: only nodes of zone a, and best the last of them."""

    name = "Favourite"

    def filter(self, pod: PodInfo, nodes: Snapshot, state: CycleState) -> Iterator[Reject]:
        yield Reject(nodes.label(builders.ZONE).where(lambda zone: zone != "a"), "node(s) not in zone a")

    def score(self, pod: PodInfo, nodes: Snapshot, state: CycleState, rows: Rows) -> Scores:
        return np.where(rows == rows.max(), 100, 0)


FAVOURITE = Favourite()
NODES = [builders.node(f"n{number}", zone=zone) for number, zone in enumerate("aabb")]


def profile(name: str, **sets: PluginSet) -> PluginArgs:
    selection = select(sets, (*in_tree.IN_TREE, Available("Favourite", points_of(FAVOURITE))))
    return PluginArgs(scheduler_name=name, selection=selection, others={"Favourite": FAVOURITE})


def on(*names: str, off: tuple[str, ...] = ()) -> PluginSet:
    return PluginSet(tuple(map(Enabled, names)), frozenset(off))


PLAIN = PluginArgs()
PICKY = profile("picky", multiPoint=on("Favourite"))


def framework(*, scheduler: str, profiles: tuple[PluginArgs, ...] = (PLAIN, PICKY)) -> Framework:
    governed = Policies([], [], profiles[0], Backlog(), more=profiles[1:])
    return governed.framework_for(builders.pod("p", scheduler_name=scheduler).cls)


def decide(found: Framework) -> Decision:
    decision = found.schedule(builders.pod("p"), builders.snapshot(NODES), CycleState(), 0)
    assert isinstance(decision, Decision)
    return decision


def test_a_pod_is_placed_by_the_profile_of_its_scheduler_name() -> None:
    assert (framework(scheduler="stowplan").name, framework(scheduler="picky").name) == ("stowplan", "picky")
    assert decide(framework(scheduler="stowplan")).feasible == 4
    found = decide(framework(scheduler="picky"))
    assert (found.feasible, found.node, found.decisive) == (2, "n1", ("Favourite",))


def test_a_pod_of_another_scheduler_is_judged_by_the_first_profile() -> None:
    assert framework(scheduler="default-scheduler").name == "stowplan"


def test_where_only_the_score_is_on_there_is_no_rule() -> None:
    found = decide(framework(scheduler="s", profiles=(profile("s", score=on("Favourite")),)))
    assert (found.feasible, found.node) == (4, "n3")


def test_where_only_the_rule_is_on_there_is_no_score() -> None:
    found = decide(framework(scheduler="s", profiles=(profile("s", filter=on("Favourite")),)))
    assert (found.feasible, found.decisive) == (2, ())


def test_a_plugin_that_is_off_is_not_there() -> None:
    off = profile("s", multiPoint=on(off=("NodeResourcesFit",)))
    names = [each.name for each in framework(scheduler="s", profiles=(off,)).plugins]
    assert "NodeResourcesFit" in names, "a policy may give its score a weight"
    huge = builders.pod("p", cpu="900")
    assert framework(scheduler="s", profiles=(off,)).feasible(huge, builders.snapshot(NODES), CycleState()).all()


def test_a_rule_keeps_its_hints_where_preemption_is_off() -> None:
    class Both(Favourite):
        name = "Both"
        requeue_on = frozenset[object]()

        def post_filter(self) -> None: ...

    both = Both()
    selection = select({"filter": on("Both")}, (*in_tree.IN_TREE, Available("Both", points_of(both))))
    args = PluginArgs(scheduler_name="s", selection=selection, others={"Both": both})
    found = next(each for each in framework(scheduler="s", profiles=(args,)).plugins if each.name == "Both")
    assert points_of(found) == {"filter", "score"}
    assert getattr(found, "requeue_on", None) == frozenset()


def test_a_policy_acts_in_every_profile_and_may_weigh_the_plugins_of_a_profile() -> None:
    weighted = policy(selector=EVERYTHING, spread=[spread()], scoring={"weights": {"Favourite": 9, "ImageLocality": 4}})
    governed = Policies([weighted], [], PLAIN, Backlog(), more=[PICKY])
    assert governed.problems == {}
    plain, picky = (
        governed.framework_for(builders.pod("p", scheduler_name=name).cls) for name in ("stowplan", "picky")
    )
    assert "PolicySpread" in {each.name for each in plain.plugins} & {each.name for each in picky.plugins}
    assert (plain.weights["ImageLocality"], picky.weights["ImageLocality"]) == (4, 4)
    assert (plain.weights.get("Favourite"), picky.weights["Favourite"]) == (None, 9)


def test_a_weight_for_a_plugin_of_no_profile_is_told() -> None:
    weighted = policy(selector=EVERYTHING, scoring={"weights": {"Favourite": 9}})
    (problem,) = Policies([weighted], [], PLAIN, Backlog()).problems.values()
    assert "no score plugin is called Favourite" in problem


def test_profiles_of_one_run_share_what_is_known_of_failing_plugins() -> None:
    governed = Policies([], [], PLAIN, Backlog(), more=[profile("s")])
    one, other = (governed.framework_for(builders.pod("p", scheduler_name=name).cls) for name in ("stowplan", "s"))
    assert one.conduct is other.conduct


def test_what_fails_for_a_policy_that_is_only_tried_holds_up_nobody() -> None:
    tried = policy(mode="DryRun", selector=EVERYTHING, spread=[spread()])
    governed = Policies([tried], [], PLAIN, Backlog())
    cls = builders.pod("p").cls
    shadow = governed.shadow_for(cls)
    assert shadow is not None
    assert shadow.framework.conduct is not governed.framework_for(cls).conduct
