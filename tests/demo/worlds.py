"""The examples placed by hand on the demo's nodes, for tests: a world in which everything is as it should be."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Final

import yaml
from tests.controlplane.nodes import HOSTNAME, ZONE, Manifest
from tests.demo import local, state
from tests.demo.stage import EXAMPLES
from tests.demo.state import Host, State

PLACES: Final = {
    "master-0": "a-1-r1-h1", "master-1": "b-1-r1-h1", "master-2": "c-1-r1-h1",
    "data-0": "a-1-r2-h1", "data-1": "a-2-r1-h1", "data-2": "b-1-r2-h1",
    "data-3": "b-2-r1-h1", "data-4": "c-1-r2-h1", "data-5": "c-2-r1-h1",
    "ingest-0": "a-2-r2-h1", "ingest-1": "b-2-r2-h2",
}  # fmt: skip
"""Member to node: as the example's policy wants it."""


def nodes() -> list[Manifest]:
    """The nodes of the demo, as the API server gives them back."""
    return [{**node, "spec": {}} for node in local.LAYOUT.nodes()]


def hosts() -> tuple[Host, ...]:
    """The same as hosts."""
    return state.hosts(nodes())


def policy() -> Manifest:
    """The example's policy, Ready, with all of its pods bound."""
    count = len(PLACES)
    return _resource(0, {"pods": {"governed": count, "bound": count, "pending": 0}})


def cluster() -> Manifest:
    """The example's cluster, Ready."""
    return _resource(1, {"survives": ["zone", "power", "rack", "host"]})


def _resource(which: int, status: Manifest) -> Manifest:
    document: Manifest = yaml.safe_load(EXAMPLES[which].read_text())
    document["metadata"]["generation"] = 1
    ready = {"type": "Ready", "status": "True", "reason": "AsExpected", "message": "", "observedGeneration": 1}
    return {**document, "status": {**status, "conditions": [ready]}}


def pods(places: Mapping[str, str]) -> list[Manifest]:
    """A pod for each member, running and ready where it has a node, waiting where that is empty."""
    made = []
    for name, node in places.items():
        node_set, _, ordinal = name.rpartition("-")
        roles = {"master": ["master"], "data": ["data", "replica"], "ingest": ["ingest"]}[node_set]
        labels = {f"role.stowplan.dev/{role}": "true" for role in roles}
        labels |= {
            "stowplan.dev/cluster": "search", "stowplan.dev/node-set": node_set, "stowplan.dev/member": ordinal,
        }  # fmt: skip
        metadata: Manifest = {"name": f"search-{name}", "labels": labels}
        if node:
            metadata["annotations"] = {"stowplan.dev/why": "{}"}
            ready = {"type": "Ready", "status": "True"}
            made.append(
                {
                    "metadata": metadata,
                    "spec": {"nodeName": node},
                    "status": {"phase": "Running", "conditions": [ready]},
                }
            )
        else:
            refused = {"type": "PodScheduled", "status": "False", "message": "0/60 nodes are available"}
            made.append({"metadata": metadata, "spec": {}, "status": {"phase": "Pending", "conditions": [refused]}})
    return made


def claims(places: Mapping[str, str]) -> list[Manifest]:
    """The claim of each member, bound where it has a node."""
    made = []
    for name, node in places.items():
        spec: Manifest = {"storageClassName": "local", "resources": {"requests": {"storage": "10Gi"}}}
        if node:
            spec["volumeName"] = f"pv-{name}"
        made.append({"metadata": {"name": f"data-search-{name}"}, "spec": spec})
    return made


def volumes(places: Mapping[str, str], *, zonal: bool = False) -> list[Manifest]:
    """The PersistentVolumes of the claims, each reachable from its node only, or from the node's zone."""
    made = []
    for name, node in places.items():
        if node:
            key, value = (ZONE, node[0]) if zonal else (HOSTNAME, node)
            term = {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}
            affinity = {"required": {"nodeSelectorTerms": [term]}}
            made.append({"metadata": {"name": f"pv-{name}"}, "spec": {"nodeAffinity": affinity}})
    return made


def world(changed: Mapping[str, str] | None = None) -> State:
    """The state with some members elsewhere than in `PLACES`; "" for nowhere."""
    places = {**PLACES, **(changed or {})}
    return state.state(policy=policy(), cluster=cluster(), pods=pods(places), claims=claims(places))


def edited(manifest: Manifest, path: str, value: object) -> Manifest:
    """A copy with one field replaced: `edited(policy, "spec.spread.0.maxSkew", 2)`."""
    made = copy.deepcopy(manifest)
    *way, last = path.split(".")
    at = made
    for key in way:
        at = at[int(key) if key.isdigit() else key]  # type: ignore[index]
    at[last] = value
    return made
