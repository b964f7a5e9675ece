"""The examples, made to fit a cluster that has not been made for them. No I/O.

Called for a cluster that the user has chosen: its nodes may have no racks, it may have fewer nodes than the example has
members, and its StorageClasses have names of their own. Everything that is changed is told. On the demo's own cluster
the examples go as they are.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from tests.controlplane.nodes import Manifest
from tests.demo.state import Host

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The two CRs as they suit the cluster, and what has been changed for it."""

    policy: Manifest
    cluster: Manifest
    changes: tuple[str, ...]


def fit(policy: Manifest, cluster: Manifest, *, hosts: Sequence[Host], classes: Iterable[Manifest]) -> Fitted:
    """Change as little as possible.

    Args:
        policy: the SchedulingPolicy.
        cluster: the StatefulCluster that it is for.
        hosts: the nodes of the cluster.
        classes: its StorageClasses.
    """
    policy, cluster = copy.deepcopy(policy), copy.deepcopy(cluster)
    usable = [host for host in hosts if host.usable]
    members = sum(node_set.get("replicas", 1) for node_set in cluster["spec"]["nodeSets"])
    changes = [
        *_domains(policy["spec"], usable),
        *_spread(policy["spec"], usable),
        *_separate(policy["spec"], usable, members),
        *_storage(cluster["spec"], list(classes)),
    ]
    return Fitted(policy, cluster, tuple(changes))


def _values(spec: Manifest, name: str, hosts: Sequence[Host]) -> set[str]:
    key = next(each["topologyKey"] for each in spec["failureDomains"] if each["name"] == name)
    return {host.labels[key] for host in hosts if key in host.labels}


def _domains(spec: Manifest, hosts: Sequence[Host]) -> Iterator[str]:
    """Leave out failure domains that no node names, and the rules about them."""
    gone = {each["name"]: each["topologyKey"] for each in spec["failureDomains"]
            if not _values(spec, each["name"], hosts)}  # fmt: skip
    for name, key in gone.items():
        yield f"no node has the label {key}: the failure domain {name} and its rules are left out"
    spec["failureDomains"] = [each for each in spec["failureDomains"] if each["name"] not in gone]
    for rules in ("spread", "separate"):
        spec[rules] = [rule for rule in spec.get(rules, []) if rule["domain"] not in gone]


def _spread(spec: Manifest, hosts: Sequence[Host]) -> Iterator[str]:
    """Ask for no more domains than there are."""
    for rule in spec["spread"]:
        there = len(_values(spec, rule["domain"], hosts))
        if rule.get("minDomains", 1) > there:
            yield f"minDomains of {rule['name']} is {there} instead of {rule['minDomains']}: so many there are"
            rule["minDomains"] = there


def _separate(spec: Manifest, hosts: Sequence[Host], members: int) -> Iterator[str]:
    """Wish for what is impossible where there are fewer domains than members."""
    for rule in spec["separate"]:
        there = len(_values(spec, rule["domain"], hosts))
        if there < members and rule.get("enforcement", "Required") == "Required":
            yield f"{rule['name']} is Preferred: {members} members, but only {there} times {rule['domain']}"
            rule.update(enforcement="Preferred", weight=100)


def _storage(spec: Manifest, classes: Sequence[Manifest]) -> Iterator[str]:
    """Take the default StorageClass for one that there is not, and no volumes where there is none."""
    known = {each["metadata"]["name"] for each in classes}
    marked = [each for each in classes if each["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true"]
    default = marked[0]["metadata"]["name"] if marked else None
    for node_set in spec["nodeSets"]:
        for claim in list(node_set.get("volumeClaimTemplates", [])):
            wanted = claim["spec"].get("storageClassName")
            if wanted in known:
                continue
            if default is not None:
                yield f"{node_set['name']}: StorageClass {default}, the default, instead of {wanted}"
                claim["spec"]["storageClassName"] = default
                continue
            yield f"{node_set['name']}: an emptyDir: there is no StorageClass {wanted} and no default"
            node_set["volumeClaimTemplates"].remove(claim)
            volumes = node_set["template"]["spec"].setdefault("volumes", [])
            volumes.append({"name": claim["metadata"]["name"], "emptyDir": {}})
