"""Random clusters as documents, and what `explain` and `plan` make of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st
from tests.controlplane.nodes import HOSTNAME, ZONE, Manifest
from tests.live import objects

from stowplan.app import judge
from stowplan.app.settings import Settings
from stowplan.simulator import explain as explaining
from stowplan.simulator import manifest
from stowplan.simulator import plan as planning

ZONES = ("a", "b", "c")
TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
TOLERATION = {"key": "dedicated", "operator": "Exists"}
PORT = 8080


@st.composite
def nodes(draw: st.DrawFn, *, tainted: bool) -> list[Manifest]:
    """Two to six nodes, of which some may be cordoned or tainted."""
    made = []
    for number in range(draw(st.integers(2, 6))):
        made.append(
            objects.node(
                f"n{number}", own="x", zone=draw(st.sampled_from(ZONES)), cpu=str(draw(st.integers(1, 4))),
                taints=[TAINT] if tainted and draw(st.booleans()) else [],
                unschedulable=tainted and draw(st.integers(0, 5)) == 0,
            )
        )  # fmt: skip
        made[-1]["status"]["allocatable"] = {**made[-1]["status"]["allocatable"], "pods": str(draw(st.integers(2, 6)))}
    return made


@st.composite
def pods(draw: st.DrawFn, *, on: list[str], labels: dict[str, str], spec: dict[str, Any]) -> list[Manifest]:
    """Pending pods, some of which have rules, and a few that are on a node."""
    made = []
    for number in range(draw(st.integers(1, 9))):
        own: dict[str, Any] = dict(spec)
        rule = draw(st.sampled_from(["none", "none", "port", "apart", "beside", "tolerant", "small"]))
        if rule == "port":
            own["ports"] = [PORT]
        elif rule == "apart":
            own["affinity"] = objects.apart(HOSTNAME, labels)
        elif rule == "beside":
            own["affinity"] = objects.beside(ZONE, {"app": "cache"})
        elif rule == "tolerant":
            own["tolerations"] = [TOLERATION]
        name = draw(st.sampled_from(["db", "web", "cache"])) if not spec else "db"
        pod = objects.pod(
            draw(st.sampled_from(["east", "west"])) if not spec else "east", f"{name}-{number}",
            cpu=draw(st.sampled_from(["100m", "500m", "1", "2500m"])), labels={"app": name},
            priority=draw(st.integers(0, 2)), **own,
        )  # fmt: skip
        if not spec and draw(st.integers(0, 3)) == 0:
            pod["spec"]["nodeName"] = draw(st.sampled_from(on))
        made.append(pod)
    return made


@st.composite
def clusters(draw: st.DrawFn) -> list[Manifest]:
    """Nodes and pods with all kinds of rules."""
    some = draw(nodes(tainted=True))
    names = [each["metadata"]["name"] for each in some]
    return [*some, *draw(pods(on=names, labels={"app": "db"}, spec={}))]


def state(documents: Iterable[Manifest]) -> judge.State:
    """The cluster that the documents describe."""
    return judge.State(question(), manifest.read([("test", json.dumps(list(documents)).encode())]))


def question() -> judge.Question:
    """About all pods."""
    return judge.Question(
        files=("test",), kubeconfig=None, context=None, namespace=None, labels=None,
        scheduler_name=None, settings=Settings(), told=lambda _: None,
    )  # fmt: skip


def explained(world: judge.State) -> list[explaining.Explanation]:
    """Every pending pod, in queue order."""
    snapshot, policies = world.board.scheduler.cache.snapshot, world.board.policies
    return [explaining.explain(pod, snapshot, policies.framework_for(pod.cls)) for pod in world.pending()]


def planned(world: judge.State) -> tuple[list[planning.Placement], list[planning.Unschedulable]]:
    """Where all pending pods would go."""
    scheduler = world.board.scheduler
    for at, pod in enumerate(world.pending()):
        scheduler.queue.put(pod, float(at))
    outcomes = list(planning.plan(scheduler))
    return (
        [each for each in outcomes if isinstance(each, planning.Placement)],
        [each for each in outcomes if isinstance(each, planning.Unschedulable)],
    )


def carried_out(documents: Iterable[Manifest], placements: Iterable[planning.Placement]) -> list[Manifest]:
    """The cluster as it is once the pods are where the plan says."""
    places = {each.pod: each.node for each in placements}
    result = []
    for each in documents:
        metadata = each["metadata"]
        node = places.get(f"{metadata.get('namespace')}/{metadata['name']}") if each["kind"] == "Pod" else None
        result.append({**each, "spec": {**each["spec"], "nodeName": node}} if node else each)
    return result
