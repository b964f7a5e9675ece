from __future__ import annotations

import msgspec
import pytest
from tests.builders import (
    HOST,
    ZONE,
    claim_volume,
    container,
    node_term,
    port,
    raw_pod,
    selector,
    spread,
    term,
    toleration,
)

from stowplan import errors
from stowplan.model import objects, selectors
from stowplan.model.pods import Interner


def test_pods_with_the_same_spec_share_a_class_whatever_they_are_called() -> None:
    interner = Interner()
    one = interner.pod(raw_pod("a", cpu="1", labels={"app": "db"}, claims=["data-a"]))
    two = interner.pod(raw_pod("b", cpu="1", labels={"app": "db"}, claims=["data-b"], on="n1", priority=7))
    assert one.cls is two.cls
    assert (one.claims, two.claims) == (("data-a",), ("data-b",))
    assert (two.key, two.node_name, two.priority) == ("default/b", "n1", 7)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(raw_pod("p", namespace="other"), id="namespace"),
        pytest.param(raw_pod("p", labels={"a": "1"}), id="labels"),
        pytest.param(raw_pod("p", terminating=True), id="terminating"),
        pytest.param(raw_pod("p", cpu="1"), id="requests"),
        pytest.param(raw_pod("p", overhead={"cpu": "1"}), id="overhead"),
        pytest.param(raw_pod("p", pod_resources={"cpu": "1"}), id="pod-level requests"),
        pytest.param(raw_pod("p", init_containers=[container("i", cpu="1")]), id="init containers"),
        pytest.param(raw_pod("p", image="db:2"), id="image"),
        pytest.param(raw_pod("p", ports=[port(80)]), id="ports"),
        pytest.param(raw_pod("p", node_selector={"a": "1"}), id="node selector"),
        pytest.param(raw_pod("p", node_affinity=[node_term(("a", "Exists"))]), id="node affinity"),
        pytest.param(raw_pod("p", tolerations=[toleration("a", "Exists")]), id="tolerations"),
        pytest.param(raw_pod("p", anti_affinity=[term(HOST, selector())]), id="anti-affinity"),
        pytest.param(raw_pod("p", spreads=[spread(ZONE, selector())]), id="spread"),
        pytest.param(raw_pod("p", annotations={"stowplan.dev/policy": "ha"}), id="policy"),
        pytest.param(raw_pod("p", resource_claims=["gpu"]), id="resource claims"),
        pytest.param(
            raw_pod("p", volumes=[objects.Volume(name="v", image=objects.ImageVolume("data:1"))]), id="image volumes"
        ),
    ],
)
def test_whatever_placement_depends_on_makes_another_class(other: objects.Pod) -> None:
    interner = Interner()
    assert interner.pod(raw_pod("p")).cls is not interner.pod(other).cls


def running(used: str, *, ready: bool = True, init: bool = False) -> objects.Pod:
    side = [container("side", cpu="1", restart="Always")] if init else []
    pod = raw_pod("p", containers=[container("main", cpu="1")], init_containers=side, on="n1", phase="Running")

    def report(name: str, cpu: str) -> objects.ContainerStatus:
        return objects.ContainerStatus(name, ready, {"cpu": "1"}, objects.ResourceRequirements({"cpu": cpu}))

    pod.status.container_statuses = [report("main", "1" if init else used)]
    pod.status.init_container_statuses = [report("side", used)] if init else []
    return pod


def test_a_running_pod_stays_in_the_class_that_it_was_pending_in() -> None:
    interner = Interner()
    pending = interner.pod(raw_pod("p", containers=[container("main", cpu="1")])).cls
    assert interner.pod(running("1")).cls is pending
    assert interner.pod(running("1", ready=False)).cls is pending


@pytest.mark.parametrize("init", [pytest.param(False, id="container"), pytest.param(True, id="sidecar")])
def test_a_pod_that_is_being_resized_is_in_a_class_of_its_size(init: bool) -> None:
    interner = Interner()
    before = interner.pod(running("1", init=init)).cls
    during = interner.pod(running("3", init=init)).cls
    assert during is not before
    assert during.requests["cpu"] - before.requests["cpu"] == 2000


def test_only_classes_in_use_are_kept() -> None:
    interner = Interner()
    kept, dropped = interner.pod(raw_pod("p")).cls, interner.pod(raw_pod("p", cpu="1")).cls
    interner.keep({kept})
    assert interner.pod(raw_pod("p")).cls is kept
    assert interner.pod(raw_pod("p", cpu="1")).cls is not dropped


def test_terms_without_namespaces_mean_the_pods_own() -> None:
    pod = Interner().pod(
        raw_pod(
            "p",
            namespace="prod",
            affinity=[
                term(HOST, selector({"a": "1"})),
                term(HOST, selector({"a": "1"}), namespaces=["x", "y"]),
                term(HOST, selector({"a": "1"}), namespace_selector=selector()),
            ],
        )
    )
    own, listed, everywhere = pod.cls.affinity
    assert (own.namespaces, own.namespace_selector) == (frozenset({"prod"}), selectors.NOTHING)
    assert (listed.namespaces, listed.namespace_selector) == (frozenset({"x", "y"}), selectors.NOTHING)
    assert (everywhere.namespaces, everywhere.namespace_selector) == (frozenset(), selectors.EVERYTHING)


def test_label_keys_put_the_pods_own_values_into_selectors() -> None:
    labels = {"hash": "1", "app": "db"}
    pod = Interner().pod(
        raw_pod(
            "p",
            labels=labels,
            anti_affinity=[
                term(HOST, selector({"app": "db"}), match_label_keys=["hash", "none"], mismatch_label_keys=["app"])
            ],
            spreads=[spread(ZONE, selector(), match_label_keys=["hash"])],
        )
    )
    (anti,), (constraint,) = pod.cls.anti_affinity, pod.cls.spread
    assert not anti.selector.matches(labels)  # mismatched with its own value
    assert constraint.selector.matches({"hash": "1"})
    assert not constraint.selector.matches({"hash": "2"})


def test_spread_constraints_have_the_api_defaults() -> None:
    (default,) = Interner().pod(raw_pod("p", spreads=[spread(ZONE, selector())])).cls.spread
    assert (default.min_domains, default.honor_affinity, default.honor_taints) == (1, True, False)
    raw = spread(ZONE, None, skew=2, required=False, min_domains=3, node_affinity="Ignore", node_taints="Honor")
    (given,) = Interner().pod(raw_pod("p", spreads=[raw])).cls.spread
    assert (given.max_skew, given.required, given.min_domains) == (2, False, 3)
    assert (given.honor_affinity, given.honor_taints, given.selector) == (False, True, selectors.NOTHING)


def test_claims_are_listed_once_with_those_of_ephemeral_volumes() -> None:
    pod = Interner().pod(
        raw_pod(
            "p",
            volumes=[
                claim_volume("data"),
                claim_volume("data"),
                objects.Volume(name="scratch", ephemeral=objects.EphemeralVolumeSource()),
                objects.Volume(name="config"),
                objects.Volume(name="disk", gce_persistent_disk=objects.GCEPersistentDisk("pd")),
            ],
        )
    )
    assert pod.claims == ("data", "p-scratch")
    assert pod.ephemeral == {"p-scratch"}
    assert [each.name for each in pod.volumes] == ["disk"]


def test_a_pod_that_cannot_be_understood_is_an_error() -> None:
    with pytest.raises(errors.InvalidObject):
        Interner().pod(raw_pod("p", cpu="one"))


def test_pods_are_read_from_json_as_the_api_server_writes_it() -> None:
    body = b"""{"metadata": {"name": "p", "namespace": "prod", "uid": "u", "labels": {"app": "db"},
      "ownerReferences": [{"kind": "Job", "name": "j", "controller": true, "uid": "x", "apiVersion": "batch/v1"}]},
      "spec": {"schedulingGates": [{"name": "g"}], "priority": 5, "unknown": {"x": 1},
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "250m", "memory": 1024}},
                        "ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"}]}]},
      "status": {"phase": "Succeeded",
        "conditions": [{"type": "PodScheduled", "status": "False", "message": "why"}]}}"""
    pod = Interner().pod(msgspec.json.decode(body, type=objects.Pod))
    assert (pod.uid, pod.key, pod.priority, pod.gates, pod.owner) == (
        "u",
        "prod/p",
        5,
        ("g",),
        ("batch/v1", "Job", "j"),
    )
    assert (pod.finished, pod.terminating, pod.scheduled_message) == (True, False, "why")
    assert pod.cls.requests == {"cpu": 250, "memory": 1024}
    assert [(each.ip, each.protocol, each.port) for each in pod.cls.ports] == [("10.0.0.1", "TCP", 80)]


def test_annotations_of_a_bind_are_not_kept_and_those_of_others_are() -> None:
    raw = raw_pod("p")
    raw.metadata.annotations = {"stowplan.dev/why": "{}", "stowplan.dev/fence": "me/1", "example.com/disk": "nvme"}
    assert Interner().pod(raw).annotations == {"example.com/disk": "nvme"}
    raw.metadata.annotations = {"stowplan.dev/why": "{}"}
    assert Interner().pod(raw).annotations == {}
