"""What must be refused, and what must not: one table, held against the models and against the API server.

Each refusal names the field at fault; `says` is the message where it is ours, word for word on both sides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
from tests.api import objects
from tests.api.objects import ABSENT, Object


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An object, the field that makes it wrong, and the words of the message."""

    object: Object
    field: str
    says: str = ""


def _policy(id_: str, field: str, says: str = "", *, changes: Mapping[str, object]) -> pytest.ParameterSet:
    return pytest.param(Refusal(objects.changed(objects.policy(), _in_spec(changes)), field, says), id=f"policy {id_}")


def _cluster(id_: str, field: str, says: str = "", *, changes: Mapping[str, object]) -> pytest.ParameterSet:
    return pytest.param(
        Refusal(objects.changed(objects.cluster(), _in_spec(changes)), field, says), id=f"cluster {id_}"
    )


def _in_spec(changes: Mapping[str, object]) -> dict[str, object]:
    return {f"spec.{path}": value for path, value in changes.items()}


DECLARED = "the domain of a spread rule must be one of failureDomains"
BROADER = "within must name one of failureDomains that stands before the domain of the rule, that is a broader one"
LABEL_KEY = "the key of a label is a name of at most 63 characters, with an optional DNS name and a slash before it"
REQUIREMENT = "In and NotIn need at least one value, Exists and DoesNotExist take none"
NODE_REQUIREMENT = "In and NotIn need at least one value, Gt and Lt exactly one, Exists and DoesNotExist take none"
NODE_FIELDS = "matchFields compares metadata.name only, by In or NotIn with one value"
OUR_LABELS = "labels that start with stowplan.dev/ and role.stowplan.dev/ are set by Stowplan"
ONE_SET = "replicas is for a cluster with one node set; this one has several: set nodeSets[].replicas instead"
SERVICE_NAME = (
    "the name of a StatefulCluster is also that of its Service: lower case letters, digits and dashes, starting with a"
    " letter"
)
MEMBER_NAMES = (
    "members are called <cluster>-<nodeSet>-<n>, which must fit into 63 characters: the names of the cluster and of"
    " each node set may have 57 characters together"
)

_HOST = {"name": "other", "domain": "host"}
_TERMS = "nodes.affinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"

REFUSED = [
    # names and domains
    _policy("with two rules of one name", "spec.separate", changes={"separate[1].name": "one-per-host"}),
    _policy("with two spread rules of one name", "spec.spread", changes={"spread[1].name": "members-over-zones"}),
    _policy("with two domains of one name", "spec.failureDomains", changes={"failureDomains[1].name": "zone"}),
    _policy("with two domains of one label", "spec.failureDomains", "two failure domains have the same topologyKey",
            changes={"failureDomains[1].topologyKey": "topology.kubernetes.io/zone"}),
    _policy("with a domain name that is no label", "spec.failureDomains[0].name",
            changes={"failureDomains[0].name": "Zone"}),
    _policy("with a topology key that is no label key", "spec.failureDomains[0].topologyKey",
            changes={"failureDomains[0].topologyKey": "a/b/c"}),
    _policy("with too many domains", "spec.failureDomains",
            changes={"failureDomains": [{"name": f"d{n}", "topologyKey": f"k{n}"} for n in range(17)], "spread": [],
                     "separate": [], "colocate": []}),
    _policy("with a domain without a key", "spec.failureDomains[4].topologyKey",
            changes={"failureDomains[4]": {"name": "shelf"}}),
    _policy("spreading over an undeclared domain", "spec.spread", DECLARED,
            changes={"spread[0].domain": "shelf"}),
    _policy("separating over an undeclared domain", "spec.separate",
            "the domain of a separate rule must be one of failureDomains", changes={"separate[0].domain": "shelf"}),
    _policy("colocating in an undeclared domain", "spec.colocate",
            "the domain of a colocate rule must be one of failureDomains", changes={"colocate[0].domain": "shelf"}),
    _policy("without domains but with rules", "spec.spread", DECLARED, changes={"failureDomains": ABSENT}),
    _policy("spreading within an undeclared domain", "spec.spread", BROADER, changes={"spread[1].within": "shelf"}),
    _policy("spreading within the same domain", "spec.spread", BROADER, changes={"spread[1].within": "rack"}),
    _policy("spreading within a narrower domain", "spec.spread", BROADER, changes={"spread[1].within": "host"}),
    # weight and enforcement
    _policy("with a weight that is required", "spec.spread[0].weight",
            "only a rule with enforcement: Preferred has a weight", changes={"spread[0].weight": 5}),
    _policy("with a weight without enforcement", "spec.separate[2].weight",
            "only a rule with enforcement: Preferred has a weight", changes={"separate[2]": {**_HOST, "weight": 5}}),
    _policy("with a preference without weight", "spec.colocate[0].weight",
            "a rule with enforcement: Preferred needs a weight from 1 to 100", changes={"colocate[0].weight": ABSENT}),
    _policy("with weight 0", "spec.colocate[0].weight", changes={"colocate[0].weight": 0}),
    _policy("with weight 101", "spec.colocate[0].weight", changes={"colocate[0].weight": 101}),
    _policy("with another enforcement", "spec.spread[0].enforcement", changes={"spread[0].enforcement": "Soft"}),
    _policy("with minDomains that are preferred", "spec.spread[1].minDomains", "minDomains needs enforcement: Required",
            changes={"spread[1].minDomains": 2}),
    _policy("with minDomains 0", "spec.spread[0].minDomains", changes={"spread[0].minDomains": 0}),
    _policy("with maxSkew 0", "spec.spread[0].maxSkew", changes={"spread[0].maxSkew": 0}),
    _policy("with maxSkew as text", "spec.spread[0].maxSkew", changes={"spread[0].maxSkew": "1"}),
    *(
        _policy(f"with maxPerDomain {value!r}", "spec.spread[0].maxPerDomain",
                changes={"spread[0].maxPerDomain": value})
        for value in (0, -1, "0%", "101%", "50", "Majority", "", True, 1.5)
    ),
    _policy("waiting with a time", "spec.spread[0].whenDomainDown.after", "only the action Relax has a time to wait",
            changes={"spread[0].whenDomainDown.action": "Wait"}),
    *(
        _policy(f"relaxing after {value!r}", "spec.spread[0].whenDomainDown.after",
                changes={"spread[0].whenDomainDown.after": value})
        for value in ("5", "-5m", "5d", "", 5)
    ),
    _policy("with a groupBy key twice", "spec.spread[0].groupBy", changes={"spread[0].groupBy": ["a", "a"]}),
    _policy("with a groupBy key that is none", "spec.spread[0].groupBy[0]", changes={"spread[0].groupBy": ["-a"]}),
    _policy("with another taints policy", "spec.spread[0].nodeTaintsPolicy",
            changes={"spread[0].nodeTaintsPolicy": "No"}),
    # selectors
    _policy("with a label value that is none", "spec.selector.matchLabels.app",
            changes={"selector.matchLabels.app": "a b"}),
    _policy("with a label key that is none", "spec.selector.matchLabels", LABEL_KEY,
            changes={"selector.matchLabels": {"a b": "x"}}),
    _policy("with an operator without values", "spec.selector.matchExpressions[0].values", REQUIREMENT,
            changes={"selector.matchExpressions[0].values": ABSENT}),
    _policy("with an operator that takes no values", "spec.selector.matchExpressions[0].values", REQUIREMENT,
            changes={"selector.matchExpressions[0].operator": "Exists"}),
    _policy("with an unknown operator", "spec.selector.matchExpressions[0].operator",
            changes={"selector.matchExpressions[0].operator": "Like"}),
    _policy("colocating with nothing", "spec.colocate[0].with", changes={"colocate[0].with": ABSENT}),
    # nodes
    _policy("with node values for Exists", f"spec.{_TERMS}[0].matchExpressions[0].values", NODE_REQUIREMENT,
            changes={f"{_TERMS}[0].matchExpressions[0].operator": "Exists"}),
    _policy("with two values for Gt", f"spec.{_TERMS}[0].matchExpressions[0].values", NODE_REQUIREMENT,
            changes={f"{_TERMS}[0].matchExpressions[0]": {"key": "x", "operator": "Gt", "values": ["1", "2"]}}),
    *(
        _policy(f"with a node field {id_}", f"spec.{_TERMS}[0].matchFields", NODE_FIELDS,
                changes={f"{_TERMS}[0].matchFields": [field]})
        for id_, field in {
            "that nodes do not have": {"key": "metadata.namespace", "operator": "In", "values": ["x"]},
            "that exists": {"key": "metadata.name", "operator": "Exists"},
            "of two values": {"key": "metadata.name", "operator": "In", "values": ["x", "y"]},
        }.items()
    ),
    _policy("without node selector terms", f"spec.{_TERMS}", changes={_TERMS: []}),
    _policy("tolerating everything by Equal", "spec.nodes.tolerations[1].operator",
            "a toleration without a key needs the operator Exists",
            changes={"nodes.tolerations[1]": {"effect": "NoSchedule"}}),
    _policy("tolerating a value by Exists", "spec.nodes.tolerations[0].value", "Exists takes no value",
            changes={"nodes.tolerations[0].operator": "Exists"}),
    _policy("tolerating NoSchedule for some seconds", "spec.nodes.tolerations[0].effect",
            "tolerationSeconds needs the effect NoExecute", changes={"nodes.tolerations[0].effect": "NoSchedule"}),
    _policy("with podsPerNode 0", "spec.nodes.limits.podsPerNode", changes={"nodes.limits.podsPerNode": 0}),
    *(
        _policy(f"with utilization {value!r}", "spec.nodes.limits.utilization",
                changes={"nodes.limits.utilization.cpu": value})
        for value in ("0", "0.0", "1.1", "-0.5", "70%", "", 0, 2, 0.7)
    ),
    # storage, scoring, gang, and the rest
    _policy("with two capacities of one class", "spec.storage.localCapacity",
            changes={"storage.localCapacity[1]": {"storageClassName": "lvm", "nodeAnnotation": "x"}}),
    _policy("with a capacity nobody looks at", "spec.storage.localCapacity",
            "localCapacity is only looked at with requireCapacity: true", changes={"storage.requireCapacity": False}),
    _policy("with media without values", "spec.storage.media.preferred[0].values",
            changes={"storage.media.preferred[0].values": []}),
    _policy("with media without weight", "spec.storage.media.preferred[0].weight",
            changes={"storage.media.preferred[0].weight": ABSENT}),
    _policy("with a score weight of 101", "spec.scoring.weights.NodeResourcesFit",
            changes={"scoring.weights.NodeResourcesFit": 101}),
    _policy("with a gang of none", "spec.gang.minMember", changes={"gang.minMember": 0}),
    _policy("with a gang without size", "spec.gang.minMember", changes={"gang.minMember": ABSENT}),
    _policy("with a gang that does not wait", "spec.gang.timeout", "a gang needs a timeout above zero",
            changes={"gang.timeout": "0s"}),
    _policy("in another mode", "spec.mode", changes={"mode": "Off"}),
    _policy("with too high a precedence", "spec.precedence", changes={"precedence": 1_000_000_001}),
    _policy("with too low a precedence", "spec.precedence", changes={"precedence": -1_000_000_001}),
    _policy("with another preemption", "spec.preemption", changes={"preemption": "Always"}),
    pytest.param(Refusal(objects.changed(objects.policy(), {"spec": ABSENT}), "spec"), id="policy without a spec"),
    # clusters
    _cluster("without node sets", "spec.nodeSets", changes={"nodeSets": []}),
    _cluster("with two sets of one name", "spec.nodeSets", changes={"nodeSets[1].name": "data"}),
    _cluster("with a set name that is no label", "spec.nodeSets[0].name", changes={"nodeSets[0].name": "Data.1"}),
    _cluster("with a set without a template", "spec.nodeSets[0].template", changes={"nodeSets[0].template": ABSENT}),
    _cluster("with a template without containers", "spec.nodeSets[0].template.spec.containers",
             changes={"nodeSets[0].template.spec": {}}),
    _cluster("with an empty list of containers", "spec.nodeSets[0].template.spec.containers",
             changes={"nodeSets[0].template.spec.containers": []}),
    _cluster("with labels of ours", "spec.nodeSets[0].template.metadata.labels", OUR_LABELS,
             changes={"nodeSets[0].template.metadata.labels": {"stowplan.dev/member": "1"}}),
    _cluster("with role labels", "spec.nodeSets[0].volumeClaimTemplates[0].metadata.labels", OUR_LABELS,
             changes={"nodeSets[0].volumeClaimTemplates[0].metadata.labels": {"role.stowplan.dev/data": "true"}}),
    _cluster("with a role twice", "spec.nodeSets[0].roles", changes={"nodeSets[0].roles": ["a", "a"]}),
    _cluster("with a negative size", "spec.nodeSets[0].replicas", changes={"nodeSets[0].replicas": -1}),
    _cluster("with ordinals of five digits", "spec.nodeSets[0].replicas", changes={"nodeSets[0].replicas": 10000}),
    _cluster("with replicas for several sets", "spec.replicas", ONE_SET, changes={"replicas": 3}),
    pytest.param(
        Refusal(objects.changed(objects.small_cluster(), {"spec.nodeSets[0].replicas": 3}), "spec.replicas",
                "replicas and nodeSets[0].replicas say the same thing: leave one of them out"),
        id="cluster with replicas said twice",
    ),
    _cluster("with two claims of one name", "spec.nodeSets[0].volumeClaimTemplates",
             "two volume claim templates have the same name",
             changes={"nodeSets[0].volumeClaimTemplates[1]": objects.node_set("x")["volumeClaimTemplates"][0]}),
    _cluster("with a claim without a name", "spec.nodeSets[0].volumeClaimTemplates[0].metadata.name",
             changes={"nodeSets[0].volumeClaimTemplates[0].metadata": {}}),
    _cluster("with a claim without a size", "spec.nodeSets[0].volumeClaimTemplates[0].spec.resources.requests.storage",
             changes={"nodeSets[0].volumeClaimTemplates[0].spec.resources.requests": {}}),
    *(
        _cluster(f"with a claim of {value!r}",
                 "spec.nodeSets[0].volumeClaimTemplates[0].spec.resources.requests.storage",
                 changes={"nodeSets[0].volumeClaimTemplates[0].spec.resources.requests.storage": value})
        for value in ("10 Gi", "-1Gi", "big", "10GB", "", -1, 0, "0", "0Gi")
    ),
    _cluster("with another update strategy", "spec.updateStrategy.type", changes={"updateStrategy.type": "Recreate"}),
    _cluster("with a negative partition", "spec.updateStrategy.partition", changes={"updateStrategy.partition": -1}),
    *(
        _cluster(f"with maxUnavailable {value!r}", "spec.updateStrategy.maxUnavailable",
                 changes={"updateStrategy.maxUnavailable": value})
        for value in (0, "0%", -1, "101%", "half")
    ),
    _cluster("with a budget of nothing known", "spec.disruptionBudget.maxUnavailable",
             changes={"disruptionBudget.maxUnavailable": "all"}),
    _cluster("with another victim", "spec.scaleDown.victim", changes={"scaleDown.victim": "Oldest"}),
    _cluster("draining nobody", "spec.nodeSets[0].drain.httpPost", changes={"nodeSets[0].drain": {"timeout": "5m"}}),
    _cluster("draining at no port", "spec.nodeSets[0].drain.httpPost.port",
             changes={"nodeSets[0].drain": {"httpPost": {"port": 0}}}),
    _cluster("draining at a path without a slash", "spec.nodeSets[0].drain.httpPost.path",
             changes={"nodeSets[0].drain": {"httpPost": {"port": 80, "path": "leave now"}}}),
    _cluster("draining or else", "spec.nodeSets[0].drain.onTimeout",
             changes={"nodeSets[0].drain": {"httpPost": {"port": 80}, "onTimeout": "Panic"}}),
    _cluster("with other volumes", "spec.nodeFailure.volumes", changes={"nodeFailure.volumes": "Drop"}),
    _cluster("replacing after nonsense", "spec.nodeFailure.replaceAfter", changes={"nodeFailure.replaceAfter": "soon"}),
    _cluster("with another retention", "spec.persistentVolumeClaimRetentionPolicy.whenDeleted",
             changes={"persistentVolumeClaimRetentionPolicy.whenDeleted": "Keep"}),
    _cluster("with a policy without a name", "spec.schedulingPolicyRef.name", changes={"schedulingPolicyRef": {}}),
    *(
        pytest.param(Refusal(objects.changed(objects.cluster(), {"metadata.name": name}), "metadata.name", says),
                     id=f"cluster named {name[:12]}")
        for name, says in (("1st", SERVICE_NAME), ("a.b", SERVICE_NAME), ("a" * 52, MEMBER_NAMES))
    ),
]  # fmt: skip

ACCEPTED = [
    pytest.param(objects.policy(), id="a policy with every field"),
    pytest.param(objects.cluster(), id="a cluster with every field"),
    pytest.param(objects.small_cluster(), id="a cluster with one set and replicas"),
    pytest.param(objects.contract("SchedulingPolicy"), id="the policy users know"),
    pytest.param(objects.contract("StatefulCluster"), id="the cluster users know"),
    pytest.param(objects.changed(objects.policy(), {"spec": {}}), id="a policy without rules"),
    pytest.param(objects.changed(objects.policy(), {"spec.selector": {}}), id="a policy for all pods"),
    pytest.param(objects.changed(objects.policy(), {"spec.mode": "DryRun"}), id="a dry run"),
    pytest.param(objects.changed(objects.policy(), {"spec.spread[1].within": "power"}), id="racks within power"),
    pytest.param(objects.changed(objects.policy(), {"spec.gang.timeout": "1h30m0.5s"}), id="a duration of three units"),
    pytest.param(
        objects.changed(objects.policy(), {"spec.storage": {"requireCapacity": False, "localCapacity": []}}),
        id="no capacity at all",
    ),
    pytest.param(
        objects.changed(objects.policy(), {"spec.nodes.tolerations": [{"operator": "Exists"}]}), id="all taints"
    ),
    pytest.param(
        objects.changed(objects.cluster(), {"metadata.name": "a" * 51}), id="names that just fit"
    ),
    pytest.param(objects.changed(objects.cluster(), {"spec.nodeSets[0].replicas": 0}), id="an empty set"),
    pytest.param(
        objects.changed(objects.cluster(), {"spec.nodeSets[0].template.spec.hostNetwork": True}), id="any pod field"
    ),
    pytest.param(
        objects.changed(objects.cluster(), {"spec.disruptionBudget.maxUnavailable": 0}), id="no eviction at all"
    ),
    *(
        pytest.param(
            objects.changed(objects.policy(), {"spec.spread[0].maxPerDomain": value}), id=f"maxPerDomain {value!r}"
        )
        for value in (1, "1%", "100%", "Minority")
    ),
    *(
        pytest.param(
            objects.changed(objects.policy(), {"spec.nodes.limits.utilization.cpu": value}), id=f"utilization {value!r}"
        )
        for value in ("0.7", ".5", "1", "1.0", 1, "0.001")
    ),
    *(
        pytest.param(
            objects.changed(
                objects.cluster(),
                {"spec.nodeSets[0].volumeClaimTemplates[0].spec.resources.requests.storage": value},
            ),
            id=f"a claim of {value!r}",
        )
        for value in (1024, "1e9", "1.5Gi", "500M", "1024")
    ),
]  # fmt: skip
