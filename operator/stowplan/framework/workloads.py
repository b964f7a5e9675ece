"""Which pods belong together by the Services and controllers that there are.

``live.feed`` keeps it, ``plugins.spread_defaults`` asks it; empty where the configuration has no default spread
constraints, since nothing is watched for it then. Source of the rules: kubernetes v1.36.3
``pkg/scheduler/framework/plugins/helper/spread.go`` (``DefaultSelector``).

Nothing is kept of an object but its selector. A cluster has many times more ReplicaSets than it uses (ten old ones for
each Deployment), so theirs stay packed until a pod asks.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

import msgspec

from stowplan import errors
from stowplan.model import objects, selectors, workloads
from stowplan.model.pods import PodInfo
from stowplan.model.selectors import Requirement, Selector
from stowplan.model.workloads import Workload

Requirements = frozenset[Requirement]
Owner = tuple[str, str, str]
"""apiVersion, kind and name, as in ``PodInfo.owner``."""

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")
_NAMES = {kind: name for name, kind in workloads.KINDS.items()}
_REPLICATION_CONTROLLER = _NAMES[workloads.ReplicationController]
_PACK = msgspec.msgpack.Encoder().encode
_UNPACK = msgspec.msgpack.Decoder(objects.LabelSelector).decode


class Workloads:
    """Selectors of Services, and of the controllers that own pods."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._services: dict[str, dict[str, Requirements]] = {}
        self._owners: dict[tuple[str, Owner], bytes] = {}

    def version(self, namespace: str) -> int:
        """Changes with every selector that comes, changes or goes in a namespace."""
        return self._versions.get(namespace, 0)

    def put(self, item: Workload) -> None:
        """Adds or updates one."""
        namespace, name = item.metadata.namespace, item.metadata.name
        match item:
            case workloads.Service():
                changed = _shelve(self._services.setdefault(namespace, {}), name, _labels(item.spec.selector))
            case workloads.ReplicationController():
                chosen = objects.LabelSelector(item.spec.selector)
                changed = _shelve(self._owners, (namespace, _owner(item)), _PACK(chosen))
            case workloads.ReplicaSet() | workloads.StatefulSet():
                packed = None if item.spec.selector is None else _PACK(item.spec.selector)
                changed = _shelve(self._owners, (namespace, _owner(item)), packed)
            case _:
                changed = False
        self._note(namespace, changed)

    def remove(self, item: Workload) -> None:
        """One is gone; only its kind and name need to be known."""
        namespace, name = item.metadata.namespace, item.metadata.name
        if isinstance(item, workloads.Service):
            changed = _shelve(self._services.setdefault(namespace, {}), name, None)
        else:
            changed = _shelve(self._owners, (namespace, _owner(item)), None)
        self._note(namespace, changed)

    def selector(self, pod: PodInfo) -> Selector:
        """What the pods that belong together with this one have in common; EVERYTHING where nothing is known.

        That of all Services that choose it, and that of the controller that owns it. Where a ReplicationController
        wants another value of a label than a Service, the controller's counts.
        """
        found: Requirements = frozenset()
        labels = pod.cls.labels
        for chosen in self._services.get(pod.namespace, {}).values():
            if all(each.allows(labels.get(each.key)) for each in chosen):
                found |= chosen
        packed = self._owners.get((pod.namespace, pod.owner))
        if packed is None:
            return Selector(found)
        try:
            owned = selectors.compile_selector(_UNPACK(packed)).requirements or frozenset()
        except errors.InvalidObject:
            return Selector(found)
        if pod.owner[:2] == _REPLICATION_CONTROLLER:
            said = {each.key for each in owned}
            found = frozenset(each for each in found if each.key not in said)
        return Selector(found | owned)

    def _note(self, namespace: str, changed: bool) -> None:
        if changed:
            self._versions[namespace] = self.version(namespace) + 1


def _owner(item: Workload) -> Owner:
    return (*_NAMES[type(item)], item.metadata.name)


def _labels(chosen: dict[str, str]) -> Requirements:
    return frozenset(selectors.equals(key, value) for key, value in chosen.items())


def _shelve(shelf: dict[_K, _V], key: _K, value: _V | None) -> bool:
    """Whether that changes anything."""
    if shelf.get(key) == value:
        return False
    if value is None:
        del shelf[key]
    else:
        shelf[key] = value
    return True
