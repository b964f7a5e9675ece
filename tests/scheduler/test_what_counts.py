"""What is on a node counts as in kube-scheduler, whoever put it there and whatever becomes of it.

Source of the rules: kubernetes v1.36.3 ``pkg/scheduler/backend/cache/cache.go`` (``addPod``, ``RemoveNode``) and
``pkg/scheduler/eventhandlers.go``; for spread ``plugins/podtopologyspread/common.go`` (``countPodsMatchSelector``).
"""

from __future__ import annotations

import pytest
from tests import builders
from tests.builders import HOST, ZONE

from stowplan.framework.plugin import CycleState
from stowplan.model.pods import PodInfo
from stowplan.profiles import Backlog, PluginArgs, Policies
from stowplan.scheduler.cache import ClusterCache

LABELS = {"app": "db"}
SET = builders.selector(LABELS)


def why(cache: ClusterCache, pod: PodInfo) -> str:
    """Why the pod fits nowhere, or "" where it fits."""
    framework = Policies((), (), PluginArgs(), Backlog()).framework_for(pod.cls)
    if framework.feasible(pod, cache.snapshot, CycleState()).any():
        return ""
    return framework.diagnose(pod, cache.snapshot, CycleState()).message


def full(**pod: object) -> ClusterCache:
    """One node with 4 CPUs, of which a pod has 3."""
    cache = ClusterCache()
    cache.put_node(builders.node("n1", zone="a", cpu="4"))
    cache.put_pod(builders.pod("there", on="n1", cpu="3", labels=LABELS, **pod))  # type: ignore[arg-type]
    return cache


NO_CPU = "0/1 nodes are available: 1 Insufficient cpu."


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        pytest.param({}, NO_CPU, id="one of ours"),
        pytest.param({"scheduler_name": "default-scheduler"}, NO_CPU, id="one of another scheduler"),
        pytest.param({"terminating": True}, NO_CPU, id="on its way out: until it is gone"),
        pytest.param({"phase": "Succeeded"}, "", id="finished: not at all"),
        pytest.param({"phase": "Failed"}, "", id="failed: not at all"),
    ],
)
def test_resources_are_taken_by_whoever_runs(there: dict[str, object], expected: str) -> None:
    assert why(full(**there), builders.pod("new", cpu="2")) == expected


@pytest.mark.parametrize(
    ("there", "fits"),
    [
        pytest.param({}, False, id="counts"),
        pytest.param({"scheduler_name": "default-scheduler"}, False, id="of another scheduler: counts"),
        pytest.param({"terminating": True}, True, id="on its way out: does not count"),
    ],
)
def test_spread_does_not_count_pods_on_their_way_out(there: dict[str, object], fits: bool) -> None:
    cache = full(**there)
    cache.put_node(builders.node("n2", zone="b", unschedulable=True))
    new = builders.pod("new", labels=LABELS, spreads=[builders.spread(ZONE, SET)])
    assert (why(cache, new) == "") == fits


@pytest.mark.parametrize("terminating", [pytest.param(False, id="running"), pytest.param(True, id="on its way out")])
def test_anti_affinity_counts_pods_until_they_are_gone(terminating: bool) -> None:
    new = builders.pod("new", anti_affinity=[builders.term(HOST, SET)])
    assert "anti-affinity" in why(full(terminating=terminating), new)


def test_a_node_that_offers_less_than_is_requested_takes_no_more_and_evicts_nobody() -> None:
    cache = full()
    cache.put_node(builders.node("n1", zone="a", cpu="2"))
    assert list(cache.snapshot.pods) == ["uid-default/there"]
    assert why(cache, builders.pod("small", cpu="1m")) == NO_CPU
    assert why(cache, builders.pod("nothing")) == ""
    cache.remove_pod("uid-default/there")
    assert why(cache, builders.pod("new", cpu="2")) == ""


def test_a_node_that_comes_back_under_its_name_has_the_pods_that_are_bound_to_the_name() -> None:
    """Until the garbage collector of the controller manager has removed them."""
    cache = full()
    gone = cache.snapshot.nodes[0]
    cache.remove_node("n1")
    assert why(cache, builders.pod("new", cpu="2")) == "no nodes available to schedule pods"
    again = builders.node("n1", zone="a", cpu="4")
    again.metadata.uid = "another"
    assert again.metadata.uid != gone.metadata.uid
    cache.put_node(again)
    assert why(cache, builders.pod("new", cpu="2")) == NO_CPU
    cache.remove_pod("uid-default/there")
    assert why(cache, builders.pod("new", cpu="2")) == ""
    assert cache.snapshot.check() == []


def test_a_node_made_anew_while_nobody_looked_is_the_new_one() -> None:
    """The watch shows no deletion then: only another uid under the name."""
    cache = full()
    again = builders.node("n1", zone="b", cpu="8", taints=["dedicated:NoSchedule"])
    again.metadata.uid = "another"
    kinds = {each.kind.value for each in cache.put_node(again)}
    assert kinds == {"NodeAllocatableUpdate", "NodeLabelUpdate", "NodeTaintUpdate"}
    assert "untolerated taint" in why(cache, builders.pod("new"))
    tolerating = builders.pod("new", cpu="5", tolerations=[builders.toleration("dedicated", "Exists")])
    assert why(cache, tolerating) == ""
    assert cache.snapshot.check() == []


def test_a_pod_in_flight_to_a_node_that_is_deleted_keeps_its_room_for_when_the_node_is_back() -> None:
    cache = ClusterCache()
    cache.put_node(builders.node("n1", cpu="4"))
    cache.assume(builders.pod("flying", cpu="3"), "n1")
    cache.remove_node("n1")
    cache.put_node(builders.node("n1", cpu="4"))
    assert why(cache, builders.pod("new", cpu="2")) == NO_CPU
