"""Every field of a policy does on a real API server what its description says; nodes and pods of a test's own.

What other files try on a control plane is not repeated here: spread, separate and colocate between sets of pods
(``test_policy_workloads``), precedence and ``maxPerDomain`` in numbers (``test_policy_changes``), ``podsPerNode``
(``test_policies``), gangs (``test_gangs``), domains that are down (``tests/handlers/test_together``).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from tests.controlplane.api import Api, wait_until
from tests.controlplane.nodes import DISK, RACK, ZONE, Manifest
from tests.live import objects
from tests.live.conftest import OwnClass, OwnNode
from tests.live.test_policies import governing, policy
from tests.live.test_preemption import priority_class

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("stowplan")]

DB = {"app": "db"}
CACHE = {"app": "cache"}


@dataclasses.dataclass(frozen=True)
class Try:
    """A pod, and what becomes of it: the node that it is on, or a part of the reason why it waits."""

    on: str = ""
    waits: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=lambda: DB)
    more: Manifest = dataclasses.field(default_factory=dict)


def node(name: str, zone: str = "a", **more: object) -> Manifest:
    return {"name": name, "zone": zone, **more}


def prefers(name: str) -> Manifest:
    """An affinity of the pod's own, as weak as can be."""
    term = {"matchExpressions": [{"key": DISK, "operator": "In", "values": [name]}]}
    return {
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]},
    }


THREE_ZONES = [node("a"), node("b", "b"), node("c", "c")]
NVME = {
    "affinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": DISK, "operator": "In", "values": ["nvme"]}]}]}},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
}  # fmt: skip
DEDICATED = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
BY_AFFINITY = {"NodeAffinity": 100, "NodeResourcesFit": 0, "NodeResourcesBalancedAllocation": 0}
BY_ROOM = {"NodeAffinity": 0, "NodeResourcesFit": 100}
TIGHT = [node("tight", cpu="2", labels={DISK: "chosen"}), node("roomy", cpu="64", labels={DISK: "other"})]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            ([node("a"), node("b", "b")],
            {"spread": [{"name": "three", "domain": "zone", "minDomains": 3}]},
            [Try(on="ab"), Try(on="ab"), Try(waits="spread rule three")]), id="minDomains",
        ),
        pytest.param(
            ([node("r1", labels={RACK: "1"}), node("r2", cpu="1", labels={RACK: "2"}),
             node("b", "b", labels={RACK: "1"})],
            {"spread": [{"name": "racks", "domain": "rack", "within": "zone"}]},
            [Try(on="r1 r2", more={"cpu": "1", "nodeSelector": {ZONE: "a"}})] * 3
            + [Try(waits="spread rule racks", more={"cpu": "1", "nodeSelector": {ZONE: "a"}}), Try(on="b")]),
            id="within",
        ),
        pytest.param(
            ([node("plain"), node("kept", labels={DISK: "nvme"}, taints=[DEDICATED])], {"nodes": NVME},
            [Try(on="kept"), Try(on="plain", labels=CACHE)]), id="nodes.affinity and tolerations",
        ),
        pytest.param(
            ([node("n", cpu="4")], {"nodes": {"limits": {"utilization": {"cpu": "0.5"}}}},
            [Try(on="n", labels=CACHE, more={"cpu": "1"}), Try(on="n", more={"cpu": "1"}),
             Try(waits="more than 0.5 of cpu", more={"cpu": "1"}), Try(on="n", labels=CACHE, more={"cpu": "2"})]),
            id="limits.utilization",
        ),
        pytest.param(
            (TIGHT, {"scoring": {"weights": BY_AFFINITY}}, [Try(on="tight", more={"affinity": prefers("chosen")})]),
            id="scoring.weights for the pod's affinity",
        ),
        pytest.param(
            (TIGHT, {"scoring": {"weights": BY_ROOM}},
             [Try(on="roomy", more={"cpu": "1", "affinity": prefers("chosen")})]),
            id="scoring.weights for room",
        ),
        pytest.param(
            ([node("a", labels={DISK: "hdd"}), node("b", "b", labels={DISK: "nvme"})],
            {"storage": {"media": {"preferred": [{"key": DISK, "values": ["nvme", "ssd"], "weight": 100}]}}},
            [Try(on="b"), Try(on="b")]), id="storage.media",
        ),
        pytest.param(
            (THREE_ZONES,
            {"colocate": [{"name": "near", "domain": "zone", "with": {"matchLabels": CACHE}, "enforcement": "Preferred",
                           "weight": 100}]},
            [Try(on="b", labels=CACHE, more={"nodeSelector": {ZONE: "b"}}), Try(on="b"), Try(on="b")]),
            id="colocate, Preferred",
        ),
        pytest.param(
            ([node("a", cpu="64"), node("b", "b", cpu="2")],
            {"separate": [{"name": "apart", "domain": "zone", "enforcement": "Preferred", "weight": 100}]},
            [Try(on="a", more={"nodeSelector": {ZONE: "a"}}), Try(on="b"), Try(on="a b")]), id="separate, Preferred",
        ),
        pytest.param(
            ([node("a"), node("b", "b", unschedulable=True)],
            {"spread": [{"name": "even", "domain": "zone", "whenDomainDown": {"action": "Wait"}}]},
            [Try(on="a"), Try(waits="spread rule even")]), id="whenDomainDown: Wait",
        ),
        pytest.param(
            ([node("a"), node("b", "b", taints=[DEDICATED])],
            {"spread": [{"name": "even", "domain": "zone", "nodeTaintsPolicy": "Honor"}]},
            [Try(on="a"), Try(on="a")]), id="nodeTaintsPolicy: Honor",
        ),
        pytest.param(
            ([node("a"), node("b", "b")],
            {"spread": [{"name": "even", "domain": "zone", "nodeAffinityPolicy": "Ignore"}]},
            [Try(on="a", more={"nodeSelector": {ZONE: "a"}}),
             Try(waits="spread rule even", more={"nodeSelector": {ZONE: "a"}})]), id="nodeAffinityPolicy: Ignore",
        ),
    ],
)  # fmt: skip
async def test_a_field_does_what_it_says(
    api: Api, namespace: str, own_node: OwnNode, case: tuple[Sequence[Manifest], Manifest, Sequence[Try]]
) -> None:
    """The pods come one after the other; that they are for the test's own nodes, their affinity says."""
    nodes, spec, tries = case
    real = {await own_node(**each): each["name"] for each in nodes}
    await governing(api, policy(namespace, "ha", selector={"matchLabels": DB}, **spec))
    for number, each in enumerate(tries):
        name, more = f"p{number}", dict(each.more)
        selector = {objects.OWN: namespace, **more.pop("nodeSelector", {})}
        await api.create(objects.pod(namespace, name, labels=each.labels, nodeSelector=selector, **more))
        if each.waits:
            await objects.unschedulable(api, namespace, name, saying=each.waits)
        else:
            pod = await objects.bound(api, namespace, name)
            assert real[pod["spec"]["nodeName"]] in each.on, f"{name}, {objects.why(pod)}"


@pytest.mark.parametrize("most", ["40%", "Minority"])
async def test_no_domain_gets_more_than_its_share(api: Api, namespace: str, own_node: OwnNode, most: str) -> None:
    """Of five, made at once; in two domains there is no place for the last."""
    for zone in "ab":
        await own_node(zone, zone=zone)
    rule = {"name": "share", "domain": "zone", "maxSkew": 5, "maxPerDomain": most}
    await governing(api, policy(namespace, "ha", selector={}, spread=[rule]))
    own = {objects.OWN: namespace}
    await objects.create_all(api, (objects.pod(namespace, f"p{n}", nodeSelector=own) for n in range(5)))

    async def four() -> list[Manifest] | None:
        pods = await api.list(objects.pods_path(namespace))
        return pods if sum("nodeName" in each["spec"] for each in pods) == 4 else None

    pods = await wait_until(four, what="four bound pods", within=objects.PATIENCE)
    assert sorted(Counter(each["spec"]["nodeName"] for each in pods if "nodeName" in each["spec"]).values()) == [2, 2]
    (last,) = (each["metadata"]["name"] for each in pods if "nodeName" not in each["spec"])
    assert f"maxPerDomain {most}" in await objects.unschedulable(api, namespace, last, saying="maxPerDomain")
    await own_node("c", zone="c")
    await objects.bound(api, namespace, last)


async def test_local_capacity_is_what_the_nodes_say(
    api: Api, namespace: str, own_node: OwnNode, own_class: OwnClass
) -> None:
    """For all claims of a pod together; the driver itself would find room on both nodes."""
    free = "example.com/free"
    nodes = [await own_node(name, annotations={free: amount}) for name, amount in (("full", "1Gi"), ("empty", "6Gi"))]
    local = await own_class("pool", nodes=nodes, capacity="100Gi")
    capacity = [{"storageClassName": local, "nodeAnnotation": free}]
    await governing(api, policy(namespace, "ha", selector={}, storage={"localCapacity": capacity}))
    for name in ("one", "two", "three"):
        await api.create(objects.claim(namespace, name, local, size="4Gi"))
    own = {objects.OWN: namespace}
    await api.create(objects.pod(namespace, "both", claims=["one", "two"], nodeSelector=own))
    await objects.unschedulable(api, namespace, "both", saying="did not have enough free storage")
    await api.create(objects.pod(namespace, "single", claims=["three"], nodeSelector=own))
    assert (await objects.bound(api, namespace, "single"))["spec"]["nodeName"] == nodes[1]


async def test_a_policy_may_forbid_its_pods_to_evict_others(api: Api, namespace: str, own_node: OwnNode) -> None:
    await own_node("n", cpu="1")
    urgent = f"urgent-{namespace[-6:]}"
    await priority_class(api, namespace, urgent, value=1000)
    try:
        own = {objects.OWN: namespace}
        await governing(api, policy(namespace, "ha", selector={"matchLabels": DB}, preemption="Never"))
        await api.create(objects.pod(namespace, "low", cpu="1", nodeSelector=own))
        low = await objects.bound(api, namespace, "low")
        await api.create(objects.pod(namespace, "high", cpu="1", labels=DB, nodeSelector=own, priorityClassName=urgent))
        await objects.unschedulable(api, namespace, "high", saying="not eligible due to preemption=Never of policy ha")
        await api.create(objects.pod(namespace, "other", cpu="1", nodeSelector=own, priorityClassName=urgent))
        await objects.bound(api, namespace, "other")
        assert low["metadata"]["name"] not in {
            each["metadata"]["name"]
            for each in await api.list(objects.pods_path(namespace))
            if "nodeName" in each["spec"]
        }
    finally:
        await api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{urgent}")
