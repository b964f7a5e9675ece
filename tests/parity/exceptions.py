"""Where Stowplan differs from kube-scheduler on purpose, and how each such difference is checked.

A difference is not passed over because it looks like one of these: an exception says what the verdict must be instead,
and that is compared to the last node. See docs/parity.md.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.parity import verdict
from tests.parity.draw import Object
from tests.parity.stowplan_judge import State
from tests.parity.verdict import Difference, Rejection, Verdict
from tests.plugins import volume_scalar

from stowplan.framework.snapshot import Snapshot
from stowplan.model.pods import PodInfo
from stowplan.plugins.volume_args import VolumeBindingArgs

CLAIM_TWICE: Final = "a claim named twice"
CAPACITY: Final = "capacity of all claims together"
UNREADABLE: Final = "a preferred term that cannot be read"
NEVER_COUNTED: Final = "a pod that a spread rule has never counted"

EXCEPTIONS: Final = {
    CLAIM_TWICE: "a pod that names a claim in two volumes is judged as kube-scheduler judges it with one of them",
    CAPACITY: "the volumes to be made for a pod must fit together, beside what is promised to others: nodes where a "
    "second implementation, which tries every split, finds no room are out, and all else is as in kube-scheduler",
    UNREADABLE: "a preferred node affinity term with a value that is no label value, or no number for Gt and Lt, stops "
    "kube-scheduler with an error; the pod is judged as kube-scheduler judges it without that term",
    NEVER_COUNTED: "kube-scheduler takes a pod that it may evict off the count of a domain although it ends already "
    "and was not counted there; victims are those of kube-scheduler where the rule selects no pod that ends",
}
"""Name to what is checked."""

_UNREADABLE_ERROR = 'running PreScore plugin "NodeAffinity": '

_ENDS = "parity/ends"
"""Label of the pods that end, where a rule is to leave them out; no state has it otherwise."""

_FROM_BINDING_ON = frozenset(
    {"VolumeBinding", "VolumeZone", "PodTopologySpread", "InterPodAffinity", "NodeDeclaredFeatures"}
)


@dataclasses.dataclass(frozen=True)
class Compared:
    """What came of one pod.

    Attributes:
        used: the exceptions that its differences are made up of.
        left: differences that no exception explains.
    """

    used: tuple[str, ...]
    left: list[Difference]


Ask = Callable[[Sequence[Object]], Verdict]
"""What the oracle says of the pod in another state."""


def differences(key: str, state: State, items: Sequence[Object], theirs: Verdict, ask: Ask) -> Compared:
    """The differences on one pod: the exceptions that they are made up of, and what those do not explain.

    Args:
        key: ``namespace/name`` of the pod.
        state: as Stowplan has it.
        items: as the oracle was given it.
        theirs: the oracle's verdict.
        ask: puts a changed state before the oracle.
    """
    pod = state.pending.get(key)
    has_claims = pod is not None and bool(pod.claims)
    each_alone = state.judge(key, require_capacity=not has_claims)
    used: list[str] = []
    if verdict.differences(each_alone, theirs):
        once = _changed(key, items, _name_each_claim_once)
        if once is not None:
            items, theirs = once, ask(once)
            used.append(CLAIM_TWICE)
    if theirs.error.startswith(_UNREADABLE_ERROR):
        readable = _changed(key, items, _leave_out_unreadable)
        if readable is not None:
            theirs = ask(readable)
            used.append(UNREADABLE)
    left = verdict.differences(each_alone, theirs)
    if left or pod is None or not has_claims:
        return Compared(tuple(used), left)
    ours = state.judge(key)
    if verdict.differences(ours, each_alone):
        used.append(CAPACITY)
    return Compared(tuple(used), list(_beside_capacity(pod, state.cache.snapshot, ours, each_alone)))


def never_counted(key: str, items: Sequence[Object]) -> list[Object] | None:
    """The state in which no spread rule of the pod selects a pod that ends; None where none can have done so."""
    twins = copy.deepcopy(list(items))
    pods = {_key(item): item for item in twins if item["kind"] == "Pod"}
    spec = pods.pop(key)["spec"]
    assert isinstance(spec, dict)
    ending = 0
    for other in pods.values():
        metadata = other["metadata"]
        assert isinstance(metadata, dict)
        if "deletionTimestamp" in metadata:
            metadata["labels"] = {**metadata.get("labels", {}), _ENDS: ""}
            ending += 1
    selectors = [each["labelSelector"] for each in spec.get("topologySpreadConstraints", []) if "labelSelector" in each]
    for selector in selectors:
        others = selector.get("matchExpressions", [])
        selector["matchExpressions"] = [*others, {"key": _ENDS, "operator": "DoesNotExist"}]
    return twins if ending and selectors else None


def _changed(key: str, items: Sequence[Object], change: Callable[[Object], bool]) -> list[Object] | None:
    """The state with another spec of the pod; None where there was nothing to change in it."""
    twins = copy.deepcopy(list(items))
    pod = next(item for item in twins if item["kind"] == "Pod" and _key(item) == key)
    spec = pod["spec"]
    assert isinstance(spec, dict)
    return twins if change(spec) else None


def _name_each_claim_once(spec: Object) -> bool:
    volumes = spec.get("volumes", [])
    assert isinstance(volumes, list)
    first: dict[object, object] = {}
    for volume in volumes:
        first.setdefault(volume.get("persistentVolumeClaim", {}).get("claimName", volume["name"]), volume)
    spec["volumes"] = list(first.values())
    return len(first) < len(volumes)


def _leave_out_unreadable(spec: Object) -> bool:
    affinity = spec["affinity"]
    assert isinstance(affinity, dict)
    terms = affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    readable = [each for each in terms if all(map(_readable, each["preference"].get("matchExpressions", [])))]
    affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] = readable
    return len(readable) < len(terms)


def _readable(requirement: Object) -> bool:
    values = requirement.get("values", [])
    assert isinstance(values, list)
    return requirement["operator"] not in ("Gt", "Lt") or all(each.isdigit() for each in values)


def _key(item: Object) -> str:
    metadata = item["metadata"]
    assert isinstance(metadata, dict)
    return f"{metadata['namespace']}/{metadata['name']}"


def _beside_capacity(pod: PodInfo, nodes: Snapshot, ours: Verdict, each_alone: Verdict) -> Iterator[Difference]:
    """Where a verdict is not the other one without the nodes that the scalar twin of VolumeBinding finds no room on."""
    if each_alone.refused is not None or each_alone.error:
        yield from verdict.differences(ours, each_alone)
        return
    for name, row in nodes.row_of.items():
        expected = each_alone.rejected.get(name)
        if expected is None or expected.plugin in _FROM_BINDING_ON:
            reasons = volume_scalar.bind(pod, nodes.nodes[row], nodes, VolumeBindingArgs()).reasons
            if reasons:
                expected = Rejection("VolumeBinding", tuple(reasons), unresolvable=True)
        if ours.rejected.get(name) != expected:
            yield Difference("capacity", f"{name} Stowplan {ours.rejected.get(name)}, should be {expected}")
    if set(ours.feasible) == set(each_alone.feasible):
        yield from verdict.differences(ours, each_alone) if ours.scores != each_alone.scores else ()
    elif not ours.feasible and ours.message != _fit_error(ours.rejected):
        yield Difference("message", f"Stowplan {ours.message}, should be {_fit_error(ours.rejected)}")


def _fit_error(rejected: dict[str, Rejection]) -> str:
    counts: dict[str, int] = {}
    for rejection in rejected.values():
        for reason in rejection.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    reasons = sorted(f"{count} {reason}" for reason, count in counts.items())
    return f"0/{len(rejected)} nodes are available: {', '.join(reasons)}."
