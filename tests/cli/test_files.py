"""`explain` and `plan` on files: every way to give them, what is printed, and the exit codes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.cli import command
from tests.cli.conftest import Invoke, Write
from tests.controlplane.nodes import HOSTNAME, ZONE, Manifest
from tests.live import objects

from stowplan import cli

TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
NODES = [
    objects.node("n1", own="x", zone="a", cpu="4"),
    objects.node("n2", own="x", zone="b", cpu="4", taints=[TAINT]),
    objects.node("n3", own="x", zone="c", cpu="1"),
]
WEB = objects.pod("shop", "web", cpu="1500m", labels={"app": "web"})
BIG = objects.pod("shop", "big", cpu="100", labels={"app": "big"})
RUNNING = objects.pod("shop", "running", cpu="2", labels={"app": "web"}, nodeName="n1")
CLUSTER = [*NODES, WEB, BIG, RUNNING]


def listed(items: list[Manifest], kind: str = "List") -> str:
    """As `kubectl get -o json` prints it."""
    return json.dumps({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": ""}, "items": items})


# ---------------------------------------------------------------- the answers


def test_explain_tells_about_every_node(invoke: Invoke, write: Write) -> None:
    done = invoke("explain", "web", "-f", write("cluster.yaml", *CLUSTER), "-o", "json")
    assert (done.status, done.err) == (0, "")
    assert set(done.json) == {"pods"}
    answer = done.json["pods"]["shop/web"]
    assert set(answer) == {"feasible", "rejected", "unschedulable", "scores", "chosen"}
    assert answer["feasible"] == ["n1"]
    assert answer["rejected"] == {
        "n2": [{"plugin": "TaintToleration", "reason": "node(s) had untolerated taint(s)"}],
        "n3": [{"plugin": "NodeResourcesFit", "reason": "Insufficient cpu"}],
    }
    assert answer["unschedulable"] is None
    assert answer["chosen"] == "n1"
    assert set(answer["scores"]) == {"n1"}
    assert answer["scores"]["n1"]["total"] == sum(answer["scores"]["n1"]["plugins"].values())


def test_explain_names_every_plugin_that_rejects_a_node(invoke: Invoke, write: Write) -> None:
    done = invoke("explain", "big", "-f", write("cluster.yaml", *CLUSTER), "-o", "json")
    assert (done.status, done.err) == (1, "")
    answer = done.json["pods"]["shop/big"]
    assert [each["plugin"] for each in answer["rejected"]["n2"]] == ["TaintToleration", "NodeResourcesFit"]
    assert (answer["feasible"], answer["scores"], answer["chosen"]) == ([], {}, None)
    assert answer["unschedulable"] == (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu."
    )


def test_explain_judges_a_bound_pod_as_if_it_had_no_node(invoke: Invoke, write: Write) -> None:
    """On n1 there are 4 CPUs: 2 of its own and 2 free, so 3.5 fit where 2.5 would not fit beside it."""
    large = objects.pod("shop", "large", cpu="3500m", nodeName="n1")
    done = invoke("explain", "large", "-f", write("cluster.yaml", *NODES, large), "-o", "json")
    assert done.status == 0
    assert done.json["pods"]["shop/large"]["feasible"] == ["n1"]


def test_plan_places_each_pod_before_the_next(invoke: Invoke, write: Write) -> None:
    """Two of 1.5 CPUs and a running one of 2 do not fit on n1, which is all that they can use."""
    second = objects.pod("shop", "web-2", cpu="1500m")
    done = invoke("plan", "-f", write("cluster.yaml", *CLUSTER, second), "-o", "json")
    assert (done.status, done.err) == (1, "")
    assert set(done.json) == {"placements", "unschedulable", "domains"}
    assert done.json["placements"] == [{"pod": "shop/web", "node": "n1"}]
    said = {each["pod"]: each["reason"] for each in done.json["unschedulable"]}
    assert said == {
        "shop/big": "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu.",
        "shop/web-2": "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu.",
    }


def test_plan_goes_by_priority_then_age(invoke: Invoke, write: Write) -> None:
    """There is room for one of them; the last one by name is the oldest of the more important."""
    pods = []
    for name, priority, created in (("a", 0, "01"), ("b", 10, "03"), ("c", 10, "02")):
        pod = objects.pod("shop", name, cpu="3", priority=priority)
        pod["metadata"]["creationTimestamp"] = f"2026-01-{created}T00:00:00Z"
        pods.append(pod)
    done = invoke("plan", "-f", write("cluster.yaml", NODES[0], *pods), "-o", "json")
    assert done.json["placements"] == [{"pod": "shop/c", "node": "n1"}]


def test_plan_tries_those_again_that_a_later_one_helps(invoke: Invoke, write: Write) -> None:
    friend = objects.pod("shop", "a-friend", affinity=objects.beside(ZONE, {"app": "web"}))
    done = invoke("plan", "-f", write("cluster.yaml", *NODES, friend, WEB), "-o", "json")
    assert done.status == 0
    assert {each["pod"]: each["node"] for each in done.json["placements"]} == {"shop/web": "n1", "shop/a-friend": "n1"}


def test_a_gated_pod_is_not_planned(invoke: Invoke, write: Write) -> None:
    gated = objects.pod("shop", "gated", schedulingGates=[{"name": "example.com/quota"}])
    done = invoke("plan", "-f", write("cluster.yaml", *NODES, gated), "-o", "json")
    assert (done.status, done.json["placements"]) == (1, [])
    (one,) = done.json["unschedulable"]
    assert "example.com/quota" in one["reason"]


def over_zones(**rule: object) -> Manifest:
    return {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "SchedulingPolicy",
        "metadata": {"name": "ha", "namespace": "shop"},
        "spec": {
            "selector": {"matchLabels": {"app": "db"}},
            "failureDomains": [{"name": "zone", "topologyKey": ZONE}],
            "spread": [{"name": "over-zones", "domain": "zone", "maxSkew": 1, **rule}],
        },
    }


def test_a_policy_counts_its_domains(invoke: Invoke, write: Write) -> None:
    policy = over_zones(enforcement="Required")
    pods = [objects.pod("shop", f"db-{number}", labels={"app": "db"}) for number in range(4)]
    nodes = [objects.node(f"{zone}1", own="x", zone=zone) for zone in "abc"]
    done = invoke("plan", "-f", write("cluster.yaml", policy, *nodes, *pods), "-o", "json")
    assert done.status == 0
    (row,) = done.json["domains"]
    assert set(row) == {"rule", "group", "domain", "counts", "skew"}
    assert (row["rule"], row["domain"], row["skew"]) == ("over-zones", "zone", 1)
    assert sorted(row["counts"].values()) == [1, 1, 2]


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        pytest.param({"enforcement": "Required"}, 1, id="required"),
        pytest.param({"enforcement": "Preferred", "weight": 50}, 0, id="preferred"),
    ],
)
def test_plan_says_no_where_a_required_rule_stays_broken(
    invoke: Invoke, write: Write, rule: dict[str, object], status: int
) -> None:
    nodes = [objects.node(f"{zone}1", own="x", zone=zone) for zone in "abc"]
    there = [objects.pod("shop", f"old-{n}", labels={"app": "db"}, nodeName="a1") for n in range(4)]
    file = write("cluster.yaml", over_zones(**rule), *nodes, *there, objects.pod("shop", "new", labels={"app": "db"}))
    done = invoke("plan", "-f", file)
    assert done.status == status
    assert ("4 (violated)" in done.out) == (status == 1)
    assert set(invoke("plan", "-f", file, "-o", "json").json["domains"][0]) == {
        "rule", "group", "domain", "counts", "skew",
    }  # fmt: skip


def test_objects_without_a_namespace_are_in_the_same_one(invoke: Invoke, write: Write) -> None:
    """As users write them, and `kubectl apply` puts them: the policy governs the pods, the cluster names the policy."""
    zone = {"failureDomains": [{"name": "zone", "topologyKey": ZONE}]}
    apart = {"name": "apart", "domain": "zone", "enforcement": "Required"}
    kinds = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "SchedulingPolicy"}
    selected = {**kinds, "metadata": {"name": "p"}, "spec": {"selector": {}, **zone, "separate": [apart]}}
    named = {**kinds, "metadata": {"name": "q"}, "spec": {**zone, "separate": [{**apart, "name": "members-apart"}]}}
    db = {
        "apiVersion": "stowplan.dev/v1alpha1", "kind": "StatefulCluster", "metadata": {"name": "db"},
        "spec": {"schedulingPolicyRef": {"name": "q"}, "nodeSets": [
            {"name": "d", "replicas": 2, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}]},
    }  # fmt: skip
    member = {"stowplan.dev/cluster": "db"}
    pods = [objects.pod("", "a", nodeName="n1"), objects.pod("", "b"),
            objects.pod("", "m-0", labels=member, nodeName="n1"), objects.pod("", "m-1", labels=member)]  # fmt: skip
    for pod in pods:
        del pod["metadata"]["namespace"]
    file = write("cluster.yaml", *NODES[:1], selected, named, db, *pods)
    assert "rule apart of policy p" in invoke("explain", "b", "-f", file).out
    assert "rule members-apart of policy q" in invoke("explain", "m-1", "-f", file).out


@pytest.mark.parametrize(
    ("hosts", "pods", "said"),
    [
        pytest.param(3, 1, "n0: 1, n1: 0, n2: 0 ", id="few"),
        pytest.param(8, 4, "n0: 1, n1: 1, n2: 1, n3: 1, n4: 0, … 3 more: 0 ", id="many"),
        pytest.param(8, 6, "n0: 1, n1: 1, n2: 1, n3: 1, n4: 1, … 3 more: 0 to 1 ", id="mixed"),
    ],
)
def test_of_many_domains_the_fullest_are_shown(invoke: Invoke, write: Write, hosts: int, pods: int, said: str) -> None:
    rule = {"name": "over-hosts", "domain": "host", "maxSkew": 1, "enforcement": "Required"}
    policy = {
        "apiVersion": "stowplan.dev/v1alpha1", "kind": "SchedulingPolicy",
        "metadata": {"name": "ha", "namespace": "shop"},
        "spec": {"selector": {}, "failureDomains": [{"name": "host", "topologyKey": HOSTNAME}], "spread": [rule]},
    }  # fmt: skip
    placed = [objects.pod("shop", f"db-{number}", nodeName=f"n{number}") for number in range(pods)]
    nodes = [objects.node(f"n{number}", own="x") for number in range(hosts)]
    file = write("cluster.yaml", policy, *nodes, *placed)
    assert said in invoke("plan", "-f", file).out
    everywhere = ", ".join(f"n{number}: {int(number < pods)}" for number in range(hosts))
    assert everywhere in invoke("plan", "-f", file, "-o", "wide").out


GANG = {
    "apiVersion": "stowplan.dev/v1alpha1",
    "kind": "SchedulingPolicy",
    "metadata": {"name": "together", "namespace": "shop"},
    "spec": {"selector": {}, "gang": {"minMember": 2, "groupBy": ["gang"]}},
}
"""Two pods each."""


def worker(name: str, gang: str, cpu: str) -> Manifest:
    return objects.pod("shop", name, labels={"gang": gang}, cpu=cpu)


def test_plan_places_gangs_whole_and_jointly(invoke: Invoke, write: Write) -> None:
    """`a` comes first and n1 is best for it, but `b` has no other node; of `c` and `d` only one would fit."""
    nodes = [objects.node("n1", own="x", cpu="4"), objects.node("n2", own="x", cpu="3")]
    pods = [worker("a", "red", "3"), worker("b", "red", "4"), worker("c", "blue", "1"), worker("d", "blue", "4")]
    done = invoke("plan", "-f", write("cluster.yaml", GANG, *nodes, *pods), "-o", "json")
    assert done.status == 1
    assert {each["pod"]: each["node"] for each in done.json["placements"]} == {"shop/a": "n2", "shop/b": "n1"}
    reasons = {each["pod"]: each["reason"] for each in done.json["unschedulable"]}
    assert set(reasons) == {"shop/c", "shop/d"}
    assert "gang shop/blue: no room for 2 members at once" in reasons["shop/c"]


def test_explain_says_what_a_member_of_a_gang_waits_for(invoke: Invoke, write: Write) -> None:
    file = write("cluster.yaml", GANG, *NODES, worker("a", "red", "1"))
    done = invoke("explain", "a", "-f", file, "-o", "json")
    assert done.json["pods"]["shop/a"]["gang"] == "gang shop/red: 1 of minMember 2 members exist"
    assert (
        "It is placed with its gang: gang shop/red: 1 of minMember 2 members exist"
        in invoke("explain", "a", "-f", file).out
    )


@pytest.mark.parametrize(
    ("pod", "flags", "said"),
    [
        pytest.param(objects.pod("shop", "new", scheduler="stowplam"), [],
                     "its schedulerName is stowplam, not stowplan", id="somebody else's"),
        pytest.param(objects.pod("shop", "new"), ["--scheduler-name", "batch"],
                     "its schedulerName is stowplan, not batch", id="not the one asked about"),
        pytest.param(objects.pod("shop", "new", schedulingGates=[{"name": "example.com/quota"}]), [],
                     "waiting for scheduling gates: [example.com/quota]", id="gated"),
    ],
)  # fmt: skip
def test_explain_says_why_a_pod_is_not_even_tried(
    invoke: Invoke, write: Write, pod: Manifest, flags: list[str], said: str
) -> None:
    done = invoke("explain", "new", "-f", write("cluster.yaml", *NODES, pod), *flags)
    assert done.status == 0
    assert f"Stowplan does not try it: {said}" in done.out.splitlines()


@pytest.mark.parametrize("pod", [pytest.param("web", id="pending"), pytest.param("running", id="bound")])
def test_explain_says_nothing_of_the_kind_about_pods_that_are_tried_or_placed(
    invoke: Invoke, write: Write, pod: str
) -> None:
    assert "does not try" not in invoke("explain", pod, "-f", write("cluster.yaml", *CLUSTER)).out


def test_a_pod_whose_policy_is_not_there_says_so(invoke: Invoke, write: Write) -> None:
    lost = objects.pod("shop", "lost", annotations={"stowplan.dev/policy": "no-such"})
    done = invoke("explain", "lost", "-f", write("cluster.yaml", *NODES, lost), "-o", "json")
    assert done.status == 1
    assert "no-such" in done.json["pods"]["shop/lost"]["unschedulable"]


def test_what_a_pod_names_cannot_disturb_the_terminal(invoke: Invoke, write: Write) -> None:
    lost = objects.pod("shop", "lost", annotations={"stowplan.dev/policy": "a\n\x1b[2Jb"})
    done = invoke("plan", "-f", write("cluster.yaml", *NODES, lost))
    assert r"SchedulingPolicy 'a\n\x1b[2Jb', which" in done.out


def test_plan_of_one_namespace_says_nothing_of_the_rules_of_others(invoke: Invoke, write: Write) -> None:
    nodes = [objects.node(f"{zone}1", own="x", zone=zone) for zone in "abc"]
    there = [objects.pod("shop", f"old-{n}", labels={"app": "db"}, nodeName="a1") for n in range(4)]
    file = write("cluster.yaml", over_zones(enforcement="Required"), *nodes, *there, objects.pod("other", "new"))
    assert invoke("plan", "-f", file, "-n", "shop").status == 1
    done = invoke("plan", "-f", file, "-n", "other", "-o", "json")
    assert (done.status, done.json["domains"]) == (0, [])


# ---------------------------------------------------------------- ways to give the state


WAYS: dict[str, Callable[[Write], tuple[list[str], str]]] = {
    "yaml documents": lambda write: (["-f", write("c.yaml", *CLUSTER)], ""),
    "json list": lambda write: (["-f", write("c.json", *CLUSTER)], ""),
    "standard input": lambda _: (["-f", "-"], listed(CLUSTER)),
    "yaml list": lambda _: (["-f", "-"], yaml.safe_dump(json.loads(listed(CLUSTER)))),
    "typed lists": lambda _: (["-f", "-"], "\n---\n".join(
        yaml.safe_dump(json.loads(listed([{k: v for k, v in each.items() if k not in ("apiVersion", "kind")}
                                          for each in part], kind)))
        for kind, part in (("NodeList", NODES), ("PodList", [WEB, BIG, RUNNING])))),
    "list of lists": lambda _: (["-f", "-"], listed([json.loads(listed(NODES)), json.loads(listed(CLUSTER[3:]))])),
    "several outputs in one pipe": lambda _: (["-f", "-"], listed(NODES) + "\n" + listed(CLUSTER[3:]) + "\n"),
    "json documents": lambda _: (["-f", "-"], "\n---\n".join(json.dumps(each) for each in CLUSTER) + "\n---\n"),
    "yaml in braces": lambda _: (["-f", "-"], "".join(
        f"---\n{yaml.safe_dump(each, default_flow_style=True)}" for each in CLUSTER)),
    "json array": lambda _: (["-f", "-"], json.dumps(CLUSTER)),
    "several files": lambda write: (
        ["-f", write("pods.yaml", WEB, BIG), "-f", write("nodes.json", *NODES), "-f", "-"], json.dumps(RUNNING)),
}  # fmt: skip


@pytest.mark.parametrize("way", [pytest.param(way, id=name) for name, way in WAYS.items()])
def test_the_state_can_be_given_in_any_way(
    invoke: Invoke, write: Write, way: Callable[[Write], tuple[list[str], str]]
) -> None:
    plain = ["-f", write("plain.yaml", *CLUSTER), "-o", "json"]
    arguments, stdin = way(write)
    for asked in (["explain", "--all-pending"], ["plan"]):
        expected, done = invoke(*asked, *plain), invoke(*asked, *arguments, "-o", "json", stdin=stdin)
        assert (done.status, done.err) == (expected.status, "")
        assert done.json == expected.json


def test_what_scheduling_does_not_look_at_is_passed_over(invoke: Invoke, write: Write) -> None:
    others = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}},
        {"apiVersion": "example.com/v1", "kind": "Pod", "metadata": {"name": "not-ours"}, "spec": 5},
    ]
    done = invoke("plan", "-f", write("c.yaml", *CLUSTER, *others), "-o", "json")
    assert [each["pod"] for each in done.json["placements"]] == ["shop/web"]


# ---------------------------------------------------------------- which pods


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], {"shop/web", "shop/big", "back/web"}, id="all"),
        pytest.param(["-A"], {"shop/web", "shop/big", "back/web"}, id="-A"),
        pytest.param(["-n", "shop"], {"shop/web", "shop/big"}, id="-n"),
        pytest.param(["-n", "nowhere"], set(), id="-n of none"),
        pytest.param(["-n", "nowhere", "-A"], {"shop/web", "shop/big", "back/web"}, id="-A goes before -n"),
        pytest.param(["-l", "app=web"], {"shop/web", "back/web"}, id="-l"),
        pytest.param(["-l", "app!=web"], {"shop/big"}, id="-l not"),
        pytest.param(["-l", "app in (big,small)"], {"shop/big"}, id="-l in"),
        pytest.param(["-n", "back", "-l", "app=web"], {"back/web"}, id="-n -l"),
        pytest.param(["--scheduler-name", "default-scheduler"], {"back/web"}, id="--scheduler-name"),
    ],
)
def test_the_pods_can_be_chosen(invoke: Invoke, write: Write, arguments: list[str], expected: set[str]) -> None:
    other = objects.pod("back", "web", labels={"app": "web"}, scheduler="default-scheduler")
    done = invoke("explain", "--all-pending", "-f", write("c.yaml", *CLUSTER, other), "-o", "json", *arguments)
    assert set(done.json["pods"]) == expected


def test_a_pod_can_be_named_with_its_namespace(invoke: Invoke, write: Write) -> None:
    file = write("c.yaml", *CLUSTER, objects.pod("back", "web"))
    assert set(invoke("explain", "back/web", "-f", file, "-o", "json").json["pods"]) == {"back/web"}
    assert set(invoke("explain", "web", "-n", "back", "-f", file, "-o", "json").json["pods"]) == {"back/web"}
    done = invoke("explain", "web", "-f", file)
    assert (done.status, done.out) == (2, "")
    assert done.err == "error: pod web is in several namespaces: give -n, or namespace/name\n"


# ---------------------------------------------------------------- how it is printed


def test_the_table_of_explain_is_for_people(invoke: Invoke, write: Write) -> None:
    done = invoke("explain", "web", "big", "-f", write("c.yaml", *CLUSTER))
    lines = done.out.splitlines()
    assert done.status == 1  # one of them fits nowhere
    assert lines[0] == "shop/web: 1 of 3 nodes are feasible, the best is n1"
    assert lines[2].split()[:2] == ["NODE", "TOTAL"]
    assert {"NodeResourcesFit", "TaintToleration"} <= set(lines[2].split())
    total, *scores = map(int, lines[3].split()[1:])
    assert (lines[3].split()[0], total) == ("n1", sum(scores))
    assert lines[5:8] == [
        "REJECTED   PLUGIN             REASON                             NODES",
        "1          NodeResourcesFit   Insufficient cpu                   n3",
        "1          TaintToleration    node(s) had untolerated taint(s)   n2",
    ]
    assert "shop/big: 0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu." in lines
    assert "\x1b" not in done.out


def test_the_table_of_plan_is_for_people(invoke: Invoke, write: Write) -> None:
    done = invoke("plan", "-f", write("c.yaml", *CLUSTER))
    assert done.out == (
        "POD        NODE\n"
        "shop/web   n1\n"
        "\n"
        "UNSCHEDULABLE   REASON\n"
        "shop/big        0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu.\n"
    )


def test_a_long_table_is_cut_unless_all_is_asked_for(invoke: Invoke, write: Write) -> None:
    nodes = [objects.node(f"n{number:02}", own="x") for number in range(15)]
    file = write("c.yaml", *nodes, WEB)
    assert "… and 5 more (-o wide shows all)" in invoke("explain", "web", "-f", file).out
    wide = invoke("explain", "web", "-f", file, "-o", "wide").out
    assert all(f"n{number:02}" in wide for number in range(15))


def test_scores_that_tell_no_nodes_apart_are_no_columns_unless_all_is_asked_for(invoke: Invoke, write: Write) -> None:
    nodes = [objects.node("n1", own="x", cpu="4"), objects.node("n2", own="x", cpu="16")]
    file = write("c.yaml", *nodes, WEB)
    lines = invoke("explain", "web", "-f", file).out.splitlines()
    assert "TaintToleration" not in lines[2]
    assert "NodeResourcesFit" in lines[2].split()
    assert lines[-1] == "the same on all of them: TaintToleration 300"
    wide = invoke("explain", "web", "-f", file, "-o", "wide").out.splitlines()
    assert {"TaintToleration", "NodeResourcesFit"} <= set(wide[2].split())
    assert not wide[-1].startswith("the same")


def test_yaml_says_the_same_as_json(invoke: Invoke, write: Write) -> None:
    db = objects.pod("shop", "db", labels={"app": "db"})
    zurich = objects.node("n4", own="x", zone="Zürich", cpu="1")
    file = write("c.yaml", *CLUSTER, zurich, db, over_zones(enforcement="Required"))
    assert "Zürich" in invoke("plan", "-f", file, "-o", "yaml").out
    for asked in (["explain", "--all-pending"], ["plan"]):
        as_yaml: Any = yaml.safe_load(invoke(*asked, "-f", file, "-o", "yaml").out)
        assert as_yaml == invoke(*asked, "-f", file, "-o", "json").json


@pytest.mark.parametrize("asked", [pytest.param(["plan"], id="plan"), pytest.param(["explain", "--all-pending"])])
def test_nothing_to_do_is_well(invoke: Invoke, write: Write, asked: list[str]) -> None:
    done = invoke(*asked, "-f", write("c.yaml", *NODES, RUNNING))
    assert (done.status, done.out, done.err) == (0, "No pending pods.\n", "")


def test_without_nodes_nothing_fits(invoke: Invoke, write: Write) -> None:
    done = invoke("plan", "-f", write("c.yaml", WEB), "-o", "json")
    assert done.status == 1
    assert done.json["unschedulable"] == [{"pod": "shop/web", "reason": "no nodes available to schedule pods"}]


# ---------------------------------------------------------------- both names


def test_both_commands_are_installed_and_are_the_same() -> None:
    project = tomllib.loads((command.ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"stowplan": "stowplan.cli:main", "kubectl-stowplan": "stowplan.cli:main"}
    assert callable(cli.main)


def test_it_runs_as_a_module() -> None:
    done = command.run("--version")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("stowplan, version ")


@pytest.mark.parametrize("name", ["run", "explain", "plan"])
def test_help_has_examples(invoke: Invoke, name: str) -> None:
    done = invoke(name, "--help")
    assert done.status == 0
    assert "Examples:" in done.out
    assert f"stowplan {name}" in done.out
