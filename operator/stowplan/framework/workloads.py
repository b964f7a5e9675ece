"""Which pods belong together by the Services and controllers that there are.

``scheduler.cache`` keeps it, ``plugins.spread_defaults`` asks it; empty where the configuration has no default spread
constraints, since nothing is watched for it then. Source of the rules: kubernetes v1.36.3
``pkg/scheduler/framework/plugins/helper/spread.go`` (``DefaultSelector``).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from stowplan import errors
from stowplan.model import selectors, workloads
from stowplan.model.pods import PodInfo
from stowplan.model.selectors import Requirement, Selector
from stowplan.model.workloads import Workload

Requirements = frozenset[Requirement]
_K = TypeVar("_K", bound=Hashable)


class Workloads:
    """Selectors of Services, and of the controllers that own pods.

    Attributes:
        version: changes with every selector that comes, changes or goes.
    """

    def __init__(self) -> None:
        self.version = 0
        self._services: dict[str, dict[str, Requirements]] = {}
        self._owners: dict[tuple[str, str, str], Requirements] = {}

    def put(self, item: Workload) -> None:
        """Adds or updates one."""
        self._set(item, _requirements(item))

    def remove(self, item: Workload) -> None:
        """One is gone."""
        self._set(item, None)

    def selector(self, pod: PodInfo) -> Selector:
        """What the pods that belong together with this one have in common; EVERYTHING where nothing is known.

        That of all Services that choose it, and that of the controller that owns it.
        """
        found: Requirements = frozenset()
        labels = pod.cls.labels
        for chosen in self._services.get(pod.namespace, {}).values():
            if chosen and _matches(chosen, labels):
                found |= chosen
        kind, name = pod.owner
        return Selector(found | self._owners.get((kind, pod.namespace, name), frozenset()))

    def _set(self, item: Workload, requirements: Requirements | None) -> None:
        meta = item.metadata
        if isinstance(item, workloads.Service):
            shelf, key = self._services.setdefault(meta.namespace, {}), meta.name
            changed = shelf.get(key) != requirements
            _shelve(shelf, key, requirements)
        else:
            owner = (type(item).__name__, meta.namespace, meta.name)
            changed = self._owners.get(owner) != requirements
            _shelve(self._owners, owner, requirements)
        self.version += changed


def _shelve(shelf: dict[_K, Requirements], key: _K, requirements: Requirements | None) -> None:
    if requirements is None:
        shelf.pop(key, None)
    else:
        shelf[key] = requirements


def _requirements(item: Workload) -> Requirements:
    """The selector of an object; none where it has none, or one that cannot be understood."""
    match item:
        case workloads.Service() | workloads.ReplicationController():
            return frozenset(selectors.equals(key, value) for key, value in item.spec.selector.items())
        case workloads.ReplicaSet() | workloads.StatefulSet():
            try:
                return selectors.compile_selector(item.spec.selector).requirements or frozenset()
            except errors.InvalidObject:
                return frozenset()
        case _:
            return frozenset()


def _matches(requirements: Requirements, labels: Mapping[str, str]) -> bool:
    return all(each.allows(labels.get(each.key)) for each in requirements)
