from __future__ import annotations

import pytest
from tests.controlplane.nodes import HOSTNAME, RACK, ZONE, Layout, Manifest
from tests.demo import fitting, worlds
from tests.demo.fitting import Fitted
from tests.demo.state import Host

from stowplan.api.cluster import StatefulCluster
from stowplan.api.policy import SchedulingPolicy

CLASSES: list[Manifest] = [{"metadata": {"name": name}} for name in ("local-nvme", "zonal")]
DEFAULT: Manifest = {"metadata": {"name": "standard", "annotations": {fitting.DEFAULT_CLASS: "true"}}}


def small(count: int, *, without: tuple[str, ...] = ()) -> tuple[Host, ...]:
    """Some nodes of a cluster, as an installer of small clusters makes them."""
    hosts = []
    for zone, _, rack, name in Layout(count=count).names():
        labels = {HOSTNAME: name, ZONE: zone, RACK: rack}
        hosts.append(Host(name, {key: labels[key] for key in labels if key not in without}, usable=True))
    return tuple(hosts)


def fit(hosts: tuple[Host, ...], classes: list[Manifest]) -> Fitted:
    policy, cluster = worlds.policy(), worlds.cluster()
    del policy["status"], cluster["status"]
    fitted = fitting.fit(policy, cluster, hosts=hosts, classes=classes)
    SchedulingPolicy.model_validate(fitted.policy)
    StatefulCluster.model_validate(fitted.cluster)
    return fitted


def test_a_cluster_that_the_examples_were_made_for_gets_them_as_they_are() -> None:
    fitted = fit(worlds.hosts(), CLASSES)
    assert fitted.changes == ()
    assert fitted.policy["spec"] == worlds.policy()["spec"]
    assert fitted.cluster["spec"] == worlds.cluster()["spec"]


def test_domains_that_no_node_names_are_left_out_with_their_rules() -> None:
    fitted = fit(small(12, without=(RACK,)), CLASSES)
    spec = fitted.policy["spec"]
    assert [each["name"] for each in spec["failureDomains"]] == ["zone", "host"]
    assert [rule["name"] for rule in (*spec["spread"], *spec["separate"])] == ["sets-over-zones", "one-per-host"]
    assert [change for change in fitted.changes if "left out" in change] == [
        "no node has the label example.com/power-domain: the failure domain power and its rules are left out",
        "no node has the label example.com/rack: the failure domain rack and its rules are left out",
    ]


def test_what_is_impossible_on_few_nodes_is_only_wished_for() -> None:
    fitted = fit(small(2), CLASSES)
    one_per_host = next(rule for rule in fitted.policy["spec"]["separate"] if rule["name"] == "one-per-host")
    assert (one_per_host["enforcement"], one_per_host["weight"]) == ("Preferred", 100)
    zones = next(rule for rule in fitted.policy["spec"]["spread"] if rule["name"] == "sets-over-zones")
    assert zones["minDomains"] == 2
    assert "one-per-host is Preferred: 11 members, but only 2 times host" in fitted.changes


def test_nodes_that_take_no_pods_do_not_count() -> None:
    shut = tuple(Host(host.name, host.labels, usable=host.labels[ZONE] != "c") for host in worlds.hosts())
    assert "minDomains of sets-over-zones is 2 instead of 3: so many there are" in fit(shut, CLASSES).changes


@pytest.mark.parametrize(
    ("classes", "expected", "claims"),
    [
        pytest.param([DEFAULT, CLASSES[1]], ["data: StorageClass standard, the default, instead of local-nvme"],
                     ["zonal", "standard", "zonal"], id="the default in place of one"),
        pytest.param([CLASSES[0]], ["master: an emptyDir: there is no StorageClass zonal and no default",
                                    "ingest: an emptyDir: there is no StorageClass zonal and no default"],
                     ["local-nvme"], id="none in place of the others"),
    ],
)  # fmt: skip
def test_storage_classes_that_are_not_there_are_replaced(
    classes: list[Manifest], expected: list[str], claims: list[str]
) -> None:
    fitted = fit(worlds.hosts(), classes)
    assert list(fitted.changes) == expected
    sets = fitted.cluster["spec"]["nodeSets"]
    assert [claim["spec"]["storageClassName"] for one in sets for claim in one["volumeClaimTemplates"]] == claims
    for one in sets:
        volumes = [each["name"] for each in one["template"]["spec"].get("volumes", [])]
        volumes += [claim["metadata"]["name"] for claim in one["volumeClaimTemplates"]]
        assert volumes == ["data"], "what the container mounts is there"
