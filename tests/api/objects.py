"""Objects that are as they should be, and one-step changes of them, for all tests of the API types."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

Object: TypeAlias = dict[str, Any]

HERE = Path(__file__).parent


class Absent:
    """As a value in `changed`: take the field out."""


ABSENT = Absent()


def contract(kind: str) -> Object:
    """The example of the kind as users know it, word for word."""
    name = {"SchedulingPolicy": "contract_policy.yaml", "StatefulCluster": "contract_cluster.yaml"}[kind]
    loaded: Object = yaml.safe_load((HERE / name).read_text())
    return loaded


def policy() -> Object:
    """A policy that uses every field of the spec."""
    example = contract("SchedulingPolicy")
    requirement = {"key": "pool", "operator": "In", "values": ["db"]}
    return changed(
        {**example, "status": ABSENT},
        {
            "spec.selector.matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["test"]}],
            "spec.spread[1]": {"name": "racks", "domain": "rack", "within": "zone", "enforcement": "Preferred",
                               "weight": 10, "maxPerDomain": "40%"},
            "spec.nodes.affinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [requirement]}]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 5, "preference": {"matchExpressions": [requirement], "matchFields": [
                        {"key": "metadata.name", "operator": "In", "values": ["n1"]}]}}
                ],
            },
            "spec.nodes.tolerations": [
                {"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoExecute", "tolerationSeconds": 30}
            ],
        },
    )  # fmt: skip


def cluster() -> Object:
    """A cluster with two node sets that uses every field of the spec but replicas, which is for one set only."""
    return changed(
        {**contract("StatefulCluster"), "status": ABSENT},
        {"spec.replicas": ABSENT, "spec.nodeSets": [node_set("data", roles=["data", "replica"]), node_set("master")]},
    )


def small_cluster() -> Object:
    """A cluster with one node set, whose own replicas is left out."""
    return changed(cluster(), {"spec.nodeSets": [node_set("data", replicas=ABSENT)], "spec.replicas": 3})


def node_set(name: str, **fields: object) -> Object:
    """A node set with one container and one volume."""
    claim = {
        "metadata": {"name": "store", "labels": {"tier": "db"}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast",
            "resources": {"requests": {"storage": "10Gi"}},
        },
    }
    found: Object = {
        "name": name,
        "roles": [name],
        "quorum": True,
        "replicas": 3,
        "template": {
            "metadata": {"labels": {"app": "orders"}, "annotations": {"note": "x"}},
            "spec": {"containers": [{"name": "db", "image": "db:1"}], "schedulerName": "stowplan"},
        },
        "volumeClaimTemplates": [claim],
        "drain": {
            "httpPost": {"path": "/leave", "port": 8443, "scheme": "HTTPS"},
            "timeout": "5m",
            "onTimeout": "Continue",
        },
    }
    return {key: value for key, value in {**found, **fields}.items() if value is not ABSENT}


def changed(source: Object, changes: Mapping[str, object]) -> Object:
    """A copy with other values at some paths (`spec.spread[0].weight`); one past the end of a list appends."""
    result = {key: copy.deepcopy(value) for key, value in source.items() if value is not ABSENT}
    for path, value in changes.items():
        *way, last = steps(path)
        place: Any = result
        for step in way:
            place = place.setdefault(step, {}) if isinstance(step, str) else place[step]
        if value is ABSENT:
            del place[last]
        elif isinstance(last, int) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return result


def steps(path: str) -> list[str | int]:
    """`spec.spread[0].weight` as `["spec", "spread", 0, "weight"]`."""
    return [int(number) if number else name for name, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]
