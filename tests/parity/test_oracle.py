"""The oracle, the exceptions and the command line, on states written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.parity import __main__ as command
from tests.parity import kube_scheduler, run
from tests.parity.compare import compare
from tests.parity.draw import Object
from tests.parity.exceptions import CAPACITY, CLAIM_TWICE, NEVER_COUNTED, UNREADABLE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]  # the oracle is built on first use

MEMORY: Object = {"cpu": "4", "memory": "8Gi", "pods": "110"}


@pytest.fixture(scope="module")
def kubernetes() -> Iterator[kube_scheduler.Oracle]:
    with kube_scheduler.Oracle(kube_scheduler.program()) as running:
        yield running


def node(name: str, **labels: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "status": {"allocatable": MEMORY, "capacity": MEMORY},
    }


def pod(name: str, **spec: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [{"name": "main", "image": "app"}], **spec},
    }


def mounting(name: str, *claims: str) -> Object:
    volumes = [{"name": f"v{at}", "persistentVolumeClaim": {"claimName": each}} for at, each in enumerate(claims)]
    return pod(name, volumes=volumes)


def claim(name: str, size: str, storage_class: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        },
    }


def storage_class(name: str, provisioner: str) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def pool(node_name: str, capacity: str) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIStorageCapacity",
        "metadata": {"name": f"pool-{node_name}", "namespace": "kube-system"},
        "storageClassName": "fast",
        "nodeTopology": {"matchLabels": {"kubernetes.io/hostname": node_name}},
        "capacity": capacity,
    }


FAST: list[Object] = [
    storage_class("fast", "csi.example.com"),
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": "csi.example.com"},
        "spec": {"storageCapacity": True},
    },
]


# ---------------------------------------------------------------- the oracle


def test_objects_come_back_as_the_api_server_would_hold_them(kubernetes: kube_scheduler.Oracle) -> None:
    container = {
        "name": "main",
        "image": "app",
        "resources": {"limits": {"cpu": "1"}},
        "ports": [{"containerPort": 80}],
    }
    spread = {
        "topologyKey": "zone",
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "db"}},
        "matchLabelKeys": ["version"],
    }
    raw = pod("p", containers=[container], topologySpreadConstraints=[spread])
    raw["metadata"] = {"name": "p", "namespace": "default", "labels": {"app": "db", "version": "v1"}}
    (held,) = (json.loads(bytes(each)) for each in kubernetes.ask([raw]).objects)
    (main,) = held["spec"]["containers"]
    assert main["resources"]["requests"] == {"cpu": "1"}
    assert main["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert held["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"] == [
        {"key": "version", "operator": "In", "values": ["v1"]}
    ]


def test_what_the_api_server_would_not_take_is_named_and_left_out(kubernetes: kube_scheduler.Oracle) -> None:
    answer = kubernetes.ask([node("n"), pod("good"), pod("bad", containers=[])])
    assert answer.invalid == {"Pod bad": "spec.containers: Required value"}
    assert set(answer.verdicts) == {"default/good"}


def test_each_pod_is_judged_alone_and_finished_ones_are_not_there(kubernetes: kube_scheduler.Oracle) -> None:
    asking = [{"name": "main", "image": "app", "resources": {"requests": {"cpu": "3"}}}]
    done = pod("done", containers=asking, nodeName="n") | {"status": {"phase": "Succeeded"}}
    answer = kubernetes.ask([node("n"), done, pod("p", containers=asking), pod("q", containers=asking)])
    assert {key: each.feasible for key, each in answer.verdicts.items()} == {"default/p": ("n",), "default/q": ("n",)}


def test_the_failure_text_is_that_of_an_event_without_preemption(kubernetes: kube_scheduler.Oracle) -> None:
    answer = kubernetes.ask([node("a"), node("b", disk="ssd"), pod("p", nodeSelector={"disk": "nvme"})])
    assert answer.verdicts["default/p"].message == (
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
    )


# ---------------------------------------------------------------- what differs on purpose


def test_a_claim_named_twice_is_compared_with_one_that_is_named_once(kubernetes: kube_scheduler.Oracle) -> None:
    volume: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "only"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "csi": {"driver": "csi.example.com", "volumeHandle": "only"},
        },
        "status": {"phase": "Available"},
    }
    local = storage_class("local", "kubernetes.io/no-provisioner")
    found = compare(kubernetes, [node("n"), local, volume, claim("c", "1Gi", "local"), mounting("p", "c", "c")])
    assert found.differences == {}
    assert found.excepted == {"default/p": (CLAIM_TWICE,)}


def test_capacity_is_compared_with_every_split_of_the_claims(kubernetes: kube_scheduler.Oracle) -> None:
    pools = [pool("small", "100Gi"), pool("large", "200Gi")]
    claims = [claim("c", "60Gi", "fast"), claim("d", "60Gi", "fast")]
    found = compare(kubernetes, [node("small"), node("large"), *FAST, *pools, *claims, mounting("p", "c", "d")])
    assert set(found.verdicts["default/p"].feasible) == {"small", "large"}
    assert found.differences == {}
    assert found.excepted == {"default/p": (CAPACITY,)}


def test_a_preferred_term_that_cannot_be_read_is_compared_with_none(kubernetes: kube_scheduler.Oracle) -> None:
    def preference(weight: int, operator: str, value: str) -> Object:
        requirement = {"key": "generation", "operator": operator, "values": [value]}
        return {"weight": weight, "preference": {"matchExpressions": [requirement]}}

    terms = [preference(1, "Gt", "x"), preference(2, "In", "3")]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
    found = compare(kubernetes, [node("a", generation="3"), node("b"), pod("p", affinity=affinity)])
    assert found.verdicts["default/p"].error
    assert found.differences == {}
    assert found.excepted == {"default/p": (UNREADABLE,)}


def test_victims_are_compared_where_a_spread_rule_selects_no_pod_that_ends(kubernetes: kube_scheduler.Oracle) -> None:
    def shop(name: str, *, ends: bool = False, **spec: object) -> Object:
        metadata = {"name": name, "namespace": "default", "uid": name, "labels": {"app": "shop"}}
        gone = {"deletionTimestamp": "2026-01-02T00:00:00Z"} if ends else {}
        return {**pod(name, **spec), "metadata": {**metadata, **gone}}

    rule = {
        "topologyKey": "zone", "maxSkew": 1, "minDomains": 4, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "shop"}},
    }  # fmt: skip
    others = [shop("stays", nodeName="a"), shop("ends", nodeName="b", ends=True)]
    urgent = shop("p", priority=100, topologySpreadConstraints=[rule])
    found = compare(kubernetes, [node("a", zone="z"), node("b", zone="z"), *others, urgent])
    preempted = found.verdicts["default/p"].preemption
    assert preempted is not None
    assert "b" in preempted.candidates
    assert found.differences == {}
    assert found.excepted == {"default/p": (NEVER_COUNTED,)}


# ---------------------------------------------------------------- the command line


def test_a_saved_state_can_be_compared_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [node("n"), pod("p")]}))
    assert command.main(["--state", str(path)]) == 0
    assert capsys.readouterr().out == "1 pod: 0 differ\n"


def test_a_state_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--state", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_differences_are_counted_made_small_and_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = run.Total()
    broken.failures.append(run.Failure("s-1", ("taints",), "default/p0", []))
    monkeypatch.setattr(run, "totals", lambda *_, **__: iter([broken]))
    monkeypatch.setattr(run, "reproduction", lambda *_: run.Reproduction([node("n")], [], []))
    assert command.main(["--pods", "1", "--save", str(tmp_path)]) == 1
    assert "default/p0 in state s-1 (taints)" in capsys.readouterr().out
    assert json.loads((tmp_path / "s-1-default-p0.json").read_text())["items"] == [node("n")]


def test_a_feature_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--features", "spread,magic"])
    assert "no feature is called magic" in capsys.readouterr().err
